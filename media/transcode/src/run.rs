//! Passes as the parent asks for them.

use std::path::{Path, PathBuf};

use mcsp_media_package::{PackageError, RenditionInfo};
use mcsp_media_probe::{Probe, ProbeInput, ProbeJob, ProbeLimits};
use mcsp_media_sandbox::{ChildError, ChildLimits, Confinement, Launcher, Progress, run};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::Ladder;
use crate::pass::{EncodeJob, PassInput, read_rendition};
use crate::report::DecodeReport;

/// The second pass stands back: somebody else's first rendition is waited for.
const REST_NICENESS: u8 = 10;

/// Bounds of the children.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TranscodePolicy {
    /// What is taken at all.
    pub limits: ProbeLimits,
    /// A child's address space, bytes.
    pub memory_bytes_max: u64,
    /// A child's processor time is bounded by this and...
    pub cpu_s_min: u64,
    /// ...so many seconds for each second of media.
    pub cpu_s_per_media_s: u64,
    /// A child that says nothing for so long is killed, milliseconds.
    pub silence_ms_max: u64,
    /// Threads of the decoder, and as many for the encoders together.
    pub threads: usize,
}

impl Default for TranscodePolicy {
    fn default() -> Self {
        Self {
            limits: ProbeLimits::default(),
            memory_bytes_max: 8 << 30,
            cpu_s_min: 120,
            cpu_s_per_media_s: 60,
            silence_ms_max: 120_000,
            threads: 2,
        }
    }
}

/// Why a pass gave nothing.
#[derive(Debug, Error)]
pub enum PassError {
    /// The child did.
    #[error(transparent)]
    Child(#[from] ChildError),
    /// What the child wrote cannot be used.
    #[error(transparent)]
    Output(#[from] PackageError),
}

impl PassError {
    /// May the same call succeed later?
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Child(error) => error.is_retryable(),
            Self::Output(_) => true,
        }
    }
}

/// What a pass gave, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct PassResult {
    /// What decoding found.
    pub report: DecodeReport,
    /// The renditions in the pass's folder.
    pub renditions: Vec<RenditionInfo>,
    /// Processor time of the child over all its threads, milliseconds.
    pub cpu_ms: u64,
}

/// Runs probes and passes in confined children.
#[derive(Debug, Clone)]
pub struct Transcoder {
    launcher: Launcher,
    policy: TranscodePolicy,
}

impl Transcoder {
    /// A transcoder whose children are started by `launcher`.
    #[must_use]
    pub fn new(launcher: Launcher, policy: TranscodePolicy) -> Self {
        Self { launcher, policy }
    }

    /// How children are started.
    #[must_use]
    pub fn launcher(&self) -> &Launcher {
        &self.launcher
    }

    /// The bounds.
    #[must_use]
    pub fn policy(&self) -> &TranscodePolicy {
        &self.policy
    }

    /// The limits of a child that works on `duration_ms` of media and writes files of up to `file_bytes`.
    #[must_use]
    pub fn child_limits(&self, duration_ms: u64, file_bytes: u64, niceness: u8) -> ChildLimits {
        let media_s = duration_ms.div_ceil(1000);
        ChildLimits {
            memory_bytes: self.policy.memory_bytes_max,
            cpu_s: self
                .policy
                .cpu_s_min
                .saturating_add(media_s.saturating_mul(self.policy.cpu_s_per_media_s)),
            file_bytes,
            niceness,
        }
    }

    /// Probes a file.
    ///
    /// # Errors
    /// [`ChildError`]; a refusal names its reason.
    pub async fn probe(&self, path: &Path) -> Result<Probe, ChildError> {
        let input = ProbeInput {
            path: path.to_path_buf(),
            limits: self.policy.limits,
        };
        let limits = self.child_limits(0, 0, 0);
        let confinement = Confinement {
            reads: vec![path.to_path_buf()],
            writes: None,
            limits,
        };
        Ok(run::<ProbeJob>(
            &self.launcher,
            &input,
            confinement,
            self.policy.silence_ms_max,
            |_| {},
        )
        .await?
        .output)
    }

    /// The first pass: decodes every used stream of the source in full, judges it, and encodes the lowest rung.
    ///
    /// # Errors
    /// [`PassError`]; a refusal names its reason and place.
    pub async fn run_lowest(
        &self,
        source: &Path,
        out_dir: &Path,
        probe: &Probe,
        on_progress: impl FnMut(Progress) + Send + 'static,
    ) -> Result<PassResult, PassError> {
        let ladder = Ladder::for_source(probe).lowest();
        self.run_pass(
            self.input(source, out_dir, probe, ladder, true),
            on_progress,
        )
        .await
    }

    /// The second pass: decodes once more and encodes every other rung. Nothing is done when there is none.
    ///
    /// # Errors
    /// [`PassError`].
    pub async fn run_rest(
        &self,
        source: &Path,
        out_dir: &Path,
        probe: &Probe,
        on_progress: impl FnMut(Progress) + Send + 'static,
    ) -> Result<PassResult, PassError> {
        let ladder = Ladder::for_source(probe).rest();
        if ladder.is_empty() {
            return Ok(PassResult {
                report: DecodeReport::default(),
                renditions: Vec::new(),
                cpu_ms: 0,
            });
        }
        self.run_pass(
            self.input(source, out_dir, probe, ladder, false),
            on_progress,
        )
        .await
    }

    fn input(
        &self,
        source: &Path,
        out_dir: &Path,
        probe: &Probe,
        ladder: Ladder,
        validate: bool,
    ) -> PassInput {
        PassInput {
            source: source.to_path_buf(),
            out_dir: out_dir.to_path_buf(),
            probe: probe.clone(),
            ladder,
            validate,
            threads: self.policy.threads,
            duration_ms_max: self.policy.limits.duration_ms_max,
        }
    }

    async fn run_pass(
        &self,
        input: PassInput,
        on_progress: impl FnMut(Progress) + Send + 'static,
    ) -> Result<PassResult, PassError> {
        let niceness = if input.validate { 0 } else { REST_NICENESS };
        // The highest rung's cap for as long as may be, twice over.
        let duration_ms = input.probe.duration_ms.max(60_000);
        let file_bytes = duration_ms.saturating_mul(2 * 16_000 / 8).max(64 << 20);
        let duration_for_cpu = if input.probe.duration_ms == 0 {
            input.duration_ms_max
        } else {
            duration_ms
        };
        let confinement = Confinement {
            reads: vec![input.source.clone()],
            writes: Some(input.out_dir.clone()),
            limits: self.child_limits(duration_for_cpu, file_bytes, niceness),
        };
        let silence_ms = self.policy.silence_ms_max;
        let finished =
            run::<EncodeJob>(&self.launcher, &input, confinement, silence_ms, on_progress).await?;
        let renditions = read_all(input.out_dir, finished.output.rendition_ids).await?;
        Ok(PassResult {
            report: finished.output.report,
            renditions,
            cpu_ms: finished.cpu_ms,
        })
    }
}

async fn read_all(dir: PathBuf, ids: Vec<String>) -> Result<Vec<RenditionInfo>, PackageError> {
    let read = move || ids.iter().map(|id| read_rendition(&dir, id)).collect();
    tokio::task::spawn_blocking(read)
        .await
        .map_err(|error| PackageError::Io(std::io::Error::other(error)))?
}
