//! What the answer to a `HEAD` says of the stored answer to `GET` (RFC 9111 section 4.3.5).

use std::sync::Arc;

use http::StatusCode;
use http::header::{ETAG, LAST_MODIFIED};
use mcsp_edge_cache::engine::{Entity, FillTicket, StoredHead};
use mcsp_edge_fetch::Response;
use mcsp_edge_policy::update::{self, HeadEffect};

use super::errand::Errand;
use super::life;

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
