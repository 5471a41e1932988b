//! Folders, identities and configurations of nodes; requests as an edge sends them.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt;
use hyper_util::rt::{TokioExecutor, TokioIo};
use mcsp_api::{Role, UserId, ViewerIdentity};
use mcsp_identity::WorkloadIdentity;
use mcsp_origin_node::config::Config;
use mcsp_origin_node::{Composed, Node, Site, compose, open_engines};
use mcsp_runtime::{SharedClock, SystemClock, SystemEntropy};
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tower::ServiceExt;

/// Longer than anything here takes, so that a test that would hang fails instead.
pub(crate) const SOON: Duration = Duration::from_secs(120);

const REGIONS: &str = "[[region]]\nid = \"ng-lagos\"\ncode = \"ng\"\ncountry = \"NG\"\n\n\
                       [[region]]\nid = \"global-london\"\ncode = \"gl\"\ncountry = \"GB\"\n";

/// One machine: an authority, manifests, pages, and the folders of its nodes.
pub(crate) struct Machine {
    pub(crate) dir: TempDir,
}

impl Machine {
    pub(crate) fn new() -> Self {
        let machine = Self {
            dir: TempDir::new().unwrap(),
        };
        let pops = machine.path("pops");
        std::fs::create_dir_all(&pops).unwrap();
        std::fs::write(pops.join("regions.toml"), REGIONS).unwrap();
        for (id, country, trust, region) in [
            ("los1", "NG", "own", "ng-lagos"),
            ("abv1", "NG", "partner", "ng-lagos"),
            ("lhr1", "GB", "own", "global-london"),
        ] {
            let text = format!(
                "id = {id:?}\nname = {id:?}\ncountry = {country:?}\nlatitude = 1.0\nlongitude = 1.0\ntrust = {trust:?}\n\
                 region = {region:?}\nbase_urls = [\"https://{id}.example:8443\"]\n"
            );
            std::fs::write(pops.join(format!("{id}.toml")), text).unwrap();
        }
        let assets = machine.path("site/assets");
        std::fs::create_dir_all(&assets).unwrap();
        std::fs::write(machine.path("site/index.html"), "<!doctype html>").unwrap();
        std::fs::write(assets.join("app.js"), "export {}").unwrap();
        machine
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn identity(&self, namespace: &str, account: &str) -> WorkloadIdentity {
        mcsp_rpc::testing::issue(self.dir.path(), namespace, account).unwrap()
    }

    /// A configuration in TOML: a node of `region` called `account`, on free ports, with `more` behind it.
    pub(crate) fn config_toml(&self, region: &str, account: &str, more: &str) -> String {
        let identity = self.identity(region, account).config().clone();
        // Root keys come first in TOML; tables follow.
        let (keys, tables) = more.split_once("[[tables]]").unwrap_or(("", more));
        format!(
            "region = {region:?}\ndata_dir = {:?}\npops_dir = {:?}\n{keys}\n\
             [identity]\ncert_file = {:?}\nkey_file = {:?}\nca_file = {:?}\n\
             [listen]\nrpc = \"127.0.0.1:0\"\ns3 = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\n\
             [web]\nsite_dir = {:?}\n\
             [auth]\npassword_memory_kib = 8192\npassword_passes = 1\n{tables}",
            self.path(&format!("data-{region}-{account}")),
            self.path("pops"),
            identity.cert_file,
            identity.key_file,
            identity.ca_file,
            self.path("site"),
        )
    }

    pub(crate) fn config(&self, region: &str, account: &str, more: &str) -> Config {
        let path = self.write_config(region, account, more);
        Config::load(&path).unwrap()
    }

    pub(crate) fn write_config(&self, region: &str, account: &str, more: &str) -> PathBuf {
        let path = self.path(&format!("{region}-{account}.toml"));
        std::fs::write(&path, self.config_toml(region, account, more)).unwrap();
        path
    }

    pub(crate) async fn start(&self, config: Config) -> Running {
        let node = Node::start(site(config, SystemClock::shared()))
            .await
            .unwrap();
        let (addresses, trigger) = (node.addresses(), node.trigger());
        Running {
            addresses,
            trigger,
            task: tokio::spawn(node.run()),
        }
    }
}

pub(crate) fn site(config: Config, clock: SharedClock) -> Site {
    Site::load(config, clock, SystemEntropy::shared()).unwrap()
}

/// A node that runs in this process until it is stopped.
pub(crate) struct Running {
    pub(crate) addresses: mcsp_origin_node::Addresses,
    trigger: mcsp_runtime::ShutdownTrigger,
    task: tokio::task::JoinHandle<Result<(), mcsp_origin_node::NodeError>>,
}

impl Running {
    pub(crate) async fn stop(self) {
        self.trigger.trigger();
        tokio::time::timeout(SOON, self.task)
            .await
            .expect("it stops")
            .unwrap()
            .unwrap();
    }
}

/// Everything a region serves, in this process and without a listener.
pub(crate) async fn whole_region(machine: &Machine) -> Composed {
    let site = site(
        machine.config("ng-lagos", "origin", ""),
        SystemClock::shared(),
    );
    let engines = open_engines(&site).await.unwrap();
    compose(&site, engines).await.unwrap()
}

pub(crate) fn viewer(role: Role, seed: u64) -> ViewerIdentity {
    let entropy = mcsp_runtime::SeededEntropy::new(seed);
    ViewerIdentity {
        user_id: UserId::generate("ng".parse().unwrap(), &*SystemClock::shared(), &*entropy),
        role,
        session_id: format!("session-{seed}"),
        organisation_id: None,
        expires_s: SystemClock::shared().now_s() + 600,
    }
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&self.body)))
    }
}

