//! Asking an origin for what many may want: a task of its own, so that it goes on when the client that caused it leaves.
//! How many there are at once is bounded by the pools that they ask and by the memory that fills may take.

use std::sync::Arc;
use std::time::Duration;

use http::header::RANGE;
use http::response::Parts;
use http::{HeaderMap, Method, StatusCode};
use mcsp_edge_cache::engine::{BodyPlan, Entity, FillTicket, Lead, NewResponse, StoredHead};
use mcsp_edge_fetch::{BodyLength, FetchError, FetchRequest, Response};
use mcsp_edge_policy::age::Exchange;
use mcsp_edge_policy::conditional::Validators;
use mcsp_edge_policy::freshness::Failure;
use mcsp_edge_policy::range::{ByteRange, ContentRange};
use mcsp_edge_policy::store::{Candidate, Refusal, StorePlan, StoreRules, decide};
use mcsp_edge_policy::update;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::asking::{Asking, Selects};
use super::kept::{new_response, own_fields, part_of, refusal_word};
use super::life;
use super::pump::pump;
use crate::context::RequestContext;
use crate::edge::Edge;
use crate::outage::Outage;
use crate::shield::{Way, detail_of, is_stand_in};

/// Interim answers that wait for the client to be told.
const INTERIM_WAITING_MAX: usize = 16;

/// What those learn who waited for a part that is not there; see [`Lead::not_shareable`].
pub(super) const NO_SUCH_PART: &str = "no-such-part";

/// What an origin is to be asked, and what is done with its answer.
#[derive(Debug, Clone)]
pub(crate) struct Errand {
    pub(crate) edge: Arc<Edge>,
    /// Without conditions.
    pub(crate) request: FetchRequest,
    pub(crate) way: Way,
    /// Whether its upstream answers at all.
    pub(crate) outage: Option<Arc<Outage>>,
    pub(crate) rules: StoreRules,
    /// What the client said, as far as it selects an answer.
    pub(crate) asked: HeaderMap,
    /// Absolute, as in the key.
    pub(crate) target_uri: String,
    /// Is it another's origin: asked as the client asked, and believed that a connection's end ends a body?
    pub(crate) is_foreign: bool,
    /// To be validated.
    pub(crate) stale: Option<Arc<Entity>>,
    /// No viewer waits for it, here or at another of our nodes.
    pub(crate) is_ahead: bool,
    /// It is not for a client that waits, and goes on when nobody does.
    pub(crate) is_beside: bool,
}

/// What became of it.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// It is being stored; read it. Of a part: which.
    Stored(Arc<Entity>, Option<ByteRange>),
    /// A parent's own, in place of what its origin should have said: read it, as all do who wait. It is not stored.
    Lent(Arc<Entity>),
    /// The origin said 304: what is held is good.
    Validated(Arc<Entity>),
    /// The origin failed; what is held may stand in.
    Covered(Arc<Entity>),
    /// For the client that caused it alone; says why.
    Private(Box<Response>, &'static str),
    /// The origin failed.
    Failed(FetchError),
}

/// An outcome, and how long the origin took to say it.
#[derive(Debug)]
pub(crate) struct Fetched {
    pub(crate) outcome: Outcome,
    pub(crate) wait: Duration,
    /// Of the answer's fields those that are for the client that caused it and not kept (RFC 9111 sections 5.2.2.4
    /// and 5.2.2.7).
    pub(crate) own: HeaderMap,
    /// For `Cache-Status`.
    pub(crate) detail: Option<&'static str>,
}

/// What the client that caused it waits for.
#[derive(Debug)]
pub(crate) struct Awaited {
    pub(crate) fetched: oneshot::Receiver<Fetched>,
    pub(crate) interim: mpsc::Receiver<Parts>,
}

impl Errand {
    /// The errand of a request; `stale` is to be validated. Nothing when there is no way to the origin.
    pub(crate) fn new(
        edge: &Arc<Edge>,
        asking: &Asking<'_>,
        context: &RequestContext,
        stale: Option<Arc<Entity>>,
    ) -> Option<Self> {
        Some(Self {
            edge: Arc::clone(edge),
            request: asking.shared_request(edge, context)?,
            way: asking.way(edge, context)?,
            outage: asking.outage(context).cloned(),
            rules: asking.rules(edge),
            asked: match asking.selects {
                Selects::Fields(fields) => fields.clone(),
                Selects::Nothing | Selects::InLanguage(..) => HeaderMap::new(),
            },
            is_foreign: asking.plain().is_some(),
            target_uri: asking.key.to_owned(),
            stale,
            is_ahead: context.is_ahead(),
            is_beside: false,
        })
    }

    /// The same, to go on though nobody waits.
    pub(crate) fn beside(self) -> Self {
        Self {
            is_beside: true,
            ..self
        }
    }

