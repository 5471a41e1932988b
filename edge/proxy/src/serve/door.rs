//! Where connections come in: our own HTTP/1.1 loop and pingora's HTTP/2 sessions, both before the caching path; what is not
//! for it goes to pingora's proxy.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use http::HeaderValue;
use http::header::SERVER;
use mcsp_edge_h1::{
    Delegation, Exchange, H1Metrics, Handler, Head, Limits, Next, Peer, Refusal, serve_connection,
};
use mcsp_telemetry::TraceContext;
use pingora_core::apps::{HttpServerApp, HttpServerOptions, ReusedHttpStream, ServerApp as _};
use pingora_core::protocols::http::ServerSession;
use pingora_core::protocols::http::v2::server::{H2Options, default_h2_options};
use pingora_core::protocols::{ALPN, Stream};
use pingora_core::server::ShutdownWatch;
use pingora_proxy::HttpProxy;

use super::client_h2::H2Client;
use super::{is_for_cache, serve};
use crate::context::RequestContext;
use crate::edge::Edge;
use crate::lifecycle::EdgeProxy;
use crate::response::SERVER_NAME;

/// Bounds on connections from viewers.
#[derive(Debug, Clone)]
pub struct DoorConfig {
    /// HTTP/1.1.
    pub h1: Limits,
    /// Idle HTTP/2 connections are closed after this long.
    pub h2_idle_timeout: Duration,
    /// Requests at once on one HTTP/2 connection.
    pub h2_streams_max: u32,
}

/// Serves connections. All share one.
pub struct Door {
    edge: Arc<Edge>,
    proxy: Arc<HttpProxy<EdgeProxy>>,
    h1: Limits,
    h1_metrics: H1Metrics,
    server_options: HttpServerOptions,
    h2_options: H2Options,
    stop: ShutdownWatch,
}

impl Door {
    /// A door before `proxy`, which ends connections once `stop` shows true.
    #[must_use]
    pub fn new(
        edge: Arc<Edge>,
        proxy: HttpProxy<EdgeProxy>,
        config: DoorConfig,
        h1_metrics: H1Metrics,
        stop: ShutdownWatch,
    ) -> Arc<Self> {
        let mut server_options = HttpServerOptions::default();
        server_options.h2_idle_timeout = Some(config.h2_idle_timeout);
        let mut h2_options = default_h2_options();
        h2_options.max_concurrent_streams(config.h2_streams_max);
        Arc::new(Self {
            edge,
            proxy: Arc::new(proxy),
            h1: config.h1,
            h1_metrics,
            server_options,
            h2_options,
            stop,
        })
    }

    /// Serves one connection until it ends; a TLS handshake is over.
    pub async fn serve(self: &Arc<Self>, stream: Stream) {
        if matches!(stream.selected_alpn_proto(), Some(ALPN::H2)) {
            self.process_new(stream, &self.stop).await;
            return;
        }
        let closed = serve_connection(stream, &self.h1, self, self.stop.clone()).await;
        self.h1_metrics.closed(&closed);
    }

    /// The last of what runs is told that the node ends.
    pub async fn close(&self) {
        self.proxy.http_cleanup().await;
    }

    fn context(&self, peer: Option<SocketAddr>, is_tls: bool) -> RequestContext {
        let edge = &self.edge;
        let trace = TraceContext::root(&*edge.entropy, edge.config.trace_sample_ratio);
        let mut context = RequestContext::new(trace);
        context.peer = peer;
        context.is_tls = is_tls;
        context
    }
}

impl Handler for Door {
    async fn on_request(&self, exchange: &mut Exchange<'_>) -> Next {
        let (peer, is_tls) = (exchange.peer().address, exchange.peer().tls.is_some());
        let is_ours = !exchange.has_body()
            && !exchange.is_upgrade()
            && is_for_cache(&self.edge, exchange.request(), is_tls);
        if !is_ours {
            return Next::Delegate;
        }
        let request = exchange.take_request();
        let is_whole = serve(&self.edge, &request, exchange, self.context(peer, is_tls)).await;
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
        let reused = self.proxy.process_new_http(session, &self.stop).await?;
        Some(reused.consume().0)
    }

    fn on_refused(&self, refusal: Refusal, _peer: &Peer) {
        self.h1_metrics.refused(refusal);
    }

    fn fields(&self, head: &mut Head) {
        head.date(self.edge.clock.now_s());
        head.field(&SERVER, &HeaderValue::from_static(SERVER_NAME));
    }
}

#[async_trait]
impl HttpServerApp for Door {
    /// HTTP/2 streams.
    async fn process_new_http(
        self: &Arc<Self>,
        session: ServerSession,
        shutdown: &ShutdownWatch,
    ) -> Option<ReusedHttpStream> {
        let ServerSession::H2(mut session) = session else {
            return self.proxy.process_new_http(session, shutdown).await;
        };
        let is_tls = session
            .digest()
            .is_some_and(|digest| digest.ssl_digest.is_some());
        let is_ours = session.is_body_empty()
            && is_for_cache(&self.edge, session.req_header().as_ref(), is_tls);
        if !is_ours {
            let session = ServerSession::new_http2(session);
            return self.proxy.process_new_http(session, shutdown).await;
        }
        let peer = session
            .client_addr()
            .and_then(|address| address.as_inet().copied());
        let timeout_ms = self.edge.config.limits.client_write_timeout_ms;
        session.set_write_timeout(Some(Duration::from_millis(timeout_ms)));
        let request = session.req_header().as_owned_parts();
        let context = self.context(peer, is_tls);
        let mut client = H2Client::new(session);
        if !serve(&self.edge, &request, &mut client, context).await {
            // The client sees that it is not whole.
            client.session().shutdown();
        }
        None
    }

    fn h2_options(&self) -> Option<H2Options> {
        Some(self.h2_options.clone())
    }

    fn server_options(&self) -> Option<&HttpServerOptions> {
        Some(&self.server_options)
    }
}