pub(crate) fn request(method: Method, path: &str, body: Option<&Value>) -> Request<Body> {
    let builder = Request::builder().method(method).uri(path);
    match body {
        Some(json) => builder
            .header("content-type", "application/json")
            .body(Body::from(json.to_string()))
            .unwrap(),
        None => builder.body(Body::empty()).unwrap(),
    }
}

pub(crate) fn from_edge(request: Request<Body>, viewer: Option<&ViewerIdentity>) -> Request<Body> {
    mcsp_rpc::testing::as_edge(request, "los1", viewer).unwrap()
}

pub(crate) async fn send(router: &Router, request: Request<Body>) -> Answer {
    let call = async {
        let response = router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        Answer {
            status: parts.status,
            headers: parts.headers,
            body: body.collect().await.unwrap().to_bytes().to_vec(),
        }
    };
    tokio::time::timeout(SOON, call)
        .await
        .expect("every call ends")
}

/// The body of an upload session's request that the service takes.
pub(crate) fn upload_request(residency: &str) -> Value {
    serde_json::json!({
        "file_name": "clip.mp4",
        "size_bytes": 1_000_000,
        "media_type": "VIDEO",
        "residency": residency,
        "metadata": {"title": "A clip", "visibility": "PRIVATE"},
    })
}

/// One request of the edge `pop` to a node, over its listener.
pub(crate) async fn fetch(
    machine: &Machine,
    addr: SocketAddr,
    region: &str,
    pop: &str,
    request: Request<Body>,
) -> (u16, Value) {
    let identity = machine.identity("edge", pop);
    let stream = TcpStream::connect(addr).await.unwrap();
    let name =
        rustls::pki_types::ServerName::try_from(format!("origin.{region}.mcsp.internal")).unwrap();
    let stream = TlsConnector::from(identity.client_config(&[b"h2"]).unwrap())
        .connect(name, stream)
        .await
        .unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    let driver = tokio::spawn(connection);
    let (mut parts, body) = request.into_parts();
    parts.uri = format!("https://origin{}", parts.uri).parse().unwrap();
    let response = sender
        .send_request(Request::from_parts(parts, body))
        .await
        .unwrap();
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    driver.abort();
    (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
}

pub(crate) fn repository() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}
