//! Heads that a server may read although they are not as they should be: for routes whose operator wants that, and made into
//! heads that are, so that nobody behind us has to choose between two readings.

use bytes::{BufMut as _, Bytes, BytesMut};
use http::request::Parts;
use serde::{Deserialize, Serialize};

use super::fields::{self, Takes};
use super::scan::{Line, Scan, Scanner};
use super::{HeadInfo, SentLine};
use crate::limits::Limits;
use crate::refusal::Refusal;

/// What of a head is refused unless a route takes it. What is taken is read in one way and given on in that form, as the last
/// request of its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Oddity {
    /// One sound `Content-Length` beside `Transfer-Encoding: chunked` in HTTP/1.1. Read by its chunks, and given on without the
    /// length (RFC 9112 section 6.1).
    LengthAndCoding,
    /// `HTTP/2.0`, `HTTP/2` or a later version on the line of an HTTP/1.1 request, or one without its minor part. Read and given
    /// on as HTTP/1.1 (RFC 9110 section 2.5 lets a server refuse it, and does not make it).
    Version,
    /// `"`, `<` or `>` in a target in origin form, which none may have. Given on escaped (RFC 9112 section 3 would have a redirect to that, lest
    /// such a target gets past filters: rules are shown it as it was sent).
    TargetCharacters,
    /// A target that begins with its query, as of an address without a path. Given on with `/` before it, as clients must send it
    /// (RFC 9112 section 3.2.1), and escaped as of `TargetCharacters`: whoever forgets the one forgets the other.
    TargetWithoutPath,
    /// `CONNECT` for a host and port (RFC 9112 section 3.2.3). Given on to the route's own origin, as an origin server may take
    /// it (RFC 9110 section 9.3.6); there never is a tunnel.
    Connect,
}

impl Oddity {
    /// What a complete head that was refused may be taken for.
    pub(crate) fn of(head: &Bytes, scanner: &Scanner, refusal: Refusal) -> Option<Self> {
        let [_, target, _] = words(head.get(line(scanner)?)?)?;
        match refusal {
            Refusal::LengthAndCoding => Some(Self::LengthAndCoding),
            Refusal::Version | Refusal::RequestLine => Some(Self::Version),
            Refusal::Target if target.starts_with(b"?") => Some(Self::TargetWithoutPath),
            // Of the path and query alone: a host that is none stays none.
            Refusal::Target if target.starts_with(b"/") => Some(Self::TargetCharacters),
            Refusal::Connect => Some(Self::Connect),
            _ => None,
        }
    }
}

/// An odd head, made into one that is not.
#[derive(Debug)]
pub(crate) struct Mended {
    pub(crate) info: HeadInfo,
    pub(crate) head: Bytes,
}

/// Where the request line is.
fn line(scanner: &Scanner) -> Option<std::ops::Range<usize>> {
    let (start, end) = scanner.lines().first()?;
    Some(*start as usize..*end as usize)
}

/// Its method, target and version.
fn words(line: &[u8]) -> Option<[&[u8]; 3]> {
    let mut words = line.splitn(3, |byte| *byte == b' ');
    Some([words.next()?, words.next()?, words.next()?])
}

/// Reads a complete head that was refused as what it is taken for, and fills `parts` anew. What comes of it is judged
/// as any head is, so that one oddity at most is taken, and nothing else with it.
pub(crate) fn mend(
    head: &Bytes,
    scanner: &mut Scanner,
    oddity: Oddity,
    limits: &Limits,
    parts: &mut Parts,
) -> Option<Mended> {
    let line = head.slice(line(scanner)?);
    let [method, target, version] = words(&line)?;
    let rest = scanner.lines().get(1..)?;
    let mut form = BytesMut::with_capacity(head.len() + 64);
    form.put_slice(method);
    form.put_u8(b' ');
    match oddity {
        Oddity::TargetCharacters => put_escaped(&mut form, target),
        Oddity::TargetWithoutPath => {
            form.put_u8(b'/');
            put_escaped(&mut form, target);
        }
        _ => form.put_slice(target),
    }
    form.put_u8(b' ');
    match oddity {
        Oddity::Version if is_odd_version(version) => form.put_slice(b"HTTP/1.1"),
        Oddity::Version => return None,
        _ => form.put_slice(version),
    }
    form.put_slice(b"\r\n");
    put_fields(&mut form, head, rest, oddity, target);
    form.put_slice(b"\r\n");
    let form = form.freeze();
    scanner.reset();
    parts.headers.clear();
    parts.extensions.clear();
    if scanner.scan(&form, limits) != Ok(Scan::Complete(form.len())) {
        return None;
    }
    let takes = match oddity {
        Oddity::Connect => Takes::Connect,
        _ => Takes::Requests,
    };
    let mut info = fields::build(&form, scanner.lines(), limits, takes, parts).ok()?;
    // After a message that others may read in another way nothing that follows is a request (RFC 9112 section 6.1).
    info.is_persistent = false;
    parts.extensions.insert(SentLine {
        target: line.slice_ref(target),
        version: line.slice_ref(version),
        oddity: Some(oddity),
    });
    Some(Mended { info, head: form })
}

fn put_fields(form: &mut BytesMut, head: &Bytes, lines: &[Line], oddity: Oddity, target: &[u8]) {
    let mut has_host = false;
    for (start, end) in lines {
        let field = &head[*start as usize..*end as usize];
        let name = field.split(|byte| *byte == b':').next().unwrap_or(field);
        let is_host = name.eq_ignore_ascii_case(b"host");
        match oddity {
            Oddity::LengthAndCoding if name.eq_ignore_ascii_case(b"content-length") => continue,
            // The target's goes before it, as with an absolute one; a second stays, and is one too many.
            Oddity::Connect if is_host && !has_host => {
                form.put_slice(b"Host: ");
                form.put_slice(target);
            }
            _ => form.put_slice(field),
        }
        has_host |= is_host;
        form.put_slice(b"\r\n");
    }
}

/// Only the characters that are taken: with any other the target stays what it was, and refused.
fn put_escaped(form: &mut BytesMut, target: &[u8]) {
    for byte in target {
        match byte {
            b'"' => form.put_slice(b"%22"),
            b'<' => form.put_slice(b"%3C"),
            b'>' => form.put_slice(b"%3E"),
            other => form.put_u8(*other),
        }
    }
}

/// `HTTP/2.0` and later, and `HTTP/1` and later without a minor part. What is before 1.0 has no fields.
fn is_odd_version(version: &[u8]) -> bool {
    matches!(
        version,
        [b'H', b'T', b'T', b'P', b'/', b'1'..=b'9']
            | [b'H', b'T', b'T', b'P', b'/', b'2'..=b'9', b'.', b'0'..=b'9']
    )
}

/// Whether a target is a host and port, as `CONNECT` needs it (RFC 9112 section 3.2.3).
pub(super) fn is_host_and_port(target: &[u8]) -> bool {
    let colon = target.iter().rposition(|byte| *byte == b':');
    let port = colon.and_then(|colon| target.get(colon + 1..));
    let number = port.and_then(|port| std::str::from_utf8(port).ok()?.parse::<u16>().ok());
    super::is_authority(target) && number.is_some_and(|port| port > 0)
}
