//! The stages over a real log, a real object store and a real database.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
