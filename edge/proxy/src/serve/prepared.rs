//! What is made once of a stored response's head, and sent with each hit.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use http::header::{ACCEPT_RANGES, AGE, CONTENT_LENGTH, HeaderName, SERVER};
use http::{HeaderMap, HeaderValue, StatusCode};
use mcsp_api::headers::PRIVATE_PREFIX;
use mcsp_edge_cache::engine::{Entity, StoredHead};
use mcsp_edge_h1::{FieldLines, belongs_to_connection};
use mcsp_edge_policy::conditional::Validators;

use crate::context::RequestContext;
use crate::response::{CROSS_ORIGIN, SERVER_NAME};
use crate::shield::fields_for_child;

/// Fields that are for our own nodes, or that each answer gets anew.
const NOT_SENT: [&str; 4] = [
    "surrogate-key",
    "cache-tag",
    "traceparent",
    "mcsp-cache-control",
];

/// What was made of a stored head so far, and lies beside it.
#[derive(Debug, Default)]
struct Forms {
    /// It was sent over HTTP/1.1, or HTTP/2: what is sent once more is worth a form of its own.
    is_known_to_h1: AtomicBool,
    is_known_to_h2: AtomicBool,
    lines: OnceLock<FieldLines>,
    pairs: OnceLock<Vec<(HeaderName, HeaderValue)>>,
    fields: OnceLock<HeaderMap>,
    for_child: OnceLock<HeaderMap>,
    validators: OnceLock<Validators>,
    /// It was fetched ahead, and no viewer has asked for it yet.
    is_unused: AtomicBool,
}

/// Fields of a stored response in the form in which they are sent, and what requests are compared with. Each form is made when
/// it is first wanted: a head that was read from the disk for one answer needs none of them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Prepared<'h> {
    head: &'h StoredHead,
    forms: &'h Forms,
    is_cross_origin: bool,
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
    let mut fields = HeaderMap::with_capacity(stored.len() + 5);
    each_public_field(status, stored, is_cross_origin, |name, value| {
        fields.append(name.clone(), value.clone());
    });
    fields
}

/// The same, one by one.
fn each_public_field(
    status: StatusCode,
    stored: &HeaderMap,
    is_cross_origin: bool,
    mut put: impl FnMut(&HeaderName, &HeaderValue),
) {
    let is_replaced =
        |name: &HeaderName| is_cross_origin && CROSS_ORIGIN.iter().any(|(own, _)| own == name);
    let mut tells_ranges = false;
    for (name, value) in stored {
        if is_public(name) && !matches!(*name, AGE | SERVER | CONTENT_LENGTH) && !is_replaced(name)
        {
            tells_ranges |= *name == ACCEPT_RANGES;
            put(name, value);
        }
    }
    put(&SERVER, &HeaderValue::from_static(SERVER_NAME));
    if status == StatusCode::OK && !tells_ranges {
        put(&ACCEPT_RANGES, &HeaderValue::from_static("bytes"));
    }
    if is_cross_origin {
        for (name, value) in &CROSS_ORIGIN {
            put(name, value);
        }
    }
}

impl<'h> Prepared<'h> {
    /// The lines for HTTP/1.1; nothing for the first who asks, who had better put each field by itself.
    pub(crate) fn lines(&self) -> Option<&'h FieldLines> {
        let forms = self.forms;
        was_set(&forms.is_known_to_h1)
            .then(|| forms.lines.get_or_init(|| FieldLines::from(self.fields())))
    }

    /// For HTTP/2: the same, one after the other, and nothing for the first.
    pub(crate) fn pairs(&self) -> Option<&'h [(HeaderName, HeaderValue)]> {
        let forms = self.forms;
        was_set(&forms.is_known_to_h2).then(|| {
            let pairs = forms.pairs.get_or_init(|| {
                let mut pairs = Vec::with_capacity(self.head.headers.len() + 5);
                self.each(|name, value| {
                    if !belongs_to_connection(name) {
                        pairs.push((name.clone(), value.clone()));
                    }
                });
                pairs
            });
            pairs.as_slice()
        })
    }

    /// Each field; those that belong to the connection are for it to leave out.
    pub(crate) fn each(&self, put: impl FnMut(&HeaderName, &HeaderValue)) {
        let head = self.head;
        each_public_field(head.status, &head.headers, self.is_cross_origin, put);
    }

    /// All fields.
    pub(crate) fn fields(&self) -> &'h HeaderMap {
        let head = self.head;
        let make = || public_fields(head.status, &head.headers, self.is_cross_origin);
        self.forms.fields.get_or_init(make)
    }

    /// The fields that whoever asks gets.
    pub(crate) fn fields_for(&self, context: &RequestContext) -> &'h HeaderMap {
        if context.child.is_none() {
            return self.fields();
        }
        let make = || fields_for_child(&self.head.headers);
        self.forms.for_child.get_or_init(make)
    }

    /// What requests are compared with.
    pub(crate) fn validators(&self) -> &'h Validators {
        let head = self.head;
        let make = || Validators::of(&head.headers, head.lifetimes.received_ms);
        self.forms.validators.get_or_init(make)
    }

    /// Whether it was fetched ahead, and no viewer has asked for it yet.
    pub(crate) fn is_unused(&self) -> &'h AtomicBool {
        &self.forms.is_unused
    }
}

