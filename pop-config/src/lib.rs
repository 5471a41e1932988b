//! The PoP manifest: its schema and its validation.
