//! What is made once of a stored response's head, and sent with each hit.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicI64};

use http::header::{
    ACCEPT_RANGES, ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, AGE, CONTENT_LENGTH,
    HeaderName, SERVER,
};
use http::{HeaderMap, HeaderValue, StatusCode};
use mcsp_api::headers::PRIVATE_PREFIX;
use mcsp_edge_cache::engine::{Entity, StoredHead};
use mcsp_edge_h1::{FieldLines, belongs_to_connection};
use mcsp_edge_policy::conditional::Validators;

use crate::context::RequestContext;
use crate::response::{EXPOSED, SERVER_NAME};
use crate::shield::fields_for_child;

/// Fields that are for our own nodes, or that each answer gets anew.
const NOT_SENT: [&str; 4] = [
    "surrogate-key",
    "cache-tag",
    "traceparent",
    "mcsp-cache-control",
];

/// Fields of a stored response in the form in which they are sent, and what requests are compared with.
#[derive(Debug)]
pub(crate) struct Prepared {
    /// For HTTP/1.1.
    pub(crate) lines: FieldLines,
    /// For HTTP/2: the same, one after the other.
    pub(crate) pairs: Vec<(HeaderName, HeaderValue)>,
    pub(crate) fields: HeaderMap,
    /// For children, where one has asked.
    for_child: OnceLock<HeaderMap>,
    pub(crate) validators: Validators,
    pub(crate) ahead: Ahead,
}

/// What is known of a stored response as one of many that are asked for one after the other.
#[derive(Debug)]
pub(crate) struct Ahead {
    /// It was fetched ahead, and no viewer has asked for it yet.
    pub(crate) is_unused: AtomicBool,
    /// When what comes after it was offered last, Unix milliseconds.
    pub(crate) offered_ms: AtomicI64,
}

impl Default for Ahead {
    fn default() -> Self {
        Self {
            is_unused: AtomicBool::new(false),
            offered_ms: AtomicI64::new(i64::MIN),
        }
    }
}

/// Is this a field that clients get?
pub(crate) fn is_public(name: &HeaderName) -> bool {
    let text = name.as_str();
    !text.starts_with(PRIVATE_PREFIX) && !NOT_SENT.contains(&text)
}

/// The fields of an answer that clients get of what an origin said, with the edge's own that are always the same.
pub(crate) fn public_fields(
    status: StatusCode,
    stored: &HeaderMap,
    is_cross_origin: bool,
) -> HeaderMap {
    let mut fields = HeaderMap::with_capacity(stored.len() + 4);
    for (name, value) in stored {
        if is_public(name) && !matches!(*name, AGE | SERVER | CONTENT_LENGTH) {
            fields.append(name.clone(), value.clone());
        }
    }
    fields.insert(SERVER, HeaderValue::from_static(SERVER_NAME));
    if status == StatusCode::OK && !fields.contains_key(ACCEPT_RANGES) {
        fields.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    }
    if is_cross_origin {
        fields.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        fields.insert(
            ACCESS_CONTROL_EXPOSE_HEADERS,
            HeaderValue::from_static(EXPOSED),
        );
    }
    fields
}

impl Prepared {
    fn new(head: &StoredHead, is_cross_origin: bool) -> Self {
        let fields = public_fields(head.status, &head.headers, is_cross_origin);
        let own = fields
            .iter()
            .filter(|(name, _)| !belongs_to_connection(name));
        Self {
            lines: FieldLines::from(&fields),
            pairs: own
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect(),
            validators: Validators::of(&head.headers, head.lifetimes.received_ms),
            fields,
            for_child: OnceLock::new(),
            ahead: Ahead::default(),
        }
    }

    /// To be called before [`Self::fields_for`] when a child asks; `stored` are the fields that this was made of.
    pub(crate) fn prepare_for_child(&self, stored: &HeaderMap) {
        self.for_child.get_or_init(|| fields_for_child(stored));
    }

    /// The fields that whoever asks gets.
    pub(crate) fn fields_for(&self, context: &RequestContext) -> &HeaderMap {
        let for_child = self.for_child.get().filter(|_| context.child.is_some());
        for_child.unwrap_or(&self.fields)
    }
}

/// What is prepared of a head; media may be read by pages of other origins, which its key tells.
pub(crate) fn of<'h>(entity: &Entity, head: &'h StoredHead) -> Option<&'h Prepared> {
    head.prepared(|head| Prepared::new(head, entity.key().text().starts_with("/media/")))
}
