//! A web application firewall's engine: the ModSecurity rule language, compiled once and run on bytes.
//!
//! It loads the OWASP Core Rule Set unchanged, looks at requests and responses by phases, and answers with a verdict. It does
//! no I/O but reading rule files, knows no HTTP server, and takes time from its caller.

mod body;
mod bytemap;
mod error;
pub mod lang;
mod transform;

pub use error::{LoadError, LoadErrorKind, Location};
