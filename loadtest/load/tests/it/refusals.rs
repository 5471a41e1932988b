//! What the tool does not do, and what it says then.

use mcsp_loadtest_bench::Plant;

use crate::harness::{SHORT, Stage, call, finish, kinds, program, recorded};

/// TEST-NET-3 (RFC 5737): nobody's.
const FOREIGN: &str = "http://203.0.113.9:8080/";

#[tokio::test]
async fn a_foreign_target_is_refused_before_anything_is_sent() {
    let stage = Stage::with(Plant::Nothing).await;
    let scenario = stage.scenario(SHORT).display().to_string();
    let said = call(&["run", &scenario, "--target", FOREIGN]).await;
    assert_eq!(said.status, 77, "{}", said.err);
    for part in ["203.0.113.9:8080", "allow_file", "--allow-file"] {
        assert!(said.err.contains(part), "{part} in {}", said.err);
    }
    // Metrics and places are targets too.
    for change in [
        "nodes=[{ name = \"n\", metrics_url = \"http://203.0.113.9/metrics\" }]",
        "geography=[{ name = \"g\", source_addresses = \"127.0.0.0/24\", api = \"http://203.0.113.9/\" }]",
        "targets.origin=http://203.0.113.9/",
    ] {
        let said = call(&["run", &scenario, "--set", change]).await;
        assert_eq!(said.status, 77, "{change}: {}", said.err);
    }
    assert_eq!(stage.platform.requests(), 0);
}

#[tokio::test]
async fn who_leads_to_a_foreign_host_is_not_followed_and_is_named() {
    let stage = Stage::with(Plant::LedAstray).await;
    let out = stage.path("out");
    let mut command = program();
    command
        .arg("run")
        .arg(stage.scenario(SHORT))
        .args(["--set", "duration_s=4", "--set", "baseline_s=0", "--out"])
        .arg(&out);
    let said = finish(command).await;
    assert_eq!(said.status, 1, "{}", said.out);
    let kinds = kinds(&recorded(&out));
    assert!(kinds.contains(&"refused-target".to_owned()), "{kinds:?}");
}

#[tokio::test]
async fn an_allow_file_that_lists_it_lets_it_through_to_the_connection() {
    let stage = Stage::with(Plant::Nothing).await;
    let scenario = stage.scenario(SHORT).display().to_string();
    // A name of this machine that the list knows by its address only.
    let address = stage.platform.address();
    let allow = stage.write("allow.txt", "203.0.113.0/24 # a network\n");
    let said = call(&[
        "run",
        &scenario,
        "--allow-file",
        &allow.display().to_string(),
        "--set",
        &format!("targets.resolve={{ \"edge.example:80\" = \"{address}\" }}"),
        "--target",
        "http://edge.example/",
        "--set",
        "duration_s=2",
        "--set",
        "baseline_s=0",
        "--quiet",
        "--out",
        &stage.path("out").display().to_string(),
    ])
    .await;
    assert_eq!(said.status, 0, "{}{}", said.out, said.err);
    let broken = stage.write("broken.txt", "203.0.113.0/24\nnonsense\n");
    let broken = broken.display().to_string();
    let said = call(&["run", &scenario, "--allow-file", &broken]).await;
    assert_eq!(said.status, 65);
    assert!(said.err.contains("broken.txt:2: "), "{}", said.err);
}

#[tokio::test]
async fn nobody_there_and_nothing_to_play_are_said() {
    let stage = Stage::with(Plant::Nothing).await;
    let scenario = stage.scenario(SHORT).display().to_string();
    // Bound, so that nobody else is there either.
    let free = tokio::net::TcpSocket::new_v4().unwrap();
    free.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let port = free.local_addr().unwrap().port();
    let nobody = format!("http://127.0.0.1:{port}/");
    let said = call(&["run", &scenario, "--target", &nobody]).await;
    assert_eq!(said.status, 69, "{}", said.err);
    assert!(
        said.err.contains("nobody takes connections"),
        "{}",
        said.err
    );
    let said = call(&["run", "prime-time", "--target", &stage.target()]).await;
    assert_eq!(said.status, 64);
    assert!(said.err.contains("--content"), "{}", said.err);
}

#[tokio::test]
async fn a_demo_that_is_not_running_is_said() {
    let stage = Stage::with(Plant::Nothing).await;
    let mut command = program();
    // This program lies in the target folder, whose demo may be running: one that does not.
    let copy = stage.path("mcsp-load");
    std::fs::copy(env!("CARGO_BIN_EXE_mcsp-load"), &copy).expect("a copy");
    let mut alone = tokio::process::Command::new(&copy);
    alone
        .args(["run", "prime-time"])
        .env_remove("CARGO_TARGET_DIR")
        .env_remove("MCSP_LOAD_TARGET")
        .current_dir(stage.path("").as_path());
    let said = finish(alone).await;
    assert_eq!(said.status, 69, "{}", said.err);
    assert!(said.err.contains("cargo xtask demo"), "{}", said.err);

    // No process has so great a number.
    let gone = format!(
        "written_by = \"the demo\"\npid = 4194305\ncontent_ids = [\"item\"]\n[targets]\napi = \"{}\"\n",
        stage.target()
    );
    let file = stage.write("gone.toml", &gone);
    command.args(["run", "prime-time", "--target"]).arg(file);
    let said = finish(command).await;
    assert_eq!(said.status, 69, "{}", said.err);
    assert!(said.err.contains("no longer running"), "{}", said.err);
}
