//! Asking a region's parents: the one that an object prefers first, and never for long.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use mcsp_runtime::SharedClock;

use crate::addresses::{Name, ParentName};
use crate::asking::Asked;
use crate::connection::OnInterim;
use crate::error::FetchErrorKind;
use crate::fetcher::Fetcher;
use crate::parent_word::ParentWord;
use crate::pool::AddressState;
use crate::response::Ongoing;
use crate::target::Patience;
use crate::{
    FetchRequest, PeerIdentity, Pool, PoolPolicy, ResolveError, Response, Sharding, Target,
};

/// Where a parent is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParentAddress {
    /// What its share of the objects is told by: the same on every node that asks it, whatever address they ask it at.
    pub id: String,
    /// What its certificate is checked against.
    pub server_name: String,
    /// `host:port` where it speaks mTLS.
    pub address: String,
}

/// How parents are asked.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ParentPolicy {
    /// How their load is bounded.
    pub sharding: Sharding,
    /// How many of them one request may ask, at least 1.
    pub tries_max: usize,
    /// How long each is waited for.
    pub patience: Patience,
    /// How many requests there may be at once, and when a parent is left alone.
    pub pool: PoolPolicy,
}

/// The parents of a region.
#[derive(Debug)]
pub struct Parents {
    pool: Arc<Pool>,
    policy: ParentPolicy,
}

/// What one parent did with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ParentTry {
    /// It answered; what it said of it.
    Said(ParentWord),
    /// It could not be reached, or broke off before its answer.
    Unreachable,
    /// It took too long.
    Slow,
    /// It has as many requests from here as it may have.
    Full,
    /// Who answered is no parent.
    Foreign,
}

impl ParentTry {
    /// A label for metrics.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Said(word) => word.as_str(),
            Self::Unreachable => "unreachable",
            Self::Slow => "slow",
            Self::Full => "full",
            Self::Foreign => "foreign",
        }
    }
}

/// What came of asking parents.
#[derive(Debug)]
pub struct FromParents {
    /// The answer of one of them; absent when none gave one.
    pub answer: Option<Response>,
    /// What each that was asked did, in order.
    pub tries: Vec<ParentTry>,
}

impl Parents {
    /// Looks each address up. Blocks.
    ///
    /// # Errors
    /// When an address is not of the form `host:port` or resolves to nothing, or there is none.
    pub fn resolve(
        parents: &[ParentAddress],
        policy: ParentPolicy,
        clock: &SharedClock,
    ) -> Result<Self, ResolveError> {
        let names = parents.iter().map(|parent| Name {
            text: parent.address.clone(),
            parent: Some(Arc::new(ParentName {
                id: parent.id.clone(),
                server_name: parent.server_name.clone(),
            })),
        });
        Ok(Self {
            pool: Arc::new(Pool::of(names.collect(), "", policy.pool, clock)?),
            policy,
        })
    }

    /// How each of them does.
    #[must_use]
    pub fn states(&self) -> Vec<AddressState> {
        self.pool.states()
    }
}

/// What parents are asked for.
#[derive(Clone, Copy)]
pub struct ParentRequest<'a> {
    /// As it is sent.
    pub request: &'a FetchRequest,
    /// The [`crate::shard_hash`] of the object's key.
    pub object: u64,
    /// Whether a parent, by its id, may be asked for it.
    pub may_ask: &'a (dyn Fn(&str) -> bool + Send + Sync),
}

impl Fetcher {
    /// The answer of one of `parents`, once its head is here: of the one that the object prefers among those that are
    /// healthy and below their bound, else of the next, at most `tries_max` of them. A parent that says that the origin
    /// failed ends it, since another would ask the same origin.
    pub async fn fetch_from_parents(
        &self,
        asked: ParentRequest<'_>,
        parents: &Parents,
        identity: &Arc<PeerIdentity>,
        on_interim: OnInterim<'_>,
    ) -> FromParents {
        let ParentRequest {
            request,
            object,
            may_ask,
        } = asked;
        let (shared, policy, pool) = (&self.shared, &parents.policy, &parents.pool);
        let mut tries = Vec::new();
        let deadline = shared.deadline();
        let patience = policy
            .patience
            .head_timeout_ms
            .min(shared.config.turn_timeout_ms);
        let Some(turn) = pool.gate().turn(Duration::from_millis(patience)).await else {
            tries.push(ParentTry::Full);
            return FromParents {
                answer: None,
                tries,
            };
        };
        pool.look_up_if_due();
        let target =
            Target::mtls(Arc::clone(pool), Arc::clone(identity)).with_patience(policy.patience);
        let is_out = |socket: SocketAddr, id: Option<&str>| {
            request.avoid.contains(&socket) || !id.is_some_and(may_ask)
        };
        let mut tried = pool.places(|address| {
            let id = address.parent.as_ref().map(|parent| parent.id.as_str());
            is_out(address.socket, id)
        });
        for _ in 0..policy.tries_max {
            let Some(lease) = pool.lease_for(object, policy.sharding, &tried) else {
                break;
            };
            tried.push(lease.place());
            let asked = Asked {
                shared,
                request,
                target: &target,
                lease: &lease,
                deadline,
            };
            let (begun, exchange) = match Box::pin(asked.ask(on_interim)).await {
                Ok(answered) => answered,
                Err(error) => {
                    lease.failed();
                    let error = error.at(Some(lease.socket()));
                    shared.metrics.failed(&error);
                    tries.push(if error.is_timeout() {
                        ParentTry::Slow
                    } else {
                        ParentTry::Unreachable
                    });
                    if error.kind == FetchErrorKind::TotalTimeout {
                        break;
                    }
                    continue;
                }
            };
            let word = ParentWord::of(&begun.head.headers);
            tries.push(word.map_or(ParentTry::Foreign, ParentTry::Said));
            if word.is_none_or(ParentWord::is_fault) {
                lease.failed();
            } else {
                lease.succeeded();
            }
            if word.is_some_and(ParentWord::is_answer) {
                let ongoing = Ongoing::new(exchange, lease, turn, Arc::clone(shared));
                return FromParents {
                    answer: Some(Response::new(begun, ongoing, deadline)),
                    tries,
                };
            }
            shared.release(exchange);
            if matches!(word, Some(ParentWord::Failed | ParentWord::Later)) {
                break;
            }
        }
        FromParents {
            answer: None,
            tries,
        }
    }
}
