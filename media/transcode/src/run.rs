//! Passes as the parent asks for them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{SyncSender, sync_channel};

use mcsp_media_package::{PackageError, RenditionInfo};
use mcsp_media_probe::{Probe, ProbeInput, ProbeJob, ProbeLimits};
use mcsp_media_sandbox::{ChildError, ChildLimits, Confinement, Launcher, News, run};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::Ladder;
use crate::pass::{EncodeJob, FailedRung, PassInput, PassOutput, read_rendition};
use crate::report::DecodeReport;

/// What comes after the first pass stands back: somebody else's first rendition is waited for.
const REST_NICENESS: u8 = 10;
/// Shorter sources are taken for as long as this, so that what every pass costs is allowed for, milliseconds.
const DURATION_MS_MIN: u64 = 60_000;
/// The most that one rendition writes for each second of media, bytes: twice the highest rung's cap.
const RENDITION_BYTES_A_SECOND: u64 = 2 * 16_000_000 / 8;

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

/// What a pass says while it runs.
#[derive(Debug, Clone, PartialEq)]
pub enum PassNews {
    /// How far it is, 0 to 1000.
    At(u32),
    /// A rendition is finished, and was checked; its mezzanine may be taken out of the pass's folder. Told of once. The
    /// child that wrote it still runs, so whoever reads the mezzanine later checks it again.
    Made(RenditionInfo),
}

/// What a pass gave, checked.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PassResult {
    /// What decoding found.
    pub report: DecodeReport,
    /// The renditions in the pass's folder, pictures first, each kind from the lowest to the highest.
    pub renditions: Vec<RenditionInfo>,
    /// The rungs whose encoders failed.
    pub failed: Vec<FailedRung>,
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
        on_news: impl FnMut(PassNews) + Send + 'static,
    ) -> Result<PassResult, PassError> {
        let ladder = Ladder::for_source(probe).lowest();
        let input = self.input(source, out_dir, probe, ladder, true);
        self.run_pass(input, on_news).await
    }

    /// A pass over a source that was found good: decodes it once more and encodes these rungs, each of which is told of
    /// as it is finished. One that fails leaves the others alone. Nothing is done when there is none.
    ///
    /// # Errors
    /// [`PassError`]; what was told of before is good all the same.
    pub async fn run_rungs(
        &self,
        source: &Path,
        out_dir: &Path,
        probe: &Probe,
        rungs: Ladder,
        on_news: impl FnMut(PassNews) + Send + 'static,
    ) -> Result<PassResult, PassError> {
        if rungs.is_empty() {
            return Ok(PassResult::default());
        }
        let input = self.input(source, out_dir, probe, rungs, false);
        self.run_pass(input, on_news).await
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
        on_news: impl FnMut(PassNews) + Send + 'static,
    ) -> Result<PassResult, PassError> {
        let niceness = if input.validate { 0 } else { REST_NICENESS };
        // A source that does not say how long it is may be as long as any.
        let duration_ms = match input.probe.duration_ms {
            0 => input.duration_ms_max,
            said_ms => said_ms.max(DURATION_MS_MIN),
        };
        let file_bytes = duration_ms.div_ceil(1000) * RENDITION_BYTES_A_SECOND;
        let confinement = Confinement {
            reads: vec![input.source.clone()],
            writes: Some(input.out_dir.clone()),
            limits: self.child_limits(duration_ms, file_bytes, niceness),
        };
        let ids = input.ladder.ids();
        // A place for each rendition, and each is told of once.
        let (tell, told) = sync_channel(ids.len());
        let hear = listener(input.out_dir.clone(), ids.clone(), tell, on_news);
        let silence_ms = self.policy.silence_ms_max;
        let finished =
            run::<EncodeJob>(&self.launcher, &input, confinement, silence_ms, hear).await?;
        let PassOutput {
            report,
            rendition_ids,
            failed,
        } = finished.output;
        // What was told of may have been taken away meanwhile, and is not read again.
        let mut known: BTreeMap<String, RenditionInfo> = told
            .try_iter()
            .map(|info| (info.id.clone(), info))
            .collect();
        let dir = input.out_dir;
        let read = move || {
            let made = ids.iter().filter(|id| rendition_ids.contains(id));
            let infos = made.map(|id| match known.remove(id) {
                Some(info) => Ok(info),
                None => read_rendition(&dir, id),
            });
            infos.collect::<Result<_, _>>()
        };
        let renditions = tokio::task::spawn_blocking(read)
            .await
            .map_err(|error| PackageError::Io(std::io::Error::other(error)))??;
        Ok(PassResult {
            report,
            renditions,
            failed,
            cpu_ms: finished.cpu_ms,
        })
    }
}

/// Turns the child's words into the caller's news. Renditions that were not asked for, that were told of before or that
/// cannot be read are left to the end of the pass, which judges them.
fn listener(
    dir: PathBuf,
    mut expected: Vec<String>,
    told: SyncSender<RenditionInfo>,
    mut on_news: impl FnMut(PassNews) + Send + 'static,
) -> impl FnMut(News) + Send + 'static {
    move |news| match news {
        News::At(permille) => on_news(PassNews::At(permille)),
        News::Made(name) => {
            let Some(place) = expected.iter().position(|id| *id == name) else {
                return;
            };
            expected.swap_remove(place);
            if let Ok(info) = read_rendition(&dir, &name)
                && told.try_send(info.clone()).is_ok()
            {
                on_news(PassNews::Made(info));
            }
        }
    }
}
