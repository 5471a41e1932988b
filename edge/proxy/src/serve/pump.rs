//! A body on its way from an origin into the cache. Where it breaks off, another upstream may go on at the same byte.

use std::sync::Arc;

use http::StatusCode;
use http::header::{IF_RANGE, RANGE};
use mcsp_edge_cache::engine::{FillError, Filling, Stored};
use mcsp_edge_fetch::{BodyLength, FetchRequest, Response};
use mcsp_edge_policy::range::{ContentRange, range_value};

use super::errand::{Errand, validators_of};
use super::slices;
use crate::edge::Edge;
use crate::shield::Way;

/// How often one body may be taken up elsewhere.
const RESUMES_MAX: usize = 3;
/// What an answer has to bring, bytes, for its breaking off to be no setback.
pub(super) const PROGRESS_BYTES: u64 = 64 << 10;

/// Fills to the end, or gives up; readers learn which.
pub(super) async fn pump(errand: &Errand, filling: Filling, response: Response) {
    let source = Source {
        edge: &errand.edge,
        request: &errand.request,
        way: &errand.way,
    };
    let end = filling.entity().total_len();
    source.fill(filling, response, end).await;
}

/// Who is asked for a body, and how.
pub(super) struct Source<'e> {
    pub(super) edge: &'e Arc<Edge>,
    /// Without conditions and ranges.
    pub(super) request: &'e FetchRequest,
    pub(super) way: &'e Way,
}

impl Source<'_> {
    /// `end`: where the stretch ends, if that is known.
    pub(super) async fn fill(
        &self,
        mut filling: Filling,
        mut response: Response,
        end: Option<u64>,
    ) {
        let mut resumes = 0;
        let mut began_at = filling.position();
        // What an answer repeats before what is wanted of it.
        let mut repeated = 0;
        loop {
            match response.next_chunk().await {
                Ok(Some(mut piece)) => {
                    let known = usize::try_from(repeated).unwrap_or(usize::MAX);
                    let known = piece.split_to(known.min(piece.len())).len() as u64;
                    repeated -= known;
                    if let Err(error) = filling.write(piece).await {
                        tracing::debug!(%error, "a fill ended before its end");
                        return;
                    }
                    if filling.entity().is_complete() {
                        // Others have brought what comes now.
                        self.complete(filling);
                        return;
                    }
                    if !filling.is_wanted() {
                        filling.fail(FillError::Abandoned);
                        return;
                    }
                }
                Ok(None) => {
                    // One that ends with its connection was begun only where that is believed.
                    if response.is_complete() || response.length() == BodyLength::UntilClose {
                        self.complete(filling);
                    } else {
                        filling.fail(FillError::Aborted);
                    }
                    return;
                }
                Err(error) => {
                    resumes += 1;
                    let is_in_vain = filling.position() - began_at < PROGRESS_BYTES;
                    if is_in_vain {
                        self.note_setback(&filling);
                    }
                    let elsewhere = if resumes <= RESUMES_MAX {
                        self.resume(&filling, &response, end).await
                    } else {
                        None
                    };
                    match elsewhere {
                        Some(other) => {
                            let at = filling.position();
                            tracing::debug!(%error, at, "a fill goes on elsewhere");
                            let is_part = other.head.status == StatusCode::PARTIAL_CONTENT;
                            repeated = if is_part { 0 } else { at };
                            response = other;
                            began_at = at;
                        }
                        None => {
                            if !is_in_vain {
                                self.note_setback(&filling);
                            }
                            filling.fail(FillError::Aborted);
                            return;
                        }
                    }
                }
            }
        }
    }

    fn complete(&self, filling: Filling) {
        let key = filling.entity().key().hash();
        match filling.complete() {
            Ok(Stored::Complete) => self.edge.setbacks.forget(key),
            Ok(Stored::Part | Stored::Not) => {}
            Err(error) => tracing::debug!(%error, "a fill is not what it said"),
        }
    }

    /// An origin broke off.
    fn note_setback(&self, filling: &Filling) {
        let key = filling.entity().key().hash();
        self.edge.setbacks.note(key, self.edge.clock.now_ms());
    }

    /// The rest of the body from another address, if it has the same representation: the same strong entity tag, the same
    /// length. One that does not know ranges sends what is here already too.
    async fn resume(
        &self,
        filling: &Filling,
        broken: &Response,
        end: Option<u64>,
    ) -> Option<Response> {
        let entity = filling.entity();
        let (total, end) = (entity.total_len()?, end?);
        let key = entity.key().hash();
        if self.edge.setbacks.are_many(key, self.edge.clock.now_ms()) {
            self.edge.metrics.left_alone("resume");
            return None;
        }
        let validators = validators_of(entity);
        let etag = validators.strong_etag()?.clone();
        let at = filling.position();
        let mut request = self.request.clone();
        request
            .headers
            .insert(RANGE, range_value(at, end.checked_sub(1)));
        request.headers.insert(IF_RANGE, etag);
        request.avoid.push(broken.address());
        let response = self
            .way
            .fetch(self.edge, &request, &mut |_| {})
            .await
            .ok()?;
        // The whole ends where the body does.
        if end == total && slices::is_same_whole(entity, &response) {
            return Some(response);
        }
        let range = ContentRange::of(&response.head.headers)?;
        let is_the_rest = response.head.status == StatusCode::PARTIAL_CONTENT
            && range.total == Some(total)
            && range
                .range
                .is_some_and(|range| range.first == at && range.last + 1 == end)
            && validators.may_combine_with(&response.head.headers);
        is_the_rest.then_some(response)
    }
}
