//! The product's encoder: FFmpeg in a confined child.

use std::path::Path;

use async_trait::async_trait;
use mcsp_media_package::RenditionInfo;
use mcsp_media_probe::Probe;
use mcsp_media_sandbox::{ChildError, JobError};
use mcsp_media_transcode::{PassError, Transcoder};

use crate::encoder::{EncodeError, EncodeRequest, Encoded, Encoder, OnNews, Rungs};

/// Thumbnails stand back for what others wait for.
const NICENESS: u8 = 10;
/// The largest file a thumbnail may be, bytes.
const THUMBNAIL_BYTES_MAX: u64 = 8 << 20;

/// Probes, encodes and pictures in confined children.
#[derive(Debug, Clone)]
pub struct ConfinedEncoder {
    transcoder: Transcoder,
}

impl ConfinedEncoder {
    /// The encoder over these children.
    #[must_use]
    pub fn new(transcoder: Transcoder) -> Self {
        Self { transcoder }
    }
}

impl From<ChildError> for EncodeError {
    fn from(error: ChildError) -> Self {
        match error {
            ChildError::Job(JobError::Refused { code, reason }) => Self::Refused { code, reason },
            other => Self::Failed(other.to_string()),
        }
    }
}

impl From<PassError> for EncodeError {
    fn from(error: PassError) -> Self {
        match error {
            PassError::Child(error) => error.into(),
            PassError::Output(error) => Self::Failed(error.to_string()),
        }
    }
}

#[async_trait]
impl Encoder for ConfinedEncoder {
    fn source_bytes_max(&self) -> u64 {
        let limits = &self.transcoder.policy().limits;
        limits.video_bytes_max.max(limits.audio_bytes_max)
    }

    async fn probe(&self, source: &Path) -> Result<Probe, EncodeError> {
        Ok(self.transcoder.probe(source).await?)
    }

    async fn encode(
        &self,
        request: EncodeRequest<'_>,
        on_news: OnNews,
    ) -> Result<Encoded, EncodeError> {
        let EncodeRequest {
            source,
            out_dir,
            probe,
            rungs,
        } = request;
        let transcoder = &self.transcoder;
        let result = match rungs {
            Rungs::Lowest => {
                transcoder
                    .run_lowest(source, out_dir, probe, on_news)
                    .await?
            }
            Rungs::Only(ladder) => {
                transcoder
                    .run_rungs(source, out_dir, probe, ladder, on_news)
                    .await?
            }
        };
        Ok(Encoded {
            duration_ms: result.report.duration_ms(),
            renditions: result.renditions,
            failed: result.failed,
            cpu_ms: result.cpu_ms,
        })
    }

    async fn thumbnails(
        &self,
        mezzanine: &Path,
        info: &RenditionInfo,
        out_dir: &Path,
    ) -> Result<Vec<String>, EncodeError> {
        let limits =
            self.transcoder
                .child_limits(info.duration_ms(), THUMBNAIL_BYTES_MAX, NICENESS);
        let silence_ms = self.transcoder.policy().silence_ms_max;
        let launcher = self.transcoder.launcher();
        Ok(mcsp_media_art::thumbnails(launcher, mezzanine, out_dir, limits, silence_ms).await?)
    }
}