/// Whether it was set before; it is now.
fn was_set(flag: &AtomicBool) -> bool {
    // Read first: all who send what is popular share its memory.
    flag.load(Ordering::Relaxed) || flag.swap(true, Ordering::Relaxed)
}

/// What is prepared of a head; media may be read by pages of other origins, which its key tells.
pub(crate) fn of<'h>(entity: &Entity, head: &'h StoredHead) -> Option<Prepared<'h>> {
    Some(Prepared {
        head,
        forms: head.prepared(|_| Forms::default())?,
        is_cross_origin: entity.key().text().starts_with("/media/"),
    })
}

#[cfg(test)]
mod tests {
    use http::header::{ETAG, SET_COOKIE};

    use super::*;

    fn head(fields: &[(&'static str, &'static str)]) -> StoredHead {
        let headers = fields
            .iter()
            .map(|(name, value)| {
                (
                    HeaderName::from_static(name),
                    HeaderValue::from_static(value),
                )
            })
            .collect();
        StoredHead::new(
            StatusCode::OK,
            headers,
            mcsp_edge_cache::engine::Lifetimes::default(),
        )
    }

    fn prepared<'h>(head: &'h StoredHead, is_cross_origin: bool) -> Prepared<'h> {
        Prepared {
            head,
            forms: head.prepared(|_| Forms::default()).unwrap(),
            is_cross_origin,
        }
    }

    fn texts(pairs: &[(HeaderName, HeaderValue)]) -> Vec<(&str, &str)> {
        pairs
            .iter()
            .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
            .collect()
    }

    #[test]
    fn clients_get_what_is_for_them_and_no_more() {
        for is_cross_origin in [false, true] {
            let head = head(&[
                ("etag", "\"1\""),
                ("server", "origin"),
                ("age", "5"),
                ("content-length", "7"),
                ("cache-tag", "x"),
                ("x-mcsp-secret", "y"),
                ("keep-alive", "5"),
                ("access-control-allow-origin", "https://only.example"),
                ("link", "<a>"),
            ]);
            let prepared = prepared(&head, is_cross_origin);
            let mut first = Vec::new();
            prepared.each(|name, value| {
                if !belongs_to_connection(name) {
                    first.push((name.clone(), value.clone()));
                }
            });
            let mut expected = vec![("etag", "\"1\"")];
            if !is_cross_origin {
                expected.push(("access-control-allow-origin", "https://only.example"));
            }
            expected.extend([
                ("link", "<a>"),
                ("server", SERVER_NAME),
                ("accept-ranges", "bytes"),
            ]);
            if is_cross_origin {
                let own = CROSS_ORIGIN.iter();
                expected.extend(own.map(|(name, value)| (name.as_str(), value.to_str().unwrap())));
            }
            assert_eq!(texts(&first), expected);
        }
    }

    #[test]
    fn forms_are_made_once_and_say_what_is_put_one_by_one() {
        let head = head(&[("etag", "\"1\""), ("link", "<a>"), ("connection", "close")]);
        let prepared = prepared(&head, true);
        let mut each = Vec::new();
        prepared.each(|name, value| {
            if !belongs_to_connection(name) {
                each.push((name.clone(), value.clone()));
            }
        });
        assert!(prepared.pairs().is_none() && prepared.lines().is_none());
        assert_eq!(prepared.pairs().unwrap(), each);
        let by_one = FieldLines::new(each.iter().map(|(name, value)| (name, value)));
        assert_eq!(*prepared.lines().unwrap(), by_one);
        assert_eq!(prepared.fields().get(ETAG).unwrap(), "\"1\"");
        assert!(!prepared.fields().contains_key(SET_COOKIE));
        assert!(std::ptr::eq(prepared.fields(), prepared.fields()));
        assert_eq!(prepared.validators().etag.as_ref().unwrap(), "\"1\"");
    }
}
