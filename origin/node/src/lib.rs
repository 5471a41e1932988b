//! The regional node: composes services by role and runs them.
//!
//! Nothing here decides anything about users or media: configuration says which roles run in this process, engines are
//! opened by URI, services are handed their parts, and their routes go behind one listener with mutual TLS.

mod accounts;
pub mod ca;
mod compose;
pub mod config;
mod engines;
mod error;
mod files;
mod health;
mod media_keys;
mod node;
mod reload;
mod supervise;
mod web;

pub use compose::{Composed, compose};
pub use engines::{Engines, open_engines};
pub use error::NodeError;
pub use node::{Addresses, Node, Site};
pub use supervise::{BackgroundTask, Tasks};
