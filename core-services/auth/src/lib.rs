//! The user and auth service.
