//! The whole worker as a process: ready, at work, killed, started again, stopped.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use mcsp_api::Residency;
use mcsp_api::events::{ArtReady, Packaged, TranscodingCompleted, UploadBlocked};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::clip;
use crate::origin::Origin;

const PATIENCE: Duration = Duration::from_secs(240);

struct Worker {
    child: Child,
    admin: String,
}

impl Worker {
    fn start(origin: &Origin) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_mcsp-media"))
            .arg("run")
            .arg("--config")
            .arg(&origin.config)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut said = Vec::new();
        let admin = loop {
            let Some(Ok(line)) = lines.next() else {
                panic!("the worker ended: {said:?}");
            };
            if let Ok(record) = serde_json::from_str::<Value>(&line)
                && line.contains("admin listens")
            {
                break find(&record, "address").unwrap();
            }
            said.push(line);
        };
        // What it says further must not fill the pipe.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, admin }
    }

    fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(&self.admin).unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: worker\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).unwrap();
        kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A field of a log record, wherever the record keeps its fields.
fn find(record: &Value, name: &str) -> Option<String> {
    match record {
        Value::Object(fields) => fields.iter().find_map(|(key, value)| match value {
            Value::String(text) if key == name => Some(text.clone()),
            other => find(other, name),
        }),
        _ => None,
    }
}

async fn eventually(what: &str, state: impl AsyncFn() -> bool) {
    let waited = tokio::time::timeout(PATIENCE, async {
        while !state().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    assert!(waited.await.is_ok(), "never came true: {what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_killed_goes_on_where_it_was_and_stops_when_asked() {
    let origin = Origin::start().await;
    let film = std::fs::read(clip(origin.dir.path())).unwrap();
    let worker = Worker::start(&origin);
    eventually("the worker is ready", async || {
        worker.get("/readyz").contains(" 200 ")
    })
    .await;
    let id = origin.upload(Residency::Ng, film).await;
    // In the middle of the rest: the first rendition is told of, the others are not.
    eventually("the first pass is done", async || {
        !origin.events::<TranscodingCompleted>().await.is_empty()
    })
    .await;
    drop(worker);

    let mut worker = Worker::start(&origin);
    eventually("all is published", async || {
        let packaged = origin.events::<Packaged>().await;
        packaged.iter().any(|event| event.last) && !origin.events::<ArtReady>().await.is_empty()
    })
    .await;
    let mut sets: Vec<_> = origin.events::<Packaged>().await;
    sets.sort_by_key(|event| event.renditions.len());
    let sizes: Vec<usize> = sets.iter().map(|event| event.renditions.len()).collect();
    assert_eq!(sizes, [2, 3, 4], "each rendition joins once");
    assert!(origin.events::<UploadBlocked>().await.is_empty());
    for name in [
        "manifest.m3u8",
        "manifest.mpd",
        "v480/1.m4s",
        "a64/init.mp4",
        "art/thumb-1.jpg",
    ] {
        assert!(origin.has_object(Residency::Ng, &id, name).await, "{name}");
        assert!(
            !origin.has_object(Residency::Global, &id, name).await,
            "{name}"
        );
    }
    let metrics = worker.get("/metrics");
    assert!(
        metrics.contains("mcsp_media_jobs_total{outcome=\"done\",stage=\"package\"}"),
        "{metrics}"
    );

    worker.signal(Signal::TERM);
    let stopped = tokio::task::spawn_blocking(move || worker.child.wait().unwrap());
    let status = tokio::time::timeout(PATIENCE, stopped)
        .await
        .unwrap()
        .unwrap();
    assert!(status.success(), "{status}");
}
