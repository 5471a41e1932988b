//! The demo: everything on one machine, a real upload, and a page that plays it.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::io::IsTerminal as _;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use mcsp_api::rest::Content;
use mcsp_loadtest_cluster::{Client, Cluster, ClusterError, Layout, Options, POPS};
use mcsp_runtime::{Entropy as _, SystemEntropy, hex_lower};
use tokio::process::Command;

use crate::load_target::LoadTarget;

/// The PoP that the demo's creator uses.
const CREATORS_POP: &str = "los1";
/// The longest wait for the last rendition.
const REST_LIMIT: Duration = Duration::from_secs(6 * 3600);

fn broken(what: &str, error: impl std::fmt::Display) -> ClusterError {
    ClusterError::Broken(format!("{what}: {error}"))
}

fn say(text: &str) {
    if std::io::stderr().is_terminal() {
        eprintln!("\x1b[1;34m→\x1b[0m {text}");
    } else {
        eprintln!("→ {text}");
    }
}

/// Runs the demo until it is interrupted.
pub(crate) async fn run(
    layout: Layout,
    video: &Path,
    title: Option<&str>,
) -> Result<(), ClusterError> {
    let video = std::fs::canonicalize(video).map_err(|source| ClusterError::file(video, source))?;
    let mut interrupt = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::interrupt())
        .map_err(|error| broken("listening for Ctrl-C", error))?;
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
        .map_err(|error| broken("listening for SIGTERM", error))?;
    let mut cluster = None;
    LoadTarget::none(&layout.data_dir);
    let shown = tokio::select! {
        shown = show(layout, &video, title, &mut cluster) => shown,
        _ = interrupt.recv() => Ok(()),
        _ = terminate.recv() => Ok(()),
    };
    if shown.is_ok() && cluster.is_some() {
        eprintln!();
        say("stopping every process");
    }
    if let Some(mut cluster) = cluster {
        for name in cluster.stop().await {
            say(&format!("{name} did not stop in time and was killed"));
        }
    }
    shown
}

async fn show(
    layout: Layout,
    video: &Path,
    title: Option<&str>,
    running: &mut Option<Cluster>,
) -> Result<(), ClusterError> {
    let started = Instant::now();
    say("starting two regions (ng-lagos, global-london) and three PoPs (los1, abv1, lhr1)");
    let options = Options {
        known_ports: true,
        ..Options::default()
    };
    let cluster = running.insert(Cluster::start(layout, options).await?);
    say(&format!(
        "ready after {:.1} s; logs are in {}",
        started.elapsed().as_secs_f64(),
        cluster.layout().data_dir.join("logs").display()
    ));
    for pop in &POPS {
        say(&format!(
            "  {}  {:<9} {}",
            pop.id,
            pop.name,
            cluster.pop_url(pop.id)
        ));
    }

    let server = cluster.pop_url(CREATORS_POP);
    let people = cluster.layout().data_dir.join("people");
    let program = cluster.layout().program("mcsp");
    let (email, secret) = new_creator(&program, &server, &people).await?;
    say(&format!("uploading {} as {email}", video.display()));
    let uploaded = Instant::now();
    // Its progress goes to our terminal; what it prints at the end names the item.
    let output = Command::new(&program)
        .args(["--server", &server, "--config-dir"])
        .arg(&people)
        .arg("upload")
        .arg(video)
        .args(title.map(|title| ["--title", title]).into_iter().flatten())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| broken("mcsp", error))?
        .wait_with_output()
        .await
        .map_err(|error| broken("mcsp", error))?;
    let said = String::from_utf8_lossy(&output.stdout);
    let content_id = said
        .split_ascii_whitespace()
        .find(|word| word.parse::<mcsp_api::ContentId>().is_ok());
    let (true, Some(content_id)) = (output.status.success(), content_id) else {
        return Err(ClusterError::Broken(format!(
            "mcsp upload ended with {}: {said}",
            output.status
        )));
    };
    say(&format!(
        "the first rendition is playable, {:.1} s after the upload began; open one of these:",
        uploaded.elapsed().as_secs_f64()
    ));
    eprintln!();
    for pop in &POPS {
        println!(
            "  {:<9} {}/watch/{content_id}#guest",
            pop.name,
            cluster.pop_url(pop.id)
        );
    }
    eprintln!();
    // The command line has shown these.
    let told = RefCell::new(BTreeSet::from(["validate", "transcode"].map(str::to_owned)));
    let tell_stages = |content: &Content| {
        let finished = content
            .stages
            .iter()
            .filter(|stage| stage.state == "finished");
        for stage in finished {
            if told.borrow_mut().insert(stage.stage.clone()) {
                let since_s = uploaded.elapsed().as_secs_f64();
                say(&format!("{} finished ({since_s:.1} s)", stage.stage));
            }
        }
        content.complete
    };
    let complete = Client::new(&server)?
        .login(&email, &secret)
        .await?
        .wait_content(content_id, REST_LIMIT, "complete", tell_stages)
        .await?;
    say(&format!(
        "all renditions are there: {}",
        complete.renditions.join(", ")
    ));
    // Only now: what is still being encoded would be measured, too.
    let _target = LoadTarget::write(cluster, vec![content_id.to_owned()])?;
    let load = cluster.layout().program("mcsp-load");
    if load.is_file() {
        say("put an evening's load upon it, in another terminal:");
        println!("  {} run prime-time", load.display());
    }
    say("Ctrl-C stops everything");
    std::future::pending().await
}

/// Registers a creator of this run, and signs the command line in; returns the address and the password.
async fn new_creator(
    program: &Path,
    server: &str,
    people: &Path,
) -> Result<(String, String), ClusterError> {
    use tokio::io::AsyncWriteExt as _;
    let mut random = [0; 12];
    SystemEntropy.fill(&mut random);
    let secret = hex_lower(&random);
    let email = format!("creator-{}@example.com", &secret[..8]);
    let mut child = Command::new(program)
        .args(["--server", server, "--config-dir"])
        .arg(people)
        .args([
            "register",
            &email,
            "--role",
            "creator",
            "--name",
            "Demo creator",
            "--password-stdin",
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| broken("mcsp", error))?;
    if let Some(mut input) = child.stdin.take() {
        let line = format!("{secret}\n");
        input
            .write_all(line.as_bytes())
            .await
            .map_err(|error| broken("mcsp", error))?;
    }
    let status = child.wait().await.map_err(|error| broken("mcsp", error))?;
    if status.success() {
        return Ok((email, secret));
    }
    Err(ClusterError::Broken(format!(
        "mcsp register ended with {status}"
    )))
}
