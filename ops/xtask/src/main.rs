//! The one entry point for people and CI: `cargo xtask WORD`.
//!
//! Few dependencies, so that it starts at once; it installs what the machine lacks and says so. What needs the
//! project's own code (the demo's cluster, benchmarks, soaks) it builds first and then runs.

#![allow(clippy::print_stdout, clippy::print_stderr)] // Talking to a person is what this program does.

mod bench;
mod cache;
mod checks;
mod demo;
mod loadtest;
mod purge;
mod report;
mod setup;
mod shell;
mod soak;
mod waf;

use std::process::ExitCode;

use shell::Failure;

const HELP: &str = "\
cargo xtask: build, try, test and measure MCSP

Usage: cargo xtask COMMAND [OPTIONS]

Commands:
  demo [--video FILE]      two regions, three PoPs, a real upload, and a page
                           that plays it; Ctrl-C stops everything
  test [FILTER]            all set-up, then format, lint and every test
  check                    what a commit needs: format, lint, unit tests of the
                           crates that changed
  bench NAME               a benchmark beside its peers, in one run; names:
                           first-play, edge-cache, hit-ratio, loadtest, purge,
                           shield, waf
  conformance NAME         suites of tests by the RFCs, ours and public ones;
                           names: http-cache, crs
    [--suite DIR]          the public one from this checkout of
                           http-tests/cache-tests, newer than npm's release;
                           `npm install` in it first (or MCSP_CACHE_SUITE=DIR,
                           which `test` heeds, too)
    [--peer NAME]          nginx, varnish or trafficserver in our node's place
    [--only TEXT]          only own rows with this in their title
    [--verbose]            every own row, not only those that fail
  soak NAME [--seeds N]    what is too long for every commit; names: kill
  setup                    install what the machine lacks, and nothing else

Options:
  -h, --help               this text

Examples:
  cargo xtask demo
  cargo xtask demo --video holiday.mp4
  cargo xtask test mcsp-edge
  cargo xtask bench first-play
  cargo xtask bench edge-cache --passes 3 --only h2 --only c=32
  cargo xtask bench loadtest --passes 3 --only wrk --only players
  cargo xtask bench purge --purges 100
  cargo xtask bench shield --only added --only slow-loris
  cargo xtask bench waf --rules /etc/crs/rules
  cargo xtask conformance http-cache
  cargo xtask conformance http-cache --suite ../cache-tests
  cargo xtask conformance http-cache --peer varnish
  cargo xtask conformance crs --paranoia 4
  cargo xtask soak kill --seeds 200
";

/// The exit status for a command line that cannot be used (`EX_USAGE` of sysexits).
const EXIT_USAGE: u8 = 64;
/// The exit status for a goal that is missed, where a measurement tells that apart.
const EXIT_NOT_MET: u8 = 2;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let result = match words.as_slice() {
        [] | ["help", ..] => {
            print!("{HELP}");
            Ok(())
        }
        // Also behind a command: nobody who asks what it does wants it done.
        words if asks_for_help(words) => {
            print!("{HELP}");
            Ok(())
        }
        ["demo", options @ ..] => demo::run(options),
        ["test", options @ ..] => checks::test(options),
        ["check"] => checks::check(),
        ["bench", "first-play", options @ ..] => bench::first_play(options),
        ["bench", "edge-cache", options @ ..] => cache::edge_cache(options),
        ["bench", "hit-ratio", options @ ..] => cache::hit_ratio(options),
        ["bench", "purge", options @ ..] => purge::run(options),
        ["bench", "shield", options @ ..] => cache::shield(options),
        ["bench", "waf", options @ ..] => waf::bench(options),
        ["bench", "loadtest", options @ ..] => loadtest::run(options),
        ["bench", rest @ ..] => Err(unknown(
            "benchmark",
            rest.first(),
            "first-play, edge-cache, hit-ratio, loadtest, purge, shield, waf",
        )),
        ["conformance", "http-cache", options @ ..] => cache::conformance(options),
        ["conformance", "crs", options @ ..] => waf::conformance(options),
        ["conformance", rest @ ..] => Err(unknown("suite", rest.first(), "http-cache, crs")),
        ["soak", "kill", options @ ..] => soak::kill(options),
        ["soak", rest @ ..] => Err(unknown("soak", rest.first(), "kill")),
        ["setup"] => setup::everything(),
        [other, ..] => Err(unknown(
            "command",
            Some(other),
            "demo, test, check, bench, conformance, soak, setup",
        )),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Usage(message)) => {
            eprintln!("error: {message}\n\nSee: cargo xtask --help");
            ExitCode::from(EXIT_USAGE)
        }
        Err(failure) => {
            eprintln!("error: {failure}");
            match failure {
                Failure::NotMet(_) => ExitCode::from(EXIT_NOT_MET),
                _ => ExitCode::FAILURE,
            }
        }
    }
}

fn asks_for_help(words: &[&str]) -> bool {
    words.iter().any(|word| matches!(*word, "-h" | "--help"))
}

fn unknown(kind: &str, given: Option<&&str>, known: &str) -> Failure {
    Failure::Usage(match given {
        Some(given) => format!("there is no {kind} named {given:?}; there are: {known}"),
        None => format!("name a {kind}; there are: {known}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_is_asked_for_anywhere_in_a_command() {
        for words in [
            vec!["--help"],
            vec!["demo", "--help"],
            vec!["bench", "waf", "-h"],
        ] {
            assert!(asks_for_help(&words), "{words:?}");
        }
        assert!(!asks_for_help(&["test", "help"]));
    }
}
