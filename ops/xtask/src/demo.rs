//! `cargo xtask demo`: everything on one machine.

use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;

use crate::setup::{self, Assets};
use crate::shell::{self, Failure, cargo, say, target_dir};

/// The title of the default video.
const DEFAULT_TITLE: &str = "Big Buck Bunny";

/// The programs that a cluster is made of, the one that runs it, and the one that puts a load upon it.
const PACKAGES: [&str; 6] = [
    "mcsp-origin-node",
    "mcsp-media-worker",
    "mcsp-edge-node",
    "mcsp-ops-cli",
    "mcsp-loadtest-cluster",
    "mcsp-load",
];

/// How the programs are built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Profile {
    /// Quick to build; what the tests build too.
    Dev,
    /// What is measured.
    Release,
}

impl Profile {
    fn folder(self) -> &'static str {
        match self {
            Self::Dev => "debug",
            Self::Release => "release",
        }
    }
}

/// Builds the programs and returns their folder.
pub(crate) fn build(profile: Profile) -> Result<PathBuf, Failure> {
    say("building the programs (the first time takes some minutes)");
    let mut command = cargo(&["build", "--bins"]);
    if profile == Profile::Release {
        command.arg("--release");
    }
    for package in PACKAGES {
        command.args(["--package", package]);
    }
    shell::run(&mut command)?;
    Ok(target_dir().join(profile.folder()))
}

/// `mcsp-cluster` with a word and what every word needs.
pub(crate) fn cluster(word: &str, bin_dir: &std::path::Path, assets: &Assets) -> Command {
    let mut command = Command::new(bin_dir.join("mcsp-cluster"));
    command
        .arg(word)
        .arg("--bin-dir")
        .arg(bin_dir)
        .arg("--site")
        .arg(&assets.site);
    command
}

/// Runs the demo until Ctrl-C.
pub(crate) fn run_demo(video: Option<&str>, rest: &[&str]) -> Result<(), Failure> {
    setup::system_packages()?;
    let assets = setup::assets()?;
    let bin_dir = build(Profile::Dev)?;
    let mut command = cluster("demo", &bin_dir, &assets);
    command.arg("--video");
    match video {
        Some(file) => command.arg(file),
        None => command.arg(&assets.video).args(["--title", DEFAULT_TITLE]),
    };
    command.arg("--data-dir").arg(target_dir().join("demo"));
    command.args(rest);
    // In the person's folder, so that a relative file name means what it says; and in our place, so that Ctrl-C finds
    // the program that has something to stop.
    Err(Failure::Start {
        program: "mcsp-cluster".to_owned(),
        source: command.exec(),
    })
}

/// Reads the options and runs the demo.
pub(crate) fn run(options: &[&str]) -> Result<(), Failure> {
    match options {
        [] => run_demo(None, &[]),
        ["--video", file, rest @ ..] => run_demo(Some(file), rest),
        ["--video"] => Err(Failure::Usage("--video wants a file".to_owned())),
        rest => run_demo(None, rest),
    }
}
