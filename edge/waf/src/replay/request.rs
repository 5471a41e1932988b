//! A raw request as a strict server reads it, and the backend that answers it.

use serde::Deserialize;

use crate::transform::hex_pair;

/// A request in parts.
pub(super) struct Request<'a> {
    pub(super) method: &'a [u8],
    pub(super) target: &'a [u8],
    pub(super) protocol: &'a [u8],
    pub(super) headers: Vec<(&'a [u8], &'a [u8])>,
    pub(super) body: Vec<u8>,
    /// The connection ended before the body did.
    pub(super) cut_off: bool,
}

/// Reads a request, or says why a server refuses it (RFC 9112).
pub(super) fn parse(raw: &[u8]) -> Result<Request<'_>, &'static str> {
    let end = memchr::memmem::find(raw, b"\r\n\r\n").ok_or("a head without end")?;
    let head = &raw[..end];
    let rest = &raw[end + 4..];
    let mut lines = head
        .split(|b| *b == b'\n')
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let line = lines.next().unwrap_or_default();
    let mut words = line.split(|b| *b == b' ');
    let (Some(method), Some(target), Some(protocol), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err("a request line that is not three words");
    };
    if method.is_empty()
        || !method
            .iter()
            .all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(b))
    {
        return Err("a method that is no token");
    }
    if method == b"CONNECT" && !target.contains(&b':') {
        return Err("CONNECT without a port");
    }
    let version = protocol.strip_prefix(b"HTTP/").ok_or("not HTTP")?;
    if !matches!(version, [b'1'..=b'9'] | [b'1'..=b'9', b'.', b'0'..=b'9']) {
        return Err("a version before 1.0, or none");
    }
    if target.contains(&b'#') {
        return Err("a fragment in the target");
    }
    let mut headers = Vec::new();
    for line in lines {
        let colon = memchr::memchr(b':', line).ok_or("a field without colon")?;
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if name.is_empty() || name.iter().any(|b| b.is_ascii_whitespace()) {
            return Err("a field name that is no token");
        }
        if value.iter().any(|b| matches!(b, b'\r' | 0)) {
            return Err("a control character in a field");
        }
        headers.push((name, value));
    }
    check_host(&headers, protocol)?;
    if all(&headers, b"transfer-encoding").next().is_some() {
        // RFC 9112 section 6.1: the length is removed before the request goes on.
        headers.retain(|(name, _)| !name.eq_ignore_ascii_case(b"content-length"));
    }
    let (body, cut_off) = body(&headers, rest)?;
    Ok(Request {
        method,
        target,
        protocol,
        headers,
        body,
        cut_off,
    })
}

fn all<'a, 'h>(
    headers: &'h [(&'a [u8], &'a [u8])],
    name: &'static [u8],
) -> impl Iterator<Item = &'a [u8]> + use<'a, 'h> {
    headers
        .iter()
        .filter(move |(known, _)| known.eq_ignore_ascii_case(name))
        .map(|(_, value)| *value)
}

fn check_host(headers: &[(&[u8], &[u8])], protocol: &[u8]) -> Result<(), &'static str> {
    let hosts: Vec<&[u8]> = all(headers, b"host").collect();
    match hosts.as_slice() {
        [] if protocol == b"HTTP/1.0" => Ok(()),
        [host] if is_host(host) => Ok(()),
        [] => Err("no Host"),
        _ => Err("Host is not valid"),
    }
}

/// Names, addresses and ports; a name may have escapes (RFC 3986 section 3.2.2), though not of control characters.
fn is_host(host: &[u8]) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b".-_:[]".contains(&b);
    let fits = |(at, b): (usize, &u8)| {
        plain(*b)
            || *b == b'%' && hex_pair(host, at + 1).is_some_and(|byte| !byte.is_ascii_control())
    };
    !host.is_empty() && host.iter().enumerate().all(fits)
}

fn body(headers: &[(&[u8], &[u8])], rest: &[u8]) -> Result<(Vec<u8>, bool), &'static str> {
    let mut lengths: Vec<&[u8]> = all(headers, b"content-length").collect();
    lengths.dedup();
    let chunked = all(headers, b"transfer-encoding")
        .any(|value| value.to_ascii_lowercase().ends_with(b"chunked"));
    match lengths.as_slice() {
        _ if chunked => Ok(chunks(rest)),
        [] => Ok((Vec::new(), false)),
        [length] => {
            let length = std::str::from_utf8(length)
                .ok()
                .filter(|text| text.bytes().all(|b| b.is_ascii_digit()));
            let length: usize = length
                .and_then(|text| text.parse().ok())
                .ok_or("Content-Length is no number")?;
            Ok((rest[..rest.len().min(length)].to_vec(), rest.len() < length))
        }
        _ => Err("two lengths"),
    }
}

/// Decodes chunks; the second answer is whether the last one is missing.
fn chunks(mut rest: &[u8]) -> (Vec<u8>, bool) {
    let mut out = Vec::new();
    loop {
        let Some(end) = memchr::memmem::find(rest, b"\r\n") else {
            return (out, true);
        };
        let digits = rest[..end]
            .split(|b| *b == b';')
            .next()
            .unwrap_or_default()
            .trim_ascii();
        let length = std::str::from_utf8(digits)
            .ok()
            .and_then(|text| usize::from_str_radix(text, 16).ok());
        let Some(length) = length else {
            return (out, true);
        };
        rest = &rest[end + 2..];
        if length == 0 {
            return (out, false);
        }
        if rest.len() < length {
            return (out, true);
        }
        out.extend_from_slice(&rest[..length]);
        rest = rest[length..]
            .strip_prefix(b"\r\n")
            .unwrap_or(&rest[length..]);
    }
}

/// The backend's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// Fields.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

#[derive(Deserialize)]
struct Reflection {
    #[serde(default)]
    status: Option<u16>,
    #[serde(default)]
    headers: std::collections::BTreeMap<String, String>,
    #[serde(default)]
    body: String,
    #[serde(default, rename = "encodedBody")]
    encoded_body: String,
}

/// What the tests' backend answers: 200 to all; `POST /reflect` gets what its body names.
#[must_use]
pub fn answer(method: &str, target: &str, body: &[u8]) -> Answer {
    let mut plain = Answer {
        status: 200,
        headers: vec![("Content-Type".into(), "text/plain".into())],
        body: Vec::new(),
    };
    if method != "POST" || !target.starts_with("/reflect") {
        return plain;
    }
    let Ok(reflection) = serde_json::from_slice::<Reflection>(body) else {
        return plain;
    };
    plain.status = reflection.status.unwrap_or(200);
    if !reflection.headers.is_empty() {
        plain.headers = reflection.headers.into_iter().collect();
    }
    plain.body = reflection.body.into_bytes();
    if plain.body.is_empty() {
        use base64::Engine as _;
        plain.body = base64::engine::general_purpose::STANDARD
            .decode(reflection.encoded_body)
            .unwrap_or_default();
    }
    plain
}
