//! What a person sees.

use std::process::{Command, Output};

use tempfile::TempDir;

fn edge(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_mcsp-edge"))
        .args(args)
        .output()
        .unwrap()
}

#[test]
fn a_configuration_that_cannot_be_used_is_64_with_the_key_the_value_and_what_was_expected() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("edge.toml");
    let path = file.to_str().unwrap();
    let default = String::from_utf8(edge(&["default-config"]).stdout).unwrap();
    let cases = [
        (
            default.replace("drain_ms = 10000", "drain_ms = 700000"),
            "drain_ms = 700000: expected 0 to 600000",
        ),
        (default.replace("[cache]", "[cache]\ncolour = 1"), "colour"),
        (default.replace("pop = \"los1\"", ""), "pop"),
        ("pop = ".to_owned(), "TOML parse error at line 1"),
        (default, "/etc/mcsp/pops"),
    ];
    for (text, wanted) in cases {
        std::fs::write(&file, text).unwrap();
        for command in ["check", "run"] {
            let output = edge(&[command, "--config", path]);
            let said = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(64), "{said}");
            assert!(said.contains(wanted), "{said} has no {wanted:?}");
        }
    }
    let absent = edge(&["check", "--config", "/nowhere/edge.toml"]);
    assert_eq!(absent.status.code(), Some(64));
}
