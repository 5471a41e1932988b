//! Holding the stream.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use mcsp_api::feed::{FeedCursor, FeedFault, FeedStep, SILENCE_MS_MAX};
use mcsp_api::proto::feed::FeedMessage;
use mcsp_api::proto::feed::edge_feed_client::EdgeFeedClient;
use mcsp_api::proto::feed::feed_entry::Change;
use mcsp_api::proto::feed::feed_message::Message;
use mcsp_edge_proxy::{FeedPosition, FeedState, RegionUpstream};
use mcsp_identity::WorkloadIdentity;
use mcsp_runtime::{SharedEntropy, Shutdown};
use thiserror::Error;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior};

use super::apply::Applier;
use super::connect::{ConnectError, connect};
use super::journal::Journal;
use super::report::Report;
use crate::boot::{Membership, Prepared};
use crate::config::NodeConfig;
use crate::metrics::NodeMetrics;

/// How often what changed is written down, and how often the time of the last contact is.
const SAVE_TICK: Duration = Duration::from_secs(1);
const SAVE_CONTACT_MS: i64 = 5_000;

/// Why a stream ended. Another will be opened.
#[derive(Debug, Error)]
enum Cut {
    #[error("{0}")]
    Connect(#[from] ConnectError),
    #[error("{0}")]
    Status(Box<tonic::Status>),
    #[error("{0}")]
    Fault(#[from] FeedFault),
    #[error("the origin closed the stream")]
    Closed,
    #[error("nothing was heard for {SILENCE_MS_MAX} ms")]
    Silence,
}

impl From<tonic::Status> for Cut {
    fn from(status: tonic::Status) -> Self {
        Self::Status(Box::new(status))
    }
}

/// The regions whose token keys are known to be current as long as the feed is: its own, and those that cannot be asked
/// themselves.
fn confirmed(config: &NodeConfig, membership: &Membership) -> Vec<String> {
    let is_asked = |id: &String| {
        let regions = &config.proxy.upstream.region;
        *id != membership.home.id && regions.iter().any(|region| region.id == *id)
    };
    let ids = membership
        .pops
        .regions()
        .iter()
        .map(|region| region.id.clone());
    ids.filter(|id| !is_asked(id)).collect()
}

/// Follows the feed for as long as the node runs.
pub(crate) struct FeedClient {
    /// `{pop}/{node}`.
    subscriber: String,
    home: RegionUpstream,
    identity: WorkloadIdentity,
    connect_timeout: Duration,
    entropy: SharedEntropy,
    state: Arc<FeedState>,
    /// Where what was told is kept; nothing when it is not to be.
    state_dir: Option<PathBuf>,
    applier: Applier,
    cursor: FeedCursor,
    metrics: NodeMetrics,
    is_dirty: bool,
    saved_contact_ms: i64,
    /// Writes what is known, beside the stream; ends with whether it could.
    saving: Option<JoinHandle<bool>>,
}

impl FeedClient {
    /// Takes up what an earlier run kept; a file that cannot be used is left aside, and the node begins as a newcomer.
    pub(crate) fn new(
        prepared: &Prepared,
        membership: &Membership,
        metrics: NodeMetrics,
        entropy: SharedEntropy,
    ) -> Self {
        let config = &prepared.config;
        let mut client = Self {
            subscriber: format!("{}/{}", config.pop, config.node),
            home: membership.home.clone(),
            identity: membership.identity.clone(),
            connect_timeout: Duration::from_millis(config.feed.connect_timeout_ms),
            entropy,
            state: Arc::clone(&prepared.feed_state),
            state_dir: config.feed.persist.then(|| config.state_dir.clone()),
            applier: Applier {
                cache: prepared.cache.clone(),
                keyring: Arc::clone(&prepared.keyring),
                verifier: Arc::clone(&prepared.verifier),
                revocations: Arc::clone(&prepared.revocations),
                clock: Arc::clone(&prepared.clock),
                confirmed: confirmed(config, membership),
                pops: Arc::clone(&membership.pops),
                pop: config.pop.clone(),
                metrics: metrics.clone(),
                journal: Journal::default(),
                regions: BTreeSet::new(),
                is_rebuilding: false,
            },
            cursor: FeedCursor::newcomer(),
            metrics,
            is_dirty: false,
            saved_contact_ms: 0,
            saving: None,
        };
        client.restore();
        client
    }

    fn restore(&mut self) {
        let Some(dir) = &self.state_dir else { return };
        match Journal::load(dir) {
            Ok(None) => {}
            Ok(Some(journal)) => {
                tracing::info!(
                    sequence = journal.applied_sequence,
                    "goes on with what the feed told before"
                );
                self.cursor = FeedCursor::resumed(&journal.epoch, journal.applied_sequence);
                self.state.restore(journal.contact_ms);
                let kept = self.position(journal.applied_sequence);
                self.state.demand(kept.clone());
                self.state.set_done(Some(kept));
                self.saved_contact_ms = journal.contact_ms;
                self.applier.restore(journal);
            }
            Err(error) => tracing::error!(%error, "what the feed told before cannot be used"),
        }
    }

    /// Opens the stream, again and again, until `shutdown`.
    pub(crate) async fn run(mut self, shutdown: Shutdown) {
        let mut turn = 0;
        while !shutdown.is_triggered() {
            let address = self.home.origin[turn % self.home.origin.len()].clone();
            turn = turn.wrapping_add(1);
            let cut = tokio::select! {
                cut = self.follow(&address) => cut,
                () = shutdown.wait() => break,
            };
            let outcome = if matches!(cut, Cut::Connect(_)) {
                "failed"
            } else {
                "cut"
            };
            self.metrics
                .feed_connects
                .with_label_values(&[outcome])
                .inc();
            let delay_ms = self.cursor.reconnect_delay_ms(self.entropy.next_u64());
            tracing::warn!(error = %cut, address, delay_ms, "the edge feed is away");
            tokio::select! {
                () = tokio::time::sleep(Duration::from_millis(delay_ms)) => {}
                () = shutdown.wait() => break,
            }
        }
        self.saved().await;
        self.save();
        self.saved().await;
    }

    /// One stream, to its end.
    async fn follow(&mut self, address: &str) -> Cut {
        match self.follow_until_cut(address).await {
            Ok(never) => match never {},
            Err(cut) => cut,
        }
    }

    async fn follow_until_cut(&mut self, address: &str) -> Result<std::convert::Infallible, Cut> {
        let name = &self.home.origin_server_name;
        let channel = connect(address, name, &self.identity, self.connect_timeout).await?;
        let mut client = EdgeFeedClient::new(channel);
        let request = self.cursor.request(&self.subscriber);
        let silence = Duration::from_millis(SILENCE_MS_MAX.unsigned_abs());
        let opened = tokio::time::timeout(silence, client.subscribe(request)).await;
        let mut stream = opened.map_err(|_| Cut::Silence)??.into_inner();
        self.metrics
            .feed_connects
            .with_label_values(&["opened"])
            .inc();
        tracing::info!(
            address,
            after = self.cursor.applied_sequence(),
            "the edge feed is open"
        );
        let mut ticks = tokio::time::interval(SAVE_TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut heard = Instant::now();
        let mut report = Report::default();
        loop {
            tokio::select! {
                // Entries first: what is there is applied before anything is said about it.
                biased;
                message = stream.message() => {
                    heard = Instant::now();
                    self.receive(message?.ok_or(Cut::Closed)?)?;
                }
                () = report.finished(), if report.is_under_way() => {}
                () = self.saved(), if self.saving.is_some() => {}
                _ = ticks.tick() => {
                    if heard.elapsed() > silence {
                        return Err(Cut::Silence);
                    }
                    self.save_if_due();
                }
                () = std::future::ready(()), if report.is_due(&self.cursor) => {
                    let request = self.cursor.acknowledgement(&self.subscriber);
                    report.begin(client.clone(), request, self.applier.cache.clone());
                }
            }
        }
    }

    fn receive(&mut self, message: FeedMessage) -> Result<(), Cut> {
        let before = self.cursor.applied_sequence();
        let snapshot_end = match &message.message {
            Some(Message::Reset(reset)) => reset.snapshot_end,
            _ => 0,
        };
        match self.cursor.receive(message, self.applier.clock.now_ms())? {
            FeedStep::Reset => {
                // Purges that were missed are not told: others must have carried out all that there were.
                self.state.set_done(None);
                self.state.demand(self.position(snapshot_end));
                self.applier.reset();
            }
            FeedStep::Apply(entry) => {
                let sequence = entry.sequence;
                if matches!(entry.change, Some(Change::Purge(_))) {
                    self.state.demand(self.position(sequence));
                }
                self.applier.apply(entry);
                self.cursor.applied(sequence);
            }
            FeedStep::Nothing => {}
        }
        if self.cursor.has_state() {
            self.applier.complete();
            let done = self.position(self.cursor.applied_sequence());
            self.state.set_done(Some(done));
        }
        // What was missed while the stream was away is applied before anything is believed again.
        if self.cursor.is_caught_up() {
            self.applier.confirm_keys();
            self.state.touch();
        }
        self.is_dirty |= self.cursor.applied_sequence() != before;
        self.metrics
            .feed_sequence
            .set(i64::try_from(self.cursor.applied_sequence()).unwrap_or(i64::MAX));
        Ok(())
    }

    fn position(&self, sequence: u64) -> FeedPosition {
        FeedPosition {
            region: self.home.id.clone(),
            epoch: self.cursor.epoch().to_owned(),
            sequence,
        }
    }

    fn save_if_due(&mut self) {
        let contact_ms = self.state.contact_ms().unwrap_or(0);
        let is_due =
            self.is_dirty || contact_ms.saturating_sub(self.saved_contact_ms) >= SAVE_CONTACT_MS;
        if is_due && self.saving.is_none() {
            self.save();
        }
    }

    /// Begins to write down what is known, if it is whole.
    fn save(&mut self) {
        let (Some(dir), Some(contact_ms)) = (self.state_dir.clone(), self.state.contact_ms())
        else {
            return;
        };
        if !self.cursor.has_state() {
            return;
        }
        let mut journal = self.applier.journal.clone();
        self.cursor.epoch().clone_into(&mut journal.epoch);
        journal.applied_sequence = self.cursor.applied_sequence();
        journal.contact_ms = contact_ms;
        self.is_dirty = false;
        self.saved_contact_ms = contact_ms;
        let cache = self.applier.cache.clone();
        self.saving = Some(tokio::spawn(async move {
            // What is written down as applied must be so after a restart too.
            if let Err(error) = cache.flush_purges().await {
                tracing::error!(%error, "what the feed told is not written down");
                return false;
            }
            let fault = match tokio::task::spawn_blocking(move || journal.save(&dir)).await {
                Ok(Ok(())) => return true,
                Ok(Err(error)) => error.to_string(),
                Err(error) => error.to_string(),
            };
            tracing::error!(
                error = fault,
                "what the feed told could not be written down"
            );
            false
        }));
    }

    /// Waits for the end of the writing that is under way.
    async fn saved(&mut self) {
        if let Some(task) = &mut self.saving {
            let is_saved = task.await.unwrap_or(false);
            self.saving = None;
            self.is_dirty |= !is_saved;
        }
    }
}
