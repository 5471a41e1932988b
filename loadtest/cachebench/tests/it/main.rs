//! The suite against our node, and against what is no cache at all.

#![allow(clippy::unwrap_used, clippy::print_stderr)] // A failure is a panic; what is not run says so.

mod telling;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mcsp_loadtest_cachebench::origin::Origin;
use mcsp_loadtest_cachebench::public_suite::PublicSuite;
use mcsp_loadtest_cachebench::server::{Kind, NodeLimits, Plan, Purpose};
use mcsp_loadtest_cachebench::suite::{self, Verdict};
use mcsp_loadtest_cluster::bin_dir_of;
use tokio::net::{TcpListener, TcpStream};

/// `mcsp-edge`, where `cargo xtask test` or a build of the workspace put it.
fn node_program() -> PathBuf {
    let built = std::env::var_os("MCSP_TEST_BIN_DIR").map(PathBuf::from);
    let here = || bin_dir_of(&std::env::current_exe().unwrap());
    let program = built.or_else(here).unwrap().join("mcsp-edge");
    assert!(
        program.is_file(),
        "{} is missing: `cargo build -p mcsp-edge-node`, or run the tests by `cargo xtask test`",
        program.display()
    );
    program
}

/// Our node with a plain route to this origin.
fn plan<'a>(program: &'a Path, folder: &'a Path, origin: SocketAddr) -> Plan<'a> {
    Plan {
        kind: Kind::Node,
        purpose: Purpose::Conformance,
        folder,
        origin,
        certificate: None,
        core: None,
        node_program: program,
        node_limits: NodeLimits::Wide,
        node_extra: "",
    }
}

fn faults(verdicts: &[Verdict]) -> Vec<String> {
    verdicts
        .iter()
        .filter_map(|verdict| Some(format!("{}: {}", verdict.title, verdict.fault.as_ref()?)))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_row_holds_for_our_node() {
    let mut rows = suite::rows();
    let all = rows.len();
    // Many rows go by the clock, and a machine that stands still for a second breaks some: those are played again, at a node that
    // is new, and those that never hold are faults.
    for _ in 0..TRIES {
        let verdicts = verdicts_of(rows).await;
        let faults = faults(&verdicts);
        if faults.is_empty() {
            return;
        }
        eprintln!("{} of {all}:\n{}", faults.len(), faults.join("\n"));
        let has_failed = |row: &suite::Row| {
            let title = row.title();
            let mut failed = verdicts.iter().filter(|verdict| verdict.fault.is_some());
            failed.any(|verdict| verdict.title == title)
        };
        rows = suite::rows().into_iter().filter(has_failed).collect();
    }
    panic!("{} of {all} rows failed each time", rows.len());
}

/// How often a row may fail for the machine's sake, and once more.
const TRIES: usize = 3;

async fn verdicts_of(rows: Vec<suite::Row>) -> Vec<Verdict> {
    let origin = Arc::new(Origin::start().await.unwrap());
    let dir = tempfile::tempdir().unwrap();
    let program = node_program();
    let folder = dir.path().join("node");
    let plan = plan(&program, &folder, origin.address());
    let server = plan.start().await.unwrap();
    let verdicts = suite::run(server.plain, &origin, rows).await;
    server.stop().await;
    verdicts
}

/// Tests of the public suite's kinds that may fail: of the optimal ones, five.
const MAY_FAIL: [(&str, usize); 2] = [("required", 0), ("optimal", 5)];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_public_suite_passes_but_for_a_few_optimal_tests() {
    let Some(folder) = std::env::var_os("MCSP_TEST_CACHE_SUITE") else {
        eprintln!("not run: `cargo xtask test` installs http-cache-tests and says where it is");
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let public = PublicSuite::start(&PathBuf::from(folder), dir.path())
        .await
        .unwrap();
    let program = node_program();
    let folder = dir.path().join("node");
    let plan = plan(&program, &folder, public.origin);
    let server = plan.start().await.unwrap();
    let counts = public.run(server.plain).await.unwrap();
    server.stop().await;
    for (kind, may_fail) in MAY_FAIL {
        let of_kind = &counts[kind];
        assert!(
            of_kind.total > 50,
            "{kind}: only {} tests ran",
            of_kind.total
        );
        assert!(
            of_kind.failed.len() <= may_fail,
            "{kind}: {} of {} passed; not {:#?}",
            of_kind.passed(),
            of_kind.total,
            of_kind.failed
        );
    }
}

/// Passes bytes on and knows nothing of HTTP.
async fn tunnel(to: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut origin = TcpStream::connect(to).await.unwrap();
                // Ends when either side does.
                let _ = tokio::io::copy_bidirectional(&mut client, &mut origin).await;
            });
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_cache_fails_wherever_a_cache_is_asked_for() {
    let origin = Arc::new(Origin::start().await.unwrap());
    let proxy = tunnel(origin.address()).await;
    let verdicts = suite::run(proxy, &origin, suite::rows()).await;
    let passed: Vec<&str> = verdicts
        .iter()
        .filter(|verdict| verdict.fault.is_none())
        .map(|verdict| verdict.title.as_str())
        .collect();
    for title in [
        "RFC 9111 §3: max-age is stored",
        "RFC 9111 §4: 20 clients of a cold object: one fetch",
        "RFC 9211 §2: a hit says so, and its ttl",
        "RFC 9112 §6.3: refused: Content-Length and Transfer-Encoding (CL.TE)",
        "RFC 9110 §7.6.1: fields that Connection lists are not passed to the client, nor stored",
        "RFC 5861 §4: stale instead of 503",
    ] {
        assert!(
            verdicts.iter().any(|verdict| verdict.title == title),
            "no row {title}"
        );
        assert!(!passed.contains(&title), "passed without a cache: {title}");
    }
    // What is left are rows that say what must not be kept, and those a tunnel cannot break.
    assert!(
        passed.len() < verdicts.len() / 2,
        "{} of {} rows need no cache:\n{}",
        passed.len(),
        verdicts.len(),
        passed.join("\n")
    );
}

#[test]
fn every_row_names_a_section_and_says_something_of_its_own() {
    let rows = suite::rows();
    let mut titles: Vec<String> = rows.iter().map(suite::Row::title).collect();
    assert!(
        rows.iter()
            .all(|row| row.section.starts_with("RFC ") && row.section.contains('§'))
    );
    titles.sort();
    let count = titles.len();
    titles.dedup();
    assert_eq!(titles.len(), count, "two rows have one title");
}
