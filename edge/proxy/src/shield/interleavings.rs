//! Two tiers by seed: what was purged does not come back through a parent, in whatever order nodes get to it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use mcsp_edge_cache::engine::{
    BodyPlan, Cache, CacheConfig, Entity, FillTicket, Join, Key, Lead, Lifetimes, Lookup,
    NewResponse, Purge, PurgeSelector, StoredHead, Variant,
};
use mcsp_runtime::{ManualClock, SeededEntropy, SharedEntropy};
use prometheus::Registry;

use crate::feed_position::{FeedPosition, FeedProgress, Reached};
use crate::serve::Selects;

const OBJECT: &str = "/media/global/c_ng_01k9x3m5y8q2v7r4t6w1z0a3bc/v360/1.m4s";
const SEEDS: u64 = 24;
const STEPS: usize = 4_000;

/// When a node demands of others that they have carried a purge out.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Demand {
    BeforeItPurges,
    AfterItHasPurged,
}

/// The origin's object, and its feed.
#[derive(Default)]
struct Origin {
    version: u64,
    /// The version of the object when each purge was published.
    feed: Vec<u64>,
}

/// How far a node is with the next entry of the feed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Carrying {
    Nothing,
    First,
    Second,
}

struct Node {
    cache: Cache,
    progress: FeedProgress,
    /// Entries that are carried out.
    done: usize,
    carrying: Carrying,
}

impl Node {
    fn new() -> Self {
        let clock = ManualClock::new(1_000);
        let cache = Cache::open(CacheConfig::default(), clock, &Registry::new()).unwrap();
        let progress = FeedProgress::default();
        progress.demand(position(0));
        progress.set_done(Some(position(0)));
        Self {
            cache,
            progress,
            done: 0,
            carrying: Carrying::Nothing,
        }
    }

    /// The next of the steps in which an entry is carried out: the demand and the purge, in their order, then the word
    /// that it is done.
    fn carry(&mut self, origin: &Origin, order: Demand) {
        if self.done == origin.feed.len() {
            return;
        }
        let demands = order == Demand::BeforeItPurges;
        self.carrying = match self.carrying {
            Carrying::Nothing => {
                self.demand_or_purge(demands);
                Carrying::First
            }
            Carrying::First => {
                self.demand_or_purge(!demands);
                Carrying::Second
            }
            Carrying::Second => {
                self.done += 1;
                self.progress.set_done(Some(position(self.done)));
                Carrying::Nothing
            }
        };
    }

    fn demand_or_purge(&self, demands: bool) {
        if demands {
            self.progress.demand(position(self.done + 1));
            return;
        }
        self.cache.purge(&Purge {
            selector: PurgeSelector::Key(OBJECT.into()),
            soft: false,
        });
    }

    fn held(&self) -> Option<u64> {
        match self.cache.lookup(Key::new(OBJECT), &Selects::Nothing) {
            Lookup::Hit(entity) => Some(version_of(&entity)),
            Lookup::OnDisk | Lookup::Miss(_) => None,
        }
    }

    fn join(&self, ticket: FillTicket) -> Option<Lead> {
        let key = Key::new(OBJECT);
        match self.cache.join(key, &Selects::Nothing, ticket, None) {
            Join::Lead(lead) => Some(lead),
            Join::Follow(_) => None,
        }
    }
}

fn position(sequence: usize) -> FeedPosition {
    FeedPosition {
        region: "ng-lagos".to_owned(),
        epoch: "e".to_owned(),
        sequence: sequence as u64,
    }
}

fn version_of(entity: &Arc<Entity>) -> u64 {
    let body = entity.body_bytes().unwrap().concat();
    u64::from_be_bytes(body.try_into().unwrap())
}

async fn store(lead: Lead, version: u64) {
    let lifetimes = Lifetimes {
        received_ms: 1_000,
        initial_age_ms: 0,
        fresh_until_ms: i64::MAX,
        stale_while_revalidate_until_ms: i64::MAX,
        stale_if_error_until_ms: i64::MAX,
        flags: 0,
    };
    let begun = lead.begin(NewResponse {
        head: StoredHead::new(StatusCode::OK, HeaderMap::new(), lifetimes),
        body: BodyPlan::Whole { total_len: Some(8) },
        variant: Variant::of(std::iter::empty(), &Selects::Nothing),
        tags: Vec::new(),
    });
    // A purge that came meanwhile refuses it, here or at its end.
    if let Ok(mut filling) = begun {
        let body = Bytes::copy_from_slice(&version.to_be_bytes());
        if filling.write(body).await.is_ok() {
            let _ = filling.complete();
        }
    }
}

