//! The commands that touch no network, and what a run prints.

use mcsp_loadtest_bench::Plant;

use crate::harness::{SHORT, Stage, call, finish, program, requests};

#[tokio::test]
async fn every_command_explains_itself_with_examples() {
    for word in [
        "run",
        "worker",
        "check",
        "compare",
        "report",
        "plan",
        "scenarios",
    ] {
        let said = call(&[word, "--help"]).await;
        assert_eq!(said.status, 0);
        assert!(said.out.contains("Example"), "{word}: {}", said.out);
    }
    for words in [&["run"][..], &["walk"], &["run", "x", "--threads", "0"]] {
        let said = call(words).await;
        assert_eq!(said.status, 64, "{words:?}: {}", said.err);
    }
}

#[tokio::test]
async fn a_scenario_is_checked_with_line_and_column() {
    let stage = Stage::with(Plant::Nothing).await;
    let file = stage.write(
        "broken.toml",
        "name = \"x\"\narrivals = [{ kind = \"constant\", rate_per_s = 1 }]\nduration_s = 0\n\n[targets]\napi = \"http://127.0.0.1/\"\n",
    );
    let file = file.display().to_string();
    let said = call(&["check", &file]).await;
    assert_eq!(said.status, 65);
    assert!(
        said.err.contains("broken.toml:3:14: duration_s = 0"),
        "{}",
        said.err
    );
    let said = call(&["check", &file, "--set", "duration_s=5"]).await;
    assert_eq!((said.status, said.err.as_str()), (0, ""), "{}", said.out);
    let said = call(&["check", "no-such"]).await;
    assert_eq!(said.status, 64);
    assert!(said.err.contains("prime-time"), "{}", said.err);
}

#[tokio::test]
async fn scenarios_are_listed_shown_and_can_be_checked() {
    let said = call(&["scenarios"]).await;
    assert!(
        said.out.contains("prime-time") && said.out.contains("soak"),
        "{}",
        said.out
    );
    let stage = Stage::with(Plant::Nothing).await;
    let shown = call(&["scenarios", "show", "viral-item"]).await;
    let copy = stage.write("mine.toml", &shown.out).display().to_string();
    assert_eq!(call(&["check", &copy]).await.status, 0);
    assert_eq!(call(&["scenarios", "show", "nothing"]).await.status, 64);
}

#[tokio::test]
async fn a_plan_is_made_and_takes_inputs() {
    let both = call(&["plan"]).await;
    assert!(
        both.out.contains("year 1") && both.out.contains("year 3"),
        "{}",
        both.out
    );
    let said = call(&["plan", "--year", "1", "--set", "viewers=300000", "--json"]).await;
    let plans: serde_json::Value = serde_json::from_str(&said.out).expect("JSON");
    assert_eq!(plans[0]["year"], 1);
    let said = call(&["plan", "--set", "viewer=1"]).await;
    assert_eq!(said.status, 64);
    assert!(said.err.contains("viewers"), "{}", said.err);
    assert_eq!(
        call(&["plan", "--measured", "/nowhere.json"]).await.status,
        64
    );
}

#[tokio::test]
async fn a_run_prints_json_and_is_reported_and_compared_again() {
    let stage = Stage::with(Plant::Nothing).await;
    let out = stage.path("out");
    // So long that a comparison has its ten seconds.
    let mut command = program();
    command
        .arg("run")
        .arg(stage.scenario(SHORT))
        .args([
            "--json",
            "--threads",
            "2",
            "--set",
            "duration_s=12",
            "--out",
        ])
        .arg(&out);
    let said = finish(command).await;
    assert_eq!(said.status, 0, "{}", said.err);
    let printed =
        mcsp_loadtest_report::Recorded::from_json(&said.out).expect("JSON and nothing else");
    assert_eq!(printed, crate::harness::recorded(&out));
    assert!(
        requests(&printed)
            .get("segment")
            .is_some_and(|count| *count > 300)
    );
    assert_eq!(printed.results.workers.expected, 2);

    std::fs::remove_file(out.join("report.html")).unwrap();
    let folder = out.display().to_string();
    assert_eq!(call(&["report", &folder]).await.status, 0);
    assert!(out.join("report.html").is_file());
    let said = call(&["compare", &folder, &folder, "--json"]).await;
    assert_eq!(said.status, 0, "nothing is worse than itself: {}", said.err);
    let compared: serde_json::Value = serde_json::from_str(&said.out).expect("JSON");
    assert!(
        compared["measures"]
            .as_array()
            .is_some_and(|all| !all.is_empty())
    );
}

#[tokio::test]
async fn an_interrupted_run_is_incomplete_and_leaves_what_it_saw() {
    let stage = Stage::with(Plant::Nothing).await;
    let out = stage.path("out");
    let mut command = program();
    command
        .arg("run")
        .arg(stage.scenario(SHORT))
        .args(["--set", "duration_s=600", "--quiet", "--out"])
        .arg(&out);
    let child = command
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("it starts");
    let pid = child.id().expect("it runs").to_string();
    let is_loaded = async {
        while stage.platform.requests() < 50 {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(crate::harness::PATIENCE, is_loaded)
        .await
        .expect("users come");
    let status = std::process::Command::new("kill")
        .args(["-INT", &pid])
        .status()
        .expect("kill");
    assert!(status.success());
    let ended = tokio::time::timeout(crate::harness::PATIENCE, child.wait_with_output());
    let output = ended.await.expect("in time").expect("it ends");
    assert_eq!(output.status.code(), Some(3));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("interrupted after"), "{said}");
    assert!(!requests(&crate::harness::recorded(&out)).is_empty());
}
