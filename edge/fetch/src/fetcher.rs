//! Asks upstreams: whom first, whom next, and for how long.

use std::sync::Arc;
use std::time::Duration;

use http::response::Parts;
use mcsp_runtime::SharedClock;
use pingora_core::connectors::{ConnectorOptions, TransportConnector};
use pingora_core::protocols::Stream;
use pingora_core::upstreams::peer::{HttpPeer, Peer};
use prometheus::Registry;
use thiserror::Error;
use tokio::time::Instant;

use crate::connection::{Connection, HeadLimits, OnInterim};
use crate::error::{FetchError, FetchErrorKind};
use crate::exchange::Exchange;
use crate::metrics::FetchMetrics;
use crate::response::{Begun, Ongoing};
use crate::{
    BodyLength, FetchConfig, FetchConfigError, FetchRequest, Lease, PeerTimeouts, Response, Target,
};

/// Why there is no fetcher.
#[derive(Debug, Error)]
pub enum FetcherError {
    /// A value cannot be used.
    #[error("{0}")]
    Config(#[from] FetchConfigError),
    /// The metrics are registered already.
    #[error("fetch metrics: {0}")]
    Metrics(#[from] prometheus::Error),
}

/// Asks upstreams, on connections that all requests share. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Fetcher {
    shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub(crate) config: FetchConfig,
    pub(crate) metrics: FetchMetrics,
    connector: TransportConnector,
    clock: SharedClock,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

impl Shared {
    /// Keeps the exchange's connection for the next request, if it may be used again.
    pub(crate) fn release(&self, exchange: Exchange) {
        if let Some(stream) = exchange.connection.into_reusable() {
            let keep = Duration::from_millis(self.config.keep_ms);
            self.connector
                .release_stream(stream, exchange.reuse_hash, Some(keep));
        }
    }
}

impl Fetcher {
    /// A fetcher with no connections yet. Reads the platform's certificate authorities, so it blocks.
    ///
    /// # Errors
    /// When a value of `config` cannot be used, or `registry` has a fetcher's metrics already.
    pub fn new(
        config: FetchConfig,
        clock: SharedClock,
        registry: &Registry,
    ) -> Result<Self, FetcherError> {
        config.validate()?;
        let connector =
            TransportConnector::new(Some(ConnectorOptions::new(config.idle_connections_max)));
        Ok(Self {
            shared: Arc::new(Shared {
                metrics: FetchMetrics::register(registry)?,
                config,
                connector,
                clock,
            }),
        })
    }

    /// The answer of one of `target`'s addresses, once its head is here; `on_interim` is called with each 1xx before it.
    ///
    /// Addresses are tried one after the other, at most `tries_max`, while no head came and the request may be made
    /// again: it certainly was not received, or its method is idempotent (RFC 9110 section 9.2.2). A kept connection
    /// that turns out to be closed is replaced by a new one to the same address, without counting as a try. Any status
    /// is an answer; where the target says so, 502, 503 and 504 are passed over while another address is left.
    ///
    /// # Errors
    /// Of the last try.
    pub async fn fetch(
        &self,
        request: &FetchRequest,
        target: &Target,
        on_interim: OnInterim<'_>,
    ) -> Result<Response, FetchError> {
        let shared = &self.shared;
        let config = &shared.config;
        let deadline = (config.total_timeout_ms > 0)
            .then(|| Instant::now() + Duration::from_millis(config.total_timeout_ms));
        let patience = Duration::from_millis(config.turn_timeout_ms);
        let Some(turn) = target.pool().gate().turn(patience).await else {
            let error = FetchError::new(FetchErrorKind::Overloaded);
            shared.metrics.failed(&error);
            return Err(error);
        };
        let mut tried = places_to_avoid(request, target);
        let mut error = FetchError::new(FetchErrorKind::NoAddress);
        for nth in 1..=config.tries_max {
            let Some(lease) = target.lease(request.shard, &tried) else {
                break;
            };
            tried.push(lease.place());
            if nth > 1 {
                shared.metrics.retries.inc();
            }
            let asked = Asked {
                request,
                target,
                deadline,
            };
            let tried_one = Box::pin(self.ask(&asked, &lease, on_interim)).await;
            let may_ask_another = nth < config.tries_max && target.pool().has_another(&tried);
            match tried_one {
                Ok((begun, exchange)) => {
                    let is_away = matches!(begun.head.status.as_u16(), 502..=504);
                    if !is_away {
                        lease.succeeded();
                    } else if target.asks_elsewhere_when_away()
                        && request.method.is_safe()
                        && may_ask_another
                    {
                        lease.failed();
                        continue;
                    }
                    let ongoing = Ongoing {
                        exchange,
                        lease,
                        turn,
                    };
                    return Ok(Response::new(begun, ongoing, Arc::clone(shared), deadline));
                }
                Err(failed) => {
                    lease.failed();
                    error = failed.at(lease.socket());
                    shared.metrics.failed(&error);
                    let is_over = error.kind == FetchErrorKind::TotalTimeout;
                    if is_over || !(error.is_unsent() || request.method.is_idempotent()) {
                        break;
                    }
                }
            }
        }
        Err(error)
    }

    /// Asks one address; a kept connection first.
    async fn ask(
        &self,
        asked: &Asked<'_>,
        lease: &Lease,
        on_interim: OnInterim<'_>,
    ) -> Result<(Begun, Exchange), FetchError> {
        let shared = &self.shared;
        let Some(peer) = asked.target.peer(lease, &shared.peer_timeouts()) else {
            return Err(FetchError::new(FetchErrorKind::NoAddress));
        };
        if let Some(stream) = shared.connector.reused_stream(&peer).await {
            shared.metrics.connected(true);
            let mut connection = Connection::new(stream);
            match self
                .converse(asked, lease, &mut connection, on_interim)
                .await
            {
                // Closed as we took it up: no fault of the address.
                Err(error)
                    if error.kind == FetchErrorKind::Reset
                        && !connection.has_received()
                        && asked.request.method.is_idempotent() =>
                {
                    shared.metrics.retries.inc();
                }
                result => return result.map(|begun| (begun, exchange(connection, &peer))),
            }
        }
        let mut connection = Connection::new(self.connect(&peer, asked.deadline).await?);
        shared.metrics.connected(false);
        let begun = self
            .converse(asked, lease, &mut connection, on_interim)
            .await?;
        Ok((begun, exchange(connection, &peer)))
    }

    async fn connect(
        &self,
        peer: &HttpPeer,
        deadline: Option<Instant>,
    ) -> Result<Stream, FetchError> {
        let connect = Box::pin(self.shared.connector.new_stream(peer));
        let connected = match deadline {
            None => connect.await,
            Some(deadline) => tokio::time::timeout_at(deadline, connect)
                .await
                .map_err(|_| FetchError::new(FetchErrorKind::TotalTimeout))?,
        };
        connected.map_err(FetchError::connect)
    }

    /// Sends the request and reads the head.
    async fn converse(
        &self,
        asked: &Asked<'_>,
        lease: &Lease,
        connection: &mut Connection<Stream>,
        on_interim: OnInterim<'_>,
    ) -> Result<Begun, FetchError> {
        let shared = &self.shared;
        let config = &shared.config;
        let limits = HeadLimits {
            bytes_max: config.head_bytes_max,
            fields_max: config.head_fields_max,
            interim_max: config.interim_max,
        };
        let wire = asked.request.to_wire(lease.pool().server_name());
        let requested_ms = shared.clock.now_ms();
        let started = Instant::now();
        let conversation = async {
            connection.send(&wire).await?;
            connection
                .read_head(&asked.request.method, limits, on_interim)
                .await
        };
        let (until, kind) = match (
            started + Duration::from_millis(config.head_timeout_ms),
            asked.deadline,
        ) {
            (until, Some(deadline)) if deadline < until => (deadline, FetchErrorKind::TotalTimeout),
            (until, _) => (until, FetchErrorKind::HeadTimeout),
        };
        let (head, length): (Parts, BodyLength) = tokio::time::timeout_at(until, conversation)
            .await
            .map_err(|_| FetchError::new(kind))??;
        shared
            .metrics
            .head_seconds
            .observe(started.elapsed().as_secs_f64());
        Ok(Begun {
            head,
            length,
            requested_ms,
            responded_ms: shared.clock.now_ms(),
        })
    }
}

/// What stays the same from try to try.
struct Asked<'a> {
    request: &'a FetchRequest,
    target: &'a Target,
    deadline: Option<Instant>,
}

impl Shared {
    fn peer_timeouts(&self) -> PeerTimeouts {
        PeerTimeouts {
            connect_ms: self.config.connect_timeout_ms,
            read_ms: self.config.idle_timeout_ms,
            write_ms: self.config.head_timeout_ms,
            idle_ms: self.config.keep_ms,
        }
    }
}

fn exchange(connection: Connection<Stream>, peer: &HttpPeer) -> Exchange {
    Exchange {
        connection,
        reuse_hash: peer.reuse_hash(),
    }
}

/// The places of the addresses that the request would leave out, unless they are all there is.
fn places_to_avoid(request: &FetchRequest, target: &Target) -> Vec<usize> {
    let places: Vec<usize> = target
        .pool()
        .addresses()
        .enumerate()
        .filter(|(_, address)| request.avoid.contains(address))
        .map(|(place, _)| place)
        .collect();
    if target.pool().has_another(&places) {
        places
    } else {
        Vec::new()
    }
}
