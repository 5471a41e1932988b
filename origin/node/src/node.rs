//! A node that runs: binds, says where, serves, stops.

use std::net::SocketAddr;
use std::time::Duration;

use mcsp_identity::WorkloadIdentity;
use mcsp_rpc::{HTTP_API, HTTP_MEDIA, HTTP_WEB, RpcServer};
use mcsp_runtime::{SharedClock, SharedEntropy, Shutdown, ShutdownTrigger, hex_lower};
use mcsp_telemetry::admin_router;
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::task::AbortOnDropHandle;

use crate::compose::{Composed, compose};
use crate::config::{Config, References};
use crate::health::Health;
use crate::supervise::{BackgroundTask, Tasks};
use crate::{NodeError, files, open_engines, reload};

/// Everything a node is made of that is not an engine.
#[derive(Debug, Clone)]
pub struct Site {
    /// The configuration, valid.
    pub config: Config,
    /// What it points at.
    pub references: References,
    /// Who this process is.
    pub identity: WorkloadIdentity,
    /// The time.
    pub clock: SharedClock,
    /// Randomness.
    pub entropy: SharedEntropy,
    /// This process's name in consumer groups: its own over restarts, so that it takes its partitions up at once.
    pub member: String,
}

impl Site {
    /// Reads what the configuration points at.
    ///
    /// # Errors
    /// [`NodeError::Config`], [`NodeError::Identity`], and when the data folder cannot be written.
    pub fn load(
        config: Config,
        clock: SharedClock,
        entropy: SharedEntropy,
    ) -> Result<Self, NodeError> {
        let references = config.load_references()?;
        let identity = load_identity(&config)?;
        files::private_dir(&config.data_dir)?;
        let member = member(&config, &identity, &*entropy)?;
        Ok(Self {
            config,
            references,
            identity,
            clock,
            entropy,
            member,
        })
    }
}

/// The process's identity, which must be of the region that it serves.
pub(crate) fn load_identity(config: &Config) -> Result<WorkloadIdentity, NodeError> {
    let identity = WorkloadIdentity::load(&config.identity)?;
    let id = identity.spiffe_id();
    if id.namespace() != config.region {
        return Err(NodeError::Config(vec![format!(
            "identity.cert_file = {:?}: is for {id}; expected a certificate of the namespace {:?}",
            config.identity.cert_file, config.region
        )]));
    }
    Ok(identity)
}

fn member(
    config: &Config,
    identity: &WorkloadIdentity,
    entropy: &dyn mcsp_runtime::Entropy,
) -> Result<String, NodeError> {
    let path = config.data_dir.join("node-id");
    let number = match std::fs::read_to_string(&path) {
        Ok(text) if !text.trim().is_empty() => text.trim().to_owned(),
        _ => {
            let mut random = [0; 6];
            entropy.fill(&mut random);
            let number = hex_lower(&random);
            files::replace(&path, 0o600, &number)?;
            number
        }
    };
    Ok(format!("{}-{number}", identity.spiffe_id().account()))
}

/// Where a node listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Addresses {
    /// gRPC, API, media and pages.
    pub rpc: SocketAddr,
    /// Object storage; absent without the role `storage`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub s3: Option<SocketAddr>,
    /// Metrics, health, readiness.
    pub admin: SocketAddr,
}

/// A node that listens and works.
pub struct Node {
    addresses: Addresses,
    trigger: ShutdownTrigger,
    shutdown: Shutdown,
    servers: JoinSet<(&'static str, Result<(), String>)>,
    tasks: Tasks,
    health: Health,
    feed: Option<mcsp_feed::Feed>,
    stop_timeout: Duration,
    /// Answers to the last, so that whoever asks hears that the node is stopping.
    _admin: AbortOnDropHandle<()>,
}

impl Node {
    /// Opens engines, makes services, binds, and begins to serve. Listens to nothing when anything fails.
    ///
    /// # Errors
    /// [`NodeError`] of whatever cannot be had.
    pub async fn start(site: Site) -> Result<Self, NodeError> {
        tracing::info!(
            region = site.config.region,
            identity = %site.identity.spiffe_id(),
            roles = site.config.roles.iter().map(|role| role.as_str()).collect::<Vec<_>>().join(","),
            "starting"
        );
        let engines = open_engines(&site).await?;
        let composed = compose(&site, engines).await?;
        let listeners = Listeners::bind(&site.config, composed.s3.is_some()).await?;
        let addresses = listeners.addresses()?;
        write_addresses(&site.config, &addresses)?;
        tracing::info!(
            rpc = %addresses.rpc,
            s3 = addresses.s3.map(|s3| s3.to_string()),
            admin = %addresses.admin,
            "listening"
        );
        Self::serve(&site, composed, listeners, addresses).await
    }

