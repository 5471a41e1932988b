//! Kills processes of a real cluster at seeded moments, and checks what must hold afterwards.
//!
//! One seed is one upload and one victim. Whatever dies, and whenever: what was acknowledged is there, the item is
//! published exactly once, and every segment plays through every PoP that may carry it.

use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use mcsp_api::Residency;
use mcsp_runtime::{Entropy, SeededEntropy};
use tokio::process::Command;

use crate::client::Client;
use crate::cluster::Cluster;
use crate::error::ClusterError;
use crate::player;

/// How long the command line may go without moving, and how long anything may take after the victim is back.
const RECOVERY_LIMIT: Duration = Duration::from_secs(180);
/// The longest a victim stays down.
const DOWN_MS_MAX: u64 = 800;

/// When the victim dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// While parts are on their way.
    Upload,
    /// While the pipeline works.
    Transcode,
    /// While a viewer fetches segments.
    Playback,
}

/// What one seed does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The process that dies.
    pub victim: String,
    /// When.
    pub moment: Moment,
    /// How long after the moment has come, milliseconds.
    pub delay_ms: u64,
    /// How long it stays down, milliseconds.
    pub down_ms: u64,
    /// The PoP the creator uses.
    pub pop: String,
    /// Where the item's bytes may be.
    pub residency: Residency,
}

fn pick<'a, T>(entropy: &dyn Entropy, from: &'a [T]) -> Option<&'a T> {
    let count = u64::try_from(from.len()).ok().filter(|count| *count > 0)?;
    from.get(usize::try_from(entropy.next_u64() % count).ok()?)
}

impl Plan {
    /// The plan that this seed makes of this cluster.
    ///
    /// # Errors
    /// When the cluster is empty.
    pub fn new(cluster: &Cluster, seed: u64) -> Result<Self, ClusterError> {
        let entropy = SeededEntropy::new(seed);
        let nothing = || ClusterError::Broken("the cluster has no processes".to_owned());
        let residency =
            *pick(&*entropy, &[Residency::Global, Residency::Ng]).ok_or_else(nothing)?;
        let moment = *pick(
            &*entropy,
            &[Moment::Upload, Moment::Transcode, Moment::Playback],
        )
        .ok_or_else(nothing)?;
        let victim = pick(&*entropy, &cluster.names())
            .ok_or_else(nothing)?
            .clone();
        let pop = (*pick(&*entropy, &cluster.pops_for(residency)).ok_or_else(nothing)?).to_owned();
        let span_ms = match moment {
            Moment::Upload => 300,
            Moment::Transcode => 2500,
            Moment::Playback => 400,
        };
        Ok(Self {
            victim,
            moment,
            delay_ms: entropy.next_u64() % span_ms,
            down_ms: entropy.next_u64() % DOWN_MS_MAX,
            pop,
            residency,
        })
    }
}

fn told(output: &Output) -> String {
    let text = [&output.stdout[..], &output.stderr[..]].concat();
    format!("{}: {}", output.status, String::from_utf8_lossy(&text))
}

