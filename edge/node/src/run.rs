//! The boot sequence: bind, say where, run, drain.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use mcsp_edge_h1::{H1Metrics, Oddity};
use mcsp_edge_h2::H2Metrics;
use mcsp_edge_limits::Turns;
use mcsp_edge_proxy::{Door, DoorConfig, EdgeProxy, ShieldDoor};
use mcsp_edge_tls::TlsServer;
use mcsp_identity::CallerTable;
use mcsp_runtime::{Shutdown, ShutdownTrigger, SystemEntropy};
use mcsp_telemetry::{init_logging, registry};
use pingora_core::apps::HttpServerOptions;
use pingora_core::server::configuration::ServerConf;
use pingora_proxy::{HttpProxy, http_proxy};
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

use crate::addresses::Addresses;
use crate::admin::{self, Health};
use crate::boot::{BootError, Prepared, backing};
use crate::config::NodeConfig;
use crate::feed::FeedClient;
use crate::firewall;
use crate::keys;
use crate::limits::{LimitReloads, Limiting};
use crate::listener::{Doorway, Listening};
use crate::metrics::NodeMetrics;
use crate::shield::{ShieldDoorway, ShieldListening};
use crate::watch as background;

/// How often a request may go to an idle connection that its origin has closed meanwhile, beside the tries that it has
/// for failures.
const REUSE_TRIES: usize = 2;

/// How many events a worker takes up at once. Its own queue holds 256 tasks; when more come, the oldest go to the queue
/// that all workers share and wait there for as long as the own one has any: of a thousand busy connections, some would
/// wait ten times as long as others. What is not taken up stays in the system's list, in its order.
const EVENTS_AT_ONCE: usize = 128;

/// How many tasks run before the system is asked for new events while there are tasks to run: enough for all of those,
/// with several turns each.
const EVENT_INTERVAL_TASKS: u32 = 1024;

/// Runs until a signal, then drains. `file` is where the configuration was read from.
pub(crate) fn run(config: NodeConfig, file: &Path) -> Result<(), BootError> {
    config.validate()?;
    init_logging("mcsp-edge", &config.log_level)?;
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    if config.worker_threads > 0 {
        runtime.worker_threads(config.worker_threads);
    }
    let runtime = runtime
        .thread_name("edge")
        .max_io_events_per_tick(EVENTS_AT_ONCE)
        .event_interval(EVENT_INTERVAL_TASKS)
        .enable_all()
        .build()
        .map_err(|source| BootError::io("runtime", source))?;
    let result = runtime.block_on(async {
        let backing = backing(&config).await?;
        let prepared = Prepared::new(config, backing)?;
        prepared.make_state_dir()?;
        let (cache, access_log) = (prepared.cache.clone(), prepared.access_log.clone());
        let served = serve(prepared, file).await;
        cache.close().await;
        access_log.flush();
        served
    });
    // What did not drain in time is not waited for.
    runtime.shutdown_background();
    result
}

async fn serve(prepared: Prepared, file: &Path) -> Result<(), BootError> {
    let config = &prepared.config;
    let (trigger, shutdown) = ShutdownTrigger::new();
    let metrics = NodeMetrics::register(registry())?;
    // One share of the threads' time for all that can wait: see `Turns`.
    let turns = Arc::new(Turns::new(threads(config)));
    let tls = match &prepared.certificates {
        Some(store) => Some(TlsServer::new(store, Arc::clone(&turns))?),
        None => None,
    };
    // Before the first viewer; mistakes in the rules are told and stop nobody.
    firewall::start(&prepared).await?;
    let mut listeners = Vec::new();
    for listener in &config.listener {
        let backlog = config.connections.backlog;
        listeners.push(Listening::bind(listener, backlog, tls.as_ref())?);
    }
    let shield = bind_shield(&prepared)?;
    let limiting = Limiting::bind(&prepared).await?;
    let health = Health::new(&prepared);
    let (cache, edge) = (prepared.cache.clone(), Arc::clone(&prepared.edge));
    let firewall = prepared.firewall.clone();
    let reloads = LimitReloads::new(file, &prepared.limits, registry())?;
    let admin = admin::start(
        config.admin.address,
        Arc::clone(&health),
        cache,
        edge,
        firewall,
        Arc::clone(&reloads),
    )?;
    let shield_address = shield.as_ref().map(|shield| shield.address);
    announce(config, admin, &listeners, shield_address, limiting.address)?;

    limiting.spawn(&shutdown);
    reloads.spawn(&shutdown)?;
    firewall::spawn_reloads(&prepared, &shutdown)?;
    let feed = start_background(&prepared, &metrics, &shutdown);
    let (stop, stopped) = watch::channel(false);
    let tracker = TaskTracker::new();
    let h1_metrics = H1Metrics::register(registry())?;
    if let (Some(listening), Some(listener)) = (shield, &config.shield.listener) {
        let door = ShieldDoor::new(
            Arc::clone(&prepared.edge),
            CallerTable::embedded()?,
            listener.requests_max,
            config.h1.clone(),
            h1_metrics.clone(),
            stopped.clone(),
        );
        tokio::spawn(listening.serve(ShieldDoorway {
            door,
            connections: metrics.shield_connections.clone(),
            traffic: metrics.children.clone(),
            tracker: tracker.clone(),
            stop: stopped.clone(),
        }));
    }
    let door = Door::new(
        Arc::clone(&prepared.edge),
        proxy(&prepared),
        DoorConfig {
            h1: config.h1.clone(),
            h2_idle_timeout: Duration::from_millis(config.connections.h2_idle_timeout_ms),
            h2_streams_max: config.connections.h2_streams_max,
            h2_frames: config.limits.frames.clone(),
        },
        h1_metrics.clone(),
        H2Metrics::register(registry())?,
        Arc::clone(&turns),
        stopped.clone(),
    );
    let doorway = Doorway::new(
        door,
        &config.connections,
        Arc::clone(&prepared.limits),
        turns,
        metrics,
        tracker.clone(),
        stopped,
    );
    for listener in listeners {
        tokio::spawn(listener.serve(doorway.clone()));
    }

    trigger
        .on_signal()
        .await
        .map_err(|source| BootError::io("signal handlers", source))?;
    health.drain();
    // Accepting ends, idle connections close, those with a request finish it.
    stop.send_replace(true);
    doorway.door.close().await;
    tracker.close();
    let drain = Duration::from_millis(config.drain_ms);
    let is_drained = tokio::time::timeout(drain, tracker.wait()).await.is_ok();
    // The feed's client writes down what it knows on its way out.
    let is_saved = tokio::time::timeout(Duration::from_secs(5), feed)
        .await
        .is_ok();
    tracing::info!(is_drained, is_saved, open = tracker.len(), "stopped");
    Ok(())
}

