//! Where connections come in: our own loops for HTTP/1.1 and HTTP/2, both before the caching path; what is not
//! for it goes to pingora's proxy.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::HeaderValue;
use http::header::SERVER;
use http::request::Parts;
use mcsp_edge_fingerprint::Ja4;
use mcsp_edge_h1::{
    Closed, Delegation, Exchange, H1Metrics, Handler, Head, Limits, Next, Oddity, Peer, Refusal,
    SentLine, serve_connection,
};
use mcsp_edge_h2 as h2;
use mcsp_edge_limits::{FrameMeter, FramesConfig, Turns};
use mcsp_edge_policy::date::http_date_value;
use mcsp_telemetry::TraceContext;
use pingora_core::apps::HttpServerApp as _;
use pingora_core::protocols::http::ServerSession;
use pingora_core::protocols::{ALPN, Stream};
use pingora_core::server::ShutdownWatch;
use pingora_proxy::HttpProxy;

use super::client_h2::H2Client;
use super::{is_for_cache, serve};
use crate::context::RequestContext;
use crate::edge::Edge;
use crate::lifecycle::EdgeProxy;
use crate::response::SERVER_NAME;
use crate::stage::plain_route;
use crate::visitor::{Visitor, has_sent};
use crate::waf;

/// Bounds on connections from viewers.
#[derive(Debug, Clone)]
pub struct DoorConfig {
    /// HTTP/1.1.
    pub h1: Limits,
    /// Idle HTTP/2 connections are closed after this long.
    pub h2_idle_timeout: Duration,
    /// Requests at once on one HTTP/2 connection.
    pub h2_streams_max: u32,
    /// What HTTP/2 connections may send that costs nothing.
    pub h2_frames: FramesConfig,
}

/// Serves connections. All share one.
pub struct Door {
    edge: Arc<Edge>,
    proxy: Arc<HttpProxy<EdgeProxy>>,
    h1: Limits,
    h1_metrics: H1Metrics,
    h2: h2::Limits,
    h2_metrics: h2::H2Metrics,
    /// Requests that are passed on, which cost many times what a hit does, and connections that end, of which there may be thousands
    /// at once.
    turns: Arc<Turns>,
    stop: ShutdownWatch,
}

impl Door {
    /// A door before `proxy`, which ends connections once `stop` shows true. What is passed on takes its turns among `turns`.
    #[must_use]
    pub fn new(
        edge: Arc<Edge>,
        proxy: HttpProxy<EdgeProxy>,
        config: DoorConfig,
        h1_metrics: H1Metrics,
        h2_metrics: h2::H2Metrics,
        turns: Arc<Turns>,
        stop: ShutdownWatch,
    ) -> Arc<Self> {
        let h2 = h2::Limits {
            streams_max: config.h2_streams_max,
            idle_timeout: config.h2_idle_timeout,
            preface_timeout: Duration::from_millis(config.h1.head_timeout_ms),
            write_timeout: Duration::from_millis(edge.config.limits.client_write_timeout_ms),
            fields_bytes_max: config.h2_frames.header_list_bytes_max,
            pending_resets_max: config.h2_frames.pending_resets_max as usize,
            error_resets_max: config.h2_frames.error_resets_max as usize,
            drain_bytes_s_min: config.h1.drain_bytes_s_min,
        };
        // Bodies are read by the proxy, and by its clock.
        let body_timeout_ms = edge.config.limits.client_read_timeout_ms;
        let h1 = Limits {
            body_timeout_ms: config.h1.body_timeout_ms.min(body_timeout_ms),
            ..config.h1
        };
        Arc::new(Self {
            edge,
            proxy: Arc::new(proxy),
            h1,
            h1_metrics,
            h2,
            h2_metrics,
            turns,
            stop,
        })
    }

    /// Serves one connection until it ends; a TLS handshake, of which `ja4` tells, is over.
    pub async fn serve(self: &Arc<Self>, stream: Stream, ja4: Option<Ja4>) {
        let client = client_of(&stream);
        let guest = Arc::new(Guest {
            visitor: self.visitor(&stream, client, ja4),
            client,
            door: Arc::clone(self),
        });
        if matches!(stream.selected_alpn_proto(), Some(ALPN::H2)) {
            let serving = h2::serve_connection(stream, &self.h2, &guest, self.stop.clone());
            let closed = Box::pin(serving).await;
            self.h2_metrics.closed(&closed);
            return;
        }
        let closed = serve_connection(stream, &self.h1, &guest, self.stop.clone()).await;
        self.h1_metrics.closed(&closed);
    }

    /// What the connection tells of its client: looked up once.
    fn visitor(&self, stream: &Stream, client: Option<IpAddr>, ja4: Option<Ja4>) -> Visitor {
        let signals = self.edge.networks.signals(ja4, client);
        self.edge
            .metrics
            .visits
            .with_label_values(&[signals.network_label()])
            .inc();
        Visitor {
            signals,
            alpn: stream.selected_alpn_proto().map(|protocol| match protocol {
                ALPN::H2 => &b"h2"[..],
                _ => b"http/1.1",
            }),
        }
    }

    /// Has pingora answer a request over HTTP/2.
    async fn lend(&self, exchange: h2::Exchange, visitor: Visitor) {
        let client = exchange.peer().address.map(|peer| peer.ip());
        let date = http_date_value(self.edge.clock.now_ms());
        let lent = h2::Lent::new(exchange, date);
        let session = ServerSession::new_custom(Box::new(lent));
        let work = self.proxy.process_new_http(session, &self.stop);
        self.turns.all_of(client, visitor.has(work)).await;
    }

    /// The last of what runs is told that the node ends.
    pub async fn close(&self) {
        self.proxy.http_cleanup().await;
    }
}

