//! Heads of HTTP/1.1: a request's written, an answer's read.

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};

use crate::failure::{Failure, FailureKind};
use crate::network::Origin;
use crate::request::{Framing, Request};

/// Fields of one answer.
const FIELDS_MAX: usize = 96;

/// An answer's head.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) framing: Framing,
    /// The connection can be used again.
    pub(crate) is_kept: bool,
}

/// A request's head. Fields that cannot be sent are left out.
pub(crate) fn write(request: &Request<'_>, origin: &Origin) -> Vec<u8> {
    let url = request.url;
    let default_port = if origin.is_tls { 443 } else { 80 };
    let mut out = String::with_capacity(512);
    out.push_str(request.method.as_str());
    out.push(' ');
    out.push_str(url.path());
    if let Some(query) = url.query() {
        out.push('?');
        out.push_str(query);
    }
    out.push_str(" HTTP/1.1\r\nhost: ");
    out.push_str(&origin.host);
    if origin.port != default_port {
        out.push(':');
        out.push_str(&origin.port.to_string());
    }
    out.push_str("\r\n");
    for (name, value) in request.headers {
        let is_sendable =
            HeaderName::from_bytes(name.as_bytes()).is_ok() && HeaderValue::from_str(value).is_ok();
        if is_sendable {
            out.push_str(name);
            out.push_str(": ");
            out.push_str(value);
            out.push_str("\r\n");
        }
    }
    let length = request.body.length();
    let wants_length = matches!(request.method, Method::POST | Method::PUT | Method::PATCH);
    if let Some(length) = length.or(wants_length.then_some(0)) {
        out.push_str("content-length: ");
        out.push_str(&length.to_string());
        out.push_str("\r\n");
    }
    out.push_str("\r\n");
    out.into_bytes()
}

fn bad(detail: impl Into<String>) -> Box<Failure> {
    Failure::new(FailureKind::BadHead, detail)
}

/// Reads a head off the front of `bytes`, and how long it was; none when there is more to come.
pub(crate) fn read(bytes: &[u8], method: &Method) -> Result<Option<(Head, usize)>, Box<Failure>> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut parsed = httparse::Response::new(&mut fields);
    let length = match parsed.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => {
            return Err(Failure::new(
                FailureKind::HeadTooLarge,
                format!("more than {FIELDS_MAX} fields"),
            ));
        }
        Err(error) => return Err(bad(error.to_string())),
    };
    let status = parsed
        .code
        .filter(|code| StatusCode::from_u16(*code).is_ok())
        .ok_or_else(|| bad("no status"))?;
    let mut headers = HeaderMap::with_capacity(parsed.headers.len());
    for field in parsed.headers.iter() {
        let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| bad(field.name))?;
        let value = HeaderValue::from_bytes(field.value).map_err(|_| bad(field.name))?;
        headers.append(name, value);
    }
    let framing = framing(method, status, &headers)?;
    let says_close = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|option| option.trim().eq_ignore_ascii_case("close"));
    let is_kept = parsed.version == Some(1) && !says_close && framing != Framing::Close;
    let head = Head {
        status,
        headers,
        framing,
        is_kept,
    };
    Ok(Some((head, length)))
}

/// How the body's end is told (RFC 9112 section 6.3); what could be read in two ways is refused.
fn framing(method: &Method, status: u16, headers: &HeaderMap) -> Result<Framing, Box<Failure>> {
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    let mut lengths = headers.get_all(header::CONTENT_LENGTH).iter();
    let length = match (lengths.next(), lengths.next()) {
        (None, _) => None,
        (Some(value), None) => Some(content_length(value)?),
        (Some(_), Some(_)) => return Err(bad("more than one content-length")),
    };
    let coding = match (codings.next(), codings.next()) {
        (None, _) => None,
        (Some(value), None) if value.as_bytes().eq_ignore_ascii_case(b"chunked") => Some(()),
        _ => return Err(bad("a transfer coding other than chunked")),
    };
    if method == Method::HEAD || status < 200 || matches!(status, 204 | 304) {
        return Ok(Framing::None);
    }
    match (coding, length) {
        (Some(()), Some(_)) => Err(bad("both content-length and transfer-encoding")),
        (Some(()), None) => Ok(Framing::Stream),
        (None, Some(length)) => Ok(Framing::Length(length)),
        (None, None) => Ok(Framing::Close),
    }
}

/// Digits only: `+5` is no length (RFC 9110 section 8.6).
fn content_length(value: &HeaderValue) -> Result<u64, Box<Failure>> {
    let is_number = !value.is_empty() && value.as_bytes().iter().all(u8::is_ascii_digit);
    let text = value.to_str().ok().filter(|_| is_number);
    text.and_then(|text| text.parse().ok())
        .ok_or_else(|| bad("a content-length that is no number"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind_of(fields: &str) -> Result<Framing, FailureKind> {
        let text = format!("HTTP/1.1 200 OK\r\n{fields}\r\n");
        match read(text.as_bytes(), &Method::GET) {
            Ok(Some((head, _))) => Ok(head.framing),
            Ok(None) => panic!("it is whole"),
            Err(failure) => Err(failure.kind),
        }
    }

    #[test]
    fn an_end_that_could_be_told_in_two_ways_is_refused() {
        assert_eq!(kind_of("content-length: 5\r\n"), Ok(Framing::Length(5)));
        assert_eq!(
            kind_of("Transfer-Encoding: Chunked\r\n"),
            Ok(Framing::Stream)
        );
        assert_eq!(kind_of(""), Ok(Framing::Close));
        for fields in [
            "content-length: 5\r\ncontent-length: 5\r\n",
            "content-length: 5, 5\r\n",
            "content-length: +5\r\n",
            "content-length: \r\n",
            "content-length: 5\r\ntransfer-encoding: chunked\r\n",
            "transfer-encoding: gzip, chunked\r\n",
            "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n",
        ] {
            assert_eq!(kind_of(fields), Err(FailureKind::BadHead), "{fields}");
        }
    }
}
