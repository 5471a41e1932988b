//! One measurement of upload-complete to playable.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use mcsp_api::rest::ContentStatus;
use mcsp_loadtest_cluster::{Client, Cluster, ClusterError, Layout, Options};
use tokio::process::Command;

/// The PoP that everything goes through.
const POP: &str = "los1";
/// Longest wait for the first rendition.
const LIMIT: Duration = Duration::from_secs(600);

/// Uploads the file, and measures from the answer to `complete` until a viewer can fetch the first segment.
pub(crate) async fn first_play(layout: Layout, video: &Path) -> Result<(), ClusterError> {
    let mut cluster = Cluster::start(layout, Options::default()).await?;
    let measured = measure(&cluster, video).await;
    cluster.stop().await;
    println!(
        "{}",
        serde_json::json!({"first_play_s": measured?.as_secs_f64()})
    );
    Ok(())
}

async fn measure(cluster: &Cluster, video: &Path) -> Result<Duration, ClusterError> {
    let broken = |error: std::io::Error| ClusterError::Broken(format!("mcsp: {error}"));
    let server = cluster.pop_url(POP);
    let email = format!("bench-{}@example.com", std::process::id());
    let password = "a password of the bench";
    let client = Client::new(&server)?
        .register(&email, password, "creator")
        .await?;
    let people = cluster
        .layout()
        .data_dir
        .join(format!("people/bench-{}", std::process::id()));
    let mut login = Command::new(cluster.layout().program("mcsp"))
        .args(["--server", &server, "--config-dir"])
        .arg(&people)
        .args(["login", &email, "--password-stdin"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .map_err(broken)?;
    if let Some(mut input) = login.stdin.take() {
        use tokio::io::AsyncWriteExt as _;
        input
            .write_all(format!("{password}\n").as_bytes())
            .await
            .map_err(broken)?;
    }
    login.wait().await.map_err(broken)?;
    let output = Command::new(cluster.layout().program("mcsp"))
        .args(["--server", &server, "--json", "--config-dir"])
        .arg(&people)
        .arg("upload")
        .arg(video)
        .arg("--no-wait")
        .stdout(Stdio::piped())
        .spawn()
        .map_err(broken)?
        .wait_with_output()
        .await
        .map_err(broken)?;
    // The command line ends with the answer to `complete`.
    let completed = Instant::now();
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout).map_err(|error| {
        ClusterError::Broken(format!("mcsp upload: {}: {error}", output.status))
    })?;
    let content_id = answer["content_id"].as_str().unwrap_or_default().to_owned();
    client
        .wait_content(&content_id, LIMIT, "published", |content| {
            content.status == ContentStatus::Published
        })
        .await?;
    let session = client.play(&content_id).await?;
    let base = session.media_base_url.trim_end_matches('/');
    client.bytes(&session.hls_url).await?;
    client.bytes(&format!("{base}/v360/1.m4s")).await?;
    Ok(completed.elapsed())
}
