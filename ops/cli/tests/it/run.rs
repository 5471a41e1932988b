//! Runs the program as a person or a script does.

use std::path::Path;
use std::process::Stdio;

use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};

use crate::platform::Platform;

/// What the program said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) status: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Said {
    pub(crate) fn json(&self) -> serde_json::Value {
        assert_eq!(self.status, 0, "{self:?}");
        serde_json::from_str(&self.out).unwrap()
    }
}

/// A person with a configuration folder of his own.
pub(crate) struct Person {
    pub(crate) config: TempDir,
    server: String,
}

impl Person {
    pub(crate) fn new(platform: &Platform) -> Self {
        Self {
            config: tempfile::tempdir().unwrap(),
            server: platform.url(),
        }
    }

    /// Registers; the rest of the commands need no `--server` then.
    pub(crate) async fn registered(platform: &Platform) -> Self {
        let person = Self::new(platform);
        let server = person.server.clone();
        let words = [
            "--server",
            &server,
            "register",
            "ada@example.com",
            "--password-stdin",
        ];
        let said = person.run_with_input(&words, "a long password\n").await;
        assert_eq!(said.status, 0, "{said:?}");
        person
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mcsp"));
        command
            .args(words)
            .env_clear()
            .env("MCSP_CONFIG_DIR", self.config.path())
            .env("MCSP_RETRY_PAUSE_MS", "5")
            .env("MCSP_POLL_PAUSE_MS", "5")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    pub(crate) fn start(&self, words: &[&str]) -> Child {
        self.command(words).spawn().unwrap()
    }

    pub(crate) async fn run(&self, words: &[&str]) -> Said {
        self.run_with_input(words, "").await
    }

    pub(crate) async fn run_with_input(&self, words: &[&str], input: &str) -> Said {
        let mut child = self.start(words);
        // A command that reads nothing has closed it already.
        let _ = child
            .stdin
            .take()
            .unwrap()
            .write_all(input.as_bytes())
            .await;
        let output = child.wait_with_output().await.unwrap();
        Said {
            status: output.status.code().unwrap_or(-1),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    pub(crate) fn file(&self, name: &str, bytes: &[u8]) -> String {
        let path = self.config.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path.display().to_string()
    }

    pub(crate) fn unfinished_uploads(&self) -> usize {
        std::fs::read_dir(self.config.path().join("uploads")).map_or(0, Iterator::count)
    }

    pub(crate) fn mode(&self, name: &str) -> u32 {
        use std::os::unix::fs::PermissionsExt;
        let path: &Path = self.config.path();
        std::fs::metadata(path.join(name))
            .unwrap()
            .permissions()
            .mode()
            & 0o777
    }
}
