//! The public suite http-tests/cache-tests, run by its own server and command line, as npm has it or from a checkout.

mod known;

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

/// Its name in messages.
const NAME: &str = "http-tests/cache-tests";

/// How long all its tests may take.
const SUITE_LIMIT: Duration = Duration::from_secs(300);

/// Prints id, name, kind and the last request's expectation of every test that needs no browser. Releases leave one
/// group of tests to their command line, whose file is the argument.
const LIST: &str = "\
import { readFileSync } from 'node:fs'
import tests from './tests/index.mjs'
const more = readFileSync(process.argv[1], 'utf8').match(/'(\\.\\/tests\\/surrogate-control\\.mjs)'/)
const groups = more ? [...tests, (await import(more[1])).default] : tests
const rows = groups.flatMap(group => group.tests).filter(test => !test.browser_only)
console.log(JSON.stringify(rows.map(test => ({
  id: test.id,
  name: test.name,
  kind: test.kind || 'required',
  last_expectation: test.requests.at(-1).expected_type || ''
}))))
";

/// The kind of tests that a cache has to pass.
pub const KIND_REQUIRED: &str = "required";

/// The kind under which required tests are counted that ask for what RFC 9111 has since decided otherwise.
pub const KIND_OVERTAKEN: &str = "overtaken by RFC 9111";

/// A test of the suite.
#[derive(Debug, Clone, Deserialize)]
struct Listed {
    id: String,
    name: String,
    kind: String,
    last_expectation: String,
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
    /// What the RFCs say against it, where a cache is right to fail it.
    pub because: Option<&'static str>,
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

/// What we read of the suite's `package.json`.
#[derive(Debug, Deserialize)]
struct Package {
    scripts: BTreeMap<String, String>,
    #[serde(default)]
    dependencies: BTreeMap<String, Value>,
}

impl Package {
    /// Reads that of the suite in this folder.
    fn of(folder: &Path) -> Result<Self, BenchError> {
        let no_suite = |reason: &dyn std::fmt::Display| {
            let folder = folder.display();
            BenchError::tool(NAME, format!("{folder} is no copy of the suite: {reason}"))
        };
        let text = std::fs::read(folder.join("package.json")).map_err(|error| no_suite(&error))?;
        let package: Self = serde_json::from_slice(&text).map_err(|error| no_suite(&error))?;
        let has_packages = folder
            .ancestors()
            .any(|above| above.join("node_modules").is_dir());
        if !package.dependencies.is_empty() && !has_packages {
            let folder = folder.display();
            return Err(BenchError::tool(
                NAME,
                format!("{folder} has no node_modules: run `npm install` in it first"),
            ));
        }
        Ok(package)
    }

    /// The file that one of its scripts runs: where it lies has changed over the suite's life.
    fn program(&self, script: &str) -> Result<&str, BenchError> {
        let words = self.scripts.get(script).map_or("", String::as_str);
        words
            .split_whitespace()
            .find(|word| word.ends_with(".mjs"))
            .ok_or_else(|| {
                let reason = format!("its package.json has no script {script:?} that we could run");
                BenchError::tool(NAME, reason)
            })
    }
}

/// The suite's server, which is the origin of the proxy under test.
#[derive(Debug)]
pub struct PublicSuite {
    folder: PathBuf,
    cli: String,
    /// Where its server listens.
    pub origin: SocketAddr,
    _server: Process,
}

impl PublicSuite {
    /// Starts the suite's server; `folder` is the suite: the package as npm installs it, or a checkout of its repository
    /// in which `npm install` was run.
    ///
    /// # Errors
    /// When there is no suite in the folder, or its server does not start.
    pub async fn start(folder: &Path, data_dir: &Path) -> Result<Self, BenchError> {
        // Its programs run there, and are named by it.
        let folder =
            std::fs::canonicalize(folder).map_err(|error| BenchError::file(folder, error))?;
        let package = Package::of(&folder)?;
        let cli = package.program("cli")?.to_owned();
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
            package.program("server")?.to_owned(),
        ];
        let log = data_dir.join("suite-server.log");
        let server = Process::start(ProcessSpec {
            name: NAME.to_owned(),
            program: PathBuf::from("env"),
            args: words.to_vec(),
            admin: origin.to_string(),
            log: log.clone(),
        })?;
        let started = async {
            while TcpStream::connect(origin).await.is_err() {
                sleep(Duration::from_millis(30)).await;
            }
        };
        timeout(Duration::from_secs(20), started)
            .await
            .map_err(|_| {
                let said = crate::server::end_of(&log);
                BenchError::tool(NAME, format!("its server did not start: {said}"))
            })?;
        Ok(Self {
            folder,
            cli,
            origin,
            _server: server,
        })
    }

    /// The suite's folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Runs all tests that need no browser against the proxy; counts by kind.
    ///
    /// # Errors
    /// When the suite's program fails or says what is no result.
    pub async fn run(&self, proxy: SocketAddr) -> Result<BTreeMap<String, Counts>, BenchError> {
        let list = self
            .node(&["--input-type=module", "-e", LIST, &self.cli], "")
            .await?;
        let listed: Vec<Listed> = serde_json::from_str(&list)
            .map_err(|error| BenchError::tool(NAME, error.to_string()))?;
        let base = format!("http://{proxy}");
        let text = self.node(&["--no-warnings", &self.cli], &base).await?;
        // What the suite prints before its results is about itself.
        let start = if text.starts_with('{') {
            0
        } else {
            text.find("\n{").unwrap_or(0)
        };
        let json = &text[start..];
        let results: BTreeMap<String, Value> = serde_json::from_str(json).map_err(|error| {
            let start: String = text.chars().take(300).collect();
            BenchError::tool(NAME, format!("{error}: {start}"))
        })?;
        let mut counts: BTreeMap<String, Counts> = BTreeMap::new();
        for test in listed {
            let overtaken = known::overtaken(&test.id, &test.kind, &test.last_expectation);
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
            of_kind.failed.push(Failed {
                because: overtaken.or_else(|| known::left(&test.id)),
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
            .map_err(|_| BenchError::tool(NAME, "not done within 300 s"))?
            .map_err(|error| BenchError::tool("node", error.to_string()))?;
        match output.status.success() {
            true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
            false => Err(BenchError::tool("node", output.status.to_string())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_suites_programs_are_where_its_scripts_say() {
        let dir = tempfile::tempdir().unwrap();
        let no_suite = Package::of(dir.path()).unwrap_err().to_string();
        assert!(no_suite.contains("is no copy of the suite"), "{no_suite}");
        let file = dir.path().join("package.json");
        let text = r#"{
            "scripts": { "server": "node engine/server.mjs &", "cli": "node --no-warnings engine/cli.mjs", "fix": "standard" },
            "dependencies": { "undici": "^7" }
        }"#;
        std::fs::write(&file, text).unwrap();
        let bare = Package::of(dir.path()).unwrap_err().to_string();
        assert!(bare.contains("run `npm install` in it first"), "{bare}");
        std::fs::create_dir(dir.path().join("node_modules")).unwrap();
        let package = Package::of(dir.path()).unwrap();
        assert_eq!(package.program("server").unwrap(), "engine/server.mjs");
        assert_eq!(package.program("cli").unwrap(), "engine/cli.mjs");
        assert!(package.program("fix").is_err());
        assert!(package.program("start").is_err());
    }
}
