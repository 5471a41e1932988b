//! What every test here begins with: a cluster, people, clips.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use mcsp_loadtest_cluster::{Client, Cluster, Layout, Options, bin_dir_of};
use serde_json::Value;
use tokio::process::Command;

/// Longest wait for a clip of a few seconds to be published on a busy machine.
pub(crate) const PUBLISH_LIMIT: Duration = Duration::from_secs(300);
/// The password of everyone here.
pub(crate) const PASSWORD: &str = "correct horse battery staple";

fn from_env(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).map(PathBuf::from)
}

/// Where the page's packages are; tests of the browser need them.
pub(crate) fn node_dir() -> PathBuf {
    from_env("MCSP_TEST_NODE").expect("MCSP_TEST_NODE: run these by `cargo xtask test`")
}

/// Where the programs and the page are, and an empty folder for one test.
pub(crate) struct Places {
    pub(crate) bin_dir: PathBuf,
    pub(crate) site: PathBuf,
    pub(crate) folder: PathBuf,
}

impl Places {
    /// Those of the test of this name; what its last run left is removed.
    pub(crate) fn of(test: &str) -> Self {
        let exe = std::env::current_exe().expect("our own path");
        let bin_dir = from_env("MCSP_TEST_BIN_DIR")
            .or_else(|| bin_dir_of(&exe))
            .expect("the programs' folder");
        let base = from_env("MCSP_TEST_DATA_DIR").unwrap_or_else(|| bin_dir.join("test-data"));
        let folder = base.join(test);
        if folder.exists() {
            std::fs::remove_dir_all(&folder).expect("the last run's folder can be removed");
        }
        std::fs::create_dir_all(&folder).expect("a folder");
        let site = from_env("MCSP_TEST_SITE").unwrap_or_else(|| bin_dir.join("../web/site"));
        Self {
            bin_dir,
            site,
            folder,
        }
    }
}

/// A cluster in a folder of its own, and the folder.
pub(crate) struct Stage {
    pub(crate) cluster: Cluster,
    pub(crate) layout: Layout,
    folder: PathBuf,
}

impl Stage {
    /// Starts a cluster for the test of this name.
    pub(crate) async fn start(test: &str) -> Self {
        let Places {
            bin_dir,
            site,
            folder,
        } = Places::of(test);
        let data_dir = folder.join("cluster");
        let layout = Layout {
            bin_dir,
            site,
            data_dir,
        };
        let cluster = Cluster::start(layout.clone(), Options::default())
            .await
            .expect("a cluster");
        Self {
            cluster,
            layout,
            folder,
        }
    }

    /// A folder for what the test itself writes.
    pub(crate) fn scratch(&self) -> &Path {
        &self.folder
    }

    /// A new viewer at a PoP.
    pub(crate) async fn viewer(&self, pop: &str, name: &str) -> Client {
        let client = Client::new(&self.cluster.pop_url(pop)).expect("a client");
        client
            .register(&format!("{name}@example.com"), PASSWORD, "viewer")
            .await
            .expect("an account")
    }

    /// A new creator at a PoP who uses the command line.
    pub(crate) async fn creator(&self, pop: &str, name: &str) -> Creator {
        let creator = Creator {
            program: self.layout.program("mcsp"),
            config_dir: self.folder.join("people").join(name),
            server: self.cluster.pop_url(pop),
            email: format!("{name}@example.com"),
        };
        let registered = creator
            .run(&[
                "register",
                &creator.email,
                "--role",
                "creator",
                "--password-stdin",
            ])
            .await;
        assert!(
            registered.status.success(),
            "register: {}",
            told(&registered)
        );
        creator
    }

    /// Stops the cluster; every process must end by itself when asked to.
    pub(crate) async fn stop(mut self) {
        let stubborn = self.cluster.stop().await;
        assert!(
            stubborn.is_empty(),
            "did not stop when asked to: {stubborn:?}"
        );
    }
}

/// What a program said, for a message.
pub(crate) fn told(output: &Output) -> String {
    format!(
        "{}: {}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// A person with the `mcsp` command line.
pub(crate) struct Creator {
    program: PathBuf,
    config_dir: PathBuf,
    server: String,
    email: String,
}

impl Creator {
    /// The command line with these words; not started yet.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command
            .arg("--server")
            .arg(&self.server)
            .arg("--config-dir")
            .arg(&self.config_dir)
            .arg("--json")
            .args(words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    /// Runs it to its end, with the password on standard input.
    pub(crate) async fn run(&self, words: &[&str]) -> Output {
        use tokio::io::AsyncWriteExt as _;
        let mut child = self.command(words).spawn().expect("mcsp starts");
        if let Some(mut input) = child.stdin.take() {
            // A command that wants no password has closed it already.
            let _ = input.write_all(format!("{PASSWORD}\n").as_bytes()).await;
        }
        child.wait_with_output().await.expect("mcsp ends")
    }

    /// Runs it and reads the JSON that it prints.
    pub(crate) async fn json(&self, words: &[&str]) -> Value {
        let output = self.run(words).await;
        assert!(
            output.status.success(),
            "mcsp {}: {}",
            words.join(" "),
            told(&output)
        );
        serde_json::from_slice(&output.stdout).expect("JSON")
    }

    /// Uploads a file and waits until it can be played; returns the content id.
    pub(crate) async fn upload(&self, file: &Path, options: &[&str]) -> String {
        let file = file.to_str().expect("a path of plain characters");
        let mut words = vec!["upload", file];
        words.extend(options);
        let content = self.json(&words).await;
        assert_eq!(content["status"], "PUBLISHED", "{content}");
        content["content_id"].as_str().expect("an id").to_owned()
    }

    /// The same person, as an API client.
    pub(crate) async fn client(&self) -> Client {
        let client = Client::new(&self.server).expect("a client");
        client
            .login(&self.email, PASSWORD)
            .await
            .expect("signed in")
    }
}

/// A clip made by FFmpeg's own generators.
pub(crate) async fn clip(folder: &Path, name: &str, words: &str) -> PathBuf {
    std::fs::create_dir_all(folder).expect("a folder");
    let path = folder.join(name);
    let output = Command::new("ffmpeg")
        .args(["-hide_banner", "-nostdin", "-loglevel", "error", "-y"])
        .args(words.split_whitespace())
        .arg(&path)
        .output()
        .await
        .expect("ffmpeg starts");
    assert!(output.status.success(), "ffmpeg: {}", told(&output));
    path
}

/// Words for a clip with picture and sound of so many seconds.
pub(crate) fn picture_and_sound(seconds: u32, size: &str) -> String {
    format!(
        "-f lavfi -i testsrc2=size={size}:rate=25 -f lavfi -i sine=frequency=440:sample_rate=48000 -t {seconds} \
         -c:v libx264 -preset ultrafast -g 50 -c:a aac -b:a 96k -movflags +faststart"
    )
}