/// Where children ask, if the node is a parent.
fn bind_shield(prepared: &Prepared) -> Result<Option<ShieldListening>, BootError> {
    let config = &prepared.config;
    let (Some(listener), Some(membership)) = (&config.shield.listener, &prepared.membership) else {
        return Ok(None);
    };
    let bound = ShieldListening::bind(listener, &membership.identity, &config.connections)?;
    Ok(Some(bound))
}

fn announce(
    config: &NodeConfig,
    admin: SocketAddr,
    listeners: &[Listening],
    shield: Option<SocketAddr>,
    limits: Option<SocketAddr>,
) -> Result<(), BootError> {
    let addresses = Addresses {
        admin,
        listeners: listeners
            .iter()
            .map(|listener| listener.address.clone())
            .collect(),
        shield,
        limits,
    };
    if let Some(address) = shield {
        tracing::info!(%address, "listens for children");
    }
    if let Some(address) = limits {
        tracing::info!(%address, "listens for other nodes' limits");
    }
    tracing::info!(pop = config.pop, node = config.node, address = %admin, "admin listens");
    for listener in &addresses.listeners {
        tracing::info!(address = %listener.address, tls = listener.tls, "listens");
    }
    addresses
        .write(&config.state_dir)
        .map_err(|source| BootError::io("addresses.json", source))
}

/// Starts what runs beside the requests; returns the feed's task, which is waited for at the end.
fn start_background(
    prepared: &Prepared,
    metrics: &NodeMetrics,
    shutdown: &Shutdown,
) -> tokio::task::JoinHandle<()> {
    let config = &prepared.config;
    if let Some(store) = &prepared.certificates {
        let (store, shutdown) = (Arc::clone(store), shutdown.clone());
        tokio::spawn(async move {
            if let Err(error) = store.watch(registry(), shutdown).await {
                tracing::error!(%error, "certificates are not watched");
            }
        });
    }
    tokio::spawn(background::housekeeping(
        Arc::clone(&prepared.edge),
        Arc::clone(&prepared.feed_state),
        Arc::clone(&prepared.keyring),
        Arc::clone(&prepared.revocations),
        Arc::clone(&prepared.limits),
        metrics.clone(),
        shutdown.clone(),
    ));
    tokio::spawn(Arc::clone(&prepared.edge).fetch_ahead(shutdown.clone()));
    let Some(membership) = &prepared.membership else {
        return tokio::spawn(std::future::ready(()));
    };
    tokio::spawn(background::identity(
        membership.identity.clone(),
        Arc::clone(&prepared.edge),
        Duration::from_millis(config.identity_check_ms.0),
        shutdown.clone(),
    ));
    if let Some(token_keys) = &prepared.token_keys {
        tokio::spawn(keys::refresh(
            Arc::clone(token_keys),
            config.token_keys_age_max(),
            shutdown.clone(),
        ));
    }
    if !config.media_partner.is_empty() {
        tokio::spawn(background::partners(
            config.media_partner.clone(),
            Arc::clone(&prepared.edge),
            Duration::from_millis(config.identity_check_ms.0),
            shutdown.clone(),
        ));
    }
    let entropy = SystemEntropy::shared();
    let feed = FeedClient::new(prepared, membership, metrics.clone(), entropy);
    tokio::spawn(feed.run(shutdown.clone()))
}

/// Threads that serve.
fn threads(config: &NodeConfig) -> usize {
    match config.worker_threads {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        threads => threads,
    }
}

fn proxy(prepared: &Prepared) -> HttpProxy<EdgeProxy> {
    let config = &prepared.config;
    let mut conf = ServerConf {
        max_retries: config.proxy.upstream.tries_max + REUSE_TRIES,
        upstream_keepalive_pool_size: config.proxy.upstream.idle_connections_max,
        // Every peer brings its own authority; without a file here pingora wants the system's.
        ca_file: config
            .identity
            .as_ref()
            .map(|identity| identity.ca_file.display().to_string()),
        ..ServerConf::default()
    };
    conf.threads = threads(config);
    let mut proxy = http_proxy(&Arc::new(conf), EdgeProxy::new(Arc::clone(&prepared.edge)));
    // Refused before and after that, but on routes that take it: see `Oddity::Connect`.
    let mut options = HttpServerOptions::default();
    options.allow_connect_method_proxying = config
        .route
        .iter()
        .any(|route| route.takes.contains(&Oddity::Connect));
    proxy.server_options = Some(options);
    proxy
}
