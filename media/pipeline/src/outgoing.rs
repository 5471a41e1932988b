//! Events that stages write.

use mcsp_api::events::{
    ArtReady, Packaged, StageProgress, TranscodingCompleted, UploadBlocked, UploadCompleted,
};
use mcsp_events::envelope::encode;
use mcsp_events::{EventError, NewRecord};
use mcsp_runtime::{Clock, Entropy};

use crate::SERVICE;

/// An event that is on its way to the outbox.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Outgoing {
    UploadCompleted(UploadCompleted),
    UploadBlocked(UploadBlocked),
    TranscodingCompleted(TranscodingCompleted),
    Packaged(Packaged),
    ArtReady(ArtReady),
    Progress(StageProgress),
}

impl Outgoing {
    /// The event as a record, with an id of its own.
    pub(crate) fn encode(
        &self,
        clock: &dyn Clock,
        entropy: &dyn Entropy,
    ) -> Result<NewRecord, EventError> {
        match self {
            Self::UploadCompleted(event) => encode(event, SERVICE, clock, entropy),
            Self::UploadBlocked(event) => encode(event, SERVICE, clock, entropy),
            Self::TranscodingCompleted(event) => encode(event, SERVICE, clock, entropy),
            Self::Packaged(event) => encode(event, SERVICE, clock, entropy),
            Self::ArtReady(event) => encode(event, SERVICE, clock, entropy),
            Self::Progress(event) => encode(event, SERVICE, clock, entropy),
        }
    }
}
