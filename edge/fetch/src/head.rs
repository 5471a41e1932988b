//! The head of an answer of HTTP/1: found, bounded, parsed, and what it says of the body (RFC 9112 sections 2 to 6).

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, HeaderMap, TRANSFER_ENCODING};
use http::response::Parts;
use http::{HeaderName, HeaderValue, Method, StatusCode, Version};

use crate::Fault;

/// What `httparse` is given room for; [`crate::FetchConfig::head_fields_max`] is not larger.
const FIELDS_MAX: usize = 256;

/// How an answer's body is delimited (RFC 9112 section 6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyLength {
    /// There is none: the answer to a `HEAD`, a 204 or a 304.
    None,
    /// `Content-Length`, bytes.
    Known(u64),
    /// Its end is marked, its length not known before: `chunked`, or HTTP/2 without `Content-Length`.
    Marked,
    /// Until the connection closes. Whether anything is missing cannot be told.
    UntilClose,
}

/// Looks for the end of a head in bytes that arrive in any number of pieces; looks at each byte once.
#[derive(Debug, Default)]
pub(crate) struct HeadScanner {
    scanned: usize,
    line_start: usize,
}

impl HeadScanner {
    /// How many of `buffer`'s bytes are the head, once all of it is there. `buffer` only grows between calls.
    pub(crate) fn scan(&mut self, buffer: &[u8], bytes_max: usize) -> Result<Option<usize>, Fault> {
        const START: &[u8] = b"HTTP/1.";
        let seen = buffer.len().min(START.len());
        // Told at once: what is no head at all has no end to wait for.
        if buffer.get(..seen) != START.get(..seen) {
            return Err(Fault::StatusLine);
        }
        while let Some(at) = next_line_feed(buffer, self.scanned) {
            let line = buffer.get(self.line_start..at).unwrap_or_default();
            let Some(line) = line.strip_suffix(b"\r") else {
                return Err(Fault::LineEnd);
            };
            if line.contains(&b'\r') {
                return Err(Fault::LineEnd);
            }
            if line.starts_with(b" ") || line.starts_with(b"\t") {
                return Err(Fault::ObsFold);
            }
            self.scanned = at + 1;
            self.line_start = at + 1;
            if self.scanned > bytes_max {
                return Err(Fault::HeadSize);
            }
            if line.is_empty() {
                return Ok(Some(self.scanned));
            }
        }
        self.scanned = buffer.len();
        if self.scanned > bytes_max {
            return Err(Fault::HeadSize);
        }
        Ok(None)
    }
}

fn next_line_feed(buffer: &[u8], from: usize) -> Option<usize> {
    let rest = buffer.get(from..)?;
    rest.iter()
        .position(|byte| *byte == b'\n')
        .map(|at| from + at)
}

/// Parses a head that [`HeadScanner`] found. White space before a field's colon is removed, as section 5.1 has it.
pub(crate) fn parse(head: &[u8], fields_max: usize) -> Result<Parts, Fault> {
    // A copy of its own, so that a stored head does not keep the buffer it was read into.
    let head = Bytes::copy_from_slice(head);
    let mut room = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut response = httparse::Response::new(room.get_mut(..fields_max).unwrap_or_default());
    let parsed = httparse::ParserConfig::default()
        .allow_spaces_after_header_name_in_responses(true)
        .parse_response(&mut response, &head);
    match parsed {
        Ok(httparse::Status::Complete(length)) if length == head.len() => {}
        Err(httparse::Error::TooManyHeaders) => return Err(Fault::HeadFields),
        Err(httparse::Error::Status | httparse::Error::Version) => return Err(Fault::StatusLine),
        _ => return Err(Fault::FieldLine),
    }
    let status = response
        .code
        .and_then(|code| StatusCode::from_u16(code).ok())
        .ok_or(Fault::StatusLine)?;
    let mut parts = http::Response::new(()).into_parts().0;
    parts.status = status;
    parts.version = match response.version {
        Some(1) => Version::HTTP_11,
        Some(0) => Version::HTTP_10,
        _ => return Err(Fault::StatusLine),
    };
    let mut headers = HeaderMap::with_capacity(response.headers.len());
    for field in response.headers.iter() {
        let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| Fault::FieldLine)?;
        let value = HeaderValue::from_maybe_shared(head.slice_ref(field.value))
            .map_err(|_| Fault::FieldLine)?;
        headers
            .try_append(name, value)
            .map_err(|_| Fault::HeadFields)?;
    }
    parts.headers = headers;
    Ok(parts)
}

