//! `HEAD` where its origin is asked the same, and what the answer says of the stored one to `GET` (RFC 9111 section 4.3.5).

use std::sync::Arc;

use http::StatusCode;
use http::header::{ETAG, LAST_MODIFIED};
use mcsp_edge_cache::engine::{Entity, FillTicket, StoredHead};
use mcsp_edge_fetch::Response;
use mcsp_edge_policy::cache_status::Forward;
use mcsp_edge_policy::freshness::Failure;
use mcsp_edge_policy::update::{self, HeadEffect};
use tokio::time::Instant;

use super::answering;
use super::client::{ClientStream, SendFault};
use super::errand::Errand;
use super::failing::kind_of;
use super::flow::Flow;
use super::life;
use super::passing;
use super::report::Report;
use super::waiting::{Patience, note_word, within};

impl<C: ClientStream> Flow<'_, C> {
    /// Asks a plain route's origin for the head alone. What is held stands in where that fails, and where it says nothing for
    /// longer than `patience`; nobody else waits for the answer, so that the question ends with the wait.
    pub(super) async fn pass_head(
        &mut self,
        forward: Forward,
        patience: Option<Patience>,
    ) -> Result<(), SendFault> {
        let Some((request, way)) = self.asking.alone(self.edge, self.context) else {
            return self.fail(answering::no_origin()).await;
        };
        let _underway = self.edge.viewer_fetches.enter();
        let ticket = self.edge.cache.ticket();
        let (started, asked_ms) = (Instant::now(), self.edge.clock.now_ms());
        let fetched = passing::fetch(self.edge, self.client, &request, &way);
        let Some(fetched) = within(patience, fetched).await else {
            return self.answer_unanswered(patience).await;
        };
        let answer = fetched?;
        if let Some(outage) = self.asking.outage(self.context) {
            note_word(self.edge, outage, asked_ms, &answer);
        }
        let response = match answer {
            Ok(response) => response,
            Err(error) => {
                tracing::debug!(%error, "an origin failed");
                return self.fail_as(kind_of(&error)).await;
            }
        };
        let status = response.head.status;
        let stored = self.stale.take();
        if Failure::of_status(status).is_some()
            && let Some(stale) = stored.as_ref().filter(|stale| self.stands_in(stale))
        {
            drop(response);
            return self.cover(stale, started.elapsed()).await;
        }
        if let Some(stored) = stored
            && let Some(errand) = Errand::new(self.edge, self.asking, self.context, None)
        {
            errand.learn_from_head(&stored, ticket, &response);
        }
        let report = Report {
            forward: Some(forward),
            forward_status: Some(status.as_u16()),
            origin_wait: Some(started.elapsed()),
            ..Report::default()
        };
        passing::pass_on(self.edge, self.client, self.context, response, report).await
    }
}

impl Errand {
    /// Learns from the answer to a `HEAD`, asked for under `ticket`: the same validator makes it as
    /// good as new, another one leaves it of no use but where an origin fails. One without a validator says nothing.
    pub(crate) fn learn_from_head(
        &self,
        stored: &Arc<Entity>,
        ticket: FillTicket,
        response: &Response,
    ) {
        let newer = &response.head.headers;
        let says = newer.contains_key(ETAG) || newer.contains_key(LAST_MODIFIED);
        if response.head.status != StatusCode::OK || !says {
            return;
        }
        let head = stored.head();
        if head.status != StatusCode::OK {
            return;
        }
        match update::head_effect(&head.headers, newer) {
            HeadEffect::Update => self.freshen(stored, ticket, response),
            HeadEffect::Expire => {
                let lifetimes = life::outdated(&head.lifetimes, response.responded_ms);
                let head = StoredHead::new(head.status, head.headers.clone(), lifetimes);
                if let Err(refused) = self.edge.cache.update_head(stored, ticket, head) {
                    tracing::debug!(%refused, "a response that has changed is kept as it was");
                }
            }
        }
    }
}
