//! The node's process.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use mcsp_identity::IdentityConfig;
use reqwest::{Client, Method, RequestBuilder};
use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{GL_ORIGIN, NG_ORIGIN, client, wait_for, within};

/// A running node; killed when dropped.
pub(crate) struct Node {
    child: Child,
    pub(crate) plain: SocketAddr,
    pub(crate) tls: SocketAddr,
    pub(crate) admin: SocketAddr,
    /// Where children ask, on a parent.
    pub(crate) shield: Option<SocketAddr>,
    /// Where the PoP's other nodes tell what they admitted.
    pub(crate) limits: Option<SocketAddr>,
    pub(crate) client: Client,
    pub(crate) dir: PathBuf,
    log: PathBuf,
}

#[derive(Deserialize)]
struct Addresses {
    admin: SocketAddr,
    listeners: Vec<Listener>,
    shield: Option<SocketAddr>,
    limits: Option<SocketAddr>,
}

#[derive(Deserialize)]
struct Listener {
    address: SocketAddr,
    tls: bool,
}

pub(crate) fn config(
    dir: &Path,
    name: &str,
    identity: &IdentityConfig,
    origins: &[SocketAddr],
    extra: &str,
) -> String {
    // `{pop}`, or `{pop}-{node}`.
    let (pop, node) = name.split_once('-').unwrap_or((name, "1"));
    let show = |path: &Path| path.display().to_string();
    let pops = show(&dir.join("pops"));
    let state = show(&dir.join(format!("{name}-state")));
    let (cert, key, ca) = (
        show(&identity.cert_file),
        show(&identity.key_file),
        show(&identity.ca_file),
    );
    // Tests count what reaches an origin; those of prefetching turn it on.
    let prefetch = if extra.contains("[prefetch]") {
        ""
    } else {
        "[prefetch]\nenabled = false\n"
    };
    // Keys of the whole come before the first table.
    let (whole, tables) = extra.split_at(extra.find('[').unwrap_or(extra.len()));
    let origins = format!(
        "{:?}",
        origins.iter().map(ToString::to_string).collect::<Vec<_>>()
    );
    let region = |id: &str, name: &str| {
        format!(
            "[[proxy.upstream.region]]\nid = \"{id}\"\norigin = {origins}\norigin_server_name = \"{name}\"\n\
             storage = {origins}\nstorage_server_name = \"{name}\"\n"
        )
    };
    format!(
        "pop = \"{pop}\"\nnode = \"{node}\"\npops_dir = \"{pops}\"\nstate_dir = \"{state}\"\nworker_threads = 2\n{whole}\n\
         [identity]\ncert_file = \"{cert}\"\nkey_file = \"{key}\"\nca_file = \"{ca}\"\n\
         [admin]\naddress = \"127.0.0.1:0\"\n\
         [[listener]]\naddress = \"127.0.0.1:0\"\ntls = false\n\
         [[listener]]\naddress = \"127.0.0.1:0\"\n\
         [tls]\n[[tls.certificates]]\ncert_file = \"{cert}\"\nkey_file = \"{key}\"\n\
         {tables}\n{prefetch}{}{}",
        region("ng-lagos", NG_ORIGIN),
        region("global-london", GL_ORIGIN),
    )
}

impl Node {
    pub(crate) async fn start(
        dir: &Path,
        pop: &str,
        identity: &IdentityConfig,
        origins: &[SocketAddr],
        extra: &str,
    ) -> Self {
        Self::start_from(dir, pop, &config(dir, pop, identity, origins, extra)).await
    }

    /// With this configuration, whose `state_dir` is `{pop}-state` in `dir`.
    pub(crate) async fn start_from(dir: &Path, pop: &str, text: &str) -> Self {
        let file = dir.join(format!("{pop}.toml"));
        // Machines that test do much else meanwhile: what the node has to do is no reason to turn anybody away.
        let shed = if text.contains("[limits.shed]") {
            ""
        } else {
            "\n[limits.shed]\nlag_ms = 10000\ncpu_share = 1.0\n"
        };
        std::fs::write(&file, format!("{text}{shed}")).unwrap();
        let state = dir.join(format!("{pop}-state"));
        let addresses = state.join("addresses.json");
        // Of an earlier run.
        let _ = std::fs::remove_file(&addresses);
        let log = dir.join(format!("{pop}.log"));
        let stderr = std::fs::File::options()
            .create(true)
            .append(true)
            .open(&log)
            .unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_mcsp-edge"))
            .args(["run", "--config"])
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(stderr)
            .spawn()
            .unwrap();
        let mut node = Self {
            child,
            plain: SocketAddr::from(([127, 0, 0, 1], 0)),
            tls: SocketAddr::from(([127, 0, 0, 1], 0)),
            admin: SocketAddr::from(([127, 0, 0, 1], 0)),
            shield: None,
            limits: None,
            client: client(),
            dir: state,
            log,
        };
        wait_for("addresses.json", || async { addresses.exists() }).await;
        let found: Addresses = serde_json::from_slice(&std::fs::read(&addresses).unwrap()).unwrap();
        node.admin = found.admin;
        node.shield = found.shield;
        node.limits = found.limits;
        for listener in found.listeners {
            *(if listener.tls {
                &mut node.tls
            } else {
                &mut node.plain
            }) = listener.address;
        }
        node
    }

