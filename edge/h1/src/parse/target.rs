//! The request target's four forms (RFC 9112 3.2).

use std::ops::Range;

use bytes::{BufMut as _, Bytes, BytesMut};
use http::Uri;
use http::uri::PathAndQuery;
use memchr::memchr;

use super::host::is_authority;
use crate::refusal::Refusal;

/// A target that was understood.
pub(super) struct Target {
    /// Path and query; never scheme and authority.
    pub(super) uri: Uri,
    /// Where the head holds the authority of an absolute target, which counts instead of `Host` (RFC 9112 3.2.2).
    pub(super) authority: Option<Range<usize>>,
    /// `*`, which needs no host.
    pub(super) is_asterisk: bool,
}

/// Parses `head[range]`. `CONNECT` never comes here.
pub(super) fn parse(
    head: &Bytes,
    range: Range<usize>,
    is_options: bool,
) -> Result<Target, Refusal> {
    let bytes = &head[range.clone()];
    // A fragment is no part of a target; what drops it in silence and what does not would disagree about what was asked
    // for. Control characters are refused with the path.
    if memchr(b'#', bytes).is_some() {
        return Err(Refusal::Target);
    }
    match bytes {
        [b'/', ..] => Ok(Target {
            uri: path(head.slice(range))?,
            authority: None,
            is_asterisk: false,
        }),
        b"*" if is_options => Ok(Target {
            uri: path(Bytes::from_static(b"*"))?,
            authority: None,
            is_asterisk: true,
        }),
        _ => absolute(head, range),
    }
}

fn absolute(head: &Bytes, range: Range<usize>) -> Result<Target, Refusal> {
    let bytes = &head[range.clone()];
    let scheme = [&b"http://"[..], b"https://"]
        .into_iter()
        .find(|scheme| {
            bytes
                .get(..scheme.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(scheme))
        })
        .ok_or(Refusal::Target)?
        .len();
    let length = bytes[scheme..]
        .iter()
        .position(|byte| matches!(byte, b'/' | b'?'))
        .unwrap_or(bytes.len() - scheme);
    let authority = range.start + scheme..range.start + scheme + length;
    if !is_authority(&head[authority.clone()]) {
        return Err(Refusal::Target);
    }
    let rest = head.slice(authority.end..range.end);
    let rest = match rest.first() {
        Some(b'/') => rest,
        None => Bytes::from_static(b"/"),
        Some(_) => {
            let mut rooted = BytesMut::with_capacity(rest.len() + 1);
            rooted.put_u8(b'/');
            rooted.put_slice(&rest);
            rooted.freeze()
        }
    };
    Ok(Target {
        uri: path(rest)?,
        authority: Some(authority),
        is_asterisk: false,
    })
}

fn path(bytes: Bytes) -> Result<Uri, Refusal> {
    PathAndQuery::from_maybe_shared(bytes)
        .map(Uri::from)
        .map_err(|_| Refusal::Target)
}