    /// The same, for what no viewer waits for.
    pub(crate) fn ahead(self) -> Self {
        Self {
            is_ahead: true,
            way: self.way.ahead(),
            ..self
        }
    }

    /// Sends it off for all who wait behind `lead`.
    pub(crate) fn start(self, lead: Lead) -> Awaited {
        let (tell, fetched) = oneshot::channel();
        let (interim, interim_told) = mpsc::channel(INTERIM_WAITING_MAX);
        let underway = if self.is_ahead {
            self.edge.prefetcher.work().enter()
        } else {
            self.edge.viewer_fetches.enter()
        };
        tokio::spawn(async move {
            let _underway = underway;
            self.run(lead, tell, interim).await;
        });
        Awaited {
            fetched,
            interim: interim_told,
        }
    }

    /// Runs it to its end: `tell` learns what came of it with the head, the body goes into the cache after that. Before the
    /// head it ends when nobody waits for it any more.
    pub(super) async fn run(
        self,
        lead: Lead,
        mut tell: oneshot::Sender<Fetched>,
        interim: mpsc::Sender<Parts>,
    ) {
        let started = Instant::now();
        let asked_ms = self.edge.clock.now_ms();
        let asked = tokio::select! {
            biased;
            answer = self.ask(&interim) => Some(answer),
            () = unwanted(&mut tell, &lead), if !self.is_beside => None,
        };
        let Some(answer) = asked else {
            self.edge.metrics.fetches_given_up.inc();
            return;
        };
        drop(interim);
        self.note_word(asked_ms, &answer);
        let own = answer.as_ref().map(own_fields).unwrap_or_default();
        let head = answer.as_ref().ok().map(|response| &response.head);
        let detail = head.and_then(detail_of);
        let (outcome, body) = self.judge(lead, answer);
        // The client may be gone; then nobody wants to know.
        let _ = tell.send(Fetched {
            outcome,
            wait: started.elapsed(),
            own,
            detail,
        });
        if let Some((filling, response)) = body {
            pump(&self, filling, response).await;
        }
    }

    /// With conditions when there is something to validate.
    async fn ask(&self, interim: &mpsc::Sender<Parts>) -> Result<Response, FetchError> {
        let Some(stale) = &self.stale else {
            return self.fetch(&self.request, interim).await;
        };
        let mut request = self.request.clone();
        validators_of(stale).make_conditional(&mut request.headers);
        self.fetch(&request, interim).await
    }

    async fn fetch(
        &self,
        request: &FetchRequest,
        interim: &mpsc::Sender<Parts>,
    ) -> Result<Response, FetchError> {
        let mut on_interim = |head: Parts| {
            // A client that does not take them misses some: they are hints.
            let _ = interim.try_send(head);
        };
        self.way.fetch(&self.edge, request, &mut on_interim).await
    }

    fn judge(
        &self,
        lead: Lead,
        answer: Result<Response, FetchError>,
    ) -> (
        Outcome,
        Option<(mcsp_edge_cache::engine::Filling, Response)>,
    ) {
        let response = match answer {
            Ok(response) => response,
            Err(error) => {
                let failure = self.failure(&error);
                self.note_failure(&error, failure);
                if let Some(stale) = self.may_cover() {
                    lead.share(stale);
                    return (Outcome::Covered(Arc::clone(stale)), None);
                }
                lead.fail(failure);
                return (Outcome::Failed(error), None);
            }
        };
        let status = response.head.status;
        if is_stand_in(&response.head) {
            if let Some(stale) = self.may_cover() {
                lead.share(stale);
                return (Outcome::Covered(Arc::clone(stale)), None);
            }
            return self.lend(lead, response);
        }
        if let Some(stale) = &self.stale {
            // Also one with another entity tag: RFC 9111 section 4.3.4 would have it asked again, the public suite has it
            // believed, and an origin that answers our own condition so has said that nothing changed.
            if status == StatusCode::NOT_MODIFIED {
                self.freshen(stale, lead.ticket(), &response);
                lead.share(stale);
                return (Outcome::Validated(Arc::clone(stale)), None);
            }
            if Failure::of_status(status).is_some()
                && let Some(stale) = self.may_cover()
            {
                lead.share(stale);
                return (Outcome::Covered(Arc::clone(stale)), None);
            }
        }
        self.store(lead, response)
    }

    /// RFC 5861 section 4, and what the route allows beside.
    fn may_cover(&self) -> Option<&Arc<Entity>> {
        let stale = self.stale.as_ref()?;
        let now_ms = self.edge.clock.now_ms();
        let freshness = life::freshness_of(&stale.head().lifetimes);
        let freshness = life::in_force(stale, &freshness);
        (freshness.may_cover_failure(now_ms) && !stale.is_purged()).then_some(stale)
    }

