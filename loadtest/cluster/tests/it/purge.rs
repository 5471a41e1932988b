//! A purge from the command line reaches every node of both regions, and one that was away has it when it is back.

use std::process::Output;

use mcsp_loadtest_cluster::POPS;
use reqwest::Method;
use serde_json::Value;
use tokio::process::Command;

use crate::harness::{Stage, clip, picture_and_sound, told};

const REGION: &str = "ng-lagos";

/// `mcsp-origin` with these words and an operator's certificate.
async fn operator(stage: &Stage, words: &[&str]) -> (Output, Value) {
    let home = stage.layout.home(&format!("origin-{REGION}"));
    let addresses = std::fs::read(home.join("addresses.json")).expect("the origin's addresses");
    let addresses: Value = serde_json::from_slice(&addresses).expect("JSON");
    let output = Command::new(stage.layout.program("mcsp-origin"))
        .args(words)
        .arg("--json")
        .arg("--identity")
        .arg(stage.layout.identity(REGION, "operator"))
        .args(["--address", addresses["rpc"].as_str().expect("an address")])
        .output()
        .await
        .expect("mcsp-origin starts");
    let answer = serde_json::from_slice(&output.stdout).unwrap_or_default();
    (output, answer)
}

#[tokio::test]
async fn a_purge_reaches_every_node_and_one_that_was_away_when_it_is_back() {
    let mut stage = Stage::start("purge").await;
    let file = clip(stage.scratch(), "a.mp4", &picture_and_sound(4, "640x360")).await;
    let id = stage
        .creator("los1", "ngozi")
        .await
        .upload(&file, &[])
        .await;
    let mut urls = Vec::new();
    for pop in POPS {
        let viewer = stage.viewer(pop.id, &format!("viewer-{}", pop.id)).await;
        let limit = crate::harness::PUBLISH_LIMIT;
        viewer.wait_published(&id, limit).await.expect("published");
        let session = viewer.play(&id).await.expect("a session");
        let base = session.media_base_url.trim_end_matches('/');
        urls.push((viewer, format!("{base}/v360/1.m4s")));
    }
    let is_hit = async |index: usize| {
        let (viewer, url) = &urls[index];
        let answer = viewer
            .send(Method::GET, url, None)
            .await
            .expect("an answer");
        assert_eq!(answer.status(), 200, "{url}");
        let status = answer.headers()["cache-status"]
            .to_str()
            .expect("text")
            .to_owned();
        answer.bytes().await.expect("all of it");
        status.contains("; hit")
    };
    for (index, pop) in POPS.iter().enumerate() {
        is_hit(index).await;
        assert!(is_hit(index).await, "{}", pop.id);
    }

    let words = [
        "purge", "--reason", "a test", "--wait", "30", "content", &id,
    ];
    let (output, answer) = operator(&stage, &words).await;
    assert!(output.status.success(), "{}", told(&output));
    assert_eq!(
        (&answer["nodes_applied"], &answer["nodes_known"]),
        (&3.into(), &3.into()),
        "{answer}"
    );
    for (index, pop) in POPS.iter().enumerate() {
        assert!(!is_hit(index).await, "{} has it still", pop.id);
    }

    stage.cluster.kill("abv1").expect("killed");
    let words = [
        "purge", "--reason", "a test", "--wait", "2", "prefix", "/media/",
    ];
    let (output, answer) = operator(&stage, &words).await;
    assert_eq!(output.status.code(), Some(75), "{}", told(&output));
    assert_eq!(answer["nodes_applied"], 2, "{answer}");
    let sequence = answer["sequence"].to_string();
    stage.cluster.restart("abv1").await.expect("back");
    let (output, answer) = operator(&stage, &["purge-status", &sequence, "--wait", "30"]).await;
    assert!(output.status.success(), "{}", told(&output));
    assert_eq!(answer["is_complete"], true, "{answer}");

    let (output, _) = operator(&stage, &["purge", "--reason", "x", "path", "no-slash"]).await;
    assert_eq!(output.status.code(), Some(64), "{}", told(&output));
    stage.stop().await;
}