/// What a final head says of its body; leaves one `Content-Length` of many that agree, and no `Transfer-Encoding`.
pub(crate) fn body_length(method: &Method, head: &mut Parts) -> Result<BodyLength, Fault> {
    let announced = content_length(&head.headers)?;
    let coding = coding(head)?;
    if coding != Coding::None && announced.is_some() {
        return Err(Fault::BothLengths);
    }
    if let Some(length) = announced {
        head.headers
            .insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    head.headers.remove(TRANSFER_ENCODING);
    if *method == Method::HEAD
        || matches!(
            head.status,
            StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED
        )
    {
        return Ok(BodyLength::None);
    }
    Ok(match announced {
        _ if coding == Coding::Chunked => BodyLength::Marked,
        Some(length) => BodyLength::Known(length),
        None => BodyLength::UntilClose,
    })
}

/// The one value of `Content-Length`, however often it is said (RFC 9110 section 8.6).
pub(crate) fn content_length(headers: &HeaderMap) -> Result<Option<u64>, Fault> {
    let mut found = None;
    for value in headers.get_all(CONTENT_LENGTH) {
        for value in value.as_bytes().split(|byte| *byte == b',') {
            let length = digits(value.trim_ascii()).ok_or(Fault::ContentLength)?;
            if found.is_some_and(|found| found != length) {
                return Err(Fault::ContentLength);
            }
            found = Some(length);
        }
    }
    Ok(found)
}

fn digits(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0_u64, |sum, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        sum.checked_mul(10)?.checked_add(digit)
    })
}

/// What a head says of transfer codings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Coding {
    None,
    Chunked,
    /// `identity`, which old origins say, or a word that can be no coding's name: the body is as it is, until the
    /// connection's end (RFC 9112 section 6.3, rule 4).
    Untouched,
}

/// The codings that are registered (RFC 9112 section 7.3), and parts of the names of their like: `xchunked` is `chunked` to
/// one recipient and not to another, which is how answers are split.
const CODINGS: [&str; 4] = ["chunk", "gzip", "deflate", "compress"];
/// No coding's name is as long as this, bytes; the longest registered one has 10.
const CODING_BYTES_MAX: usize = 12;

/// We ask for no transfer coding, so `chunked` alone, once, may come, and not from HTTP/1.0 (RFC 9112 section 6.1). That a
/// body in another one ends with its connection (section 6.3, rule 4) says where it ends, not what is in it: it cannot be
/// decoded here, is not what the origin meant, and so is neither given to a client nor kept.
fn coding(head: &Parts) -> Result<Coding, Fault> {
    let mut values = head.headers.get_all(TRANSFER_ENCODING).iter();
    let Some(first) = values.next() else {
        return Ok(Coding::None);
    };
    if values.next().is_some() || head.version != Version::HTTP_11 {
        return Err(Fault::TransferEncoding);
    }
    let name = first.to_str().map_err(|_| Fault::TransferEncoding)?.trim();
    if name.eq_ignore_ascii_case("chunked") {
        return Ok(Coding::Chunked);
    }
    if name.eq_ignore_ascii_case("identity") {
        return Ok(Coding::Untouched);
    }
    let word = name.to_ascii_lowercase();
    let is_word =
        word.len() > CODING_BYTES_MAX && word.bytes().all(|byte| byte.is_ascii_lowercase());
    if !is_word || CODINGS.iter().any(|coding| word.contains(coding)) {
        return Err(Fault::TransferEncoding);
    }
    Ok(Coding::Untouched)
}

/// Does the connection outlive this answer (RFC 9112 section 9.3)?
pub(crate) fn keeps_alive(head: &Parts) -> bool {
    let says = |token: &[u8]| {
        head.headers.get_all(CONNECTION).iter().any(|value| {
            value
                .as_bytes()
                .split(|byte| *byte == b',')
                .any(|said| said.trim_ascii().eq_ignore_ascii_case(token))
        })
    };
    if says(b"close") {
        return false;
    }
    head.version == Version::HTTP_11 || says(b"keep-alive")
}
