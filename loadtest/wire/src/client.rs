//! One user's connections.

use std::net::IpAddr;
use std::sync::Arc;

use mcsp_loadtest_scenario::HttpVersion;
use tokio::time::timeout_at;
use tokio_rustls::TlsConnector;
use url::Url;

use crate::connect::Stream;
use crate::failure::{Failure, FailureKind};
use crate::h1::{Exchange, H1, Sink};
use crate::h2::H2;
use crate::link::{Link, Shaped};
use crate::network::{Network, Origin};
use crate::request::{Answer, Request, Times};

/// Connections that a user keeps: one to the API, one to the PoP that plays.
const KEPT_MAX: usize = 2;

enum Connection {
    H1(H1),
    H2(H2),
}

/// One user's connections. One exchange at a time; dropped in the middle of one, its connection is closed.
pub struct Client {
    network: Arc<Network>,
    version: HttpVersion,
    source: Option<IpAddr>,
    link: Link,
    /// The last one was used last.
    kept: Vec<(Origin, Connection)>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Client")
            .field("version", &self.version)
            .field("source", &self.source)
            .field("kept", &self.kept.len())
            .finish_non_exhaustive()
    }
}

impl Client {
    /// A user that connects from `source`, when given, over `link`. With TLS, a user of HTTP/2 takes what the node offers, as
    /// browsers do; without, it speaks HTTP/2 at once (RFC 9113 section 3.3).
    #[must_use]
    pub fn new(
        network: Arc<Network>,
        version: HttpVersion,
        source: Option<IpAddr>,
        link: Link,
    ) -> Self {
        Self {
            network,
            version,
            source,
            link,
            kept: Vec::new(),
        }
    }

    /// What all users share.
    #[must_use]
    pub fn network(&self) -> &Arc<Network> {
        &self.network
    }

    /// Sends a request; its answer's body goes to `sink`, piece by piece. Redirects are answers.
    ///
    /// # Errors
    /// When there is no whole answer; what came of the body has gone to `sink` nevertheless.
    pub async fn send(
        &mut self,
        request: &Request<'_>,
        sink: &mut (dyn FnMut(&[u8]) + Send),
    ) -> Result<Answer, Box<Failure>> {
        let mut times = Times {
            started_us: self.network.clock.now_us(),
            ..Times::default()
        };
        // Boxed, as its state is far larger than an idle user.
        let outcome = Box::pin(self.attempt(request, &mut times, sink)).await;
        outcome.map_err(|mut failure| {
            times.last_byte_us = self.network.clock.now_us();
            failure.times = times;
            failure
        })
    }

    async fn attempt(
        &mut self,
        request: &Request<'_>,
        times: &mut Times,
        sink: Sink<'_>,
    ) -> Result<Answer, Box<Failure>> {
        let kept = self.take_kept(request.url);
        if let Some((origin, connection)) = kept {
            let outcome = self
                .exchange(origin, connection, request, times, &mut *sink)
                .await;
            // A connection that the node closed while it was idle says nothing about the node (RFC 9110 section 9.2.2).
            let is_stale = matches!(&outcome, Err(failure)
                if failure.kind == FailureKind::Reset && times.first_byte_us == 0);
            if !is_stale || !request.is_idempotent() {
                return outcome;
            }
        }
        let origin = Origin::of(request.url)?;
        let connection = self.open(&origin, request, times).await?;
        self.exchange(origin, connection, request, times, sink)
            .await
    }

    fn take_kept(&mut self, url: &Url) -> Option<(Origin, Connection)> {
        self.kept.retain(|(_, connection)| match connection {
            Connection::H1(_) => true,
            Connection::H2(h2) => h2.is_open(),
        });
        let index = self.kept.iter().position(|(origin, _)| origin.is_of(url))?;
        Some(self.kept.remove(index))
    }

    async fn exchange(
        &mut self,
        origin: Origin,
        mut connection: Connection,
        request: &Request<'_>,
        times: &mut Times,
        sink: Sink<'_>,
    ) -> Result<Answer, Box<Failure>> {
        let exchange = Exchange {
            network: &self.network,
            origin: &origin,
            request,
            link: &self.link,
        };
        let outcome = match &mut connection {
            Connection::H1(h1) => h1.exchange(&exchange, times, sink).await,
            Connection::H2(h2) => h2.exchange(&exchange, times, sink).await,
        };
        let (answer, is_kept) = outcome?;
        if is_kept {
            if self.kept.len() >= KEPT_MAX {
                self.kept.remove(0);
            }
            self.kept.push((origin, connection));
        }
        Ok(answer)
    }

    async fn open(
        &mut self,
        origin: &Origin,
        request: &Request<'_>,
        times: &mut Times,
    ) -> Result<Connection, Box<Failure>> {
        let network = &self.network;
        let limits = network.limits;
        let addresses = network.addresses(origin).await?;
        let clock = &network.clock;
        let mut until = tokio::time::Instant::now() + limits.connect_timeout;
        if let Some(deadline) = request.deadline {
            until = until.min(deadline);
        }
        let begun_us = clock.now_us();
        let connecting = timeout_at(until, network.connect(self.source, &addresses));
        let (io, address) = connecting.await.map_err(|_| {
            Failure::new(
                FailureKind::ConnectTimeout,
                format!("{}: no connection in time", origin.authority()),
            )
        })??;
        let connected_us = clock.now_us();
        times.connect_us = Some(connected_us - begun_us);
        let shaped = Shaped::new(io, self.link.clone());
        let wants_h2 = self.version == HttpVersion::H2;
        let (stream, is_h2) = if origin.is_tls {
            let config = if wants_h2 {
                &network.tls.h2
            } else {
                &network.tls.h1
            };
            let connector = TlsConnector::from(Arc::clone(config));
            let tls = timeout_at(until, connector.connect(origin.server_name()?, shaped))
                .await
                .map_err(|_| {
                    Failure::new(
                        FailureKind::ConnectTimeout,
                        format!("{address}: no TLS in time"),
                    )
                })?
                .map_err(|error| Failure::new(FailureKind::Tls, format!("{address}: {error}")))?;
            times.tls_us = Some(clock.now_us() - connected_us);
            let is_h2 = tls.get_ref().1.alpn_protocol() == Some(b"h2");
            (Stream::Tls(Box::new(tls)), is_h2)
        } else {
            (Stream::Plain(shaped), wants_h2)
        };
        if is_h2 {
            return Ok(Connection::H2(H2::handshake(stream, limits).await?));
        }
        Ok(Connection::H1(H1::new(stream)))
    }
}
