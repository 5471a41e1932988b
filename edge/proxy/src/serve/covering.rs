//! What is held in place of what an origin failed to give (RFC 5861 section 4).

use std::sync::Arc;
use std::time::Duration;

use mcsp_edge_cache::engine::{Entity, ReadError};

use super::answering;
use super::client::{ClientStream, SendFault};
use super::flow::Flow;
use super::report::Report;

impl<C: ClientStream> Flow<'_, C> {
    /// The origin failed, and what is held stands in.
    pub(super) async fn cover(
        &mut self,
        entity: &Arc<Entity>,
        wait: Duration,
    ) -> Result<(), SendFault> {
        let why = if self.context.is_unverified {
            "unverified"
        } else {
            "error"
        };
        self.edge.metrics.stale.with_label_values(&[why]).inc();
        let now_ms = self.edge.clock.now_ms();
        let freshness = self.freshness(entity);
        let report = Report {
            origin_wait: Some(wait),
            stands_in: true,
            detail: Some(if self.context.is_unverified {
                "unverified"
            } else {
                "stale-if-error"
            }),
            ..Report::hit(freshness.ttl_s(now_ms), freshness.age_s(now_ms))
        };
        self.send(entity, report).await
    }

    /// A body failed before its first byte, and nothing was said to the client.
    pub(super) async fn fail_body(
        &mut self,
        entity: &Arc<Entity>,
        error: ReadError,
    ) -> Result<(), SendFault> {
        tracing::debug!(%error, "an origin failed before its answer's body");
        let stale = self.stale.take();
        match stale.filter(|stale| self.may_cover(stale, entity)) {
            Some(stale) => Box::pin(self.cover(&stale, Duration::ZERO)).await,
            None => self.fail(answering::of_body(error)).await,
        }
    }

    /// May what was held stand in for what came in its place and failed?
    fn may_cover(&self, stale: &Arc<Entity>, failed: &Arc<Entity>) -> bool {
        let now_ms = self.edge.clock.now_ms();
        stale.id() != failed.id()
            && !stale.is_purged()
            && self.freshness(stale).may_cover_failure(now_ms)
    }
}
