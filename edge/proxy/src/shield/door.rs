//! Where children come in: connections whose certificates were verified, one request after the other on each.

use std::sync::Arc;
use std::time::Instant;

use http::HeaderValue;
use http::header::SERVER;
use mcsp_edge_fetch::FETCHED_AHEAD;
use mcsp_edge_h1::{
    Delegation, Exchange, H1Metrics, Handler, Head, Limits, Next, Peer, Refusal, serve_connection,
};
use mcsp_identity::{CallerTable, EDGE_NAMESPACE, SpiffeId};
use mcsp_telemetry::TraceContext;
use pingora_core::protocols::Stream;
use pingora_core::server::ShutdownWatch;
use tokio::sync::Semaphore;

use super::child::{Child, Standing};
use crate::context::RequestContext;
use crate::edge::Edge;
use crate::response::SERVER_NAME;
use crate::serve::serve;

/// What the caller table calls the interface for children.
const INTERFACE: &str = "http:shield";

/// What a child's head may have beside what it passes on of a viewer's. Refused before it is looked at, a request would get
/// no parent's word, and a viewer could have parents taken for what is none.
const ADDED_HEAD_BYTES: u32 = 4 << 10;

/// Serves children. All their connections share one.
pub struct ShieldDoor {
    edge: Arc<Edge>,
    callers: CallerTable,
    limits: Limits,
    metrics: H1Metrics,
    turns: Semaphore,
    stop: ShutdownWatch,
}

impl ShieldDoor {
    /// A door for those whom `callers` lets in, `requests_max` requests at once; ends connections once `stop` shows true.
    /// `limits` are those of viewers' connections.
    #[must_use]
    pub fn new(
        edge: Arc<Edge>,
        callers: CallerTable,
        requests_max: usize,
        limits: Limits,
        metrics: H1Metrics,
        stop: ShutdownWatch,
    ) -> Arc<Self> {
        let limits = Limits {
            head_bytes_max: limits.head_bytes_max.saturating_add(ADDED_HEAD_BYTES),
            ..limits
        };
        Arc::new(Self {
            edge,
            callers,
            limits,
            metrics,
            turns: Semaphore::new(requests_max.min(Semaphore::MAX_PERMITS)),
            stop,
        })
    }

    /// Serves one connection until it ends; `caller` is the name in the certificate that its TLS handshake verified.
    pub async fn serve(&self, stream: Stream, caller: SpiffeId) {
        let connection = Connection {
            standing: self.standing(&caller),
            caller,
            door: self,
        };
        let stop = self.stop.clone();
        let closed = serve_connection(stream, &self.limits, &connection, stop).await;
        self.metrics.closed(&closed);
    }

    /// Who is not a node of a PoP that the PoP configuration has is not let in, whatever the table says.
    fn standing(&self, caller: &SpiffeId) -> Standing {
        let home = self.edge.home.as_ref();
        let is_invited = home.is_some_and(|home| {
            caller.namespace() == EDGE_NAMESPACE
                && home.pops.get(caller.account()).is_some()
                && self.callers.allows(caller, &home.pop.region, INTERFACE)
        });
        if is_invited {
            Standing::Invited
        } else {
            tracing::warn!(%caller, "whoever may not ask this parent does");
            Standing::Uninvited
        }
    }
}

/// One child's connection.
struct Connection<'d> {
    door: &'d ShieldDoor,
    caller: SpiffeId,
    standing: Standing,
}

impl Handler for Connection<'_> {
    async fn on_request(&self, exchange: &mut Exchange<'_>) -> Next {
        let edge = &self.door.edge;
        let turn = self.door.turns.try_acquire();
        let request = exchange.take_request();
        let standing = match (&turn, self.standing) {
            (Err(_), Standing::Invited) => Standing::TooMany,
            (_, standing) => standing,
        };
        let trace = TraceContext::root(&*edge.entropy, edge.config.trace_sample_ratio);
        let mut context = Box::new(RequestContext::new(trace, Instant::now()));
        context.peer = exchange.peer().address;
        context.is_tls = true;
        context.child = Some(Box::new(Child {
            caller: self.caller.clone(),
            is_ahead: request.headers.contains_key(&FETCHED_AHEAD),
            standing,
        }));
        let may_go_on = standing != Standing::Uninvited;
        let is_whole = serve(edge, &request, exchange, context).await;
        exchange.recycle(request);
        if is_whole && may_go_on {
            Next::KeepAlive
        } else {
            Next::Close
        }
    }

    /// Nothing is for anybody else.
    async fn delegate(&self, _delegation: Delegation) -> Option<Stream> {
        None
    }

    fn on_refused(&self, refusal: Refusal, _peer: &Peer) {
        self.door.metrics.refused(refusal);
    }

    fn fields(&self, head: &mut Head) {
        head.date(self.door.edge.clock.now_s());
        head.field(&SERVER, &HeaderValue::from_static(SERVER_NAME));
    }
}