    async fn serve(
        site: &Site,
        composed: Composed,
        listeners: Listeners,
        addresses: Addresses,
    ) -> Result<Self, NodeError> {
        let (trigger, shutdown) = ShutdownTrigger::new();
        let callers = &site.references.callers;
        let mut builder =
            RpcServer::builder(&site.config.region, site.identity.clone(), callers.clone())
                .service("origin")
                .limits(site.config.limits)
                .clock(site.clock.clone())
                .sample_ratio(site.config.log.trace_sample_ratio)
                .grpc(composed.grpc);
        for (interface, router) in [
            (HTTP_API, composed.api),
            (HTTP_MEDIA, composed.media),
            (HTTP_WEB, composed.web),
        ] {
            if let Some(router) = router {
                builder = builder.http(interface, router);
            }
        }
        let server = builder.build()?;
        let mut servers = JoinSet::new();
        let stop = shutdown.clone();
        servers.spawn(async move {
            let ended = server.serve(listeners.rpc, stop).await;
            ("rpc", ended.map_err(|error| error.to_string()))
        });
        if let (Some(endpoint), Some(listener)) = (composed.s3, listeners.s3) {
            let (identity, callers, stop) =
                (site.identity.clone(), callers.clone(), shutdown.clone());
            servers.spawn(async move {
                let ended = endpoint.serve(listener, identity, callers, stop).await;
                ("s3", ended.map_err(|error| error.to_string()))
            });
        }
        let health = Health::starting();
        let mut tasks = Tasks::new(shutdown.clone());
        for task in composed.tasks {
            tasks.spawn(task);
        }
        let identity = site.identity.clone();
        tasks.spawn(BackgroundTask::new("identity-reload", move |shutdown| {
            reload::run(identity.clone(), shutdown)
        }));
        let told = health.clone();
        let admin = admin_router(move || told.readiness());
        let admin = tokio::spawn(async move {
            if let Err(error) = axum::serve(listeners.admin, admin).await {
                tracing::error!(%error, "the admin server ended");
            }
        });
        health.ask(&composed.checks).await;
        let (watched, checks) = (health.clone(), composed.checks);
        tasks.spawn(BackgroundTask::new("health", move |shutdown: Shutdown| {
            let (health, checks) = (watched.clone(), checks.clone());
            async move {
                health.watch(&checks, &shutdown).await;
                Ok::<_, std::convert::Infallible>(())
            }
        }));
        Ok(Self {
            addresses,
            trigger,
            shutdown,
            servers,
            tasks,
            health,
            feed: composed.feed,
            stop_timeout: Duration::from_millis(site.config.stop_timeout_ms),
            _admin: AbortOnDropHandle::new(admin),
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// Stops it when pulled.
    #[must_use]
    pub fn trigger(&self) -> ShutdownTrigger {
        self.trigger.clone()
    }

    /// Runs until the trigger is pulled; then lets what is under way end, within `stop_timeout_ms`.
    ///
    /// # Errors
    /// [`NodeError::ServerEnded`] when a server ends although nobody told it to.
    pub async fn run(mut self) -> Result<(), NodeError> {
        let ended = tokio::select! {
            () = self.shutdown.wait() => None,
            ended = self.servers.join_next() => ended,
        };
        // A stop ends the servers too, perhaps before we hear of it: that is no fault of theirs.
        let early = ended.filter(|_| !self.shutdown.is_triggered());
        tracing::info!("stopping");
        self.health.stopping();
        self.trigger.trigger();
        if let Some(feed) = &self.feed {
            // Subscriptions never end by themselves.
            feed.close();
        }
        let ended = tokio::time::timeout(self.stop_timeout, async {
            while self.servers.join_next().await.is_some() {}
            self.tasks.join().await;
        });
        if ended.await.is_err() {
            tracing::warn!("stopped with work under way: its time was over");
        }
        tracing::info!("stopped");
        match early {
            None => Ok(()),
            Some(Ok((server, ended))) => {
                let reason = ended.err().unwrap_or_else(|| "without an error".to_owned());
                Err(NodeError::ServerEnded(server, reason))
            }
            Some(Err(error)) => Err(NodeError::ServerEnded("rpc or s3", error.to_string())),
        }
    }
}

struct Listeners {
    rpc: TcpListener,
    s3: Option<TcpListener>,
    admin: TcpListener,
}

impl Listeners {
    async fn bind(config: &Config, has_s3: bool) -> Result<Self, NodeError> {
        let listen = &config.listen;
        Ok(Self {
            rpc: bind("listen.rpc", listen.rpc).await?,
            s3: match has_s3 {
                true => Some(bind("listen.s3", listen.s3).await?),
                false => None,
            },
            admin: bind("listen.admin", listen.admin).await?,
        })
    }

    fn addresses(&self) -> Result<Addresses, NodeError> {
        let of = |listener: &TcpListener| {
            listener
                .local_addr()
                .map_err(|error| NodeError::Process(format!("listener: {error}")))
        };
        Ok(Addresses {
            rpc: of(&self.rpc)?,
            s3: self.s3.as_ref().map(of).transpose()?,
            admin: of(&self.admin)?,
        })
    }
}

async fn bind(key: &'static str, address: SocketAddr) -> Result<TcpListener, NodeError> {
    TcpListener::bind(address)
        .await
        .map_err(|source| NodeError::Bind {
            key,
            address,
            source,
        })
}

/// For tools that start nodes on free ports.
fn write_addresses(config: &Config, addresses: &Addresses) -> Result<(), NodeError> {
    // A struct of addresses always has a JSON form.
    let text = serde_json::to_string_pretty(addresses).unwrap_or_default();
    files::replace(&config.data_dir.join("addresses.json"), 0o644, &text)
}
