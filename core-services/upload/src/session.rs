//! An upload session as the service holds it.

use mcsp_api::rest::{CreateUploadRequest, UploadStatus};
use mcsp_api::{ContentId, OrganisationId, Residency, UploadId, UserId};
use serde::{Deserialize, Serialize};

use crate::plan::PartPlan;

/// Where a session stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum SessionStatus {
    /// Its multipart upload or its draft may not exist yet.
    Creating,
    /// Parts are wanted.
    Open,
    /// The object is whole; the event is in the outbox.
    PendingTrigger,
    /// The event log has the event.
    Completed,
    /// Given up by the creator.
    Cancelled,
    /// Its time ran out.
    Expired,
}

impl SessionStatus {
    /// As the table writes it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Creating => "CREATING",
            Self::Open => "OPEN",
            Self::PendingTrigger => "PENDING_TRIGGER",
            Self::Completed => "COMPLETED",
            Self::Cancelled => "CANCELLED",
            Self::Expired => "EXPIRED",
        }
    }

    /// As the API shows it.
    pub(crate) fn to_api(self) -> UploadStatus {
        match self {
            Self::Creating | Self::Open => UploadStatus::Open,
            Self::PendingTrigger => UploadStatus::PendingTrigger,
            Self::Completed => UploadStatus::Completed,
            Self::Cancelled => UploadStatus::Cancelled,
            Self::Expired => UploadStatus::Expired,
        }
    }

    /// Is the object whole and ours for good?
    pub(crate) fn is_finished(self) -> bool {
        matches!(self, Self::PendingTrigger | Self::Completed)
    }
}

/// A session.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    pub(crate) upload_id: UploadId,
    pub(crate) content_id: ContentId,
    pub(crate) owner_id: UserId,
    pub(crate) organisation_id: Option<OrganisationId>,
    /// What was asked for; its metadata is only what the draft began with.
    pub(crate) request: CreateUploadRequest,
    pub(crate) residency: Residency,
    pub(crate) bucket: String,
    pub(crate) object_key: String,
    /// The object store's name of the multipart upload, once it exists.
    pub(crate) multipart_id: Option<String>,
    /// Fixed at creation, whatever later versions would choose.
    pub(crate) part_size_bytes: u64,
    pub(crate) status: SessionStatus,
    /// Unix milliseconds.
    pub(crate) expires_ms: i64,
}

impl Session {
    /// How the file is cut.
    pub(crate) fn plan(&self) -> PartPlan {
        PartPlan {
            size_bytes: self.request.size_bytes,
            part_size_bytes: self.part_size_bytes,
        }
    }
}

/// What a request was answered with, remembered under its idempotency key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RememberedRequest {
    pub(crate) owner_id: UserId,
    pub(crate) idempotency_key: String,
    /// The request, as JSON; the same key with another request is refused.
    pub(crate) request_json: String,
    /// The [`crate::residency::HomeDecision`], as JSON.
    pub(crate) decision_json: String,
    /// The session's id, should this region be its home.
    pub(crate) upload_id: UploadId,
}
