//! Why the playback service did not do what it was asked.

use mcsp_api::rest::ContentStatus;
use mcsp_api::{Problem, ProblemKind};
use mcsp_auth_edge::MediaKeyError;
use mcsp_events::EventError;
use mcsp_kv::KvError;
use thiserror::Error;

use crate::entitlement::Refusal;

/// Seconds after which a caller may try again when a part we stand on is away.
const RETRY_AFTER_S: u32 = 2;

/// Why a call failed.
#[derive(Debug, Error)]
pub enum PlaybackError {
    /// There is no such item or session, or the caller may not know of it.
    #[error("nothing to play")]
    NotFound,
    /// The item may not be played by this viewer.
    #[error("playback refused: {0:?}")]
    Refused(Refusal),
    /// No PoP may hold the item's bytes.
    #[error("no PoP may carry the item")]
    NoPop,
    /// The content service failed or is away.
    #[error("the content service answered {}: {}", .0.code(), .0.message())]
    Content(Box<tonic::Status>),
    /// The content service's answer cannot be read.
    #[error("the content service's record of {0} cannot be read")]
    Record(String),
    /// The token could not be signed.
    #[error(transparent)]
    Signing(#[from] MediaKeyError),
    /// The session store failed.
    #[error(transparent)]
    Sessions(#[from] KvError),
    /// The revocation could not be written down.
    #[error(transparent)]
    Event(#[from] EventError),
}

impl From<tonic::Status> for PlaybackError {
    fn from(status: tonic::Status) -> Self {
        match status.code() {
            tonic::Code::NotFound => Self::NotFound,
            _ => Self::Content(Box::new(status)),
        }
    }
}

impl PlaybackError {
    /// May the same call succeed later?
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Refused(Refusal::NotYet(_)) | Self::NoPop => true,
            // Whatever is wrong there, the viewer's own request is fine.
            Self::Content(_) => true,
            Self::Sessions(error) => error.is_retryable(),
            Self::Event(error) => error.is_retryable(),
            _ => false,
        }
    }

    /// What the caller is told, with the trace in which the operator finds the rest. Logs what the caller is not told:
    /// this is where such errors are handled.
    #[must_use]
    pub fn into_problem(self) -> Problem {
        mcsp_rpc::traced(self.problem())
    }

    fn problem(self) -> Problem {
        match self {
            Self::NotFound => not_found(),
            Self::Refused(refusal) => refused(refusal),
            error if error.is_retryable() => {
                tracing::warn!(%error, "playback call failed for now");
                Problem::new(ProblemKind::Unavailable)
                    .detail("this cannot be played right now; try again")
                    .retry_after_s(RETRY_AFTER_S)
            }
            error => {
                tracing::error!(%error, "playback call failed");
                Problem::new(ProblemKind::Internal)
            }
        }
    }
}

impl From<PlaybackError> for Problem {
    fn from(error: PlaybackError) -> Self {
        error.into_problem()
    }
}

fn not_found() -> Problem {
    Problem::new(ProblemKind::NotFound).detail("there is nothing to play here")
}

fn refused(refusal: Refusal) -> Problem {
    match refusal {
        Refusal::Hidden => not_found(),
        Refusal::Gone => Problem::new(ProblemKind::Gone).detail("you deleted this item"),
        Refusal::NotYet(ContentStatus::Draft) => Problem::new(ProblemKind::Conflict)
            .detail("the upload of this item is not complete yet"),
        Refusal::NotYet(ContentStatus::PendingModeration | ContentStatus::UnderReview) => {
            Problem::new(ProblemKind::Conflict).detail("this item waits for a moderator's approval")
        }
        Refusal::NotYet(_) => Problem::new(ProblemKind::Conflict)
            .detail("this item is still being processed; its status says how far it is")
            .retry_after_s(RETRY_AFTER_S),
        Refusal::Never(_) => Problem::new(ProblemKind::Forbidden)
            .detail("this item cannot be played; its status says why"),
        Refusal::Country => Problem::new(ProblemKind::Forbidden)
            .detail("this item is not available in your country"),
    }
}
