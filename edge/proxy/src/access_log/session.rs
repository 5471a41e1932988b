//! The ending of a request that pingora carried.

use mcsp_telemetry::Outcome;
use pingora_error::{Error, ErrorSource};
use pingora_proxy::Session;

use super::{CLIENT_CLOSED, Ending, write};
use crate::context::RequestContext;
use crate::edge::Edge;

/// `error` is why the request ended early, if it did.
pub(crate) fn write_session(
    edge: &Edge,
    session: &Session,
    context: &RequestContext,
    error: Option<&Error>,
) {
    let request = session.req_header();
    let status = session
        .response_written()
        .map_or(0, |response| response.status.as_u16());
    let is_clients = error.is_some_and(|error| *error.esource() == ErrorSource::Downstream);
    let outcome = match (status, error) {
        (0, _) => Outcome::Aborted,
        _ if is_clients => Outcome::Aborted,
        // An answer that broke off after its head.
        (200..=399, Some(_)) => Outcome::ServerError,
        (status, _) => Outcome::from_status(status),
    };
    let status = if status == 0 && is_clients {
        CLIENT_CLOSED
    } else {
        status
    };
    let error = error.map(|error| error.etype().as_str());
    let ending = Ending {
        method: &request.method,
        path: request.uri.path(),
        version: request.version,
        status,
        outcome,
        bytes: session.body_bytes_sent() as u64,
        error,
    };
    write(edge, context, &ending);
}
