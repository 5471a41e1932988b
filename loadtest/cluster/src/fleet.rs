//! One region with as many PoPs as are wanted, each an edge of its own: for what is about many nodes and little else.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use mcsp_api::Residency;
use mcsp_api::events::MediaType;
use mcsp_api::proto::feed::purges_client::PurgesClient;
use mcsp_auth_edge::{MediaGrant, MediaKeyConfig, MediaKeyStore, RenditionLimits, TokenForm};
use mcsp_identity::{DNS_SUFFIX, EDGE_NAMESPACE, LocalCa, SpiffeId, WorkloadIdentity};
use mcsp_objects::{ObjectsOptions, Secret, SharedObjects};
use mcsp_rpc::RpcChannel;
use mcsp_runtime::{Clock as _, SystemClock, SystemEntropy};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::certificates;
use crate::config::write_toml;
use crate::error::ClusterError;
use crate::ports::Ports;
use crate::process::{Process, ProcessSpec};
use crate::topology::{Layout, REGIONS, Region, TRUST_DOMAIN};

const READY_LIMIT: Duration = Duration::from_secs(180);
const STOP_LIMIT: Duration = Duration::from_secs(60);
const REGION: Region = REGIONS[0];
const ORIGIN: &str = "origin-ng-lagos";
const OPERATOR: &str = "operator";
const BUCKET: &str = "mcsp-global";
const CONTENT: &str = "c_ng_01k9x3m5y8q2v7r4t6w1z0a3bc";
/// The one item's one object.
const OBJECT: &str = "v360/1.m4s";
const EDGE_MEMORY_BYTES: u64 = 64 << 20;
const EDGE_DISK_BYTES: u64 = 128 << 20;

/// Running processes; all of them end with this value.
#[derive(Debug)]
pub struct Fleet {
    origin: Process,
    nodes: Vec<FleetNode>,
    http: reqwest::Client,
    objects: SharedObjects,
    operator: PurgesClient<RpcChannel>,
}

/// One edge.
#[derive(Debug)]
pub struct FleetNode {
    /// As the feed knows it.
    pub name: String,
    /// Where it listens, a URL without a path.
    pub base: String,
    /// The one object's URL, signed.
    pub url: String,
    process: Process,
}

fn broken(what: &str, error: impl std::fmt::Display) -> ClusterError {
    ClusterError::Broken(format!("{what}: {error}"))
}

fn identity_fault(error: impl std::fmt::Display) -> ClusterError {
    ClusterError::Identity(error.to_string())
}

fn token_fault(error: impl std::fmt::Display) -> ClusterError {
    broken("a media token", error)
}

fn server_name() -> String {
    format!("origin.{}.{DNS_SUFFIX}", REGION.id)
}

fn identity(layout: &Layout, namespace: &str, account: &str) -> Value {
    let files = certificates::files(layout, namespace, account);
    json!({"cert_file": files.cert_file, "key_file": files.key_file, "ca_file": files.ca_file})
}

#[derive(Deserialize)]
struct HolderFile {
    global: Credentials,
}

#[derive(Deserialize)]
struct Credentials {
    access_key: String,
    secret: Secret,
}

impl Fleet {
    /// Starts an origin and `count` edges in an empty folder; the last edge has a disk. Returns when all are ready.
    ///
    /// # Errors
    /// When a file cannot be written or a process does not become ready.
    pub async fn start(layout: &Layout, count: usize) -> Result<Self, ClusterError> {
        let pops: Vec<String> = (1..=count).map(|n| format!("f{n:02}")).collect();
        for folder in ["logs", "config", "pops"] {
            let folder = layout.data_dir.join(folder);
            fs::create_dir_all(&folder).map_err(|source| ClusterError::file(&folder, source))?;
        }
        let mut ports = Ports::default();
        let mut at = |name: &str| -> Result<SocketAddr, ClusterError> {
            Ok((Ipv4Addr::LOCALHOST, ports.named(name, None)?).into())
        };
        let (rpc, s3) = (at("rpc")?, at("s3")?);
        certify(layout, &pops)?;
        let http = reqwest::Client::builder()
            .timeout(Duration::from_secs(10))
            .build()
            .map_err(|error| broken("an HTTP client", error))?;
        let public = pops
            .iter()
            .map(|pop| at(pop))
            .collect::<Result<Vec<_>, _>>()?;
        write_pops(layout, &pops, &public)?;
        let admin = at("origin-admin")?;
        let origin = json!({
            "region": REGION.id,
            "data_dir": layout.home(ORIGIN),
            "pops_dir": layout.pops(),
            "identity": identity(layout, REGION.id, "origin"),
            "listen": {"rpc": rpc.to_string(), "s3": s3.to_string(), "admin": admin.to_string()},
        });
        let mut origin = launch(layout, ORIGIN, "mcsp-origin", &origin, admin)?;
        origin.ready(&http, READY_LIMIT).await?;
        let token = token(layout)?;
        let mut nodes = Vec::new();
        for (pop, public) in pops.iter().zip(&public) {
            let admin = at(&format!("{pop}-admin"))?;
            let is_last = nodes.len() + 1 == count;
            let config = edge(layout, pop, *public, admin, (rpc, s3), is_last);
            let prefix = Residency::Global.prefix();
            nodes.push(FleetNode {
                name: format!("{pop}/1"),
                base: format!("http://{public}"),
                url: format!("http://{public}/media/{token}/{prefix}/{CONTENT}/{OBJECT}"),
                process: launch(layout, pop, "mcsp-edge", &config, admin)?,
            });
        }
        for node in &mut nodes {
            node.process.ready(&http, READY_LIMIT).await?;
        }
        Ok(Self {
            objects: objects(layout, s3).await?,
            operator: operator(layout, rpc)?,
            origin,
            nodes,
            http,
        })
    }

