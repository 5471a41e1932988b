//! How long a revocation takes to every node of a fleet: from the call by which somebody signs out until each node refuses the
//! access token, which is good for longer and which each has accepted before.

use std::time::Duration;

use mcsp_loadtest_cluster::{Client, ClusterError, Fleet};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::bench_purge::{PATIENCE, now_ms, of};

/// The pause of a viewer between an answer and the next request: what the figure is exact to. Each request goes to the origin.
const VIEWER_PAUSE: Duration = Duration::from_millis(50);
/// How often it is asked again once a node has refused it.
const ASKED_AFTER: usize = 3;
const ACCOUNT: (&str, &str) = ("fleet@example.com", "correct horse battery staple");
const OWN_RECORD: &str = "/api/v1/users/me";

/// What a viewer of one node saw.
#[derive(Debug)]
struct Seen {
    /// When the first refusal had come, ms since the epoch.
    refused_ms: f64,
    /// Answers other than that after it.
    accepted_after: usize,
}

#[derive(Debug, Default)]
struct Samples {
    refused: Vec<f64>,
    accepted_after_refusal: usize,
}

/// Asks for the viewer's own record; whether the token was accepted.
async fn is_accepted(viewer: &Client) -> Result<bool, ClusterError> {
    let answer = viewer.send(Method::GET, OWN_RECORD, None).await?;
    match answer.status() {
        StatusCode::OK => Ok(true),
        StatusCode::UNAUTHORIZED => Ok(false),
        other => Err(ClusterError::Broken(format!(
            "{}{OWN_RECORD} answered {other}",
            viewer.base()
        ))),
    }
}

/// Asks a node until it refuses the token, and some times more.
async fn view(viewer: Client, began: watch::Sender<usize>) -> Result<Seen, ClusterError> {
    let until = Instant::now() + PATIENCE;
    let mut has_begun = false;
    while is_accepted(&viewer).await? {
        if !has_begun {
            began.send_modify(|count| *count += 1);
            has_begun = true;
        }
        if Instant::now() > until {
            let base = viewer.base();
            return Err(ClusterError::Broken(format!(
                "{base} accepts a session that was ended"
            )));
        }
        sleep(VIEWER_PAUSE).await;
    }
    let refused_ms = now_ms();
    let mut accepted_after = 0;
    for _ in 0..ASKED_AFTER {
        sleep(VIEWER_PAUSE).await;
        accepted_after += usize::from(is_accepted(&viewer).await?);
    }
    Ok(Seen {
        refused_ms,
        accepted_after,
    })
}

/// One session: signed in at one node, accepted by all, ended.
async fn round(fleet: &Fleet, number: usize, samples: &mut Samples) -> Result<(), ClusterError> {
    let nodes = fleet.nodes();
    // At another node each time: each bounds how often one address signs in.
    let at = &nodes[number % nodes.len()];
    let (email, password) = ACCOUNT;
    let person = Client::new(&at.base)?.login(email, password).await?;
    let (began, mut begun) = watch::channel(0);
    let mut viewers = JoinSet::new();
    for node in nodes {
        viewers.spawn(view(person.at(&node.base), began.clone()));
    }
    // Every node has accepted it, so that what it remembers of the token is what must go.
    let all = tokio::time::timeout(PATIENCE, begun.wait_for(|begun| *begun == nodes.len())).await;
    drop(all.map_err(|_| ClusterError::Broken("not every node accepts the token".to_owned()))?);
    let called_ms = now_ms();
    let ended = person.send(Method::POST, "/api/v1/auth/logout", None);
    let status = ended.await?.status();
    if !status.is_success() {
        return Err(ClusterError::Broken(format!(
            "signing out answered {status}"
        )));
    }
    while let Some(viewer) = viewers.join_next().await {
        let seen = viewer.map_err(|error| ClusterError::Broken(error.to_string()))??;
        samples.refused.push(seen.refused_ms - called_ms);
        samples.accepted_after_refusal += seen.accepted_after;
    }
    Ok(())
}

/// So many sessions, one after the other.
pub(crate) async fn measure(fleet: &Fleet, revocations: u64) -> Result<Value, ClusterError> {
    let (email, password) = ACCOUNT;
    let first = fleet.nodes().first().map(|node| node.base.as_str());
    Client::new(first.unwrap_or_default())?
        .register(email, password, "viewer")
        .await?;
    let mut samples = Samples::default();
    for number in 1..=usize::try_from(revocations).unwrap_or(usize::MAX) {
        round(fleet, number, &mut samples).await?;
    }
    Ok(json!({
        "revocations": revocations,
        "refused_ms": of(&samples.refused),
        "accepted_after_refusal": samples.accepted_after_refusal,
    }))
}
