//! The edge under test: one plain route, detection only, an event of every request.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use mcsp_edge_waf::{Mode, WafConfig, replay};
use serde::{Deserialize, Serialize};

use crate::AnyError;

/// How long a node may take to listen.
const START_MAX: Duration = Duration::from_secs(60);

/// A running node; it ends with this.
#[derive(Debug)]
pub(crate) struct Node {
    child: Child,
    pub(crate) address: SocketAddr,
    pub(crate) audit_file: PathBuf,
}

#[derive(Serialize)]
struct Config {
    state_dir: PathBuf,
    log_level: &'static str,
    worker_threads: usize,
    admin: Address,
    listener: Vec<Listener>,
    route: Vec<Route>,
    waf: WafConfig,
}

#[derive(Serialize)]
struct Address {
    address: &'static str,
}

#[derive(Serialize)]
struct Listener {
    address: &'static str,
    tls: bool,
}

#[derive(Serialize)]
struct Route {
    name: &'static str,
    upstream: String,
    /// The tests' fields reach the origin as they are.
    underscored_fields: bool,
    /// Tests of rules are no strict requests; those that only say what must not match have to reach the origin.
    takes: [&'static str; 5],
}

#[derive(Debug, Deserialize)]
struct Addresses {
    listeners: Vec<Listening>,
}

#[derive(Debug, Deserialize)]
struct Listening {
    address: SocketAddr,
}

impl Node {
    pub(crate) fn start(
        program: &Path,
        folder: &Path,
        rules: &Path,
        paranoia: u8,
        origin: SocketAddr,
    ) -> Result<Self, AnyError> {
        if folder.exists() {
            fs::remove_dir_all(folder)?;
        }
        let state_dir = folder.join("state");
        fs::create_dir_all(&state_dir)?;
        let audit_file = folder.join("audit.jsonl");
        let config = Config {
            state_dir: state_dir.clone(),
            log_level: "warn",
            worker_threads: 1,
            admin: Address {
                address: "127.0.0.1:0",
            },
            listener: vec![Listener {
                address: "127.0.0.1:0",
                tls: false,
            }],
            route: vec![Route {
                name: "plain",
                upstream: format!("http://{origin}"),
                underscored_fields: true,
                takes: [
                    "length-and-coding",
                    "version",
                    "target-characters",
                    "target-without-path",
                    "connect",
                ],
            }],
            waf: WafConfig {
                mode: Mode::Detect,
                rules: replay::rules(rules, paranoia),
                route: Vec::new(),
                limits: replay::limits(),
                audit_file: Some(audit_file.clone()),
                audit_all: true,
                ..WafConfig::default()
            },
        };
        let file = folder.join("edge.toml");
        fs::write(&file, toml::to_string(&config)?)?;
        let log = fs::File::create(folder.join("log.jsonl"))?;
        let mut child = Command::new(program)
            .args(["run", "--config"])
            .arg(&file)
            // All of it comes from one address.
            .env("MCSP_EDGE_LIMITS__RATE__CONNECTION__ADDRESS", "off")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()?;
        let Some(address) = listening(&mut child, &state_dir.join("addresses.json"))? else {
            let _ = child.kill();
            return Err(format!(
                "mcsp-edge does not listen; see {}",
                folder.join("log.jsonl").display()
            )
            .into());
        };
        Ok(Self {
            child,
            address,
            audit_file,
        })
    }
}

fn listening(child: &mut Child, file: &Path) -> Result<Option<SocketAddr>, AnyError> {
    let start = Instant::now();
    while start.elapsed() < START_MAX && child.try_wait()?.is_none() {
        if let Ok(text) = fs::read(file) {
            let addresses: Addresses = serde_json::from_slice(&text)?;
            return Ok(addresses.listeners.first().map(|listener| listener.address));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(None)
}

impl Drop for Node {
    fn drop(&mut self) {
        // Nothing of it is kept.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
