//! The caching path: what becomes of a `GET` or `HEAD` on a route whose answers are kept, on every protocol.
//!
//! ```text
//! stages → key → look ─ fresh ──────────────────────────────▶ send
//!                  ├─ stale, may be served meanwhile ────────▶ send, validate beside it
//!                  ├─ stale, its origin silent ──────────────▶ send, if it may stand in; ask beside it, seldom
//!                  ├─ stale ─ join ─ lead ─ errand ─ 304 ────▶ merge, send
//!                  │            │             ├ 5xx, no answer ▶ send what is held, if it may stand in
//!                  └─ nothing ──┤             ├ storable ─────▶ store, send as it comes
//!                               │             ├ lent ─────────▶ send as it comes to all who wait, keep nothing
//!                               │             └ private ──────▶ pass on
//!                               └ follow ─ shared ───────────▶ send as it comes
//!                                        ├ not shareable ────▶ ask for this client alone
//!                                        └ failed, too long ─▶ a few lead in turn, the others learn that it failed
//! ```
//!
//! Errands are tasks of their own; no client's end ends them, but that of the last who waits for a head: what an origin is
//! asked for nobody keeps its turn from others. A body that breaks off is taken up elsewhere at the same
//! byte if it is the same representation; if not, its readers' answers are cut, never completed with other bytes.

mod answering;
mod asking;
mod client;
mod client_h1;
mod client_h2;
mod covering;
mod door;
mod errand;
mod failing;
mod finding;
mod flow;
mod kept;
mod lately;
mod lending;
mod life;
mod of_head;
mod parting;
mod passing;
mod prefetching;
mod prepared;
mod pump;
mod report;
mod seeking;
mod send;
mod setbacks;
mod slices;
mod stretch;
mod underway;
mod waiting;

use std::ops::ControlFlow;
use std::pin::Pin;
use std::sync::Arc;

use http::request::Parts;
use http::{HeaderMap, Method};
use mcsp_api::media_path::MEDIA_PREFIX;
use mcsp_edge_cache::engine::Selecting;
use mcsp_telemetry::Outcome;

use self::asking::Asking;
use self::client::{ClientStream, SendFault, unless_gone};
use self::flow::Flow;
use crate::access_log::{self, Ending};
use crate::context::RequestContext;
use crate::edge::Edge;
use crate::{shield, stage};

pub(crate) use asking::{Selects, is_underscored, takes_underscored};
pub(crate) use client::HeadLines;
pub use door::{Door, DoorConfig};
pub(crate) use kept::new_response;
pub(crate) use prefetching::FetchAhead;
pub(crate) use setbacks::Setbacks;
pub(crate) use underway::Underway;

/// Paths of MCSP's own that are routed, never kept.
const ROUTED_PREFIXES: [&str; 3] = ["/api/", "/storage/", "/.well-known/"];

/// What selects among variants for a client that sends these fields to a route whose origin is told of them; for those who ask
/// what a client would get.
#[must_use]
pub fn selecting(fields: &HeaderMap) -> impl Selecting + '_ {
    Selects::Fields(fields)
}

/// Is this a request for the caching path? What is not goes to pingora's proxy, which runs the same stages.
fn is_for_cache(edge: &Edge, request: &Parts, is_tls: bool) -> bool {
    if !matches!(request.method, Method::GET | Method::HEAD) {
        return false;
    }
    let path = request.uri.path();
    edge.home.is_none()
        || path.starts_with(MEDIA_PREFIX)
        || !ROUTED_PREFIXES
            .iter()
            .any(|prefix| path.starts_with(prefix))
        || edge.routes.names_host(request, is_tls)
}

/// Answers one request, logs and counts it. False: the answer is not whole, and the connection must end.
///
/// What is known of the request, and all that is held while it is under way, lies in memory of its own: what the last
/// request of the thread gave back, and the core still has. In the connection's task it would be cold for each of many
/// connections, and moved with every call.
pub(crate) fn serve<'r, C: ClientStream>(
    edge: &'r Arc<Edge>,
    request: &'r Parts,
    client: &'r mut C,
    context: Box<RequestContext>,
) -> Pin<Box<impl Future<Output = bool> + Send + use<'r, C>>> {
    // Made where it lies: it is some thousands of bytes, of which most say nothing yet.
    Box::into_pin(Box::write(
        Box::new_uninit(),
        run(edge, request, client, context),
    ))
}

async fn run<C: ClientStream>(
    edge: &Arc<Edge>,
    request: &Parts,
    client: &mut C,
    mut context: Box<RequestContext>,
) -> bool {
    let answered = answer(edge, request, client, &mut context).await;
    let outcome = match &answered {
        Ok(()) => Outcome::from_status(context.status),
        Err(fault) if fault.is_clients() => Outcome::Aborted,
        Err(_) => Outcome::ServerError,
    };
    if answered.as_ref().is_err_and(SendFault::is_gone) {
        context.status = access_log::CLIENT_CLOSED;
        context.detail = Some("client-closed");
        let route = context.route_label();
        edge.metrics.clients_gone.with_label_values(&[route]).inc();
    }
    let error = answered.as_ref().err().map(ToString::to_string);
    let ending = Ending {
        method: &request.method,
        path: request.uri.path(),
        version: request.version,
        status: context.status,
        outcome,
        bytes: client.body_bytes_sent(),
        error: error.as_deref(),
    };
    access_log::write(edge, &context, &ending);
    if let Some(inspection) = context.inspection.take() {
        inspection.finish(context.status);
    }
    answered.is_ok()
}

async fn answer<C: ClientStream>(
    edge: &Arc<Edge>,
    request: &Parts,
    client: &mut C,
    context: &mut RequestContext,
) -> Result<(), SendFault> {
    let is_head = request.method == Method::HEAD;
    let admitted = if context.child.is_some() {
        Box::pin(shield::admit(edge, request, context)).await
    } else {
        stage::run_all(edge, request, context)
    };
    if let ControlFlow::Break(answer) = admitted {
        return answering::send(edge, client, context, answer, is_head).await;
    }
    // Where rules take long over a head, or its fields spoke of a body that did not come.
    if let Some(inspection) = &mut context.inspection
        && inspection.awaits_request_end()
    {
        let judged = Box::pin(unless_gone(client, inspection.request_end())).await?;
        if let ControlFlow::Break(answer) = judged {
            let answer = stage::answered("waf", edge, context, answer);
            return answering::send(edge, client, context, answer, is_head).await;
        }
    }
    let route = context.route.clone();
    let stripped = route
        .as_deref()
        .and_then(|route| asking::without_untold(route, request));
    let fields = stripped.as_ref().unwrap_or(&request.headers);
    let asking = route
        .as_deref()
        .and_then(|route| Asking::new(route, request, fields));
    let Some(asking) = asking else {
        return answering::send(edge, client, context, answering::internal(), is_head).await;
    };
    let mut flow = Flow {
        edge,
        asking: &asking,
        context,
        client,
        stale: None,
    };
    flow.run().await
}
