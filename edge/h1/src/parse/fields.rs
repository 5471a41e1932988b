//! From lines to parts: request line, field lines, and what they say about the message's framing.

use std::ops::Range;

use bytes::{BufMut as _, Bytes, BytesMut};
use http::header::{CONNECTION, CONTENT_LENGTH, EXPECT, HOST, TRANSFER_ENCODING, UPGRADE};
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, Uri, Version};
use memchr::memchr;

use super::host::is_authority;
use super::odd::is_host_and_port;
use super::scan::Line;
use super::{HeadInfo, SentLine, is_token_byte, target};
use crate::body::Framing;
use crate::limits::Limits;
use crate::refusal::Refusal;

/// What heads are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Takes {
    /// Those of requests that are answered here.
    Requests,
    /// `CONNECT` too.
    Connect,
}

/// Builds `parts`, which are empty, from a complete head.
pub(super) fn build(
    head: &Bytes,
    lines: &[Line],
    limits: &Limits,
    takes: Takes,
    parts: &mut Parts,
) -> Result<HeadInfo, Refusal> {
    let Some((first, rest)) = lines.split_first() else {
        return Err(Refusal::RequestLine);
    };
    let line = RequestLine::parse(head, first.0 as usize..first.1 as usize)?;
    parts.method = line.method;
    parts.version = line.version;
    let mut notes = Notes::default();
    parts.headers.reserve(rest.len());
    for (start, end) in rest {
        let (name, value) = field(head, *start as usize..*end as usize)?;
        notes.take(&name, &value)?;
        if parts.headers.try_append(name, value).is_err() {
            return Err(Refusal::TooManyFields);
        }
    }
    if line.target.len() > limits.target_bytes_max as usize {
        return Err(Refusal::TargetTooLong);
    }
    if parts.method == Method::CONNECT {
        return match takes {
            _ if !is_host_and_port(&head[line.target.clone()]) => Err(Refusal::Target),
            Takes::Requests => Err(Refusal::Connect),
            Takes::Connect => connect(head, line.target, notes, parts),
        };
    }
    let as_sent = line.target.clone();
    let target = target::parse(head, line.target, parts.method == Method::OPTIONS)?;
    notes.check_host(parts.version, target.is_asterisk)?;
    if let Some(authority) = target.authority {
        let host =
            HeaderValue::from_maybe_shared(head.slice(authority)).map_err(|_| Refusal::Target)?;
        parts.headers.insert(HOST, host);
        parts.extensions.insert(SentLine {
            target: head.slice(as_sent),
            version: head.slice(line.version_at..first.1 as usize),
            oddity: None,
        });
    }
    parts.uri = target.uri;
    notes.finish(parts.version)
}

/// The target's authority is the only host, and what follows the head would be a tunnel's: there is no body (RFC 9110 section
/// 9.3.6).
fn connect(
    head: &Bytes,
    target: Range<usize>,
    notes: Notes,
    parts: &mut Parts,
) -> Result<HeadInfo, Refusal> {
    notes.check_host(parts.version, false)?;
    let authority = head.slice(target);
    let host = HeaderValue::from_maybe_shared(authority.clone()).map_err(|_| Refusal::Target)?;
    parts.headers.insert(HOST, host);
    parts.uri = Uri::from_maybe_shared(authority).map_err(|_| Refusal::Target)?;
    let info = notes.finish(parts.version)?;
    if info.framing.is_done() {
        Ok(info)
    } else {
        Err(Refusal::Connect)
    }
}

