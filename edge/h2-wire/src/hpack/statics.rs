//! The static table (RFC 7541 appendix A).

use bytes::Bytes;
use http::{HeaderName, HeaderValue};

use super::field::{Field, Name, Pseudo, Value};

/// Entries of the static table; those of the dynamic one come after.
pub(super) const COUNT: usize = 61;

/// A name, the length of name and value, and the value.
struct Entry(Text, usize, &'static str);

enum Text {
    Pseudo(Pseudo),
    Plain(HeaderName),
}

const fn pseudo(pseudo: Pseudo, name_bytes: usize, value: &'static str) -> Entry {
    Entry(Text::Pseudo(pseudo), name_bytes + value.len(), value)
}

const fn plain(name: &'static str, value: &'static str) -> Entry {
    let bytes = name.len() + value.len();
    Entry(Text::Plain(HeaderName::from_static(name)), bytes, value)
}

static ENTRIES: [Entry; COUNT] = [
    pseudo(Pseudo::Authority, 10, ""),
    pseudo(Pseudo::Method, 7, "GET"),
    pseudo(Pseudo::Method, 7, "POST"),
    pseudo(Pseudo::Path, 5, "/"),
    pseudo(Pseudo::Path, 5, "/index.html"),
    pseudo(Pseudo::Scheme, 7, "http"),
    pseudo(Pseudo::Scheme, 7, "https"),
    pseudo(Pseudo::Status, 7, "200"),
    pseudo(Pseudo::Status, 7, "204"),
    pseudo(Pseudo::Status, 7, "206"),
    pseudo(Pseudo::Status, 7, "304"),
    pseudo(Pseudo::Status, 7, "400"),
    pseudo(Pseudo::Status, 7, "404"),
    pseudo(Pseudo::Status, 7, "500"),
    plain("accept-charset", ""),
    plain("accept-encoding", "gzip, deflate"),
    plain("accept-language", ""),
    plain("accept-ranges", ""),
    plain("accept", ""),
    plain("access-control-allow-origin", ""),
    plain("age", ""),
    plain("allow", ""),
    plain("authorization", ""),
    plain("cache-control", ""),
    plain("content-disposition", ""),
    plain("content-encoding", ""),
    plain("content-language", ""),
    plain("content-length", ""),
    plain("content-location", ""),
    plain("content-range", ""),
    plain("content-type", ""),
    plain("cookie", ""),
    plain("date", ""),
    plain("etag", ""),
    plain("expect", ""),
    plain("expires", ""),
    plain("from", ""),
    plain("host", ""),
    plain("if-match", ""),
    plain("if-modified-since", ""),
    plain("if-none-match", ""),
    plain("if-range", ""),
    plain("if-unmodified-since", ""),
    plain("last-modified", ""),
    plain("link", ""),
    plain("location", ""),
    plain("max-forwards", ""),
    plain("proxy-authenticate", ""),
    plain("proxy-authorization", ""),
    plain("range", ""),
    plain("referer", ""),
    plain("refresh", ""),
    plain("retry-after", ""),
    plain("server", ""),
    plain("set-cookie", ""),
    plain("strict-transport-security", ""),
    plain("transfer-encoding", ""),
    plain("user-agent", ""),
    plain("vary", ""),
    plain("via", ""),
    plain("www-authenticate", ""),
];

impl Entry {
    fn name(&self) -> Name {
        match &self.0 {
            Text::Pseudo(pseudo) => Name::Pseudo(*pseudo),
            Text::Plain(name) => Name::Plain(name.clone()),
        }
    }
}

/// The entry at `index`, 1 to [`COUNT`], and what name and value take.
pub(super) fn field(index: usize) -> Option<(Field, usize)> {
    let entry = ENTRIES.get(index.checked_sub(1)?)?;
    let value = match &entry.0 {
        Text::Pseudo(_) => Value::Pseudo(Bytes::from_static(entry.2.as_bytes())),
        Text::Plain(_) => Value::Plain(HeaderValue::from_static(entry.2)),
    };
    let name = entry.name();
    Some((Field { name, value }, entry.1))
}

/// The name at `index`, and how long it is.
pub(super) fn name(index: usize) -> Option<(Name, usize)> {
    let entry = ENTRIES.get(index.checked_sub(1)?)?;
    Some((entry.name(), entry.1 - entry.2.len()))
}
