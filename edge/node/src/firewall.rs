//! The firewall's rules beside the requests: loaded before the first viewer, and again when an operator says so.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use mcsp_edge_proxy::{Firewall, FirewallState};
use mcsp_runtime::Shutdown;
use tokio::signal::unix::{SignalKind, signal};

use crate::boot::{BootError, Prepared};

/// Opens the audit file and loads the rules. A mistake in these is told, and requests pass without inspection until it is mended.
pub(crate) async fn start(prepared: &Prepared) -> Result<(), BootError> {
    let Some(firewall) = prepared.firewall.clone() else {
        return Ok(());
    };
    firewall.open_audit()?;
    let loading = tokio::task::spawn_blocking(move || firewall.load());
    // What came of it has been told.
    drop(loading.await);
    Ok(())
}

/// Loads the rules again at each SIGHUP.
pub(crate) fn spawn_reloads(prepared: &Prepared, shutdown: &Shutdown) -> Result<(), BootError> {
    let Some(firewall) = prepared.firewall.clone() else {
        return Ok(());
    };
    let mut hangups =
        signal(SignalKind::hangup()).map_err(|source| BootError::io("signal handlers", source))?;
    let shutdown = shutdown.clone();
    tokio::spawn(async move {
        loop {
            tokio::select! {
                received = hangups.recv() => match received {
                    Some(()) => firewall.reload(),
                    None => return,
                },
                () = shutdown.wait() => return,
            }
        }
    });
    Ok(())
}

/// `GET /waf`, `POST /waf/reload`.
pub(crate) fn router(firewall: Arc<Firewall>) -> Router {
    Router::new()
        .route("/waf", get(state))
        .route("/waf/reload", post(reload))
        .with_state(firewall)
}

async fn state(State(firewall): State<Arc<Firewall>>) -> Json<FirewallState> {
    Json(firewall.state())
}

/// 200 with the state, or 422 with what is wrong and where; then the rules before stay in force.
async fn reload(
    State(firewall): State<Arc<Firewall>>,
) -> Result<Json<FirewallState>, (StatusCode, String)> {
    let loading = Arc::clone(&firewall);
    let loaded = tokio::task::spawn_blocking(move || loading.load()).await;
    match loaded {
        Ok(Ok(_)) => Ok(Json(firewall.state())),
        Ok(Err(error)) => Err((StatusCode::UNPROCESSABLE_ENTITY, format!("{error}\n"))),
        Err(error) => Err((StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n"))),
    }
}
