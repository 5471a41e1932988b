//! The playback service: entitlement, signed URLs, revocable media sessions.
//!
//! Owns nothing durable. With the key-value store away it still plays; with the content service away it answers 503,
//! never by guess.

mod config;
pub mod entitlement;
mod error;
mod events;
mod grpc;
mod http;
mod placement;
mod service;
mod sessions;

pub use config::{PlaybackConfig, PlaybackConfigError};
pub use error::PlaybackError;
pub use grpc::{PlaybackGrpc, grpc};
pub use http::{openapi, router};
pub use placement::Asker;
pub use service::{PlaybackParts, PlaybackService, SERVICE};
