//! How long a purge takes to every node of a fleet: until each has acknowledged it, and until none serves what was purged.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use mcsp_api::proto::feed::purge::Target;
use mcsp_api::proto::feed::{GetProgressRequest, GetProgressResponse, Purge, PurgeRequest};
use mcsp_loadtest_cluster::{ClusterError, Fleet, Layout};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

/// The pause of a viewer between an answer and the next request: what the second figure is exact to.
const VIEWER_PAUSE: Duration = Duration::from_millis(10);
/// Longest wait for anything here.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
const BODY_BYTES: usize = 16 * 1024;

pub(crate) fn now_ms() -> f64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0.0, |since| since.as_secs_f64() * 1e3)
}

/// The object's content after so many changes.
fn version(number: u64) -> Bytes {
    let mut body = format!("version {number:012} ").into_bytes();
    body.resize(BODY_BYTES, b'.');
    body.into()
}

/// What a viewer of one node saw.
#[derive(Debug)]
struct Seen {
    /// When the first answer that was not the purged content had come, ms since the epoch.
    new_ms: f64,
    /// When the last request was sent that was answered with the purged content.
    old_sent_ms: f64,
}

async fn get(http: &reqwest::Client, url: &str) -> Result<Bytes, ClusterError> {
    let fault = |source| ClusterError::Http {
        what: "GET of the object".to_owned(),
        source,
    };
    let answer = http.get(url).send().await.map_err(fault)?;
    let answer = answer.error_for_status().map_err(fault)?;
    answer.bytes().await.map_err(fault)
}

/// Asks a node for the object until it answers with `wanted`.
async fn view(
    http: reqwest::Client,
    url: String,
    wanted: Arc<Bytes>,
    began: watch::Sender<usize>,
) -> Result<Seen, ClusterError> {
    let until = Instant::now() + PATIENCE;
    let mut old_sent_ms = 0.0;
    loop {
        let sent_ms = now_ms();
        if get(&http, &url).await? == *wanted {
            let new_ms = now_ms();
            return Ok(Seen {
                new_ms,
                old_sent_ms,
            });
        }
        if old_sent_ms == 0.0 {
            began.send_modify(|count| *count += 1);
        }
        old_sent_ms = sent_ms;
        if Instant::now() > until {
            return Err(ClusterError::Broken(format!("{url} is not purged")));
        }
        sleep(VIEWER_PAUSE).await;
    }
}

async fn purge(fleet: &Fleet, target: Target) -> Result<u64, ClusterError> {
    let request = PurgeRequest {
        purge: Some(Purge {
            target: Some(target),
            soft: false,
        }),
        reason: "bench".to_owned(),
    };
    let answer = fleet.operator().purge(request).await;
    let answer = answer.map_err(|status| ClusterError::Broken(format!("purge: {status}")))?;
    Ok(answer.into_inner().sequence)
}

async fn progress(
    fleet: &Fleet,
    sequence: u64,
    wait: Duration,
) -> Result<GetProgressResponse, ClusterError> {
    let until = Instant::now() + wait;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let request = GetProgressRequest {
            epoch: String::new(),
            sequence,
            wait_ms: u32::try_from(left.as_millis().min(1_500)).unwrap_or(0),
        };
        let told = fleet.operator().get_progress(request).await;
        let told = told.map_err(|status| ClusterError::Broken(format!("progress: {status}")))?;
        let told = told.into_inner();
        if told.is_complete || left.is_zero() {
            return Ok(told);
        }
    }
}

#[derive(Debug, Default)]
struct Samples {
    published: Vec<f64>,
    acknowledged: Vec<f64>,
    unserved: Vec<f64>,
    served_after_acknowledgement: usize,
}

pub(crate) fn of(samples: &[f64]) -> Value {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = |share: f64| {
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss
        )]
        let rank = (sorted.len() as f64 * share).ceil() as usize;
        sorted.get(rank.saturating_sub(1)).copied().unwrap_or(0.0)
    };
    json!({"p50": at(0.5), "p99": at(0.99), "max": at(1.0), "samples": sorted.len()})
}

