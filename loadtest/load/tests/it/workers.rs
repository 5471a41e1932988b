//! A coordinator with workers, as on many machines.

use std::path::Path;
use std::process::Stdio;

use mcsp_loadtest_bench::Plant;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::harness::{PATIENCE, SHORT, Stage, finish, kinds, program, recorded, requests};

const TOKEN: &str = "a secret that nobody guesses";

/// A coordinator that listens, and where.
async fn coordinator(scenario: &Path, count: u32, out: &Path, extra: &[&str]) -> (Child, String) {
    let mut command = program();
    command
        .arg("run")
        .arg(scenario)
        .args([
            "--listen=127.0.0.1:0",
            &format!("--workers={count}"),
            "--quiet",
        ])
        .args(extra)
        .arg("--out")
        .arg(out)
        .env("MCSP_LOAD_TOKEN", TOKEN)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().expect("it starts");
    let mut lines = BufReader::new(child.stderr.take().expect("its errors")).lines();
    let first = tokio::time::timeout(PATIENCE, lines.next_line());
    let first = first.await.expect("in time").expect("a line").expect("one");
    let address = first.rsplit(' ').next().expect("a word").to_owned();
    // What else it says is read, so that it never waits for us.
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    (child, address)
}

fn worker(address: &str, index: u32, token: &str) -> Command {
    let mut command = program();
    command
        .args([
            "worker",
            &format!("--coordinator={address}"),
            &format!("--index={index}"),
        ])
        .env("MCSP_LOAD_TOKEN", token);
    command
}

async fn ended(child: Child) -> (i32, String) {
    let output = tokio::time::timeout(PATIENCE, child.wait_with_output());
    let output = output.await.expect("in time").expect("it ends");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    (output.status.code().expect("by itself"), said)
}

#[tokio::test]
async fn three_workers_see_what_one_process_sees() {
    let stage = Stage::with(Plant::Nothing).await;
    // The lowest rung, so that what is asked for does not depend on how busy the machine is. 12 accounts are four for each of three.
    let scenario = stage.scenario(&SHORT.replace("\"highest\"", "\"lowest\""));
    let alone = stage.path("alone");
    let mut command = program();
    command
        .arg("run")
        .arg(&scenario)
        .arg("--quiet")
        .arg("--out")
        .arg(&alone);
    assert_eq!(finish(command).await.status, 0);
    let sent_alone = stage.platform.body_bytes();

    let together = stage.path("together");
    let (child, address) = coordinator(&scenario, 3, &together, &[]).await;
    let workers: Vec<Child> = (0..3)
        .map(|index| worker(&address, index, TOKEN).spawn().expect("it starts"))
        .collect();
    let (status, said) = ended(child).await;
    assert_eq!(status, 0, "{said}");
    for worker in workers {
        assert_eq!(ended(worker).await.0, 0);
    }
    let (alone, together) = (recorded(&alone), recorded(&together));
    assert_eq!(requests(&alone), requests(&together));
    // What workers tell adds up to the last byte, to what was sent to all of them.
    let bytes =
        |recorded: &mcsp_loadtest_report::Recorded| recorded.results.seen.counts_of(None).bytes;
    let sent_together = stage.platform.body_bytes() - sent_alone;
    assert_eq!(
        (bytes(&alone), bytes(&together)),
        (sent_alone, sent_together)
    );
    let (one, many) = (&alone.results.seen, &together.results.seen);
    assert_eq!(one.sessions.sessions, many.sessions.sessions);
    assert_eq!(one.sessions.sessions, 200);
    assert_eq!(one.lag.count(), many.lag.count());
    // Each request is in the histograms, too.
    let count = |seen: &mcsp_loadtest_measure::Partial| {
        seen.latencies
            .of(None, mcsp_loadtest_measure::Phase::LastByte)
            .count()
    };
    assert_eq!(count(many), many.counts_of(None).requests);
    assert_eq!(count(one), count(many));
    assert_eq!(together.results.workers.expected, 3);
    assert!(kinds(&together).is_empty());
}

