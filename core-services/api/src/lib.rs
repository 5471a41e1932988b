//! What services, edges and clients agree on: ids, wire types, problems, headers, gRPC interfaces.

pub mod body;
pub mod events;
pub mod feed;
pub mod headers;
mod id;
mod identity;
pub mod media_path;
pub mod metadata;
mod problem;
mod redacted;
mod residency;
pub mod rest;

pub use id::{ContentId, IdError, MediaSessionId, OrganisationId, RegionCode, UploadId, UserId};
pub use identity::{IdentityError, Role, ViewerIdentity};
pub use problem::{Problem, ProblemKind};
pub use residency::{Residency, ResidencyError};

/// The gRPC interfaces, generated from `proto/`.
#[allow(missing_docs, clippy::all, unreachable_pub)]
pub mod proto {
    /// `mcsp.auth.v1`.
    pub mod auth {
        tonic::include_proto!("mcsp.auth.v1");
    }
    /// `mcsp.content.v1`.
    pub mod content {
        tonic::include_proto!("mcsp.content.v1");
    }
    /// `mcsp.upload.v1`.
    pub mod upload {
        tonic::include_proto!("mcsp.upload.v1");
    }
    /// `mcsp.playback.v1`.
    pub mod playback {
        tonic::include_proto!("mcsp.playback.v1");
    }
    /// `mcsp.feed.v1`: the edge feed, and operators' purges by it.
    pub mod feed {
        tonic::include_proto!("mcsp.feed.v1");
    }
    /// `mcsp.events.v1`: the event log, for processes that do not own it.
    pub mod events {
        tonic::include_proto!("mcsp.events.v1");
    }
    /// `mcsp.kv.v1`: the key-value store, for processes that do not own it.
    pub mod kv {
        tonic::include_proto!("mcsp.kv.v1");
    }
}
