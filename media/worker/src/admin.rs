//! The admin listener: metrics, health, readiness.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mcsp_api::events::{Event, UploadInitiated};
use mcsp_db::Db;
use mcsp_events::SharedEventLog;
use mcsp_media_pipeline::ItemStore;
use mcsp_runtime::Shutdown;
use mcsp_telemetry::{Readiness, admin_router};
use parking_lot::Mutex;
use tokio::net::TcpListener;

use crate::boot::BootError;

/// How often what the worker needs is asked whether it is there, once it was; before that, more often.
const CHECK_INTERVAL: Duration = Duration::from_secs(5);
const CHECK_INTERVAL_AWAY: Duration = Duration::from_millis(200);
/// How long an answer may take.
const CHECK_TIMEOUT: Duration = Duration::from_secs(3);
/// No object's name begins so: the answer is an empty page.
const NO_SUCH_PREFIX: &str = "readiness/";

/// What readiness depends on.
#[derive(Debug)]
pub(crate) struct Health {
    log: SharedEventLog,
    db: Db,
    stores: Vec<(&'static str, ItemStore)>,
    found: Mutex<BTreeMap<&'static str, Result<(), String>>>,
    draining: AtomicBool,
}

impl Health {
    pub(crate) fn new(
        log: SharedEventLog,
        db: Db,
        global: &ItemStore,
        ng: Option<&ItemStore>,
    ) -> Arc<Self> {
        let mut stores = vec![("objects.global", global.clone())];
        stores.extend(ng.map(|ng| ("objects.ng", ng.clone())));
        let names = ["events", "database"]
            .into_iter()
            .chain(stores.iter().map(|(name, _)| *name));
        let found = names
            .map(|name| (name, Err("not asked yet".to_owned())))
            .collect();
        Arc::new(Self {
            log,
            db,
            stores,
            found: Mutex::new(found),
            draining: AtomicBool::new(false),
        })
    }

    /// The worker takes no new jobs from now on.
    pub(crate) fn drain(&self) {
        self.draining.store(true, Ordering::Release);
    }

    fn readiness(&self) -> Readiness {
        let draining = if self.draining.load(Ordering::Acquire) {
            Err("stopping".to_owned())
        } else {
            Ok(())
        };
        let found = self.found.lock().clone();
        let checks = found.into_iter().chain([("draining", draining)]);
        checks.fold(Readiness::ready(), |readiness, (name, result)| {
            readiness.with(name, result)
        })
    }

    /// Asks until it is told to stop.
    pub(crate) async fn watch(self: Arc<Self>, shutdown: Shutdown) {
        loop {
            self.ask().await;
            let is_ready = self.found.lock().values().all(Result::is_ok);
            let pause = if is_ready {
                CHECK_INTERVAL
            } else {
                CHECK_INTERVAL_AWAY
            };
            tokio::select! {
                () = shutdown.wait() => return,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    async fn ask(&self) {
        let topic = UploadInitiated::TOPIC.name;
        self.note("events", self.log.describe(topic)).await;
        self.note("database", self.db.ping()).await;
        for (name, store) in &self.stores {
            let page = store.objects.list(&store.bucket, NO_SUCH_PREFIX, None);
            self.note(name, page).await;
        }
    }

    async fn note<T, E: ToString>(
        &self,
        name: &'static str,
        asked: impl Future<Output = Result<T, E>>,
    ) {
        let answer = match tokio::time::timeout(CHECK_TIMEOUT, asked).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("no answer in time".to_owned()),
        };
        self.found.lock().insert(name, answer);
    }
}

/// Binds and serves; returns where.
pub(crate) async fn start(
    address: SocketAddr,
    health: Arc<Health>,
    shutdown: Shutdown,
) -> Result<SocketAddr, BootError> {
    let fault = |source| BootError::io(format!("admin.address {address}"), source);
    let listener = TcpListener::bind(address).await.map_err(fault)?;
    let bound = listener.local_addr().map_err(fault)?;
    let router = admin_router(move || health.readiness());
    tokio::spawn(async move {
        let served = axum::serve(listener, router)
            .with_graceful_shutdown(async move { shutdown.wait().await })
            .await;
        if let Err(error) = served {
            tracing::error!(%error, "the admin listener ended");
        }
    });
    Ok(bound)
}