#[tokio::test]
async fn a_worker_that_is_killed_makes_the_run_incomplete_and_is_named() {
    let stage = Stage::with(Plant::Nothing).await;
    let scenario = stage.scenario(SHORT);
    let out = stage.path("out");
    let (child, address) = coordinator(&scenario, 2, &out, &[]).await;
    let stays = worker(&address, 0, TOKEN).spawn().expect("it starts");
    let mut dies = worker(&address, 1, TOKEN).spawn().expect("it starts");
    let is_loaded = async {
        while stage.platform.requests() < 300 {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, is_loaded)
        .await
        .expect("users come");
    dies.kill().await.expect("SIGKILL");
    let (status, said) = ended(child).await;
    assert_eq!(status, 3, "{said}");
    assert!(
        said.contains("1 of 2 workers were lost: worker 1 (127.0.0.1:"),
        "{said}"
    );
    assert_eq!(ended(stays).await.0, 0);
    // What it had told until then is there.
    let lost = recorded(&out).results.workers.lost;
    assert_eq!(lost.len(), 1, "{lost:?}");
}

#[tokio::test]
async fn strangers_wrong_numbers_and_wrong_secrets_are_turned_away() {
    let stage = Stage::with(Plant::Nothing).await;
    let scenario = stage.scenario(SHORT);
    let out = stage.path("out");
    let (child, address) = coordinator(&scenario, 2, &out, &["--wait-s", "8"]).await;
    let said = finish(worker(&address, 0, "another secret, of course")).await;
    assert_eq!(said.status, 77, "{}", said.err);
    assert!(said.err.contains("secret"), "{}", said.err);
    let said = finish(worker(&address, 7, TOKEN)).await;
    assert_eq!(said.status, 77);
    assert!(said.err.contains("there are 2 workers"), "{}", said.err);
    // Of two with one number, whoever comes first is taken.
    let twins = [0, 0].map(|index| tokio::spawn(finish(worker(&address, index, TOKEN))));
    // Nobody is worker 1.
    let (status, _) = ended(child).await;
    assert_eq!(status, 69);
    let mut statuses = Vec::new();
    for twin in twins {
        let said = twin.await.expect("no panic");
        let why = if said.status == 77 {
            "there is a worker 0 already"
        } else {
            "gave up before the start"
        };
        assert!(said.err.contains(why), "{}: {}", said.status, said.err);
        statuses.push(said.status);
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [69, 77]);
}

#[tokio::test]
async fn without_a_secret_nobody_listens_and_nobody_connects() {
    let stage = Stage::with(Plant::Nothing).await;
    let scenario = stage.scenario(SHORT);
    let mut command = program();
    command
        .arg("run")
        .arg(&scenario)
        .args(["--listen=127.0.0.1:0", "--workers=1"]);
    let said = finish(command).await;
    assert_eq!(said.status, 64);
    assert!(said.err.contains("MCSP_LOAD_TOKEN"), "{}", said.err);
    let said = finish(worker("127.0.0.1:1", 0, "short")).await;
    assert_eq!(said.status, 64, "{}", said.err);
}

#[tokio::test]
async fn a_worker_goes_by_its_own_allow_file() {
    let stage = Stage::with(Plant::Nothing).await;
    let scenario = stage.scenario(SHORT);
    let out = stage.path("out");
    let allow = stage.write("allow.txt", "203.0.113.0/24\n");
    let text = std::fs::read_to_string(&scenario).unwrap();
    // Metrics of a node that the coordinator may ask and the worker may not.
    let text =
        format!("nodes = [{{ name = \"n\", metrics_url = \"http://203.0.113.9/\" }}]\n{text}");
    let scenario = stage.write("foreign.toml", &text);
    let extra = ["--allow-file", &allow.display().to_string()];
    let (child, address) = coordinator(&scenario, 1, &out, &extra).await;
    let said = finish(worker(&address, 0, TOKEN)).await;
    assert_eq!(said.status, 77, "{}", said.err);
    assert!(said.err.contains("203.0.113.9"), "{}", said.err);
    assert_eq!(ended(child).await.0, 69);
}
