//! What the stages ask of whatever opens the creator's file. The product's is [`crate::ConfinedEncoder`].

use std::fmt::Debug;
use std::path::Path;

use async_trait::async_trait;
use mcsp_media_package::RenditionInfo;
use mcsp_media_probe::Probe;
use mcsp_media_transcode::{FailedRung, Ladder, PassNews};
use thiserror::Error;

/// Why a file was not opened, encoded or pictured.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum EncodeError {
    /// The file cannot be used, and will not become better by trying again.
    #[error("{code}: {reason}")]
    Refused {
        /// Machine-readable, such as `not-media`.
        code: String,
        /// What the creator reads: what is wrong, where, what to do.
        reason: String,
    },
    /// It did not work this time.
    #[error("{0}")]
    Failed(String),
}

impl EncodeError {
    /// May the same call succeed later?
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Failed(_))
    }
}

/// Which of a source's renditions a pass makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rungs {
    /// The first of each kind; the pass also decodes everything else, and judges the file.
    Lowest,
    /// These, each told of as it is finished, without judging the file again.
    Only(Ladder),
}

impl Rungs {
    /// The renditions of this source.
    #[must_use]
    pub fn ladder(&self, probe: &Probe) -> Ladder {
        match self {
            Self::Lowest => Ladder::for_source(probe).lowest(),
            Self::Only(ladder) => ladder.clone(),
        }
    }
}

/// One pass over a source.
#[derive(Debug, Clone)]
pub struct EncodeRequest<'a> {
    /// The creator's file.
    pub source: &'a Path,
    /// An existing, empty folder for one mezzanine a rendition ([`mcsp_media_transcode::mezzanine_path`]).
    pub out_dir: &'a Path,
    /// What the probe found.
    pub probe: &'a Probe,
    /// What to make.
    pub rungs: Rungs,
}

/// What a pass gave.
#[derive(Debug, Clone, PartialEq)]
pub struct Encoded {
    /// All that was made, whether it was told of before or not, in the order of the ladder. A rung whose stream turned out to be empty is missing.
    pub renditions: Vec<RenditionInfo>,
    /// The rungs that failed, which leaves the others good.
    pub failed: Vec<FailedRung>,
    /// As decoded, milliseconds.
    pub duration_ms: u64,
    /// Processor time, milliseconds.
    pub cpu_ms: u64,
}

/// Told how far a pass is and, once each, which renditions are finished; called often, must not wait. Dropped when the
/// pass has ended.
pub type OnNews = Box<dyn FnMut(PassNews) + Send>;

/// Opens hostile files. Dropping a future ends what it started.
#[async_trait]
pub trait Encoder: Send + Sync + Debug {
    /// Larger sources are refused unseen, bytes.
    fn source_bytes_max(&self) -> u64;

    /// Says what a file is.
    async fn probe(&self, source: &Path) -> Result<Probe, EncodeError>;

    /// Decodes the source once and encodes some rungs of its ladder. What it told of before it failed is good.
    async fn encode(
        &self,
        request: EncodeRequest<'_>,
        on_news: OnNews,
    ) -> Result<Encoded, EncodeError>;

    /// Makes thumbnails of a video rendition's mezzanine; returns the names of JPEG files in `out_dir`, the default
    /// first, the same for the same mezzanine.
    async fn thumbnails(
        &self,
        mezzanine: &Path,
        info: &RenditionInfo,
        out_dir: &Path,
    ) -> Result<Vec<String>, EncodeError>;
}
