//! A platform tells where it is, and a scenario is put upon it.

use mcsp_loadtest_scenario::{Scenario, Surroundings, ready_made};

const TEXT: &str = r#"
written_by = "the demo"
pid = 4711
protocol = "h1"
content_ids = ["c_ng_1"]

[targets]
api = "http://127.0.0.1:8441/"

[[geography]]
name = "lagos"
source_addresses = "127.1.0.0/16"
api = "http://127.0.0.1:8441/"

[[nodes]]
name = "los1"
pid_file = "/tmp/los1.pid"
"#;

fn surroundings(text: &str) -> Surroundings {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("target.toml");
    std::fs::write(&file, text).expect("written");
    Surroundings::load(&file).expect("surroundings")
}

#[test]
fn a_ready_made_scenario_takes_what_it_lacks_and_keeps_what_it_has() {
    let surroundings = surroundings(TEXT);
    let mut scenario = ready_made("prime-time").expect("there").expect("valid");
    scenario.targets.allow_file = Some("allow.txt".into());
    surroundings.furnish(&mut scenario).expect("it fits");
    assert_eq!(scenario.content.ids, ["c_ng_1"]);
    assert_eq!(scenario.targets.api, surroundings.targets.api);
    assert_eq!(scenario.targets.allow_file, Some("allow.txt".into()));
    assert_eq!(Some(scenario.protocol), surroundings.protocol);
    assert_eq!(scenario.geography.len(), 1);
    assert_eq!(scenario.nodes.len(), 1);

    let mut own = ready_made("viral-item").expect("there").expect("valid");
    own.content.ids = vec!["mine".to_owned()];
    surroundings.furnish(&mut own).expect("it fits");
    assert_eq!(own.content.ids, ["mine"]);
}

#[test]
fn what_is_written_is_read_again() {
    let first = surroundings(TEXT);
    let text = first.to_toml().expect("TOML");
    assert_eq!(surroundings(&text), first);
}

#[test]
fn steps_of_a_scenario_may_be_for_nodes_that_the_platform_names() {
    let text = |target: &str| {
        format!(
            "name = \"x\"\nduration_s = 60\narrivals = [{{ kind = \"constant\", rate_per_s = 1 }}]\n\
             chaos = [{{ at_s = 1, action = \"freeze\", target = \"{target}\" }}]\n\
             [targets]\napi = \"http://127.0.0.1:1/\"\n"
        )
    };
    let node = surroundings(TEXT).nodes[0].name.clone();
    let mut scenario = Scenario::parse(&text(&node), "x").expect("nothing is wrong yet");
    assert!(
        scenario.check("x").is_err(),
        "without a platform it cannot run"
    );
    let mut platform = surroundings(TEXT);
    platform.nodes[0].pid_file = Some("node.pid".into());
    platform.furnish(&mut scenario).expect("there is one");
    let mut scenario = Scenario::parse(&text("nobody"), "x").expect("nothing is wrong yet");
    assert!(platform.furnish(&mut scenario).is_err());
    // One that names nodes itself is held to them at once.
    let own = format!("{}[[nodes]]\nname = \"a\"\n", text("nobody"));
    let error = Scenario::parse(&own, "x").expect_err("no such node");
    assert!(error.to_string().contains("x:4:"), "{error}");
}

#[test]
fn what_does_not_fit_is_said() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("target.toml");
    std::fs::write(&file, TEXT.replace("pid =", "pids =")).expect("written");
    let error = Surroundings::load(&file).expect_err("an unknown key");
    assert!(error.to_string().contains("target.toml:3:1: "), "{error}");

    let mut surroundings = surroundings(TEXT);
    surroundings.nodes.clear();
    let mut scenario = ready_made("prime-time").expect("there").expect("valid");
    let step = "at_s = 1\naction = \"freeze\"\ntarget = \"los1\"\n";
    scenario.chaos = vec![toml::from_str(step).expect("a step")];
    let error = surroundings
        .furnish(&mut scenario)
        .expect_err("no such node");
    assert!(
        error.to_string().contains("the demo: chaos[0].target"),
        "{error}"
    );
}
