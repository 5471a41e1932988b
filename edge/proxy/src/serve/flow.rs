//! One request on a cached route: look, judge, serve, revalidate, fetch or wait.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use http::header::RANGE;
use mcsp_edge_cache::engine::{
    Entity, FailureKind, Followed, InVain, Join, Key, Lead, MissReason, ReadError,
};
use mcsp_edge_policy::cache_status::Forward;
use mcsp_edge_policy::freshness::{Freshness, Reuse, Why};
use mcsp_edge_policy::range::{ByteRange, Fitted, RangeRequest};
use mcsp_edge_prefetch::Work as _;

use super::answering;
use super::asking::Asking;
use super::client::{ClientStream, SendFault, unless_gone};
use super::errand::{Awaited, Errand, Fetched, NO_SUCH_PART, Outcome};
use super::failing::UNREACHABLE;
use super::finding::find;
use super::life;
use super::passing::{self, told_interim};
use super::prefetching;
use super::report::Report;
use super::send::{Sending, Sent};
use super::slices;
use super::waiting::{Patience, within};
use crate::context::RequestContext;
use crate::edge::Edge;
use crate::shield::detail_of;

/// How often a request looks again because what it waited for came to nothing.
const ROUNDS_MAX: usize = 4;

/// What is done with what is held.
enum Verdict {
    Serve(Report),
    /// Serve it, and see to it that it is validated meanwhile.
    ServeAndRefresh(Report),
    Validate(Forward),
}

/// A request under way.
pub(super) struct Flow<'a, C> {
    pub(super) edge: &'a Arc<Edge>,
    pub(super) asking: &'a Asking<'a>,
    pub(super) context: &'a mut RequestContext,
    pub(super) client: &'a mut C,
    /// What is to be validated, which may stand in for what cannot be had.
    pub(super) stale: Option<Arc<Entity>>,
}

