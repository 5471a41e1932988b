//! Parts: which is asked for in place of the whole, and whom an answer with one is for.

use std::sync::Arc;

use http::StatusCode;
use http::header::{IF_RANGE, RANGE};
use mcsp_edge_cache::engine::Entity;
use mcsp_edge_fetch::{BodyLength, Response};
use mcsp_edge_policy::range::{RangeRequest, range_value};

use super::client::ClientStream;
use super::flow::Flow;
use super::slices;

/// A client that wants a part of a response that is not stored, and not larger than this, gets all of it.
const PART_WORTH_ASKING_BYTES: u64 = 256 << 10;

impl<C: ClientStream> Flow<'_, C> {
    /// Is an answer to what was asked for all clients one to this client too: the whole for the whole, its very range for a
    /// range?
    pub(super) fn is_what_was_asked(&self, response: &Response) -> bool {
        let range = self.asking.request.headers.get(RANGE);
        match response.head.status {
            // What is small is sent whole rather than asked for again: a range may be ignored (RFC 9110 section 14.2).
            StatusCode::OK => {
                let is_small = |bytes| bytes <= PART_WORTH_ASKING_BYTES;
                range.is_none()
                    || matches!(response.length(), BodyLength::Known(bytes) if is_small(bytes))
            }
            StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE => {
                range.is_some()
                    && range
                        == slices::first_slice(&RangeRequest::of(&self.asking.request.headers))
                            .as_ref()
            }
            // What was asked for all was asked without conditions of this client.
            StatusCode::NOT_MODIFIED => false,
            _ => true,
        }
    }

    /// What is asked for in place of the whole; nothing where the whole is.
    pub(super) fn part_to_ask_for(&self, known: Option<&Arc<Entity>>) -> Option<http::HeaderValue> {
        self.first_slice(known).or_else(|| self.rest_of(known))
    }

    /// The slice to begin with, where nothing is held and a client wants what is far from the beginning.
    pub(super) fn first_slice(&self, known: Option<&Arc<Entity>>) -> Option<http::HeaderValue> {
        let headers = &self.asking.request.headers;
        if known.is_some() || self.asking.is_head || headers.contains_key(IF_RANGE) {
            return None;
        }
        slices::first_slice(&RangeRequest::of(headers))
    }

    /// What is asked for to complete the beginning of a response that is held without a validator. An origin that then sends
    /// that part alone is asked again for all, since nothing says that the two belong together.
    pub(super) fn rest_of(&self, known: Option<&Arc<Entity>>) -> Option<http::HeaderValue> {
        let entity = known.filter(|entity| !entity.is_complete() && !entity.is_filling())?;
        let held = entity.held_bytes();
        let is_beginning = held > 0 && entity.holds(&(0..held));
        let wants_all = !self.asking.request.headers.contains_key(RANGE);
        (is_beginning && wants_all).then(|| range_value(held, None))
    }
}
