//! Five seeds of `cargo xtask soak kill`.

use mcsp_loadtest_cluster::kill_soak;

use crate::harness::{Stage, clip, picture_and_sound};

#[tokio::test]
async fn a_kill_of_any_process_at_any_moment_loses_nothing() {
    let mut stage = Stage::start("kill").await;
    let file = clip(stage.scratch(), "a.mp4", &picture_and_sound(8, "640x360")).await;
    for seed in 1..=5 {
        let told = kill_soak::run_seed(&mut stage.cluster, &file, seed).await;
        told.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    }
    stage.stop().await;
}
