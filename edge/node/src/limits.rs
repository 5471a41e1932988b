//! What keeps the limits true beside the requests: the node's look at itself, its word with the PoP's other nodes, and an
//! operator's.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use mcsp_edge_limits::{Exchange, Gossip, Limits, Probe};
use mcsp_runtime::Shutdown;
use mcsp_telemetry::registry;
use prometheus::{IntCounterVec, Opts, Registry};
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::boot::{BootError, Membership, Prepared};
use crate::config::NodeConfig;

/// Ready to run.
pub(crate) struct Limiting {
    probe: Probe,
    gossip: Option<(Gossip, Option<TcpListener>)>,
    /// Where the PoP's other nodes tell what they admitted.
    pub(crate) address: Option<SocketAddr>,
}

impl Limiting {
    /// Binds where the configuration says so.
    pub(crate) async fn bind(prepared: &Prepared) -> Result<Self, BootError> {
        let limits = Arc::clone(&prepared.limits);
        let probe = Probe::new(limits, Arc::clone(&prepared.clock), registry())?;
        let listener = listener(prepared).await?;
        let bound = listener.as_ref().map(TcpListener::local_addr).transpose();
        let address = bound.map_err(|source| BootError::io("limits.exchange.listen", source))?;
        let gossip = match &prepared.membership {
            Some(membership) => gossip(prepared, membership)?,
            None => None,
        };
        Ok(Self {
            probe,
            gossip: gossip.map(|gossip| (gossip, listener)),
            address,
        })
    }

    /// Starts it.
    pub(crate) fn spawn(self, shutdown: &Shutdown) {
        tokio::spawn(self.probe.run(shutdown.clone()));
        if let Some((gossip, listener)) = self.gossip {
            tokio::spawn(gossip.run(listener, shutdown.clone()));
        }
    }
}

async fn listener(prepared: &Prepared) -> Result<Option<TcpListener>, BootError> {
    let Some(address) = prepared.config.limits.exchange.listen else {
        return Ok(None);
    };
    let bound = TcpListener::bind(address).await;
    let fault = |source| BootError::io(format!("limits.exchange.listen {address}"), source);
    bound.map(Some).map_err(fault)
}

/// Absent where the node is to speak to nobody.
fn gossip(prepared: &Prepared, membership: &Membership) -> Result<Option<Gossip>, BootError> {
    let config = &prepared.config;
    let settings = &config.limits.exchange;
    if settings.listen.is_none() && settings.peers.is_empty() {
        return Ok(None);
    }
    let exchange = Exchange::new(
        Arc::clone(&prepared.limits.limiter),
        &config.node,
        settings.stale_ms,
        Arc::clone(&prepared.clock),
        registry(),
    )?;
    let identity = &membership.identity;
    // All nodes of a PoP bear its name.
    let name = identity.spiffe_id().dns_name();
    let gossip = Gossip::new(
        Arc::new(exchange),
        identity,
        &name,
        &settings.peers,
        Duration::from_millis(settings.interval_ms),
        Duration::from_millis(settings.stale_ms),
    )?;
    Ok(Some(gossip))
}

/// Reads the limits again, when an operator says so.
#[derive(Debug)]
pub(crate) struct LimitReloads {
    file: PathBuf,
    limits: Arc<Limits>,
    loads: IntCounterVec,
}

/// What came of it.
#[derive(Debug, Serialize)]
struct Reloaded {
    /// Keys of `[limits]` that differ from what the node was started with and take a restart.
    takes_a_restart: Vec<&'static str>,
}

impl LimitReloads {
    pub(crate) fn new(
        file: &Path,
        limits: &Arc<Limits>,
        registry: &Registry,
    ) -> Result<Arc<Self>, prometheus::Error> {
        let loads = IntCounterVec::new(
            Opts::new(
                "mcsp_edge_limits_loads_total",
                "Limits that were read again: loaded, refused.",
            ),
            &["outcome"],
        )?;
        registry.register(Box::new(loads.clone()))?;
        for outcome in ["loaded", "refused"] {
            loads.with_label_values(&[outcome]);
        }
        Ok(Arc::new(Self {
            file: file.to_owned(),
            limits: Arc::clone(limits),
            loads,
        }))
    }

    /// Reads the whole file, since a mistake anywhere in it is a mistake, and puts its limits in force. Blocks for a moment.
    fn load(&self) -> Result<Reloaded, BootError> {
        let loaded = self.try_load();
        match &loaded {
            Ok(reloaded) => {
                self.loads.with_label_values(&["loaded"]).inc();
                let takes_a_restart = reloaded.takes_a_restart.join(", ");
                tracing::info!(takes_a_restart, "limits are in force");
            }
            Err(error) => {
                self.loads.with_label_values(&["refused"]).inc();
                tracing::error!(
                    alert = "limits-refused",
                    %error,
                    "limits are not used; those before stay in force"
                );
            }
        }
        loaded
    }

    fn try_load(&self) -> Result<Reloaded, BootError> {
        let config = NodeConfig::load(&self.file)?;
        config.validate()?;
        let takes_a_restart = self.limits.reload(&config.limits)?;
        Ok(Reloaded { takes_a_restart })
    }

    /// Loads them again at each SIGHUP.
    pub(crate) fn spawn(self: &Arc<Self>, shutdown: &Shutdown) -> Result<(), BootError> {
        let mut hangups = signal(SignalKind::hangup())
            .map_err(|source| BootError::io("signal handlers", source))?;
        let (reloads, shutdown) = (Arc::clone(self), shutdown.clone());
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    received = hangups.recv() => if received.is_none() {
                        return;
                    },
                    () = shutdown.wait() => return,
                }
                // What comes of it has been told.
                let loading = Arc::clone(&reloads);
                drop(tokio::task::spawn_blocking(move || loading.load()).await);
            }
        });
        Ok(())
    }

    /// `POST /limits/reload`.
    pub(crate) fn router(self: Arc<Self>) -> Router {
        Router::new()
            .route("/limits/reload", post(reload))
            .with_state(self)
    }
}

/// 200 with what takes a restart, or 422 with what is wrong; then the limits before stay in force.
async fn reload(
    State(reloads): State<Arc<LimitReloads>>,
) -> Result<Json<Reloaded>, (StatusCode, String)> {
    match tokio::task::spawn_blocking(move || reloads.load()).await {
        Ok(Ok(reloaded)) => Ok(Json(reloaded)),
        Ok(Err(error)) => Err((StatusCode::UNPROCESSABLE_ENTITY, format!("{error}\n"))),
        Err(error) => Err((StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n"))),
    }
}