/// Whose connection it is.
fn client_of(stream: &Stream) -> Option<IpAddr> {
    let digest = stream.get_socket_digest()?;
    digest.peer_addr()?.as_inet().map(SocketAddr::ip)
}

/// Serves one connection, whose client it knows.
struct Guest {
    door: Arc<Door>,
    visitor: Visitor,
    client: Option<IpAddr>,
}

impl Guest {
    fn context(
        &self,
        started: Instant,
        peer: Option<SocketAddr>,
        is_tls: bool,
    ) -> Box<RequestContext> {
        let edge = &self.door.edge;
        let trace = TraceContext::root(&*edge.entropy, edge.config.trace_sample_ratio);
        // Made where it lies.
        let mut context = Box::write(Box::new_uninit(), RequestContext::new(trace, started));
        context.peer = peer;
        context.is_tls = is_tls;
        context.visitor = self.visitor;
        context
    }
}

impl Handler for Guest {
    async fn on_request(&self, exchange: &mut Exchange<'_>) -> Next {
        let (peer, is_tls) = (exchange.peer().address, exchange.peer().tls.is_some());
        let sent = exchange.request().extensions.get::<SentLine>();
        let is_odd = sent.is_some_and(|sent| sent.oddity.is_some());
        let is_ours = !exchange.has_body()
            && !exchange.is_upgrade()
            && !is_odd
            && is_for_cache(&self.door.edge, exchange.request(), is_tls);
        if !is_ours {
            return Next::Delegate;
        }
        let request = exchange.take_request();
        let is_whole = serve(
            &self.door.edge,
            &request,
            exchange,
            self.context(exchange.arrived().into_std(), peer, is_tls),
        )
        .await;
        exchange.recycle(request);
        if is_whole {
            Next::KeepAlive
        } else {
            Next::Close
        }
    }

    async fn delegate(&self, delegation: Delegation) -> Option<Stream> {
        let mut session = ServerSession::new_http1(delegation.stream);
        if delegation.is_last {
            session.set_keepalive_reuses_remaining(Some(0));
        }
        let work = self.door.proxy.process_new_http(session, &self.door.stop);
        let work = Box::pin(self.visitor.has(has_sent(delegation.sent_line, work)));
        let reused = self.door.turns.all_of(self.client, work).await?;
        Some(reused.consume().0)
    }

    async fn end(&self, end: impl Future<Output = Closed> + Send) -> Closed {
        self.door.turns.all_of(self.client, end).await
    }

    fn on_refused(&self, refusal: Refusal, _peer: &Peer) {
        self.door.h1_metrics.refused(refusal);
    }

    fn on_refused_head(&self, head: &[u8], peer: &Peer) {
        let edge = &self.door.edge;
        if let Some(firewall) = &edge.firewall {
            let is_tls = peer.tls.is_some();
            waf::see_refused(edge, firewall, head, peer.address, is_tls, &self.visitor);
        }
    }

    fn may_take(&self, oddity: Oddity) -> bool {
        self.door.edge.routes.any_takes(oddity)
    }

    fn takes(&self, oddity: Oddity, request: &Parts, peer: &Peer) -> bool {
        let plain = plain_route(&self.door.edge, request, peer.tls.is_some());
        plain.is_some_and(|plain| plain.route.takes(oddity))
    }

    fn fields(&self, head: &mut Head) {
        head.date(self.door.edge.clock.now_s());
        head.field(&SERVER, &HeaderValue::from_static(SERVER_NAME));
    }
}

impl h2::Handler for Guest {
    async fn on_request(self: Arc<Self>, mut exchange: h2::Exchange) {
        let (peer, is_tls) = (exchange.peer().address, exchange.peer().is_tls);
        // It was told often enough, and other streams of the connection may be good.
        if peer.is_some_and(|peer| self.door.edge.limits.limiter.is_unwelcome(peer)) {
            return exchange.cut();
        }
        let is_ours =
            !exchange.has_body() && is_for_cache(&self.door.edge, exchange.request(), is_tls);
        if !is_ours {
            // Far larger than what a hit needs.
            return Box::pin(self.door.lend(exchange, self.visitor)).await;
        }
        let request = exchange.take_request();
        let context = self.context(Instant::now(), peer, is_tls);
        let mut client = H2Client::new(exchange);
        if !serve(&self.door.edge, &request, &mut client, context).await {
            client.cut();
        }
    }

    fn on_refused_request(&self, request: &Parts, peer: &h2::Peer) {
        let edge = &self.door.edge;
        if let Some(firewall) = &edge.firewall {
            let (address, is_tls) = (peer.address, peer.is_tls);
            waf::see_refused_request(edge, firewall, request, address, is_tls, &self.visitor);
        }
    }

    fn on_malformed(&self, why: &'static str, peer: &h2::Peer) {
        let edge = &self.door.edge;
        if let Some(firewall) = &edge.firewall {
            waf::tell_malformed(edge, firewall, why, peer.address);
        }
    }

    fn on_refused(&self, refusal: h2::Refusal, _peer: &h2::Peer) {
        self.door.h2_metrics.refused(refusal);
    }

    async fn end(
        &self,
        reason: h2::CloseReason,
        end: impl Future<Output = h2::Closed> + Send,
    ) -> h2::Closed {
        // Before its turn comes: those with whom it comes back meanwhile are to pay already.
        match reason {
            h2::CloseReason::Flood(flood) => self.door.edge.limits.flooded(flood, self.client),
            h2::CloseReason::Excess => self.door.edge.limits.abused(self.client),
            _ => {}
        }
        self.door.turns.all_of(self.client, end).await
    }

    fn frame_meter(&self) -> Option<FrameMeter> {
        Some(self.door.edge.limits.frame_meter())
    }
}
