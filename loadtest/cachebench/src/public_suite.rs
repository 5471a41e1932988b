//! The public suite http-tests/cache-tests, run by its own server and command line.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use mcsp_loadtest_cluster::{Process, ProcessSpec};
use serde::Deserialize;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::time::{sleep, timeout};

use crate::error::BenchError;

/// How long all its tests may take.
const SUITE_LIMIT: Duration = Duration::from_secs(300);

/// Prints id, kind, name and where not to run of every test.
const LIST: &str = "\
import tests from './tests/index.mjs'
import surrogate from './tests/surrogate-control.mjs'
tests.push(surrogate)
const rows = tests.flatMap(suite => suite.tests).filter(test => !test.browser_only)
console.log(JSON.stringify(rows.map(test => ({ id: test.id, name: test.name, kind: test.kind || 'required' }))))
";

/// Required tests of the release that no proxy can pass and keep to RFC 9111 as it was published. The release is of the
/// time of its drafts; the suite has since changed them.
const OVERTAKEN: [(&str, &str); 13] = [
    ("age-parse-nonnumeric", NOT_A_NUMBER),
    ("age-parse-negative", NOT_A_NUMBER),
    ("age-parse-float", NOT_A_NUMBER),
    ("age-parse-parameter", NOT_A_NUMBER),
    ("age-parse-numeric-parameter", NOT_A_NUMBER),
    ("age-parse-prefix-twoline", FIRST_COUNTS),
    ("age-parse-dup-0", FIRST_COUNTS),
    ("age-parse-dup-0-twoline", FIRST_COUNTS),
    ("age-parse-dup-old", FIRST_COUNTS),
    ("stale-close-must-revalidate", OWN_ERROR),
    ("stale-close-proxy-revalidate", OWN_ERROR),
    ("stale-close-no-cache", OWN_ERROR),
    ("stale-close-s-maxage=2", OWN_ERROR),
];
const NOT_A_NUMBER: &str =
    "RFC 9111 §5.1: an Age that is no number is ignored; the test wants it to be stale";
const FIRST_COUNTS: &str =
    "RFC 9111 §5.1: of several Ages the first counts; the test wants them to be stale";
const OWN_ERROR: &str = "RFC 9111 §5.2.2.2: a disconnected cache answers 504; the test takes any answer that is not the origin's for a hit";

/// The kind under which [`OVERTAKEN`] tests are counted.
pub const KIND_OVERTAKEN: &str = "overtaken by RFC 9111";

/// A test of the suite.
#[derive(Debug, Clone, Deserialize)]
struct Listed {
    id: String,
    name: String,
    kind: String,
}

/// A test that did not pass.
#[derive(Debug, Clone)]
pub struct Failed {
    /// Its id in the suite.
    pub id: String,
    /// Its name.
    pub name: String,
    /// What the suite says.
    pub reason: String,
}

/// What became of the tests of one kind.
#[derive(Debug, Clone, Default)]
pub struct Counts {
    /// How many there are.
    pub total: usize,
    /// Those that did not pass.
    pub failed: Vec<Failed>,
}

impl Counts {
    /// How many passed.
    #[must_use]
    pub fn passed(&self) -> usize {
        self.total - self.failed.len()
    }
}

/// The suite's server, which is the origin of the proxy under test.
#[derive(Debug)]
pub struct PublicSuite {
    folder: PathBuf,
    /// Where its server listens.
    pub origin: SocketAddr,
    _server: Process,
}

impl PublicSuite {
    /// Starts the suite's server; `packages` is the folder whose `node_modules` has the suite.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn start(packages: &Path, data_dir: &Path) -> Result<Self, BenchError> {
        let folder = packages.join("node_modules/http-cache-tests");
        let port = crate::server::free_port()?;
        let origin = SocketAddr::from(([127, 0, 0, 1], port));
        let pid_file = data_dir.join("suite-server.pid");
        // `env` sets what npm would set, and its `-C` the folder that the suite's server serves files from.
        let words = [
            "-C".to_owned(),
            folder.display().to_string(),
            "npm_config_protocol=http".to_owned(),
            format!("npm_config_port={port}"),
            format!("npm_config_pidfile={}", pid_file.display()),
            "node".to_owned(),
            "server/server.mjs".to_owned(),
        ];
        let server = Process::start(ProcessSpec {
            name: "http-cache-tests".to_owned(),
            program: PathBuf::from("env"),
            args: words.to_vec(),
            admin: origin.to_string(),
            log: data_dir.join("suite-server.log"),
        })?;
        let started = async {
            while TcpStream::connect(origin).await.is_err() {
                sleep(Duration::from_millis(30)).await;
            }
        };
        timeout(Duration::from_secs(20), started)
            .await
            .map_err(|_| BenchError::tool("http-cache-tests", "its server did not start"))?;
        Ok(Self {
            folder,
            origin,
            _server: server,
        })
    }

    /// Runs all tests that need no browser against the proxy; counts by kind.
    ///
    /// # Errors
    /// When the suite's program fails or says what is no result.
    pub async fn run(&self, proxy: SocketAddr) -> Result<BTreeMap<String, Counts>, BenchError> {
        let list = self.node(&["--input-type=module", "-e", LIST], "").await?;
        let listed: Vec<Listed> = serde_json::from_str(&list)
            .map_err(|error| BenchError::tool("http-cache-tests", error.to_string()))?;
        let base = format!("http://{proxy}");
        let text = self.node(&["--no-warnings", "cli.mjs"], &base).await?;
        // What the suite prints before its results is about itself.
        let json = text.find("\n{").map_or(text.as_str(), |at| &text[at..]);
        let results: BTreeMap<String, Value> = serde_json::from_str(json).map_err(|error| {
            BenchError::tool(
                "http-cache-tests",
                format!("{error}: {}", &text[..text.len().min(300)]),
            )
        })?;
        let mut counts: BTreeMap<String, Counts> = BTreeMap::new();
        for test in listed {
            let overtaken = OVERTAKEN.iter().find(|(id, _)| *id == test.id);
            let kind = overtaken.map_or(test.kind, |_| KIND_OVERTAKEN.to_owned());
            let of_kind = counts.entry(kind).or_default();
            of_kind.total += 1;
            let reason = match results.get(&test.id) {
                Some(Value::Bool(true)) => continue,
                Some(Value::Array(words)) => {
                    let words = words.iter().filter_map(Value::as_str);
                    words.collect::<Vec<_>>().join(": ")
                }
                _ => "not run".to_owned(),
            };
            let reason = overtaken.map_or(reason, |(_, why)| (*why).to_owned());
            of_kind.failed.push(Failed {
                id: test.id,
                name: test.name,
                reason,
            });
        }
        Ok(counts)
    }

    async fn node(&self, words: &[&str], base: &str) -> Result<String, BenchError> {
        let work = Command::new("node")
            .args(words)
            .current_dir(&self.folder)
            .env("npm_config_base", base)
            .env("npm_config_id", "")
            .env("npm_package_config_id", "")
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .kill_on_drop(true)
            .output();
        let output = timeout(SUITE_LIMIT, work)
            .await
            .map_err(|_| BenchError::tool("http-cache-tests", "not done within 300 s"))?
            .map_err(|error| BenchError::tool("node", error.to_string()))?;
        match output.status.success() {
            true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
            false => Err(BenchError::tool("node", output.status.to_string())),
        }
    }
}
