//! The upload service: sessions, presigned parts, resume, completion. Never in the path of the bytes, which go straight
//! to object storage.
//!
//! What object storage says is the truth about parts; what the session's row says is the truth about the session; the
//! event that starts the pipeline is written in the transaction that finishes the session. Every step between them may
//! be cut off and repeated, by the creator or by the reconciler.

mod config;
mod create;
mod error;
mod events;
mod finish;
mod grpc;
mod http;
mod plan;
mod reach;
mod reconcile;
mod residency;
mod service;
mod session;
mod store;
mod validate;

pub use config::{UploadConfig, UploadConfigError};
pub use error::UploadError;
pub use events::UploadEvents;
pub use grpc::{UploadGrpc, grpc};
pub use http::{openapi, router};
pub use reach::Asker;
pub use reconcile::ReconcileReport;
pub use service::{ResidencyObjects, SERVICE, UploadParts, UploadService};