impl<C: ClientStream> Flow<'_, C> {
    pub(super) async fn run(&mut self) -> Result<(), SendFault> {
        let edge = self.edge;
        let (mut in_vain, mut failure): (Option<InVain>, _) = (None, None);
        let mut patience = None;
        for _ in 0..ROUNDS_MAX {
            let ticket = edge.cache.ticket();
            let (known, forward) = match find(edge, self.asking).await {
                Ok(entity) => {
                    // Read once: most are sent before it moves.
                    let now_ms = edge.clock.now_ms();
                    match self.judge(&entity, now_ms) {
                        Verdict::Serve(report) => {
                            return self.send_part(&entity, report, None, now_ms).await;
                        }
                        Verdict::ServeAndRefresh(report) => {
                            self.refresh(&entity);
                            return self.send_part(&entity, report, None, now_ms).await;
                        }
                        Verdict::Validate(forward) => (Some(entity), forward),
                    }
                }
                Err(MissReason::Variant) => (None, Forward::VaryMiss),
                Err(_) => (None, Forward::UriMiss),
            };
            if self.asking.only_if_cached {
                let answer = answering::not_cached();
                return answering::send(
                    edge,
                    self.client,
                    self.context,
                    answer,
                    self.asking.is_head,
                )
                .await;
            }
            // What lacks the part that is asked for stands in for nothing: to find that out, the origin would be asked again.
            self.stale = known.clone().filter(|_| forward != Forward::Partial);
            patience = self.patience(known.as_ref(), forward, patience);
            if patience.is_some()
                && let Some(known) = known.as_ref().filter(|_| self.is_origin_silent())
            {
                return Box::pin(self.serve_unasked(known)).await;
            }
            if self.asking.is_head && self.asking.plain().is_some() {
                return Box::pin(self.pass_head(forward, patience)).await;
            }
            if self.context.is_ahead() && !edge.prefetcher.work().may_run() {
                return Box::pin(self.fail(answering::later())).await;
            }
            let key = Key::new(self.asking.key);
            let (cache, selects) = (&edge.cache, &self.asking.selects);
            let joined = match &in_vain {
                None => Some(cache.join(key, selects, ticket, known.as_ref())),
                Some(in_vain) => cache.join_again(key, selects, ticket, known.as_ref(), in_vain),
            };
            let Some(joined) = joined else { break };
            match joined {
                Join::Lead(lead) => {
                    return Box::pin(self.lead(lead, known, forward, patience)).await;
                }
                Join::Follow(follow) => {
                    let wait_max = Duration::from_millis(edge.config.collapse_wait_ms);
                    let asked_at = follow.began();
                    let wait_max = match patience {
                        Some(patience) => patience.left_behind(&follow, wait_max),
                        None => wait_max,
                    };
                    let waits = follow.wait(&self.asking.selects, wait_max);
                    match unless_gone(self.client, waits).await? {
                        Followed::Shared(entity) => {
                            // A part of it may not be the part that this client needs; what was looked at and came
                            // back the same will not become more.
                            if slices::broke_off(&entity) {
                                return self.fail_body(&entity, ReadError::Hole { at: 0 }).await;
                            }
                            let is_known = known.as_ref().is_some_and(|k| k.id() == entity.id());
                            if is_known && self.is_still_unverified(&entity) {
                                return Box::pin(self.cover(&entity, Duration::ZERO)).await;
                            }
                            let is_for_him = is_known || self.has_what_is_asked(&entity);
                            if is_for_him && let Some(report) = self.share_of(&entity, forward) {
                                return self.send(&entity, report).await;
                            }
                        }
                        Followed::Lent(entity) => {
                            if self.has_what_is_asked(&entity) {
                                let report = Report {
                                    is_collapsed: true,
                                    ..self.report_of_lent(&entity, forward)
                                };
                                return self.send(&entity, report).await;
                            }
                        }
                        // That somebody else wanted a part that is not there says nothing of the whole.
                        Followed::NotShareable(NO_SUCH_PART)
                            if self.part_to_ask_for(known.as_ref()).is_none() => {}
                        Followed::NotShareable(reason) => {
                            return Box::pin(self.pass(forward, Some(reason))).await;
                        }
                        Followed::Failed(error, waited) => {
                            failure = Some(error.kind);
                            if !error.may_be_the_requests {
                                break;
                            }
                            in_vain = Some(waited);
                        }
                        Followed::TimedOut(_) if patience.is_some() => {
                            if let Some(stale) = self.done_waiting(patience, asked_at) {
                                return Box::pin(self.cover_unanswered(&stale, patience)).await;
                            }
                            // It was purged meanwhile, and is a miss now.
                        }
                        Followed::TooMany if patience.is_some() => {
                            if let Some(stale) = self.standing_in("crowd") {
                                return Box::pin(self.cover_unanswered(&stale, patience)).await;
                            }
                        }
                        Followed::TimedOut(waited) => {
                            failure = Some(FailureKind::TimedOut);
                            in_vain = Some(waited);
                        }
                        Followed::TooMany => {
                            return Box::pin(self.pass(forward, Some("lock"))).await;
                        }
                        Followed::AskAgain => {}
                    }
                }
            }
        }
        match failure {
            Some(kind) => Box::pin(self.fail_with_others(kind)).await,
            None => Box::pin(self.pass(Forward::Miss, Some("lock"))).await,
        }
    }

    pub(super) fn freshness(&self, entity: &Entity) -> Freshness {
        let freshness = life::freshness_of(&entity.head().lifetimes);
        life::in_force(entity, &freshness)
    }

    fn judge(&mut self, entity: &Arc<Entity>, now_ms: i64) -> Verdict {
        let freshness = self.freshness(entity);
        let reuse = freshness.judge(now_ms, &self.asking.directives);
        if !self.has_what_is_asked(entity) {
            return Verdict::Validate(Forward::Partial);
        }
        let hit = if entity.is_filling() && !entity.is_complete() && reuse == Reuse::Fresh {
            Report {
                forward: Some(Forward::UriMiss),
                is_collapsed: true,
                ..Report::default()
            }
        } else {
            Report::hit(freshness.ttl_s(now_ms), freshness.age_s(now_ms))
        };
        // While neither the feed nor the origin has vouched for an object of late, it is revalidated before it is
        // served; its windows for an origin that fails stay open.
        self.context.is_unverified = self.is_unverified(entity, now_ms);
        match reuse {
            Reuse::Fresh if !self.context.is_unverified => Verdict::Serve(hit),
            Reuse::StaleByRequest => Verdict::Serve(hit),
            // A child that is given it would take it for fresh where a soft purge has ended its life.
            Reuse::StaleWhileRevalidate
                if !self.context.is_unverified && self.context.child.is_none() =>
            {
                Verdict::ServeAndRefresh(hit)
            }
            Reuse::Validate(Why::Request) => Verdict::Validate(Forward::Request),
            _ => Verdict::Validate(Forward::Stale),
        }
    }

    /// The feed tells of our own content only.
    pub(super) fn is_unverified(&self, entity: &Entity, now_ms: i64) -> bool {
        let within_ms = self.edge.config.trust.revalidate_after_ms;
        let feed = &self.edge.feed;
        self.asking.plain().is_none()
            && feed.needs_revalidation_at(now_ms, entity.head().lifetimes.received_ms, within_ms)
    }

    /// Is what the client asks for held, or can be brought?
    fn has_what_is_asked(&self, entity: &Entity) -> bool {
        if entity.is_complete() || self.asking.is_head {
            return true;
        }
        let total = entity.total_len().unwrap_or(u64::MAX);
        let range = match RangeRequest::of(&self.asking.request.headers).fit(total) {
            Fitted::One(range) => range.first..range.last.saturating_add(1),
            _ => 0..total,
        };
        slices::can_be_had(entity, &range)
    }

    /// What is said to one who waited for another's fetch; nothing when what came of it is not for him.
    fn share_of(&self, entity: &Entity, forward: Forward) -> Option<Report> {
        let now_ms = self.edge.clock.now_ms();
        let freshness = self.freshness(entity);
        let is_usable = freshness.is_fresh(now_ms) && !freshness.always_validate;
        // A stale one is shared when its origin has failed and it may stand in.
        let is_covering = !is_usable && !entity.is_filling() && freshness.may_cover_failure(now_ms);
        (is_usable || is_covering).then(|| Report {
            forward: Some(forward),
            is_collapsed: true,
            stands_in: is_covering,
            age_s: Some(freshness.age_s(now_ms)).filter(|age_s| *age_s > 0),
            ..Report::default()
        })
    }

    pub(super) async fn send(
        &mut self,
        entity: &Arc<Entity>,
        report: Report,
    ) -> Result<(), SendFault> {
        let now_ms = self.edge.clock.now_ms();
        self.send_part(entity, report, None, now_ms).await
    }

    async fn send_part(
        &mut self,
        entity: &Arc<Entity>,
        report: Report,
        part: Option<ByteRange>,
        now_ms: i64,
    ) -> Result<(), SendFault> {
        let sending = Sending {
            part,
            edge: self.edge,
            asking: self.asking,
            entity,
            report,
            now_ms,
        };
        let sent = sending.send(self.client, self.context).await?;
        if self.context.status == StatusCode::RANGE_NOT_SATISFIABLE.as_u16() {
            self.count_refused_range();
        }
        if sending.report.is_stored {
            prefetching::offer_listed(self.edge, self.asking, self.context, entity);
        }
        match sent {
            Sent::Answered => Ok(()),
            Sent::Missing if !self.may_ask_alone(entity) => Box::pin(self.fail_untried()).await,
            Sent::Missing => Box::pin(self.pass(Forward::Partial, None)).await,
            Sent::Failed(error) => self.fail_body(entity, error).await,
            Sent::OutOfReach => Box::pin(self.seek(entity, sending.report)).await,
        }
    }

    fn count_refused_range(&self) {
        let reason = match RangeRequest::of(&self.asking.request.headers) {
            RangeRequest::TooMany => "too-many",
            _ => "outside",
        };
        let counter = &self.edge.metrics.ranges_refused;
        counter.with_label_values(&[reason]).inc();
    }

    /// Validates in the background, unless somebody does, or the origin was asked just now and is silent, or is left alone.
    pub(super) fn refresh(&self, entity: &Arc<Entity>) {
        let key = Key::new(self.asking.key);
        if self.is_left_alone(key.hash(), "refresh") || !self.may_ask_beside() {
            return;
        }
        let cache = &self.edge.cache;
        let ticket = cache.ticket();
        if let Join::Lead(lead) = cache.join(key, &self.asking.selects, ticket, Some(entity))
            && let Some(errand) = Errand::new(
                self.edge,
                self.asking,
                self.context,
                Some(Arc::clone(entity)),
            )
        {
            drop(errand.beside().start(lead));
        }
    }

    /// Fetches for all who wait. With `patience`, it goes on when that is over.
    async fn lead(
        &mut self,
        lead: Lead,
        known: Option<Arc<Entity>>,
        forward: Forward,
        patience: Option<Patience>,
    ) -> Result<(), SendFault> {
        let Some(lead) = self.unless_left_alone(lead) else {
            return self.fail_untried().await;
        };
        // That what is held is good helps nobody who needs what is missing of it.
        let validated = known.clone().filter(|_| forward != Forward::Partial);
        let errand = Errand::new(self.edge, self.asking, self.context, validated);
        let Some(mut errand) = errand else {
            lead.fail(UNREACHABLE);
            return self.fail(answering::no_origin()).await;
        };
        let slice = self.first_slice(known.as_ref());
        if let Some(slice) = slice.as_ref().or(self.rest_of(known.as_ref()).as_ref()) {
            errand.request.headers.insert(RANGE, slice.clone());
        }
        if patience.is_some() {
            errand = errand.beside();
        }
        let Awaited { fetched, interim } = errand.start(lead);
        let fetched = within(patience, fetched);
        let Some(fetched) = told_interim(self.client, fetched, interim).await? else {
            return self.answer_unanswered(patience).await;
        };
        let Ok(Fetched {
            outcome,
            wait,
            own,
            detail,
        }) = fetched
        else {
            return self.fail(answering::internal()).await;
        };
        if matches!(
            outcome,
            Outcome::Stored(..) | Outcome::Validated(_) | Outcome::Lent(_)
        ) {
            self.context.own_fields = own;
        }
        let report = Report {
            forward: Some(forward),
            origin_wait: Some(wait),
            detail,
            ..Report::default()
        };
        match outcome {
            Outcome::Stored(entity, part) => {
                let status = match part {
                    Some(_) => StatusCode::PARTIAL_CONTENT,
                    None => entity.head().status,
                };
                let report = Report {
                    forward_status: Some(status.as_u16()),
                    is_stored: true,
                    age_s: self.age_of(&entity),
                    ..report
                };
                let asked = self.asking.request.headers.get(RANGE);
                let part = part.filter(|_| asked.is_some() && asked == slice.as_ref());
                let now_ms = self.edge.clock.now_ms();
                self.send_part(&entity, report, part, now_ms).await
            }
            Outcome::Lent(entity) => {
                let report = Report {
                    forward_status: Some(entity.head().status.as_u16()),
                    origin_wait: Some(wait),
                    ..self.report_of_lent(&entity, forward)
                };
                self.send(&entity, report).await
            }
            Outcome::Validated(entity) => {
                let report = Report {
                    forward_status: Some(StatusCode::NOT_MODIFIED.as_u16()),
                    age_s: self.age_of(&entity).or(Some(0)),
                    ..report
                };
                self.send(&entity, report).await
            }
            Outcome::Covered(entity) => self.cover(&entity, wait).await,
            Outcome::Private(response, reason) => {
                if !self.is_what_was_asked(&response) {
                    drop(response);
                    return self.pass(forward, Some(reason)).await;
                }
                let report = Report {
                    forward_status: Some(response.head.status.as_u16()),
                    detail: Some(reason),
                    ..report
                };
                passing::pass_on(self.edge, self.client, self.context, *response, report).await
            }
            Outcome::Failed(error) => {
                tracing::debug!(%error, "an origin failed");
                self.fail(answering::of_failure(&error)).await
            }
        }
    }

    pub(super) fn age_of(&self, entity: &Entity) -> Option<u32> {
        let now_ms = self.edge.clock.now_ms();
        Some(self.freshness(entity).age_s(now_ms)).filter(|age_s| *age_s > 0)
    }

    /// Asks the origin for this client alone.
    pub(super) async fn pass(
        &mut self,
        forward: Forward,
        detail: Option<&'static str>,
    ) -> Result<(), SendFault> {
        let Some((request, way)) = self.asking.alone(self.edge, self.context) else {
            return self.fail(answering::no_origin()).await;
        };
        let _underway = self.edge.viewer_fetches.enter();
        let started = tokio::time::Instant::now();
        match passing::fetch(self.edge, self.client, &request, &way).await? {
            Ok(response) => {
                let report = Report {
                    forward: Some(forward),
                    forward_status: Some(response.head.status.as_u16()),
                    detail: detail.or(detail_of(&response.head)),
                    origin_wait: Some(started.elapsed()),
                    ..Report::default()
                };
                passing::pass_on(self.edge, self.client, self.context, response, report).await
            }
            Err(error) => {
                tracing::debug!(%error, "an origin failed");
                self.fail(answering::of_failure(&error)).await
            }
        }
    }

    pub(super) async fn fail(&mut self, answer: crate::answer::Answer) -> Result<(), SendFault> {
        self.edge
            .metrics
            .answers
            .with_label_values(&["upstream", answer.detail])
            .inc();
        self.context.detail = Some(answer.detail);
        answering::send(
            self.edge,
            self.client,
            self.context,
            answer,
            self.asking.is_head,
        )
        .await
    }
}
