//! Asks upstreams: whom first, whom next, and for how long.

use std::sync::Arc;
use std::time::Duration;

use mcsp_runtime::SharedClock;
use pingora_core::connectors::http::v2::Connector;
use pingora_core::connectors::{ConnectorOptions, TransportConnector};
use prometheus::Registry;
use thiserror::Error;
use tokio::time::Instant;

use crate::asking::Asked;
use crate::connection::OnInterim;
use crate::error::{FetchError, FetchErrorKind};
use crate::exchange::Exchange;
use crate::metrics::FetchMetrics;
use crate::response::Ongoing;
use crate::{FetchConfig, FetchConfigError, FetchRequest, Response, Target};

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
    pub(crate) shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub(crate) config: FetchConfig,
    pub(crate) metrics: FetchMetrics,
    pub(crate) connector: Connector,
    pub(crate) clock: SharedClock,
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
        let keep = Some(Duration::from_millis(self.config.keep_ms));
        match exchange {
            Exchange::Http1 {
                connection,
                reuse_hash,
            } => {
                if let Some(stream) = connection.into_reusable() {
                    self.transport().release_stream(stream, reuse_hash, keep);
                }
            }
            Exchange::Http2(stream) => {
                let (session, peer) = stream.into_parts();
                self.connector.release_http_session(session, &peer, keep);
            }
        }
    }

    /// When a request that is made now must be over.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let timeout_ms = self.config.total_timeout_ms;
        (timeout_ms > 0).then(|| Instant::now() + Duration::from_millis(timeout_ms))
    }

    /// Connections of HTTP/1, and what those of HTTP/2 are made with.
    pub(crate) fn transport(&self) -> &TransportConnector {
        self.connector.transport()
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
        let connector = Connector::new(Some(ConnectorOptions::new(config.idle_connections_max)));
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
        let deadline = shared.deadline();
        let patience = Duration::from_millis(config.turn_timeout_ms);
        let Some(turn) = target.pool().gate().turn(patience).await else {
            let error = FetchError::new(FetchErrorKind::Overloaded);
            shared.metrics.failed(&error);
            return Err(error);
        };
        target.pool().look_up_if_due();
        let mut tried = places_to_avoid(request, target);
        let mut error = FetchError::new(FetchErrorKind::NoAddress);
        for nth in 1..=config.tries_max {
            let Some(lease) = target.pool().lease(&tried) else {
                break;
            };
            tried.push(lease.place());
            if nth > 1 {
                shared.metrics.retries.inc();
            }
            let asked = Asked {
                shared,
                request,
                target,
                lease: &lease,
                deadline,
            };
            let tried_one = Box::pin(asked.ask(on_interim)).await;
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
                        shared.release(exchange);
                        continue;
                    }
                    let ongoing = Ongoing::new(exchange, lease, turn, Arc::clone(shared));
                    return Ok(Response::new(begun, ongoing, deadline));
                }
                Err(failed) => {
                    lease.failed();
                    error = failed.at(Some(lease.socket()));
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
}

/// The places of the addresses that the request would leave out, unless they are all there is.
fn places_to_avoid(request: &FetchRequest, target: &Target) -> Vec<usize> {
    let pool = target.pool();
    let places = pool.places(|address| request.avoid.contains(&address.socket));
    if pool.has_another(&places) {
        places
    } else {
        Vec::new()
    }
}