/// A request of a viewer at a child.
enum Request {
    /// The child found nothing.
    Missed(Lead),
    /// It has read what it demands.
    Asking(Lead, FeedPosition),
    /// The parent found nothing, and asks the origin.
    AtParent(Lead, Lead),
    /// The parent has its answer, which is to be stored in both.
    Answered(Lead, Option<Lead>, u64),
}

struct World {
    origin: Origin,
    parent: Node,
    child: Node,
    /// Each with the entries that the child had carried out when it came.
    requests: Vec<(usize, Request)>,
    entropy: SharedEntropy,
    order: Demand,
}

impl World {
    fn new(seed: u64, order: Demand) -> Self {
        Self {
            origin: Origin::default(),
            parent: Node::new(),
            child: Node::new(),
            requests: Vec::new(),
            entropy: SeededEntropy::new(seed),
            order,
        }
    }

    fn pick(&self, of: usize) -> usize {
        usize::try_from(self.entropy.next_u64() % of as u64).unwrap()
    }

    /// Does something; an error says what a viewer got that he should not have got.
    async fn step(&mut self) -> Result<(), String> {
        // Nodes keep up with the feed on the whole: who is always behind is never asked.
        match self.pick(60) {
            0 => {
                self.origin.version += 1;
                self.origin.feed.push(self.origin.version);
                Ok(())
            }
            1..=6 => {
                self.child.carry(&self.origin, self.order);
                Ok(())
            }
            7..=11 => {
                self.parent.carry(&self.origin, self.order);
                Ok(())
            }
            12..=24 => self.come(),
            _ => self.go_on().await,
        }
    }

    fn come(&mut self) -> Result<(), String> {
        let since = self.child.done;
        if let Some(version) = self.child.held() {
            return self.judge(since, version, "held");
        }
        let ticket = self.child.cache.ticket();
        if let Some(lead) = self.child.join(ticket) {
            self.requests.push((since, Request::Missed(lead)));
        }
        Ok(())
    }

    async fn go_on(&mut self) -> Result<(), String> {
        if self.requests.is_empty() {
            return Ok(());
        }
        let (since, request) = self.requests.swap_remove(self.pick(self.requests.len()));
        let next = match request {
            Request::Missed(lead) => {
                let demanded = self.child.progress.demanded().unwrap();
                Request::Asking(lead, (*demanded).clone())
            }
            Request::Asking(lead, demanded) => {
                let reached = self.parent.progress.reach(&demanded, Duration::ZERO);
                if reached.await != Reached::Yes {
                    Request::Answered(lead, None, self.origin.version)
                } else if let Some(version) = self.parent.held() {
                    Request::Answered(lead, None, version)
                } else {
                    match self.parent.join(self.parent.cache.ticket()) {
                        Some(of_parent) => Request::AtParent(lead, of_parent),
                        None => Request::Answered(lead, None, self.origin.version),
                    }
                }
            }
            Request::AtParent(lead, of_parent) => {
                Request::Answered(lead, Some(of_parent), self.origin.version)
            }
            Request::Answered(lead, of_parent, version) => {
                if let Some(of_parent) = of_parent {
                    store(of_parent, version).await;
                }
                store(lead, version).await;
                return self.judge(since, version, "fetched");
            }
        };
        self.requests.push((since, next));
        Ok(())
    }

    /// A version that was purged before the viewer came must not be what he gets.
    fn judge(&self, since: usize, version: u64, how: &str) -> Result<(), String> {
        let purged_until = since
            .checked_sub(1)
            .and_then(|last| self.origin.feed.get(last));
        match purged_until {
            Some(wanted) if version < *wanted => Err(format!(
                "{how}: version {version}, though the child had purged what was before {wanted}"
            )),
            _ => Ok(()),
        }
    }
}

async fn run(order: Demand) -> Result<(), String> {
    for seed in 0..SEEDS {
        let mut world = World::new(seed, order);
        for step in 0..STEPS {
            let outcome = world.step().await;
            outcome.map_err(|fault| format!("seed {seed}, step {step}: {fault}"))?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn what_was_purged_does_not_come_back_through_a_parent() {
    run(Demand::BeforeItPurges).await.unwrap();
}

#[tokio::test]
async fn a_demand_that_grows_after_the_purge_would_be_too_late() {
    run(Demand::AfterItHasPurged).await.unwrap_err();
}
