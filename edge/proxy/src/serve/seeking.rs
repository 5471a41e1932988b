//! Seeks into a fill of a response without a strong validator: what a second answer brings cannot be put together with what
//! the first does (RFC 9110 section 15.3.7.3), but is an answer by itself.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use mcsp_edge_cache::engine::{Entity, ReadError, Reader};
use mcsp_edge_policy::cache_status::Forward;
use mcsp_edge_policy::range::{Fitted, RangeRequest};
use tokio::time::Instant;

use super::client::{ClientStream, SendFault, unless_gone};
use super::errand::validators_of;
use super::flow::Flow;
use super::passing;
use super::report::Report;
use super::send::Sending;
use super::slices::FAR_BYTES;

/// A seek waits for the fill if that brings what it wants within this, as fast as it goes.
const REACH: Duration = Duration::from_secs(1);
/// For how long is looked how fast it goes.
const LOOK: Duration = Duration::from_millis(100);
/// Clients of one object whose parts are asked for past its fill at once. What they get is not kept, and comes to each by a
/// fetch of his own; more wait for the fill.
const SEEKS_MAX: usize = 4;

/// What a reader finds within [`LOOK`].
type Next = Result<Option<Bytes>, ReadError>;

/// Is what a client wants brought soon?
pub(super) enum Reached {
    /// It is here, or does not come.
    Next(Next),
    /// It will be.
    InTime,
    /// It will not, and nothing but the fill brings it.
    Not,
}

impl Sending<'_> {
    /// Looks whether the fill reaches what the reader wants; takes no time where that is near, or is had otherwise.
    pub(super) async fn reach(&self, reader: &mut Reader) -> Reached {
        let distance = match reader.brought_before() {
            Some(bytes) if bytes > FAR_BYTES && self.may_seek() => bytes,
            _ => return Reached::InTime,
        };
        let began = Instant::now();
        if let Ok(next) = tokio::time::timeout(LOOK, reader.next()).await {
            return Reached::Next(next);
        }
        let left = reader.brought_before().unwrap_or(0);
        let brought = distance.saturating_sub(left);
        let within = began.elapsed().as_secs_f64() * left as f64;
        if within <= REACH.as_secs_f64() * brought as f64 {
            return Reached::InTime;
        }
        Reached::Not
    }

    /// Is it one range, of a response whose parts cannot be put together?
    fn may_seek(&self) -> bool {
        self.part.is_none()
            && !self.entity.is_whole_only()
            && matches!(
                RangeRequest::of(&self.asking.request.headers),
                RangeRequest::One(_)
            )
            && validators_of(self.entity).strong_etag().is_none()
    }
}

impl<C: ClientStream> Flow<'_, C> {
    /// Asks the origin for this client's part alone, past the fill that will bring it late.
    pub(super) async fn seek(
        &mut self,
        entity: &Arc<Entity>,
        report: Report,
    ) -> Result<(), SendFault> {
        let asked = (
            self.asking.alone(self.edge, self.context),
            entity.seek_past(SEEKS_MAX),
        );
        let (Some((request, way)), Some(_place)) = asked else {
            return self.wait_for_fill(entity, report).await;
        };
        let _underway = self.edge.viewer_fetches.enter();
        let started = Instant::now();
        let fetched = passing::fetch(self.edge, self.client, &request, &way).await?;
        let response = match fetched {
            Ok(response) => response,
            Err(error) => {
                tracing::debug!(%error, "an origin failed to give a part that its fill brings later");
                return self.wait_for_fill(entity, report).await;
            }
        };
        let status = response.head.status;
        if status == StatusCode::OK {
            // It does not know ranges: what is being filled comes no later than that.
            entity.note_whole_only();
        }
        if status == StatusCode::OK || status.is_server_error() {
            drop(response);
            return self.wait_for_fill(entity, report).await;
        }
        self.edge.metrics.seeks_past.inc();
        let report = Report {
            forward: Some(Forward::Partial),
            forward_status: Some(status.as_u16()),
            detail: Some("seek"),
            origin_wait: Some(started.elapsed()),
            ..Report::default()
        };
        passing::pass_on(self.edge, self.client, self.context, response, report).await
    }

    /// Sends the part once the fill has come to it.
    async fn wait_for_fill(
        &mut self,
        entity: &Arc<Entity>,
        report: Report,
    ) -> Result<(), SendFault> {
        let total = entity.total_len().unwrap_or(0);
        let first = match RangeRequest::of(&self.asking.request.headers).fit(total) {
            Fitted::One(range) => range.first,
            _ => 0,
        };
        let mut reader = entity.reader(first..first.saturating_add(1));
        match unless_gone(self.client, reader.next()).await? {
            Err(error @ ReadError::Stalled { .. }) => self.fail_body(entity, error).await,
            // It is here, or nobody brings it: what to do then is known.
            Ok(_) | Err(_) => Box::pin(self.send(entity, report)).await,
        }
    }
}
