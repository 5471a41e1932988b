//! Every fault names the file, the key, the value and what was expected.

use mcsp_pop_config::{PopConfigError, PopSet};
use proptest::prelude::*;

pub(crate) const REGIONS: &str = r#"
[[region]]
id = "ng-lagos"
code = "ng"
country = "NG"
"#;

pub(crate) const POP: &str = r#"
id = "los1"
name = "Lagos"
country = "NG"
latitude = 6.4281
longitude = 3.4219
trust = "own"
region = "ng-lagos"
base_urls = ["https://los1.example"]
"#;

fn fault_of(pop: &str) -> PopConfigError {
    PopSet::from_toml(REGIONS, [("los1", pop)]).expect_err("a fault")
}

#[test]
fn each_bad_value_is_named_with_what_was_expected() {
    for (from, to, names) in [
        ("id = \"los1\"", "id = \"Los 1\"", ["id", "Los 1", "a-z"]),
        ("id = \"los1\"", "id = \"abv1\"", ["id", "abv1", "los1"]),
        (
            "name = \"Lagos\"",
            "name = \"\"",
            ["name", "\"\"", "1 to 100"],
        ),
        (
            "country = \"NG\"",
            "country = \"Nigeria\"",
            ["country", "Nigeria", "two upper-case"],
        ),
        ("6.4281", "91.0", ["latitude", "91.0", "-90 to 90"]),
        ("6.4281", "nan", ["latitude", "NaN", "-90 to 90"]),
        ("3.4219", "-180.5", ["longitude", "-180.5", "-180 to 180"]),
        (
            "region = \"ng-lagos\"",
            "region = \"mars\"",
            ["region", "mars", "ng-lagos"],
        ),
        (
            "https://los1.example",
            "http://los1.example",
            ["base_urls[0]", "http://", "https://"],
        ),
        (
            "https://los1.example",
            "https://los1.example/x",
            ["base_urls[0]", "/x", "no path"],
        ),
        (
            "https://los1.example",
            "https://u@los1.example",
            ["base_urls[0]", "u@", "user"],
        ),
        (
            "[\"https://los1.example\"]",
            "[]",
            ["base_urls", "0", "1 to 8"],
        ),
        (
            "trust = \"own\"",
            "trust = \"own\"\nfallback_rank = 5000",
            ["fallback_rank", "5000", "1000"],
        ),
        (
            "trust = \"own\"",
            "trust = \"own\"\nfootprints = [\"10.0.0.1/8\"]",
            ["footprints[0]", "10.0.0.1/8", "host bits"],
        ),
        (
            "trust = \"own\"",
            "trust = \"own\"\nfootprints = [\"ten\"]",
            ["footprints[0]", "ten", "a network"],
        ),
        // These come from the parser: it shows the line.
        (
            "trust = \"own\"",
            "trust = \"friend\"",
            ["trust", "friend", "own"],
        ),
        ("6.4281", "\"north\"", ["latitude", "north", "f64"]),
        (
            "trust = \"own\"",
            "trust = \"own\"\ncolour = \"red\"",
            ["colour", "unknown field", "expected"],
        ),
        (
            "name = \"Lagos\"\n",
            "",
            ["los1.toml", "missing field", "name"],
        ),
    ] {
        assert!(POP.contains(from), "{from}");
        let text = fault_of(&POP.replacen(from, to, 1)).to_string();
        assert!(text.contains("los1.toml"), "{text}");
        for name in names {
            assert!(text.contains(name), "{to}: {name:?} is not in {text}");
        }
    }
}

#[test]
fn all_faults_are_reported_at_once() {
    let fault = fault_of(
        &POP.replace("6.4281", "-91.0")
            .replace("3.4219", "181.0")
            .replace("ng-lagos", "x"),
    );
    assert_eq!(fault.faults.len(), 3, "{fault}");
    assert!(!fault.is_retryable());
}

#[test]
fn two_pops_cannot_claim_one_network() {
    let claim = POP.replace(
        "trust = \"own\"",
        "trust = \"own\"\nfootprints = [\"197.210.0.0/16\"]",
    );
    let other = claim.replace("los1", "abv1");
    let fault = PopSet::from_toml(
        REGIONS,
        [("los1", claim.as_str()), ("abv1", other.as_str())],
    )
    .expect_err("a clash");
    assert!(fault.to_string().contains("los1 has it too"), "{fault}");
}

#[test]
fn regions_are_checked_too() {
    for (text, names) in [
        ("", ["regions.toml", "at least one"]),
        (
            "[[region]]\nid = \"a\"\ncode = \"ng\"\ncountry = \"NG\"",
            ["region[0].id", "2 to 32"],
        ),
        (
            "[[region]]\nid = \"aa\"\ncode = \"NG\"\ncountry = \"NG\"",
            ["region[0].code", "lower-case"],
        ),
        (
            "[[region]]\nid = \"aa\"\ncode = \"ng\"\ncountry = \"ng\"",
            ["region[0].country", "upper-case"],
        ),
        (
            "[[region]]\nid = \"aa\"\ncode = \"ng\"\ncountry = \"NG\"\nx = 1",
            ["unknown field", "x"],
        ),
        ("[region", ["regions.toml", "line 1"]),
    ] {
        let fault = PopSet::from_toml(text, [])
            .expect_err("a fault")
            .to_string();
        for name in names {
            assert!(fault.contains(name), "{name:?} is not in {fault}");
        }
    }
    let twice = format!("{REGIONS}{REGIONS}");
    let fault = PopSet::from_toml(&twice, [])
        .expect_err("a clash")
        .to_string();
    assert!(
        fault.contains("region[1].id") && fault.contains("region[1].code"),
        "{fault}"
    );
}

#[test]
fn a_folder_without_regions_or_without_itself_is_a_fault() {
    let folder = tempfile::tempdir().expect("a folder");
    let fault = PopSet::load_dir(folder.path())
        .expect_err("no regions")
        .to_string();
    assert!(fault.contains("regions.toml"), "{fault}");
    assert!(PopSet::load_dir(folder.path().join("missing")).is_err());
    std::fs::write(folder.path().join("regions.toml"), [0xff, 0xfe]).expect("written");
    assert!(PopSet::load_dir(folder.path()).is_err(), "not UTF-8");
}

proptest! {
    #[test]
    fn no_text_panics(regions in "\\PC{0,200}", pop in "\\PC{0,200}") {
        let _ = PopSet::from_toml(&regions, [("los1", pop.as_str())]);
        let _ = PopSet::from_toml(REGIONS, [("los1", pop.as_str())]);
    }

    #[test]
    fn no_value_panics(name in "[a-z_]{1,12}", value in "\\PC{0,40}", number in any::<f64>()) {
        let _ = PopSet::from_toml(REGIONS, [("los1", format!("{POP}\n{name} = {value:?}").as_str())]);
        let _ = PopSet::from_toml(REGIONS, [("los1", POP.replace("6.4281", &format!("{number:?}")).as_str())]);
    }
}
