//! The sandbox holds: a child that tries to get out fails, and one that does its work does not notice the walls.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mcsp_media_sandbox::{
    ChildError, ChildLimits, Confinement, Job, JobError, Launcher, News, Reporter, run,
};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Attempt {
    what: String,
    path: PathBuf,
}

/// The parent's view of the child's job.
struct Try;

impl Job for Try {
    const NAME: &'static str = "try";
    type Input = Attempt;
    type Output = Result<String, String>;

    fn run(_: Attempt, _: &mut Reporter<'_>) -> Result<Self::Output, JobError> {
        unreachable!("runs in the child only")
    }
}

/// How long a child may say nothing where it is not meant to: a busy machine takes its time to start one.
const PATIENCE_MS: u64 = 120_000;

struct Room {
    dir: tempfile::TempDir,
    limits: ChildLimits,
}

impl Room {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("input"), b"input").unwrap();
        std::fs::write(dir.path().join("neighbour"), b"secret").unwrap();
        std::fs::create_dir(dir.path().join("out")).unwrap();
        let limits = ChildLimits {
            memory_bytes: 1 << 30,
            cpu_s: 20,
            file_bytes: 1 << 20,
            niceness: 5,
        };
        Self { dir, limits }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    async fn attempt(&self, what: &str, path: &Path) -> Result<Result<String, String>, ChildError> {
        let confinement = Confinement {
            reads: vec![self.path("input")],
            writes: Some(self.path("out")),
            limits: self.limits,
        };
        let input = Attempt {
            what: what.into(),
            path: path.into(),
        };
        let launcher = Launcher::binary(env!("CARGO_BIN_EXE_mcsp-sandbox-escapee").into());
        run::<Try>(&launcher, &input, confinement, PATIENCE_MS, |_| {})
            .await
            .map(|finished| finished.output)
    }

    async fn allowed(&self, what: &str, path: &Path) {
        let result = self.attempt(what, path).await.unwrap();
        assert!(result.is_ok(), "{what} {}: {result:?}", path.display());
    }

    async fn forbidden(&self, what: &str, path: &Path) {
        let result = self.attempt(what, path).await.unwrap();
        assert!(
            result.is_err(),
            "{what} {} was possible: {result:?}",
            path.display()
        );
    }
}

#[tokio::test]
async fn the_work_can_be_done() {
    let room = Room::new();
    room.allowed("read", &room.path("input")).await;
    room.allowed("write", &room.path("out/result")).await;
    room.allowed("write", &room.path("out/result")).await;
    room.forbidden("remove", &room.path("out/result")).await;
    room.allowed("thread", Path::new("/")).await;
    assert_eq!(
        room.attempt("environment", Path::new("/")).await.unwrap(),
        Ok(String::new())
    );
}

#[tokio::test]
async fn files_outside_are_out_of_reach() {
    let room = Room::new();
    for path in ["/etc/passwd", "/proc/self/environ", "/proc/1/cmdline"] {
        room.forbidden("read", Path::new(path)).await;
    }
    room.forbidden("read", &room.path("neighbour")).await;
    room.forbidden("write", &room.path("neighbour")).await;
    room.forbidden("write", &room.path("input")).await;
    room.forbidden("write", &room.path("new")).await;
    room.forbidden("write", &room.path("out/../new")).await;
    room.forbidden("remove", &room.path("input")).await;
    room.forbidden("list", Path::new("/")).await;
    assert_eq!(std::fs::read(room.path("input")).unwrap(), b"input");
}

#[tokio::test]
async fn there_is_no_network_and_no_other_program() {
    let room = Room::new();
    for what in ["tcp", "udp", "unix", "exec"] {
        room.forbidden(what, Path::new("/")).await;
    }
}

#[tokio::test]
async fn memory_and_file_size_are_limited() {
    let mut room = Room::new();
    room.forbidden("memory", Path::new("/")).await;
    // Without a handler the kernel's signal ends the child, with one the write fails: either way no large file.
    let written = room.attempt("large-write", &room.path("out/large")).await;
    assert!(!matches!(written, Ok(Ok(_))), "{written:?}");
    assert!(std::fs::metadata(room.path("out/large")).map_or(0, |meta| meta.len()) <= 1 << 20);
    room.limits.cpu_s = 1;
    let spun = room.attempt("spin", Path::new("/")).await;
    assert!(matches!(spun, Err(ChildError::Crashed { .. })), "{spun:?}");
}

#[tokio::test]
async fn what_the_child_says_comes_back() {
    let room = Room::new();
    let refused = room.attempt("refuse", Path::new("/")).await.unwrap_err();
    assert!(
        matches!(&refused, ChildError::Job(JobError::Refused { code, .. }) if code == "not-media"),
        "{refused}"
    );
    assert!(!refused.is_retryable());
    let crashed = room.attempt("abort", Path::new("/")).await.unwrap_err();
    assert!(
        matches!(&crashed, ChildError::Crashed { status, .. } if status == "signal 6"),
        "{crashed}"
    );
    assert!(crashed.is_retryable());
    let confinement = Confinement {
        reads: vec![],
        writes: None,
        limits: room.limits,
    };
    let seen = Arc::new(Mutex::new(Vec::new()));
    let input = Attempt {
        what: "progress".into(),
        path: "/".into(),
    };
    let launcher = Launcher::binary(env!("CARGO_BIN_EXE_mcsp-sandbox-escapee").into());
    let sink = Arc::clone(&seen);
    run::<Try>(&launcher, &input, confinement, PATIENCE_MS, move |news| {
        sink.lock().unwrap().push(news);
    })
    .await
    .unwrap()
    .output
    .unwrap();
    let seen = seen.lock().unwrap();
    let at = |news: &News| match news {
        News::At(permille) => Some(*permille),
        News::Made(_) => None,
    };
    let permilles: Vec<u32> = seen.iter().filter_map(at).collect();
    assert!(
        permilles.len() >= 100 && permilles.len() < 200 && permilles.is_sorted(),
        "{seen:?}"
    );
    let half = News::Made("half".into());
    let place = seen.iter().position(|news| *news == half).unwrap();
    assert_eq!(at(&seen[place - 1]), Some(500), "in the order of its words");
}

#[tokio::test]
async fn a_silent_child_is_killed_and_so_is_an_abandoned_one() {
    let room = Room::new();
    let confinement = || Confinement {
        reads: vec![],
        writes: None,
        limits: room.limits,
    };
    let launcher = Launcher::binary(env!("CARGO_BIN_EXE_mcsp-sandbox-escapee").into());
    let input = Attempt {
        what: "silence".into(),
        path: "/".into(),
    };
    // It would be silent for ten minutes.
    let silent = run::<Try>(&launcher, &input, confinement(), 300, |_| {});
    let silent = tokio::time::timeout(Duration::from_secs(120), silent)
        .await
        .expect("it is not waited for");
    assert!(
        matches!(silent, Err(ChildError::Silent { silence_ms: 300 })),
        "{silent:?}"
    );

    let before = children();
    let abandoned = run::<Try>(&launcher, &input, confinement(), 600_000, |_| {});
    assert!(
        tokio::time::timeout(Duration::from_millis(300), abandoned)
            .await
            .is_err()
    );
    for _ in 0..2_400 {
        if children() <= before {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the abandoned child still lives");
}

/// How many child processes this process has.
fn children() -> usize {
    let mut count = 0;
    for task in std::fs::read_dir("/proc/self/task").unwrap().flatten() {
        let listed = std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
        count += listed.split_whitespace().count();
    }
    count
}