    pub(crate) async fn wait_ready(&self) {
        wait_for("readiness", || async { self.is_ready().await }).await;
    }

    pub(crate) async fn is_ready(&self) -> bool {
        let url = format!("http://{}/readyz", self.admin);
        self.client
            .get(url)
            .send()
            .await
            .is_ok_and(|response| response.status() == 200)
    }

    /// The process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// A request over plain HTTP/1.1.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client
            .request(method, format!("http://{}{path}", self.plain))
    }

    /// Sends these bytes to the plain listener and reads to the end.
    pub(crate) async fn raw(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(self.plain).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// Waits until the node has noticed that its feed was cut.
    pub(crate) async fn wait_feed_cut(&self) {
        wait_for("a cut", || async {
            self.metric("mcsp_edge_feed_connects_total", &["cut"]).await > 0.0
        })
        .await;
    }

    pub(crate) async fn inspect(&self, key: &str) -> serde_json::Value {
        self.admin_json(&format!("/cache/inspect?key={key}")).await
    }

    /// What the admin listener says under a path.
    pub(crate) async fn admin_json(&self, path: &str) -> serde_json::Value {
        let url = format!("http://{}{path}", self.admin);
        let response = self.client.get(url).send().await.unwrap();
        serde_json::from_slice(&response.bytes().await.unwrap()).unwrap()
    }

    /// What is held under a key, of which there is one variant at most: `absent`, `fresh`, `stale`, `filling`.
    pub(crate) async fn state(&self, key: &str) -> String {
        let inspection = self.inspect(key).await;
        let state = inspection["variants"][0]["state"].as_str();
        state.unwrap_or("absent").to_owned()
    }

    pub(crate) async fn metrics(&self) -> String {
        let url = format!("http://{}/metrics", self.admin);
        self.client
            .get(url)
            .send()
            .await
            .unwrap()
            .text()
            .await
            .unwrap()
    }

    /// The sum of a metric's samples whose line has every one of `labels`.
    pub(crate) async fn metric(&self, name: &str, labels: &[&str]) -> f64 {
        let text = self.metrics().await;
        text.lines()
            .filter(|line| {
                line.starts_with(name) && labels.iter().all(|label| line.contains(label))
            })
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum()
    }

    /// Waits until a metric's samples that have every one of `labels` are `wanted` in sum: much is counted after its answer
    /// has gone out.
    pub(crate) async fn counts(&self, name: &str, labels: &[&str], wanted: f64) {
        let what = format!("{name} {labels:?} = {wanted}");
        wait_for(&what, || async {
            (self.metric(name, labels).await - wanted).abs() < 0.1
        })
        .await;
    }

    /// Its lines so far: the last may be half written.
    pub(crate) fn log(&self) -> String {
        super::whole_lines(&self.log)
    }

    pub(crate) fn terminate(&self) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, Signal::TERM).unwrap();
    }

    /// Ends it at once.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// How it stands in the shield tier.
    pub(crate) async fn shield_state(&self) -> serde_json::Value {
        self.admin_json("/shield").await
    }

    /// Waits for the end.
    pub(crate) async fn wait(&mut self) -> ExitStatus {
        let ended = async {
            loop {
                if let Some(status) = self.child.try_wait().unwrap() {
                    return status;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        within("the node's end", ended).await
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = std::fs::read_to_string(&self.log).unwrap_or_default();
            let tail: Vec<_> = log.lines().rev().take(40).collect();
            eprintln!("the node's last lines:");
            for line in tail.iter().rev() {
                eprintln!("{line}");
            }
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
