//! `client`: who asks, by the socket's address.

use std::ops::ControlFlow;

use http::request::Parts;

use super::Flow;
use crate::context::RequestContext;
use crate::edge::Edge;

/// An address that the geo database does not know, or a node without one, is an unknown country, which is not Nigeria.
pub(super) fn run(edge: &Edge, _request: &Parts, context: &mut RequestContext) -> Flow {
    if let (Some(peer), Some(geo)) = (context.peer, &edge.geo) {
        context.place = geo.locate(peer.ip());
    }
    ControlFlow::Continue(())
}