    /// The edges; the last has a disk.
    #[must_use]
    pub fn nodes(&self) -> &[FleetNode] {
        &self.nodes
    }

    /// The origin's interface for operators, as one.
    #[must_use]
    pub fn operator(&self) -> PurgesClient<RpcChannel> {
        self.operator.clone()
    }

    /// For requests to nodes.
    #[must_use]
    pub fn http(&self) -> reqwest::Client {
        self.http.clone()
    }

    /// The item's id.
    #[must_use]
    pub fn content_id(&self) -> &'static str {
        CONTENT
    }

    /// The object's cache key.
    #[must_use]
    pub fn key(&self) -> String {
        format!("/media/{}/{CONTENT}/{OBJECT}", Residency::Global.prefix())
    }

    /// Puts the object into storage, in place of what was there.
    ///
    /// # Errors
    /// The storage's.
    pub async fn put(&self, body: Bytes) -> Result<(), ClusterError> {
        let key = format!("{}/{CONTENT}/{OBJECT}", Residency::Global.prefix());
        let put = self.objects.put(BUCKET, &key, "video/iso.segment", body);
        put.await
            .map(drop)
            .map_err(|error| broken("storage", error))
    }

    /// Stops the last node by asking it to.
    pub async fn stop_last(&mut self) {
        if let Some(node) = self.nodes.last_mut() {
            node.process.stop(STOP_LIMIT).await;
        }
    }

    /// Starts the last node again, without waiting for it.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start_last(&mut self) -> Result<(), ClusterError> {
        match self.nodes.last_mut() {
            Some(node) => node.process.start_again(),
            None => Ok(()),
        }
    }

    /// Waits until the last node is ready.
    ///
    /// # Errors
    /// When it is not in time.
    pub async fn last_ready(&mut self) -> Result<(), ClusterError> {
        match self.nodes.last_mut() {
            Some(node) => node.process.ready(&self.http, READY_LIMIT).await,
            None => Ok(()),
        }
    }

    /// Asks every process to stop, edges first.
    pub async fn stop(&mut self) {
        for node in &mut self.nodes {
            node.process.stop(STOP_LIMIT).await;
        }
        self.origin.stop(STOP_LIMIT).await;
    }
}

fn certify(layout: &Layout, pops: &[String]) -> Result<(), ClusterError> {
    let ca = LocalCa::create_or_open(&layout.authority()).map_err(identity_fault)?;
    let own = ["origin", "media", OPERATOR].map(|account| (REGION.id, account));
    let edges = pops.iter().map(|pop| (EDGE_NAMESPACE, pop.as_str()));
    for (namespace, account) in own.into_iter().chain(edges) {
        let id = SpiffeId::new(TRUST_DOMAIN, namespace, account).map_err(identity_fault)?;
        ca.issue(&id, &[], &layout.identity(namespace, account))
            .map_err(identity_fault)?;
    }
    Ok(())
}

fn write_pops(layout: &Layout, pops: &[String], public: &[SocketAddr]) -> Result<(), ClusterError> {
    let write = |name: String, text: String| {
        let path = layout.pops().join(name);
        fs::write(&path, text).map_err(|source| ClusterError::file(&path, source))
    };
    let (id, code, country) = (REGION.id, REGION.code, REGION.country);
    write(
        "regions.toml".to_owned(),
        format!("[[region]]\nid = \"{id}\"\ncode = \"{code}\"\ncountry = \"{country}\"\n"),
    )?;
    for (pop, public) in pops.iter().zip(public) {
        let text = format!(
            "id = \"{pop}\"\nname = \"{pop}\"\ncountry = \"{country}\"\nlatitude = 6.5\nlongitude = 3.4\n\
             trust = \"own\"\nregion = \"{id}\"\nbase_urls = [\"http://localhost:{}\"]\n",
            public.port()
        );
        write(format!("{pop}.toml"), text)?;
    }
    Ok(())
}

