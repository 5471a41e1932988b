//! Many seeds of kills, with progress.

use std::process::Command;
use std::time::Instant;

use indicatif::{ProgressBar, ProgressStyle};
use mcsp_loadtest_cluster::{Cluster, ClusterError, Layout, Options, kill_soak};

/// Makes the clip that every seed uploads.
fn clip(layout: &Layout) -> Result<std::path::PathBuf, ClusterError> {
    let path = layout.data_dir.join("clip.mp4");
    let words = "-hide_banner -nostdin -loglevel error -y -f lavfi -i testsrc2=size=854x480:rate=25 -f lavfi -i \
                 sine=frequency=440:sample_rate=48000 -t 8 -c:v libx264 -preset ultrafast -g 50 -c:a aac -b:a 96k";
    std::fs::create_dir_all(&layout.data_dir)
        .map_err(|source| ClusterError::file(&layout.data_dir, source))?;
    let made = Command::new("ffmpeg")
        .args(words.split_whitespace())
        .arg(&path)
        .status();
    match made {
        Ok(status) if status.success() => Ok(path),
        Ok(status) => Err(ClusterError::Broken(format!("ffmpeg ended with {status}"))),
        Err(error) => Err(ClusterError::Broken(format!("ffmpeg: {error}"))),
    }
}

/// Runs the seeds one after the other on one cluster.
pub(crate) async fn kill(layout: Layout, first_seed: u64, seeds: u64) -> Result<(), ClusterError> {
    let clip = clip(&layout)?;
    let mut cluster = Cluster::start(layout, Options::default()).await?;
    let style =
        ProgressStyle::with_template("{pos:>5} of {len} {bar:30.yellow/dim} {eta} left  {msg}");
    // The template is a constant; a bar without it still shows what is going on.
    let bar =
        ProgressBar::new(seeds).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    let mut failures = Vec::new();
    for seed in first_seed..first_seed.saturating_add(seeds) {
        let started = Instant::now();
        match kill_soak::run_seed(&mut cluster, &clip, seed).await {
            Ok(plan) => {
                let seconds = started.elapsed().as_secs_f64();
                println!(
                    "seed {seed}: held after {seconds:.1} s: {} {:?} in {:?}",
                    plan.victim, plan.residency, plan.moment
                );
            }
            Err(error) => {
                println!("seed {seed}: BROKEN: {error}");
                failures.push(seed);
                // What failed once must not hide what comes next.
                for name in cluster.names() {
                    cluster.restart(&name).await?;
                }
            }
        }
        bar.inc(1);
    }
    bar.finish();
    let stubborn = cluster.stop().await;
    if !stubborn.is_empty() {
        return Err(ClusterError::Broken(format!(
            "did not stop when asked to: {stubborn:?}"
        )));
    }
    if failures.is_empty() {
        println!("{seeds} passed, 0 failed");
        return Ok(());
    }
    println!(
        "{} passed, {} failed",
        seeds - failures.len() as u64,
        failures.len()
    );
    Err(ClusterError::Broken(format!(
        "seeds that broke something: {failures:?}"
    )))
}
