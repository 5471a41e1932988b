//! `cargo xtask test` and `cargo xtask check`.

use std::process::Command;
use std::time::Instant;

use crate::cache;
use crate::demo::{self, Profile};
use crate::setup;
use crate::shell::{Failure, cargo, command, has_program, output, run, say, target_dir};
use crate::waf;

/// Format and lint, warnings denied.
fn lint() -> Result<(), Failure> {
    say("format");
    run(&mut cargo(&["fmt", "--all", "--check"]))?;
    say("lint (clippy, warnings denied)");
    run(&mut cargo(&[
        "clippy",
        "--workspace",
        "--all-targets",
        "--quiet",
        "--",
        "-D",
        "warnings",
    ]))
}

/// The test runner: nextest where it is installed, for its time limits and its one process a test.
fn runner(filter: &[&str]) -> Command {
    if has_program("cargo-nextest") {
        let mut command = cargo(&["nextest", "run", "--workspace", "--no-fail-fast"]);
        if !filter.is_empty() {
            command.args(filter);
        }
        return command;
    }
    let mut command = cargo(&["test", "--workspace", "--no-fail-fast"]);
    command.args(filter);
    command
}

/// What `deny.toml` says of crates, licences and sources. Advisories need a database that only the release machine fetches.
fn policy() -> Result<(), Failure> {
    let program = setup::cargo_deny()?;
    say("bans, licences, sources (deny.toml)");
    run(command(program).args([
        "--log-level",
        "error",
        "check",
        "bans",
        "licenses",
        "sources",
    ]))
}

/// All set-up, then every test.
pub(crate) fn test(filter: &[&str]) -> Result<(), Failure> {
    let started = Instant::now();
    setup::system_packages()?;
    let assets = setup::assets()?;
    let newer_rules = waf::for_tests()?;
    if filter.is_empty() {
        lint()?;
        policy()?;
    }
    let cache_suite = cache::public_suite()?;
    let bin_dir = demo::build(Profile::Dev)?;
    say("tests");
    run(runner(filter)
        .envs(newer_rules)
        // What a test says is the news; forty lines of the runtime's frames under it push it out of short reports.
        .env("RUST_BACKTRACE", "0")
        .env("MCSP_TEST_BIN_DIR", &bin_dir)
        .env("MCSP_TEST_CACHE_SUITE", &cache_suite)
        .env("MCSP_TEST_SITE", &assets.site)
        .env("MCSP_TEST_NODE", &assets.node)
        .env("MCSP_TEST_VIDEO", &assets.video)
        .env("MCSP_TEST_DATA_DIR", target_dir().join("test-data")))?;
    say(&format!("all passed in {} s", started.elapsed().as_secs()));
    Ok(())
}

/// The crates with files that differ from the last commit, by package name.
fn changed_packages() -> Result<Vec<String>, Failure> {
    let status = output(command("git").args(["status", "--porcelain", "--untracked-files=all"]))?;
    let mut names: Vec<String> = Vec::new();
    for path in status.lines().filter_map(|line| line.get(3..)) {
        let mut folder = std::path::Path::new(path).parent();
        while let Some(inside) = folder.filter(|inside| !inside.as_os_str().is_empty()) {
            let manifest = crate::shell::root().join(inside).join("Cargo.toml");
            if let Ok(text) = std::fs::read_to_string(manifest) {
                let name = text.lines().find_map(|line| line.strip_prefix("name = \""));
                names.extend(name.map(|name| name.trim_end_matches('"').to_owned()));
                break;
            }
            folder = inside.parent();
        }
    }
    names.sort();
    names.dedup();
    Ok(names)
}

/// What a commit needs, in a minute or two.
pub(crate) fn check() -> Result<(), Failure> {
    lint()?;
    let packages = changed_packages()?;
    if packages.is_empty() {
        say("nothing changed since the last commit: no tests to run");
        return Ok(());
    }
    let mut command = cargo(&["test", "--lib", "--bins"]);
    for package in &packages {
        command.args(["--package", package]);
    }
    say(&format!("unit tests of {}", packages.join(", ")));
    run(&mut command)
}