fn edge(
    layout: &Layout,
    pop: &str,
    public: SocketAddr,
    admin: SocketAddr,
    (rpc, s3): (SocketAddr, SocketAddr),
    has_disk: bool,
) -> Value {
    let mut cache = json!({
        "memory_bytes": EDGE_MEMORY_BYTES,
        "object_bytes_max": EDGE_MEMORY_BYTES / 8,
        "fill_bytes_max": EDGE_MEMORY_BYTES / 4,
        "pinned_bytes_max": EDGE_MEMORY_BYTES / 4,
    });
    if has_disk {
        cache["disk"] = json!({"dir": layout.home(pop).join("cache"), "bytes": EDGE_DISK_BYTES});
    }
    json!({
        "pop": pop,
        "pops_dir": layout.pops(),
        "state_dir": layout.home(pop),
        "worker_threads": 1,
        "identity": identity(layout, EDGE_NAMESPACE, pop),
        "admin": {"address": admin.to_string()},
        "listener": [{"address": public.to_string(), "tls": false}],
        "cache": cache,
        "proxy": {"upstream": {"region": [{
            "id": REGION.id,
            "origin": [rpc.to_string()],
            "origin_server_name": server_name(),
            "storage": [s3.to_string()],
            "storage_server_name": server_name(),
        }]}},
    })
}

fn launch(
    layout: &Layout,
    name: &str,
    program: &str,
    config: &Value,
    admin: SocketAddr,
) -> Result<Process, ClusterError> {
    let (file, home): (PathBuf, PathBuf) = (layout.config(name), layout.home(name));
    fs::create_dir_all(&home).map_err(|source| ClusterError::file(&home, source))?;
    write_toml(&file, config)?;
    Process::start(ProcessSpec {
        name: name.to_owned(),
        program: layout.program(program),
        args: vec![
            "run".to_owned(),
            "--config".to_owned(),
            file.display().to_string(),
        ],
        admin: admin.to_string(),
        log: layout.log(name),
    })
}

/// A media token for the item, signed with the region's own key.
fn token(layout: &Layout) -> Result<String, ClusterError> {
    let store = MediaKeyStore::open(
        layout.home(ORIGIN).join("media-keys.json"),
        REGION.code.parse().map_err(token_fault)?,
        MediaKeyConfig::default(),
        SystemClock::shared(),
        SystemEntropy::shared(),
    )
    .map_err(token_fault)?;
    let grant = MediaGrant {
        content_id: CONTENT.parse().map_err(token_fault)?,
        user_id: "u_ng_01k9x3m5y8q2v7r4t6w1z0a3bc"
            .parse()
            .map_err(token_fault)?,
        media_session_id: "ms_ng_01k9x3m5y8q2v7r4t6w1z0a3bc"
            .parse()
            .map_err(token_fault)?,
        residency: Residency::Global,
        media_type: MediaType::Video,
        expires_s: SystemClock.now_s() + 3 * 3600,
        limits: RenditionLimits::default(),
        client: None,
    };
    let signed = store.signer().sign(&grant, TokenForm::Hmac);
    signed.map_err(token_fault)
}

/// Storage, as the region's media worker has it.
async fn objects(layout: &Layout, s3: SocketAddr) -> Result<SharedObjects, ClusterError> {
    let path = layout.home(ORIGIN).join("secrets/objects-worker.toml");
    let text = fs::read_to_string(&path).map_err(|source| ClusterError::file(&path, source))?;
    let holder: HolderFile =
        toml::from_str(&text).map_err(|error| broken("credentials", error.message()))?;
    let identity = WorkloadIdentity::load(&certificates::files(layout, REGION.id, "media"))
        .map_err(|error| broken("identity", error))?;
    let options = ObjectsOptions::new(
        Some(identity),
        holder.global.access_key,
        holder.global.secret,
    );
    let uri = format!("s3://{s3}?server_name={}", server_name());
    let opened = mcsp_objects::open(&uri, &options).await;
    opened.map_err(|error| broken("storage", error))
}

fn operator(layout: &Layout, rpc: SocketAddr) -> Result<PurgesClient<RpcChannel>, ClusterError> {
    let identity = WorkloadIdentity::load(&certificates::files(layout, REGION.id, OPERATOR))
        .map_err(|error| broken("identity", error))?;
    let channel = RpcChannel::connect(&rpc.to_string(), &server_name(), &identity)
        .map_err(|error| broken("the operator's channel", error))?;
    Ok(PurgesClient::new(channel))
}
