//! The edge cache's conformance, its measurements beside its peers, and those of the shield before it: `mcsp-cachebench` does
//! them, on what is installed here.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::report::{self, Row};
use crate::setup;
use crate::shell::{self, Failure, cargo, command, run, say, target_dir};

/// The peers and the load generators, by their Debian packages.
const PEERS: [(&str, &str); 6] = [
    ("nginx", "nginx-light"),
    ("varnishd", "varnish"),
    ("hitch", "hitch"),
    ("traffic_server", "trafficserver"),
    ("h2load", "nghttp2-client"),
    ("taskset", "util-linux"),
];

/// The services that the peers' packages bring.
const SERVICES: [(&str, &str); 4] = [
    ("nginx-light", "nginx"),
    ("varnish", "varnish"),
    ("hitch", "hitch"),
    ("trafficserver", "trafficserver"),
];

/// The public suite, from the npm registry.
const PUBLIC_SUITE: &str = "http-cache-tests@0.4.5";

/// The exit statuses by which `mcsp-cachebench` says that a goal is not met, and that the machine is too unquiet to tell.
const EXIT_NOT_MET: i32 = 2;
const EXIT_NOT_JUDGED: i32 = 3;

/// Installs the peers that are missing; as programs, not as services.
fn peers() -> Result<(), Failure> {
    let installed = setup::programs(&PEERS)?;
    let services: Vec<&str> = SERVICES
        .iter()
        .filter(|(package, _)| installed.contains(package))
        .map(|(_, service)| *service)
        .collect();
    setup::stop_services(&services)
}

/// How our programs are built for a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Built {
    /// For tests.
    Dev,
    /// For measurements: `mcsp-edge` as released. The bench program itself, too, since it is the client of one.
    Release,
}

/// Builds our node and the bench program; their folder.
fn build(built: Built) -> Result<PathBuf, Failure> {
    say("building mcsp-edge and mcsp-cachebench");
    let mut command = cargo(&[
        "build",
        "--bins",
        "--package",
        "mcsp-edge-node",
        "--package",
        "mcsp-loadtest-cachebench",
    ]);
    if built == Built::Release {
        command.arg("--release");
    }
    shell::run(&mut command)?;
    Ok(target_dir().join(match built {
        Built::Dev => "debug",
        Built::Release => "release",
    }))
}

/// The environment's word for a checkout of the public suite, in place of npm's release: the release is older.
const SUITE_VARIABLE: &str = "MCSP_CACHE_SUITE";

/// The public suite's folder: the one that the environment names, or npm's release, installed where it is missing.
pub(crate) fn public_suite() -> Result<PathBuf, Failure> {
    if let Some(folder) = std::env::var_os(SUITE_VARIABLE).filter(|value| !value.is_empty()) {
        return Ok(std::path::absolute(folder)?);
    }
    setup::programs(&[("node", "nodejs"), ("npm", "npm")])?;
    let folder = target_dir().join("tools/http-cache-tests");
    let suite = folder.join("node_modules/http-cache-tests");
    let stamp = folder.join("installed.txt");
    if std::fs::read_to_string(&stamp).is_ok_and(|installed| installed == PUBLIC_SUITE) {
        return Ok(suite);
    }
    say(&format!(
        "installing {PUBLIC_SUITE} under the target folder"
    ));
    std::fs::create_dir_all(&folder)?;
    std::fs::write(folder.join("package.json"), "{\"private\":true}")?;
    run(command("npm")
        .args([
            "install",
            PUBLIC_SUITE,
            "--omit=dev",
            "--ignore-scripts",
            "--no-audit",
            "--no-fund",
            "--loglevel=error",
        ])
        .current_dir(&folder))?;
    std::fs::write(stamp, PUBLIC_SUITE)?;
    Ok(suite)
}

/// `mcsp-cachebench` with a word and what every word needs.
fn program(word: &str, bin_dir: &Path) -> Command {
    let mut command = Command::new(bin_dir.join("mcsp-cachebench"));
    command
        .arg(word)
        .arg("--node-program")
        .arg(bin_dir.join("mcsp-edge"))
        .arg("--data-dir")
        .arg(target_dir().join("cachebench").join(word));
    command
}

/// Runs it; false when it says that a goal is not met.
fn met(command: &mut Command) -> Result<bool, Failure> {
    let status = command.status().map_err(|source| Failure::Start {
        program: "mcsp-cachebench".to_owned(),
        source,
    })?;
    match status.code() {
        Some(0) => Ok(true),
        Some(EXIT_NOT_MET) => Ok(false),
        Some(EXIT_NOT_JUDGED) => Err(Failure::Other(
            "mcsp-cachebench: other work on this machine disturbs too much to tell".to_owned(),
        )),
        _ => Err(Failure::Ended {
            line: "mcsp-cachebench".to_owned(),
            status: status.to_string(),
        }),
    }
}

fn conclude(what: &str, is_met: bool) -> Result<(), Failure> {
    if is_met {
        return Ok(());
    }
    Err(Failure::Other(format!("{what}: not every goal is met")))
}

/// The folder that `--suite` names, and the other options.
fn suite_of<'a>(options: &[&'a str]) -> Result<(Option<&'a str>, Vec<&'a str>), Failure> {
    const WORD: &str = "--suite";
    let mut folder = None;
    let mut others = Vec::new();
    let mut options = options.iter().copied();
    while let Some(option) = options.next() {
        let named = match option.strip_prefix(WORD) {
            Some("") => options.next().filter(|next| !next.starts_with('-')),
            Some(rest) => rest.strip_prefix('='),
            None => {
                others.push(option);
                continue;
            }
        };
        folder = Some(named.filter(|named| !named.is_empty()).ok_or_else(|| {
            Failure::Usage(format!(
                "{WORD} wants the folder of a checkout of http-tests/cache-tests"
            ))
        })?);
    }
    Ok((folder, others))
}

