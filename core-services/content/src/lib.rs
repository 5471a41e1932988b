//! The content service: the record of an item, its status and its visibility.
//!
//! The pipeline's events add facts to the record ([`lifecycle`]); the status follows from them. What the world has to
//! hear is written in the same transaction ([`service`]) and goes out by the outbox.

pub mod access;
mod config;
mod error;
mod events;
mod grpc;
mod http;
pub mod lifecycle;
mod record;
mod service;
mod store;

pub use config::{ContentConfig, Moderation};
pub use error::ContentError;
pub use events::ContentEvents;
pub use grpc::{ContentGrpc, grpc};
pub use http::{openapi, router};
pub use record::ContentRecord;
pub use service::{ContentParts, ContentService, SERVICE};
