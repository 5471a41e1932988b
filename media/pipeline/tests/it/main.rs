//! The stages over a real log, a real object store and a real database.