/// The head with its target in origin form and the target's authority for its `Host`, if the target is in absolute form:
/// the only host of it that counts (RFC 9112 3.2.2).
pub(super) fn origin_form(head: &Bytes, lines: &[Line]) -> Option<Bytes> {
    let ((start, end), rest) = lines.split_first()?;
    let (start, end) = (*start as usize, *end as usize);
    let line = RequestLine::parse(head, start..end).ok()?;
    let is_options = line.method == Method::OPTIONS;
    let target = target::parse(head, line.target.clone(), is_options).ok()?;
    let authority = target.authority?;
    let mut form = BytesMut::with_capacity(head.len() + 8);
    form.put_slice(&head[start..line.target.start]);
    form.put_slice(target.uri.path_and_query()?.as_str().as_bytes());
    form.put_slice(&head[line.target.end..end]);
    form.put_slice(b"\r\nHost: ");
    form.put_slice(&head[authority]);
    form.put_slice(b"\r\n");
    for (start, end) in rest {
        let field = &head[*start as usize..*end as usize];
        let is_host = matches!(
            field,
            [b'H' | b'h', b'O' | b'o', b'S' | b's', b'T' | b't', b':', ..]
        );
        if !is_host {
            form.put_slice(field);
            form.put_slice(b"\r\n");
        }
    }
    form.put_slice(b"\r\n");
    Some(form.freeze())
}

struct RequestLine {
    method: Method,
    target: Range<usize>,
    version: Version,
    /// Where the version begins in the head.
    version_at: usize,
}

impl RequestLine {
    fn parse(head: &Bytes, range: Range<usize>) -> Result<Self, Refusal> {
        let line = &head[range.clone()];
        if memchr(b'\r', line).is_some() {
            return Err(Refusal::BareCr);
        }
        let method_end = memchr(b' ', line).ok_or(Refusal::RequestLine)?;
        let target_start = method_end + 1;
        let target_end =
            target_start + memchr(b' ', &line[target_start..]).ok_or(Refusal::RequestLine)?;
        let method = &line[..method_end];
        if !method.iter().copied().all(is_token_byte) {
            return Err(Refusal::RequestLine);
        }
        Ok(Self {
            version: version(&line[target_end + 1..])?,
            method: Method::from_bytes(method).map_err(|_| Refusal::RequestLine)?,
            target: range.start + target_start..range.start + target_end,
            version_at: range.start + target_end + 1,
        })
    }
}

/// A minor version above ours is taken for ours (RFC 9110 2.5).
fn version(bytes: &[u8]) -> Result<Version, Refusal> {
    match bytes {
        b"HTTP/1.1" => Ok(Version::HTTP_11),
        b"HTTP/1.0" => Ok(Version::HTTP_10),
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            if *major == b'1' {
                Ok(Version::HTTP_11)
            } else {
                Err(Refusal::Version)
            }
        }
        _ => Err(Refusal::RequestLine),
    }
}

fn field(head: &Bytes, range: Range<usize>) -> Result<(HeaderName, HeaderValue), Refusal> {
    let line = &head[range.clone()];
    if let [b' ' | b'\t', ..] = line {
        return Err(Refusal::Folding);
    }
    let colon = memchr(b':', line).ok_or(Refusal::FieldLine)?;
    let name = &line[..colon];
    if let [.., b' ' | b'\t'] = name {
        return Err(Refusal::SpaceBeforeColon);
    }
    let name = HeaderName::from_bytes(name).map_err(|_| Refusal::FieldName)?;
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t');
    let value = &line[colon + 1..];
    let before = value.iter().take_while(|byte| is_space(byte)).count();
    let value = &value[before..];
    let length = value.len() - value.iter().rev().take_while(|byte| is_space(byte)).count();
    let start = range.start + colon + 1 + before;
    let value = HeaderValue::from_maybe_shared(head.slice(start..start + length));
    match value {
        Ok(value) => Ok((name, value)),
        Err(_) if memchr(b'\r', line).is_some() => Err(Refusal::BareCr),
        Err(_) => Err(Refusal::FieldValue),
    }
}

/// What the fields say about the connection and the framing, gathered as they pass.
#[derive(Default)]
struct Notes {
    hosts: u32,
    is_host_empty: bool,
    length: Option<u64>,
    has_coding: bool,
    is_chunked: bool,
    closes: bool,
    keeps_alive: bool,
    expects_continue: bool,
    is_upgrade: bool,
}

