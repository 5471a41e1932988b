//! `cargo xtask soak NAME`: what is too long for every commit.

use crate::demo::{self, Profile};
use crate::setup;
use crate::shell::{Failure, run, target_dir};

/// Seeds that `soak kill` runs unless told otherwise.
const KILL_SEEDS: u32 = 200;

/// Kills processes of a real cluster at seeded moments and checks what must hold.
pub(crate) fn kill(options: &[&str]) -> Result<(), Failure> {
    let seeds = match options {
        [] => KILL_SEEDS,
        ["--seeds", count] => count
            .parse()
            .map_err(|_| Failure::Usage(format!("--seeds wants a number, not {count:?}")))?,
        other => {
            return Err(Failure::Usage(format!(
                "soak kill takes --seeds N, not {other:?}"
            )));
        }
    };
    setup::system_packages()?;
    let assets = setup::assets()?;
    let bin_dir = demo::build(Profile::Dev)?;
    run(demo::cluster("soak-kill", &bin_dir, &assets)
        .args(["--seeds", &seeds.to_string()])
        .arg("--data-dir")
        .arg(target_dir().join("soak-kill")))
}
