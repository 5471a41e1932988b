//! A request's head, from bytes to `http::request::Parts` (RFC 9112 2 to 6). Strict: what two recipients could read in
//! two ways is refused, never mended. Pure: no time, no IO.

mod fields;
mod host;
mod odd;
mod scan;
mod target;

use bytes::{Bytes, BytesMut};
use http::request::Parts;

pub use host::is_authority;
pub use odd::Oddity;
pub(crate) use odd::mend;
pub(crate) use scan::{Line, Scan, Scanner};

use crate::body::Framing;
use crate::limits::Limits;
use crate::refusal::Refusal;

/// What a head says beside its parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeadInfo {
    /// How the request's body is delimited.
    pub framing: Framing,
    /// Whether the client keeps the connection open after the answer (RFC 9112 9.3).
    pub is_persistent: bool,
    /// Whether the client waits for `100 Continue` before it sends the body (RFC 9110 10.1.1).
    pub expects_continue: bool,
    /// Whether the client asks for another protocol on this connection (RFC 9110 7.8).
    pub is_upgrade: bool,
}

/// A request line as it was sent, where the request has it in another form: a target in absolute form, whose authority is the
/// request's `Host`, or what a route takes of an [`Oddity`]. In the request's extensions, for those who look at the line itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentLine {
    /// The target.
    pub target: Bytes,
    /// The version, such as `HTTP/1.1`.
    pub version: Bytes,
    /// What the route took.
    pub oddity: Option<Oddity>,
}

/// A head parsed from a buffer that holds it whole.
#[derive(Debug)]
pub struct ParsedHead {
    /// The request. Its field values and its target are slices of the head; nothing is copied.
    pub parts: Parts,
    /// What else the head says.
    pub info: HeadInfo,
    /// Bytes of the head, with empty lines before it.
    pub bytes: usize,
}

/// Parses the head at the beginning of `bytes`; `None` where it does not end there yet.
///
/// The connection loop does the same step by step; this is for tests and fuzzing.
///
/// # Errors
/// Why the request is refused.
pub fn parse_head(bytes: &[u8], limits: &Limits) -> Result<Option<ParsedHead>, Refusal> {
    let mut scanner = Scanner::default();
    let mut skipped = 0;
    loop {
        match scanner.scan(&bytes[skipped..], limits)? {
            Scan::Skip(empty) => skipped += empty,
            Scan::Partial => return Ok(None),
            Scan::Complete(length) => {
                let head = Bytes::copy_from_slice(&bytes[skipped..skipped + length]);
                let mut parts = empty_parts();
                let takes = fields::Takes::Requests;
                let info = fields::build(&head, scanner.lines(), limits, takes, &mut parts)?;
                return Ok(Some(ParsedHead {
                    parts,
                    info,
                    bytes: skipped + length,
                }));
            }
        }
    }
}

/// Takes a complete head off the front of `buffer` and fills `parts`, which are empty. Returns the raw head too, also of what is
/// refused.
pub(crate) fn take_head(
    buffer: &mut BytesMut,
    length: usize,
    scanner: &Scanner,
    limits: &Limits,
    parts: &mut Parts,
) -> Result<(HeadInfo, Bytes), (Refusal, Bytes)> {
    let head = buffer.split_to(length).freeze();
    match fields::build(
        &head,
        scanner.lines(),
        limits,
        fields::Takes::Requests,
        parts,
    ) {
        Ok(info) => Ok((info, head)),
        Err(refusal) => Err((refusal, head)),
    }
}

/// A complete head as it is lent out: with its target in origin form, and one host.
pub(crate) fn lent_head(head: Bytes, scanner: &Scanner) -> Bytes {
    fields::origin_form(&head, scanner.lines()).unwrap_or(head)
}

/// Parts that say nothing.
pub(crate) fn empty_parts() -> Parts {
    http::Request::new(()).into_parts().0
}

/// `tchar` (RFC 9110 5.6.2).
pub(crate) const fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'.'
                | b'^'
                | b'_'
                | b'`'
                | b'|'
                | b'~'
        )
}
