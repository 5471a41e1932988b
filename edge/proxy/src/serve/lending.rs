//! What a parent gives in place of its origin's word: good for all who wait for it, and kept by nobody.

use std::sync::Arc;

use http::StatusCode;
use mcsp_edge_cache::engine::{Entity, Filling, Lead};
use mcsp_edge_fetch::Response;
use mcsp_edge_policy::cache_status::Forward;

use super::client::ClientStream;
use super::errand::{Errand, Outcome};
use super::flow::Flow;
use super::report::Report;

/// For `Cache-Status`.
const STALE_PARENT: &str = "stale-parent";

impl Errand {
    /// All who wait read it as it comes. A part is for the one who asked for that, as is what would not be stored either.
    pub(super) fn lend(
        &self,
        lead: Lead,
        response: Response,
    ) -> (Outcome, Option<(Filling, Response)>) {
        let head = &response.head;
        let plan = self.plan(head.status, &head.headers, &response).ok();
        let plan = plan.filter(|_| head.status == StatusCode::OK);
        let new = plan.and_then(|plan| self.new_response(&plan, &response).ok());
        let Some(new) = new else {
            lead.not_shareable(STALE_PARENT, false);
            return (Outcome::Private(Box::new(response), STALE_PARENT), None);
        };
        match lead.lend(new) {
            Ok(filling) => {
                let entity = Arc::clone(filling.entity());
                (Outcome::Lent(entity), Some((filling, response)))
            }
            Err(_) => (Outcome::Private(Box::new(response), STALE_PARENT), None),
        }
    }
}

impl<C: ClientStream> Flow<'_, C> {
    /// What is said with it.
    pub(super) fn report_of_lent(&self, entity: &Entity, forward: Forward) -> Report {
        Report {
            forward: Some(forward),
            stands_in: true,
            age_s: self.age_of(entity),
            detail: Some(STALE_PARENT),
            ..Report::default()
        }
    }
}