/// Our own rows and the public suite against our node, or with `--peer` against a peer.
pub(crate) fn conformance(options: &[&str]) -> Result<(), Failure> {
    let (named, others) = suite_of(options)?;
    let is_peer = others.iter().any(|option| option.starts_with("--peer"));
    if is_peer {
        peers()?;
    }
    setup::programs(&[("node", "nodejs")])?;
    let suite = named.map_or_else(public_suite, |folder| Ok(std::path::absolute(folder)?))?;
    // Before anything is built.
    if !suite.join("package.json").is_file() {
        return Err(Failure::Other(format!(
            "{} has no package.json: it is no checkout of http-tests/cache-tests",
            suite.display()
        )));
    }
    let bin_dir = build(Built::Dev)?;
    let counts = target_dir().join("cachebench/http-cache.json");
    std::fs::create_dir_all(target_dir().join("cachebench"))?;
    let load = report::load_average();
    let is_met = met(program("conformance", &bin_dir)
        .arg("--suite")
        .arg(suite)
        .arg("--report")
        .arg(&counts)
        .args(&others))?;
    // Part of the suites, or a peer's counts, are not ours to keep.
    if others.iter().all(|other| *other == "--verbose") {
        let text = std::fs::read_to_string(counts)?;
        report::write_conformance("http-cache", load, &text)?;
    }
    // The goals are our node's.
    conclude("conformance http-cache", is_met || is_peer)
}

/// A measurement beside the peers.
fn bench(word: &str, options: &[&str]) -> Result<(), Failure> {
    peers()?;
    let bin_dir = build(Built::Release)?;
    let rows = target_dir().join(format!("cachebench/{word}.json"));
    std::fs::create_dir_all(target_dir().join("cachebench"))?;
    let load = report::load_average();
    let is_met = met(program(word, &bin_dir)
        .arg("--rows")
        .arg(&rows)
        .args(options))?;
    let rows: Vec<Row> = serde_json::from_slice(&std::fs::read(rows)?)
        .map_err(|error| Failure::Other(format!("mcsp-cachebench {word}: {error}")))?;
    // Many peers, many figures: the program itself has told them case by case.
    match word {
        "edge-cache" => report::keep(word, load, &rows)?,
        _ => report::publish(word, load, &rows)?,
    }
    conclude(&format!("bench {word}"), is_met)
}

/// What a hit costs.
pub(crate) fn edge_cache(options: &[&str]) -> Result<(), Failure> {
    bench("edge-cache", options)
}

/// How often there is one.
pub(crate) fn hit_ratio(options: &[&str]) -> Result<(), Failure> {
    bench("hit-ratio", options)
}

/// What the shield adds to a hit, and how viewers fare while the node is attacked.
pub(crate) fn shield(options: &[&str]) -> Result<(), Failure> {
    let (named, others) = rules_of(options)?;
    setup::programs(&[("taskset", "util-linux"), ("chrt", "util-linux")])?;
    let rules = crate::waf::rules(named)?;
    let bin_dir = build(Built::Release)?;
    let rows = target_dir().join("cachebench/shield.json");
    std::fs::create_dir_all(target_dir().join("cachebench"))?;
    let load = report::load_average();
    let is_met = met(program("shield", &bin_dir)
        .arg("--rules")
        .arg(rules)
        .arg("--rows")
        .arg(&rows)
        .args(&others))?;
    let rows: Vec<Row> = serde_json::from_slice(&std::fs::read(rows)?)
        .map_err(|error| Failure::Other(format!("mcsp-cachebench shield: {error}")))?;
    // The program itself has told them.
    report::keep("shield", load, &rows)?;
    conclude("bench shield", is_met)
}

/// The folder that `--rules` names, and the other options.
fn rules_of<'a>(options: &[&'a str]) -> Result<(Option<&'a str>, Vec<&'a str>), Failure> {
    match options {
        ["--rules", folder, others @ ..] => Ok((Some(folder), others.to_vec())),
        others if others.contains(&"--rules") => Err(Failure::Usage(
            "bench shield takes --rules FOLDER first, then what mcsp-cachebench shield takes"
                .to_owned(),
        )),
        others => Ok((None, others.to_vec())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_suites_folder_is_taken_out_of_the_options() {
        let of = |options: &[&'static str]| suite_of(options).unwrap();
        assert_eq!(of(&["--peer", "nginx"]), (None, vec!["--peer", "nginx"]));
        assert_eq!(
            of(&["--peer", "nginx", "--suite", "../suite", "--verbose"]),
            (Some("../suite"), vec!["--peer", "nginx", "--verbose"])
        );
        assert_eq!(of(&["--suite=/a b"]), (Some("/a b"), vec![]));
    }

    #[test]
    fn the_rules_folder_is_taken_out_of_the_options() {
        let (named, others) = rules_of(&["--rules", "/a", "--quick"]).unwrap();
        assert_eq!((named, others), (Some("/a"), vec!["--quick"]));
        assert_eq!(rules_of(&["--quick"]).unwrap(), (None, vec!["--quick"]));
        for wrong in [&["--rules"][..], &["--quick", "--rules", "/a"]] {
            assert!(matches!(rules_of(wrong), Err(Failure::Usage(_))));
        }
    }

    #[test]
    fn a_suite_without_a_folder_is_a_wrong_command_line() {
        for options in [
            &["--suite"][..],
            &["--suite", "--verbose"],
            &["--suite="],
            &["--suites", "x"],
        ] {
            assert!(matches!(suite_of(options), Err(Failure::Usage(_))));
        }
    }
}
