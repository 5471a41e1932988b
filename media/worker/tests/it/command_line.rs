//! Exit codes, and the ladder by the real encoder in the program's own confined child.

use std::process::{Command, Output};

use serde_json::Value;

use crate::clip;

fn media(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_mcsp-media"))
        .args(arguments)
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_configuration_that_cannot_be_used_exits_64_and_names_the_key() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("media.toml");
    let printed = text(&media(&["default-config"]).stdout);
    for (wrong, named) in [
        (
            printed.replace("bytes_max = 50000000000", "bytes_max = 5"),
            "scratch.bytes_max",
        ),
        (
            printed.replace("country = \"NG\"", "country = \"GB\""),
            "objects.ng",
        ),
        (printed.replace("[retry]", "[retry]\nhope = 1"), "hope"),
        (printed.clone(), "identity"),
    ] {
        std::fs::write(&path, wrong).unwrap();
        for command in ["check", "run"] {
            let output = media(&[command, "--config", path.to_str().unwrap()]);
            assert_eq!(output.status.code(), Some(64), "{command} {named}");
            let said = text(&output.stderr);
            assert!(said.contains(named), "{command}: {said}");
        }
    }
}

#[test]
fn the_ladder_is_made_and_its_cost_printed() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let output = media(&[
        "bench-ladder",
        "--input",
        &clip(dir.path()),
        "--out",
        out.to_str().unwrap(),
    ]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let figures: Value = serde_json::from_slice(&output.stdout).unwrap();
    let keys: Vec<&String> = figures.as_object().unwrap().keys().collect();
    let expected = [
        "lowest_cpu_s",
        "lowest_wall_s",
        "renditions",
        "rest_cpu_s",
        "rest_finished",
        "rest_wall_s",
    ];
    assert_eq!(keys, expected);
    assert!(figures["lowest_wall_s"].as_f64().unwrap() > 0.0);
    assert!(
        figures["lowest_cpu_s"].as_f64().unwrap() > 0.0,
        "children's time counts"
    );
    assert!(figures["rest_cpu_s"].as_f64().unwrap() > 0.0);
    let ids = |key: &str| -> Vec<&str> {
        let listed = figures[key].as_array().unwrap().iter();
        listed.map(|item| item["id"].as_str().unwrap()).collect()
    };
    assert_eq!(ids("renditions"), ["v360", "v480", "a64", "a128"]);
    assert_eq!(ids("rest_finished"), ["a128", "v480"]);
    assert_eq!(figures["renditions"][0]["height"], 360);
    assert_eq!(figures["renditions"][2]["width"], 0);
    for file in [
        "manifest.m3u8",
        "manifest.mpd",
        "v480/2.m4s",
        "a128/init.mp4",
    ] {
        assert!(out.join(file).exists(), "{file}");
    }
}

#[test]
fn a_file_that_is_no_media_is_refused_with_its_reason() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("film.mp4");
    std::fs::write(&file, "This is text.\n".repeat(100)).unwrap();
    let out = dir.path().join("out");
    let output = media(&[
        "bench-ladder",
        "--input",
        file.to_str().unwrap(),
        "--out",
        out.to_str().unwrap(),
    ]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output.stderr).contains("not-media"),
        "{}",
        text(&output.stderr)
    );
}
