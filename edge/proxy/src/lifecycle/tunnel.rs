//! What an origin says to `CONNECT`, on routes that take it: never the beginning of a tunnel.

use http::header::CONTENT_LENGTH;
use mcsp_api::ProblemKind;
use mcsp_edge_h1::Oddity;
use pingora_error::Result;
use pingora_http::ResponseHeader;

use super::refused;
use crate::answer::Answer;
use crate::context::RequestContext;

/// After 2xx, what follows is a tunnel's, and a length that such an answer has is not heeded (RFC 9110 section 9.3.6). An origin
/// that says that nothing follows has opened none: its answer goes on without the length, which it must not have, and the
/// connection ends. Of any other the client is told that there is none.
pub(super) fn judge(response: &mut ResponseHeader, context: &mut RequestContext) -> Result<()> {
    if context.oddity() != Some(Oddity::Connect) || !response.status.is_success() {
        return Ok(());
    }
    let says_nothing = response
        .headers
        .get(CONTENT_LENGTH)
        .is_some_and(|length| length.as_bytes() == b"0");
    if says_nothing {
        response.remove_header(&CONTENT_LENGTH);
        return Ok(());
    }
    let text = "the origin would open a tunnel, and none is carried here";
    let answer = Answer::problem(ProblemKind::BadGateway, "tunnel", text);
    refused(context, answer, "the origin would open a tunnel")
}
