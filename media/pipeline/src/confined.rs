//! The product's encoder: FFmpeg in a confined child.

use std::path::Path;

use async_trait::async_trait;
use mcsp_media_package::{PackageError, RenditionInfo};
use mcsp_media_probe::Probe;
use mcsp_media_sandbox::{ChildError, Confinement, JobError, run};
use mcsp_media_transcode::{
    EncodeJob, Ladder, PassError, PassInput, PassResult, Transcoder, read_rendition,
};

use crate::encoder::{EncodeError, EncodeRequest, Encoded, Encoder, OnProgress, Rungs};

/// A rendition that is made by itself, and thumbnails, stand back for what others wait for.
const NICENESS: u8 = 10;
/// The largest file a thumbnail may be, bytes.
const THUMBNAIL_BYTES_MAX: u64 = 8 << 20;
/// The most that one rendition writes for each second of media, bytes: twice the highest rung's cap.
const RENDITION_BYTES_A_SECOND: u64 = 2 * 16_000_000 / 8;
/// What the shortest clip may write, bytes.
const RENDITION_BYTES_MIN: u64 = 64 << 20;

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

    /// A pass for some rungs only, which the transcoder itself does not offer.
    async fn run_only(
        &self,
        request: &EncodeRequest<'_>,
        ladder: &Ladder,
        mut on_progress: OnProgress,
    ) -> Result<PassResult, PassError> {
        let policy = self.transcoder.policy();
        let duration_ms = match request.probe.duration_ms {
            0 => policy.limits.duration_ms_max,
            said_ms => said_ms,
        };
        let file_bytes = (duration_ms / 1000).saturating_mul(RENDITION_BYTES_A_SECOND);
        let file_bytes = file_bytes.max(RENDITION_BYTES_MIN);
        let confinement = Confinement {
            reads: vec![request.source.to_owned()],
            writes: Some(request.out_dir.to_owned()),
            limits: self
                .transcoder
                .child_limits(duration_ms, file_bytes, NICENESS),
        };
        let input = PassInput {
            source: request.source.to_owned(),
            out_dir: request.out_dir.to_owned(),
            probe: request.probe.clone(),
            ladder: ladder.clone(),
            validate: false,
            threads: policy.threads,
            duration_ms_max: policy.limits.duration_ms_max,
        };
        let launcher = self.transcoder.launcher();
        let finished = run::<EncodeJob>(
            launcher,
            &input,
            confinement,
            policy.silence_ms_max,
            move |progress| on_progress(progress.permille),
        )
        .await?;
        let ids = finished.output.rendition_ids;
        let read = move || {
            let dir = input.out_dir;
            let infos = ids.iter().map(|id| read_rendition(&dir, id));
            infos.collect::<Result<Vec<_>, _>>()
        };
        let renditions = tokio::task::spawn_blocking(read)
            .await
            .map_err(|error| PackageError::Io(std::io::Error::other(error)))??;
        Ok(PassResult {
            report: finished.output.report,
            renditions,
            cpu_ms: finished.cpu_ms,
        })
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
        mut on_progress: OnProgress,
    ) -> Result<Encoded, EncodeError> {
        let EncodeRequest {
            source,
            out_dir,
            probe,
            ref rungs,
        } = request;
        let transcoder = &self.transcoder;
        let result = match rungs {
            Rungs::Lowest => {
                let tell = move |progress: mcsp_media_sandbox::Progress| {
                    on_progress(progress.permille);
                };
                transcoder.run_lowest(source, out_dir, probe, tell).await?
            }
            Rungs::Rest => {
                let tell = move |progress: mcsp_media_sandbox::Progress| {
                    on_progress(progress.permille);
                };
                transcoder.run_rest(source, out_dir, probe, tell).await?
            }
            Rungs::Only(ladder) => self.run_only(&request, ladder, on_progress).await?,
        };
        Ok(Encoded {
            duration_ms: result.report.duration_ms(),
            renditions: result.renditions,
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
