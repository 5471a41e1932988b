//! A web application firewall's engine: the ModSecurity rule language, compiled once and run on bytes.
//!
//! It loads the OWASP Core Rule Set unchanged, looks at requests and responses by phases, and answers with a verdict. It does
//! no I/O but reading rule files, knows no HTTP server, and takes time from its caller.

mod body;
mod bytemap;
mod collections;
mod compile;
mod error;
mod filter;
pub mod lang;
mod limits;
mod operator;
mod pattern;
pub mod replay;
mod ruleset;
mod ticks;
mod transaction;
mod transform;
mod verdict;

pub use body::Processor;
pub use collections::Collections;
pub use compile::Loader;
pub use error::{LoadError, LoadErrorKind, Location};
pub use limits::{Beyond, LimitError, Limits};
pub use ruleset::RuleSet;
pub use ticks::{MonotonicTicks, Ticks};
pub use transaction::{Client, Environment, Transaction};
pub use transform::Transformation;
pub use verdict::{AuditEvent, Block, Outcome, RuleMatch, Scores, excerpt};