    /// A 304's header into the stored one (RFC 9111 section 4.3.4).
    pub(super) fn freshen(&self, stale: &Arc<Entity>, ticket: FillTicket, response: &Response) {
        let stored = stale.head();
        let newer = &response.head.headers;
        let merged = update::merge(&stored.headers, newer, &[], response.responded_ms);
        let Ok(plan) = self.plan(stored.status, &merged, response) else {
            // It may be used for this request and not be kept anew; the next one asks again.
            return;
        };
        let merged = update::merge(&stored.headers, newer, &plan.strip, response.responded_ms);
        let lifetimes = life::lifetimes_of(&plan.freshness, response.responded_ms);
        let head = StoredHead::new(stored.status, merged, lifetimes);
        if let Err(refused) = self.edge.cache.update_head(stale, ticket, head) {
            tracing::debug!(%refused, "a revalidated head was not kept");
        }
    }

    pub(super) fn plan(
        &self,
        status: StatusCode,
        fields: &HeaderMap,
        response: &Response,
    ) -> Result<StorePlan, Refusal> {
        decide(&self.candidate(status, fields, response), &self.rules)
    }

    fn candidate<'a>(
        &'a self,
        status: StatusCode,
        fields: &'a HeaderMap,
        response: &Response,
    ) -> Candidate<'a> {
        Candidate {
            method: &Method::GET,
            target_uri: &self.target_uri,
            request: &self.asked,
            status,
            response: fields,
            exchange: Exchange {
                request_ms: response.requested_ms,
                response_ms: response.responded_ms,
            },
        }
    }

    /// Begins to store the answer, if it may be stored.
    fn store(
        &self,
        lead: Lead,
        response: Response,
    ) -> (
        Outcome,
        Option<(mcsp_edge_cache::engine::Filling, Response)>,
    ) {
        let private = |response, reason| {
            let counter = &self.edge.metrics.not_stored;
            counter.with_label_values(&[reason]).inc();
            (Outcome::Private(Box::new(response), reason), None)
        };
        let plan = self.plan(response.head.status, &response.head.headers, &response);
        let new = match plan {
            Ok(plan) => self.new_response(&plan, &response),
            Err(refusal) => {
                // What is about this request alone says nothing of the next one.
                let is_lasting =
                    !matches!(refusal, Refusal::RequestNoStore | Refusal::Authorization);
                let status = response.head.status;
                match self.failure_told(status) {
                    // An origin that has failed is not one whose answers are somebody's own.
                    Some(failure) => lead.fail(failure),
                    // One that has no such part may well have the whole.
                    None if self.lacks_part(status) => lead.not_shareable(NO_SUCH_PART, false),
                    None => lead.not_shareable("not-shareable", is_lasting),
                }
                return private(response, refusal_word(refusal));
            }
        };
        let new = match new {
            Ok(new) => new,
            Err(reason) => {
                lead.not_shareable(reason, true);
                return private(response, reason);
            }
        };
        match lead.begin(new) {
            Ok(filling) => {
                let entity = Arc::clone(filling.entity());
                let part = ContentRange::of(&response.head.headers)
                    .filter(|_| response.head.status == StatusCode::PARTIAL_CONTENT)
                    .and_then(|range| range.range);
                (Outcome::Stored(entity, part), Some((filling, response)))
            }
            Err(refused) => private(response, refused.as_str()),
        }
    }

    /// Does the answer say no more than that there is no such part as was asked for in place of the whole?
    fn lacks_part(&self, status: StatusCode) -> bool {
        status == StatusCode::RANGE_NOT_SATISFIABLE && self.request.headers.contains_key(RANGE)
    }

    pub(super) fn new_response(
        &self,
        plan: &StorePlan,
        response: &Response,
    ) -> Result<NewResponse, &'static str> {
        let fields = &response.head.headers;
        let body = match response.length() {
            // Whether anything is missing of it cannot be told; whoever has a plain origin has chosen to believe that a
            // connection that ends without an error ends a body (RFC 9112 section 8).
            BodyLength::UntilClose if !self.is_foreign => return Err("close-delimited"),
            _ if response.head.status == StatusCode::PARTIAL_CONTENT => part_of(fields, response)?,
            BodyLength::Known(bytes) => BodyPlan::Whole {
                total_len: Some(bytes),
            },
            BodyLength::None => BodyPlan::Whole { total_len: Some(0) },
            BodyLength::Marked | BodyLength::UntilClose => BodyPlan::Whole { total_len: None },
        };
        let candidate = self.candidate(response.head.status, fields, response);
        new_response(plan, &candidate, body)
    }
}

/// Waits until neither the client that caused a fetch nor any other waits for its head.
async fn unwanted(tell: &mut oneshot::Sender<Fetched>, lead: &Lead) {
    tell.closed().await;
    lead.unwanted().await;
}

pub(crate) fn validators_of(entity: &Entity) -> Validators {
    let head = entity.head();
    Validators::of(&head.headers, head.lifetimes.received_ms)
}
