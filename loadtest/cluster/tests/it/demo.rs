//! The demo as a person runs it: an address to play, and nothing left after Ctrl-C.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use mcsp_loadtest_scenario::Surroundings;
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;

use crate::harness::{Places, clip, picture_and_sound};

/// From nothing to the address, on a busy machine.
const LIMIT: Duration = Duration::from_secs(600);

/// Processes whose command line names this folder.
fn left_running(folder: &Path) -> Vec<String> {
    let wanted = folder.to_string_lossy().into_owned();
    let processes = std::fs::read_dir("/proc").expect("/proc");
    let lines =
        processes.filter_map(|entry| std::fs::read(entry.ok()?.path().join("cmdline")).ok());
    let texts = lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " "));
    texts.filter(|line| line.contains(&wanted)).collect()
}

#[tokio::test]
async fn the_demo_prints_an_address_and_leaves_nothing_running() {
    let places = Places::of("demo");
    let file = clip(&places.folder, "a.mp4", &picture_and_sound(6, "640x360")).await;
    let data_dir = places.folder.join("cluster");
    let mut demo = Command::new(places.bin_dir.join("mcsp-cluster"))
        .arg("demo")
        .arg("--bin-dir")
        .arg(&places.bin_dir)
        .arg("--site")
        .arg(&places.site)
        .arg("--data-dir")
        .arg(&data_dir)
        .arg("--video")
        .arg(&file)
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("the demo starts");
    let mut lines = BufReader::new(demo.stdout.take().expect("its output")).lines();
    let address = tokio::time::timeout(LIMIT, async {
        while let Some(line) = lines.next_line().await.expect("a line") {
            if let Some(at) = line.find("http://") {
                return Some(line[at..].trim().to_owned());
            }
        }
        None
    });
    let address = address
        .await
        .expect("in time")
        .expect("an address before it ends");
    let page = reqwest::get(address.split('#').next().expect("a URL"))
        .await
        .expect("the page");
    assert!(page.status().is_success(), "{address}: {}", page.status());
    assert!(
        left_running(&data_dir).len() >= 7,
        "{:?}",
        left_running(&data_dir)
    );

    let target = data_dir.join("load-target.toml");
    let is_told = async {
        while !target.is_file() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(LIMIT, is_told)
        .await
        .expect("a load test is told where to find it, in time");
    let told = Surroundings::load(&target).expect("of this form");
    assert_eq!(told.pid, demo.id());
    assert!(address.contains(told.content_ids.first().expect("an item")));
    assert_eq!((told.geography.len(), told.nodes.len()), (3, 7));
    for node in &told.nodes {
        let file = node.pid_file.as_ref().expect("a file");
        let pid = std::fs::read_to_string(file).expect("a process id");
        assert!(
            Path::new("/proc").join(&pid).exists(),
            "{}: {pid}",
            node.name
        );
        let metrics = reqwest::get(node.metrics_url.clone().expect("metrics")).await;
        assert!(metrics.expect("an answer").status().is_success());
    }

    let pid = demo
        .id()
        .and_then(|pid| i32::try_from(pid).ok())
        .and_then(Pid::from_raw)
        .expect("it runs");
    kill_process(pid, Signal::INT).expect("Ctrl-C");
    let status = tokio::time::timeout(LIMIT, demo.wait())
        .await
        .expect("in time")
        .expect("it ends");
    assert!(status.success(), "{status}");
    assert_eq!(left_running(&data_dir), Vec::<String>::new());
    assert!(!target.exists(), "it leads to nobody");
}
