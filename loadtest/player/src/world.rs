//! What all users of a worker share.

use std::sync::Arc;

use mcsp_loadtest_measure::{Finding, FindingKind, Recorder};
use mcsp_loadtest_scenario::{
    Bandwidth, ByteCheck, Cast, HttpVersion, Popularity, Scenario, Start, User, UserKind,
};
use mcsp_loadtest_wire::{Client, Link, Network, RunClock};
use parking_lot::Mutex;
use url::Url;

use crate::accounts::AccountBook;
use crate::cmcd::CmcdMode;
use crate::creator::Footage;
use crate::manifest::Shelf;
use crate::references::References;

/// What a worker is given beside its scenario.
#[derive(Debug, Clone, Default)]
pub struct WorldOptions {
    /// Items to play, the most popular first; empty: those of the scenario.
    pub content_ids: Vec<String>,
    /// How CMCD is sent, when the scenario says that it is.
    pub cmcd: CmcdMode,
    /// What creators upload; none: bytes that are no media.
    pub footage: Option<Arc<[u8]>>,
}

/// What all users of a worker share. It is made for one thread: its locks are never held across a wait, and are there so that
/// users can be spawned.
#[derive(Debug)]
pub struct World {
    pub(crate) network: Arc<Network>,
    pub(crate) scenario: Scenario,
    pub(crate) cast: Cast,
    pub(crate) options: WorldOptions,
    pub(crate) popularity: Popularity,
    pub(crate) bandwidths: Vec<Option<Arc<Bandwidth>>>,
    pub(crate) references: References,
    pub(crate) shelf: Shelf,
    pub(crate) accounts: AccountBook,
    pub(crate) footage: Footage,
    /// Asks the origin itself; one question at a time.
    pub(crate) origin: tokio::sync::Mutex<Client>,
    recorder: Mutex<Recorder>,
}

impl World {
    /// For one worker thread.
    #[must_use]
    pub fn new(scenario: Scenario, network: Arc<Network>, mut options: WorldOptions) -> Arc<Self> {
        if options.content_ids.is_empty() {
            options.content_ids.clone_from(&scenario.content.ids);
        }
        let cast = Cast::new(&scenario);
        let bandwidths = cast
            .devices()
            .iter()
            .map(|device| device.bandwidth.bandwidth().map(Arc::new))
            .collect();
        let origin = Client::new(
            Arc::clone(&network),
            HttpVersion::H1,
            None,
            Link::unbounded(),
        );
        Arc::new(Self {
            popularity: Popularity::new(&scenario.content, options.content_ids.len()),
            bandwidths,
            references: References::default(),
            shelf: Shelf::default(),
            accounts: AccountBook::default(),
            footage: Footage::new(options.footage.clone()),
            origin: tokio::sync::Mutex::new(origin),
            recorder: Mutex::new(Recorder::new(scenario.warm_up_us())),
            cast,
            network,
            options,
            scenario,
        })
    }

    /// The run's time.
    #[must_use]
    pub fn clock(&self) -> &RunClock {
        self.network.clock()
    }

    /// What users told; take its partial about once a second.
    pub fn with_recorder<T>(&self, tell: impl FnOnce(&mut Recorder) -> T) -> T {
        tell(&mut self.recorder.lock())
    }

    /// One user, from its start, which should be now, to its end or to `leave_us`, µs after the run's start.
    pub async fn run_user(self: Arc<Self>, start: Start, leave_us: u64) {
        let clock = self.clock().clone();
        let user = self.cast.user(start);
        self.with_recorder(|recorder| recorder.arrival(start.at_us, clock.now_us()));
        // Boxed, as the largest of the three would else be in each user.
        match user.kind {
            UserKind::Player => Box::pin(crate::session::play(&self, user, leave_us)).await,
            UserKind::Creator => {
                let uploads = Box::pin(crate::creator::upload(&self, user));
                let _ = tokio::time::timeout_at(clock.instant(leave_us), uploads).await;
            }
            UserKind::ApiUser => {
                let calls = Box::pin(crate::api_user::call(&self, user));
                let _ = tokio::time::timeout_at(clock.instant(leave_us), calls).await;
            }
        }
        self.with_recorder(|recorder| recorder.departure(clock.now_us()));
    }

    /// A user's connections.
    pub(crate) fn client(&self, user: &User) -> Client {
        let bandwidth = self.bandwidths.get(user.device).cloned().flatten();
        let link = match bandwidth {
            Some(bandwidth) => Link::shaped(bandwidth, self.clock().clone(), user.at_us),
            None => Link::unbounded(),
        };
        Client::new(Arc::clone(&self.network), user.version, user.source, link)
    }

    /// The API's base for a user.
    pub(crate) fn api(&self, user: &User) -> &Url {
        let place = user.place.and_then(|place| self.cast.places().get(place));
        let own = place.and_then(|place| place.api.as_ref());
        own.unwrap_or(&self.scenario.targets.api)
    }

    pub(crate) fn content_id(&self, user: &User) -> Option<&str> {
        let index = self.popularity.pick(user.at_us, user.content_draw)?;
        self.options.content_ids.get(index).map(String::as_str)
    }

    pub(crate) fn checks_origin(&self) -> Option<&Url> {
        let origin = self.scenario.targets.origin.as_ref();
        origin.filter(|_| self.scenario.player.check == ByteCheck::Origin)
    }

    pub(crate) fn find(
        &self,
        kind: FindingKind,
        object: impl Into<String>,
        detail: impl Into<String>,
    ) {
        let at_us = self.clock().now_us();
        self.with_recorder(|recorder| {
            recorder.finding(Finding {
                kind,
                at_us,
                object: object.into(),
                detail: detail.into(),
            });
        });
    }
}