/// One purge: every node holds the version before, and each has a viewer who asks on and on.
async fn round(fleet: &Fleet, number: u64, samples: &mut Samples) -> Result<(), ClusterError> {
    let (old, new) = (version(number - 1), Arc::new(version(number)));
    fleet.put((*new).clone()).await?;
    for node in fleet.nodes() {
        if get(&fleet.http(), &node.url).await? != old {
            return Err(ClusterError::Broken(format!(
                "{} did not hold the object",
                node.name
            )));
        }
    }
    let (began, mut begun) = watch::channel(0);
    let mut viewers = JoinSet::new();
    for (index, node) in fleet.nodes().iter().enumerate() {
        let (http, url) = (fleet.http(), node.url.clone());
        let viewing = view(http, url, Arc::clone(&new), began.clone());
        viewers.spawn(async move { viewing.await.map(|seen| (index, seen)) });
    }
    let count = fleet.nodes().len();
    // Every viewer has had an answer of the old version, so that none comes too late to see it go.
    let all = tokio::time::timeout(PATIENCE, begun.wait_for(|begun| *begun == count)).await;
    drop(all.map_err(|_| ClusterError::Broken("the viewers did not begin".to_owned()))?);
    let target = match number % 4 {
        0 => Target::Key(fleet.key()),
        1 => Target::Prefix(fleet.key().trim_end_matches("1.m4s").to_owned()),
        2 => Target::SurrogateKey(fleet.content_id().to_owned()),
        _ => Target::ContentId(fleet.content_id().to_owned()),
    };
    let called_ms = now_ms();
    let sequence = purge(fleet, target).await?;
    samples.published.push(now_ms() - called_ms);
    let told = progress(fleet, sequence, PATIENCE).await?;
    if !told.is_complete {
        return Err(ClusterError::Broken(format!(
            "purge {sequence} did not reach every node"
        )));
    }
    let nodes = &told.regions[0].nodes;
    while let Some(viewer) = viewers.join_next().await {
        let (index, seen) = viewer.map_err(|error| ClusterError::Broken(error.to_string()))??;
        let name = &fleet.nodes()[index].name;
        let node = nodes.iter().find(|node| node.node == *name);
        let node = node.ok_or_else(|| ClusterError::Broken(format!("{name} is not known")))?;
        #[allow(clippy::cast_precision_loss)]
        let applied_ms = node.applied_ms as f64;
        samples.acknowledged.push((applied_ms - called_ms).max(0.0));
        samples.unserved.push(seen.new_ms - called_ms);
        // The origin's clock tells whole milliseconds.
        samples.served_after_acknowledgement += usize::from(seen.old_sent_ms > applied_ms + 1.0);
    }
    Ok(())
}

/// Asks the last node from the moment it listens; returns the first answer.
async fn first_answer(fleet: &Fleet) -> Result<Bytes, ClusterError> {
    let until = Instant::now() + PATIENCE;
    let node = fleet.nodes().last();
    let url = node.map(|node| node.url.clone()).unwrap_or_default();
    loop {
        match get(&fleet.http(), &url).await {
            Ok(body) => return Ok(body),
            Err(error) if Instant::now() > until => return Err(error),
            Err(_) => sleep(Duration::from_millis(1)).await,
        }
    }
}

/// The last node is stopped while it holds the object on its disk; what it serves when it comes back, without and with a
/// purge meanwhile.
async fn coming_back(fleet: &mut Fleet, number: u64) -> Result<Value, ClusterError> {
    let (old, new) = (version(number - 1), version(number));
    fleet.put(new.clone()).await?;
    fleet.stop_last().await;
    fleet.start_last()?;
    fleet.last_ready().await?;
    let last = progress(fleet, 0, PATIENCE).await?;
    // It has caught up and nothing was purged: the disk's copy is good, and it is the proof that there is one.
    if !last.is_complete || first_answer(fleet).await? != old {
        return Err(ClusterError::Broken(
            "the disk kept nothing over a restart".to_owned(),
        ));
    }
    fleet.stop_last().await;
    let sequence = purge(fleet, Target::Key(fleet.key())).await?;
    let away = progress(fleet, sequence, Duration::from_millis(500)).await?;
    let missing: Vec<&str> = away.regions[0]
        .nodes
        .iter()
        .filter(|node| !node.is_applied)
        .map(|node| node.node.as_str())
        .collect();
    let expected = fleet.nodes().last().map(|node| node.name.as_str());
    if away.is_complete || missing != expected.as_slice() {
        return Err(ClusterError::Broken(format!(
            "missing is {missing:?}, not {expected:?}"
        )));
    }
    let started = Instant::now();
    fleet.start_last()?;
    let served_purged = first_answer(fleet).await? != new;
    let first_answer_ms = started.elapsed().as_secs_f64() * 1e3;
    let told = progress(fleet, sequence, PATIENCE).await?;
    Ok(json!({
        "served_what_was_purged": served_purged,
        "first_answer_ms": first_answer_ms,
        "acknowledged_ms": started.elapsed().as_secs_f64() * 1e3,
        "is_complete": told.is_complete,
    }))
}

async fn measure(fleet: &mut Fleet, purges: u64, revocations: u64) -> Result<Value, ClusterError> {
    fleet.put(version(0)).await?;
    for node in fleet.nodes() {
        get(&fleet.http(), &node.url).await?;
    }
    let mut samples = Samples::default();
    for number in 1..=purges {
        round(fleet, number, &mut samples).await?;
    }
    let revoked = crate::bench_revoke::measure(fleet, revocations).await?;
    let came_back = coming_back(fleet, purges + 1).await?;
    Ok(json!({
        "nodes": fleet.nodes().len(),
        "purges": purges,
        "published_ms": of(&samples.published),
        "acknowledged_ms": of(&samples.acknowledged),
        "unserved_ms": of(&samples.unserved),
        "served_after_acknowledgement": samples.served_after_acknowledgement,
        "revoked": revoked,
        "came_back": came_back,
    }))
}

/// Measures in an empty folder and prints the figures as JSON.
pub(crate) async fn run(
    layout: Layout,
    nodes: usize,
    purges: u64,
    revocations: u64,
) -> Result<(), ClusterError> {
    if layout.data_dir.exists() {
        std::fs::remove_dir_all(&layout.data_dir)
            .map_err(|source| ClusterError::file(&layout.data_dir, source))?;
    }
    let mut fleet = Fleet::start(&layout, nodes).await?;
    let measured = measure(&mut fleet, purges, revocations).await;
    fleet.stop().await;
    println!("{}", measured?);
    Ok(())
}