/// The creator's command line, as a person without a terminal runs it.
fn mcsp(cluster: &Cluster, seed: u64, pop: &str) -> Command {
    let mut command = Command::new(cluster.layout().program("mcsp"));
    command
        .args(["--server", &cluster.pop_url(pop), "--json", "--config-dir"])
        .arg(
            cluster
                .layout()
                .data_dir
                .join(format!("people/seed-{seed}")),
        )
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

async fn register(cluster: &Cluster, seed: u64, pop: &str) -> Result<Client, ClusterError> {
    use tokio::io::AsyncWriteExt as _;
    const PASSWORD: &str = "a password of the soak";
    let email = format!("seed-{seed}-{}@example.com", std::process::id());
    let mut child = mcsp(cluster, seed, pop)
        .args(["register", &email, "--role", "creator", "--password-stdin"])
        .spawn()
        .map_err(|error| ClusterError::Broken(format!("mcsp: {error}")))?;
    if let Some(mut input) = child.stdin.take() {
        let line = format!("{PASSWORD}\n");
        input
            .write_all(line.as_bytes())
            .await
            .map_err(|error| ClusterError::Broken(format!("mcsp: {error}")))?;
    }
    let output = child
        .wait_with_output()
        .await
        .map_err(|error| ClusterError::Broken(format!("mcsp: {error}")))?;
    if !output.status.success() {
        return Err(ClusterError::Broken(format!(
            "mcsp register: {}",
            told(&output)
        )));
    }
    Client::new(&cluster.pop_url(pop))?
        .login(&email, PASSWORD)
        .await
}

async fn kill_and_restart(cluster: &mut Cluster, plan: &Plan) -> Result<(), ClusterError> {
    tokio::time::sleep(Duration::from_millis(plan.delay_ms)).await;
    cluster.kill(&plan.victim)?;
    tokio::time::sleep(Duration::from_millis(plan.down_ms)).await;
    cluster.restart(&plan.victim).await
}

/// Runs one seed.
///
/// # Errors
/// With what does not hold, and the plan that led there.
pub async fn run_seed(cluster: &mut Cluster, file: &Path, seed: u64) -> Result<Plan, ClusterError> {
    let plan = Plan::new(cluster, seed)?;
    run_plan(cluster, file, seed, &plan)
        .await
        .map_err(|error| ClusterError::Broken(format!("{plan:?}: {error}")))?;
    Ok(plan)
}

async fn run_plan(
    cluster: &mut Cluster,
    file: &Path,
    seed: u64,
    plan: &Plan,
) -> Result<(), ClusterError> {
    let creator = register(cluster, seed, &plan.pop).await?;
    let patience_s = RECOVERY_LIMIT.as_secs().to_string();
    let residency = plan.residency.prefix();
    let upload = mcsp(cluster, seed, &plan.pop)
        .arg("upload")
        .arg(file)
        .args([
            "--no-wait",
            "--patience-s",
            &patience_s,
            "--residency",
            residency,
        ])
        .spawn()
        .map_err(|error| ClusterError::Broken(format!("mcsp: {error}")))?;
    if plan.moment == Moment::Upload {
        kill_and_restart(cluster, plan).await?;
    }
    let output = tokio::time::timeout(RECOVERY_LIMIT, upload.wait_with_output())
        .await
        .map_err(|_| ClusterError::Broken("the upload did not end".to_owned()))?
        .map_err(|error| ClusterError::Broken(format!("mcsp: {error}")))?;
    if !output.status.success() {
        return Err(ClusterError::Broken(format!(
            "mcsp upload: {}",
            told(&output)
        )));
    }
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout).map_err(|error| {
        ClusterError::Broken(format!("mcsp upload: {error}: {}", told(&output)))
    })?;
    let content_id = answer["content_id"]
        .as_str()
        .ok_or_else(|| ClusterError::Broken(format!("mcsp upload: no content id: {answer}")))?
        .to_owned();

    if plan.moment == Moment::Transcode {
        kill_and_restart(cluster, plan).await?;
    }
    if plan.moment == Moment::Playback {
        creator.wait_published(&content_id, RECOVERY_LIMIT).await?;
        let viewer = creator.clone();
        let id = content_id.clone();
        let watching = tokio::spawn(async move { player::fetch_all(&viewer, &id).await });
        kill_and_restart(cluster, plan).await?;
        // A viewer may see errors while a process is down; never wrong bytes, and afterwards none.
        match watching.await {
            Ok(Err(ClusterError::Broken(wrong))) => return Err(ClusterError::Broken(wrong)),
            Ok(_) => {}
            Err(error) => return Err(ClusterError::Broken(format!("the viewer: {error}"))),
        }
    }
    creator
        .wait_content(
            &content_id,
            RECOVERY_LIMIT,
            "published with every rendition",
            |content| {
                content.complete && content.status == mcsp_api::rest::ContentStatus::Published
            },
        )
        .await?;
    for pop in cluster.pops_for(plan.residency) {
        let viewer = creator.at(&cluster.pop_url(pop));
        player::fetch_all_within(&viewer, &content_id, RECOVERY_LIMIT).await?;
    }
    let published = cluster.published_count(&content_id).await?;
    if published != 1 {
        return Err(ClusterError::Broken(format!(
            "{content_id} was published {published} times"
        )));
    }
    Ok(())
}