impl Notes {
    fn take(&mut self, name: &HeaderName, value: &HeaderValue) -> Result<(), Refusal> {
        let bytes = value.as_bytes();
        if name == HOST {
            self.hosts += 1;
            self.is_host_empty = bytes.is_empty();
            if !bytes.is_empty() && !is_authority(bytes) {
                return Err(Refusal::Host);
            }
        } else if name == CONNECTION {
            for option in members(bytes) {
                self.closes |= option.eq_ignore_ascii_case(b"close");
                self.keeps_alive |= option.eq_ignore_ascii_case(b"keep-alive");
            }
        } else if name == CONTENT_LENGTH {
            if self.length.is_some() || memchr(b',', bytes).is_some() {
                return Err(Refusal::ContentLengthRepeated);
            }
            self.length = Some(decimal(bytes).ok_or(Refusal::ContentLength)?);
        } else if name == TRANSFER_ENCODING {
            self.coding(bytes)?;
        } else if name == EXPECT {
            if !bytes.eq_ignore_ascii_case(b"100-continue") {
                return Err(Refusal::Expectation);
            }
            self.expects_continue = true;
        } else if name == UPGRADE {
            self.is_upgrade = true;
        }
        Ok(())
    }

    /// `chunked` is the only coding that is known, and there is at most one of it. An empty member is refused too:
    /// recipients differ on whether `chunked,` ends in `chunked`.
    fn coding(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        self.has_coding = true;
        for coding in bytes.split(|byte| *byte == b',') {
            let coding = coding.trim_ascii();
            if coding.is_empty() || self.is_chunked {
                return Err(Refusal::Coding);
            }
            if !coding.eq_ignore_ascii_case(b"chunked") {
                return Err(if coding.iter().copied().all(is_token_byte) {
                    Refusal::CodingUnknown
                } else {
                    Refusal::Coding
                });
            }
            self.is_chunked = true;
        }
        Ok(())
    }

    fn check_host(&self, version: Version, is_asterisk: bool) -> Result<(), Refusal> {
        match self.hosts {
            0 if version == Version::HTTP_10 => Ok(()),
            0 => Err(Refusal::HostMissing),
            1 if self.is_host_empty && !is_asterisk => Err(Refusal::Host),
            1 => Ok(()),
            _ => Err(Refusal::HostRepeated),
        }
    }

    fn finish(self, version: Version) -> Result<HeadInfo, Refusal> {
        let is_old = version == Version::HTTP_10;
        let framing = match (self.length, self.has_coding) {
            (Some(_), true) => return Err(Refusal::LengthAndCoding),
            (None, true) if is_old => return Err(Refusal::CodingInOldVersion),
            (None, true) => Framing::chunked(),
            (Some(length), false) => Framing::length(length),
            (None, false) => Framing::length(0),
        };
        Ok(HeadInfo {
            // An HTTP/1.0 client cannot have meant it (RFC 9110 10.1.1), nor one that sends no body.
            expects_continue: self.expects_continue && !is_old && !framing.is_done(),
            framing,
            is_persistent: !self.closes && (!is_old || self.keeps_alive),
            is_upgrade: self.is_upgrade && !is_old,
        })
    }
}

fn members(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.split(|byte| *byte == b',').map(<[u8]>::trim_ascii)
}

/// `1*DIGIT`, below 2⁶³ so that no signed reader behind us sees another number.
fn decimal(bytes: &[u8]) -> Option<u64> {
    if bytes.is_empty() {
        return None;
    }
    let mut number: u64 = 0;
    for byte in bytes {
        if !byte.is_ascii_digit() {
            return None;
        }
        number = number
            .checked_mul(10)?
            .checked_add(u64::from(byte - b'0'))?;
    }
    (number <= i64::MAX as u64).then_some(number)
}
