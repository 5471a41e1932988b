//! Mistakes in rule files: what and where.

use std::path::{Path, PathBuf};

use mcsp_edge_waf::{LoadErrorKind, Loader, RulesConfig, load_rules};

fn mistake(text: &str) -> (u32, u32, LoadErrorKind) {
    let mut loader = Loader::new();
    let error = match loader.text("f.conf", text.as_bytes(), Path::new("/nonexistent")) {
        Err(error) => error,
        Ok(()) => loader.compile().unwrap_err(),
    };
    assert!(error.to_string().starts_with(&format!(
        "f.conf:{}:{}: ",
        error.location.line, error.location.column
    )));
    (error.location.line, error.location.column, error.kind)
}

#[test]
fn every_mistake_has_its_place() {
    let table = [
        ("\nSecNothing x", 2, 1),
        ("SecRule ARGS", 1, 1),
        ("SecRule ARGS|NOPE \"@rx x\" \"id:1\"", 1, 14),
        ("SecRule ARGS \"@nope x\" \"id:1\"", 1, 15),
        ("SecRule ARGS \"@rx (\" \"id:1\"", 1, 15),
        ("SecRule ARGS \"@rx x\" \"id:1,t:nope\"", 1, 28),
        ("SecRule ARGS \"@rx x\" \\\n    \"id:1,\\\n    nope\"", 3, 5),
        ("SecRule ARGS \"@rx x\" \"phase:1\"", 1, 1),
        ("SecAction \"id:1\"\nSecAction \"id:1\"", 2, 1),
        ("SecAction \"id:1,chain\"\nSecMarker x", 1, 1),
        ("SecAction \"id:1,skipAfter:GONE\"", 1, 17),
        (
            "SecMarker BEFORE\nSecAction \"id:1,skipAfter:BEFORE\"",
            2,
            17,
        ),
        ("SecRule ARGS \"@pmFromFile gone.data\" \"id:1\"", 1, 15),
        ("SecRule ARGS \"@rx x", 1, 14),
        ("Include other.conf", 1, 1),
        ("SecAction \"id:1,ctl:nope=1\"", 1, 17),
    ];
    for (text, line, column) in table {
        let (found_line, found_column, kind) = mistake(text);
        assert_eq!((found_line, found_column), (line, column), "{text}: {kind}");
    }
}

#[test]
fn only_files_that_cannot_be_read_are_worth_another_try() {
    let error = Loader::new().folder(Path::new("/nonexistent")).unwrap_err();
    assert!(error.is_retryable());
    let mut loader = Loader::new();
    assert!(
        !loader
            .text("f", b"SecNothing", Path::new("."))
            .unwrap_err()
            .is_retryable()
    );
}

#[test]
fn a_folder_is_read_in_order_with_its_data() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("b.conf"),
        "SecRule ARGS \"@pmFromFile words.data\" \"id:2,phase:1,skipAfter:M\"\nSecMarker M\n",
    )
    .unwrap();
    std::fs::write(
        folder.path().join("a.conf"),
        "SecAction \"id:1,phase:1,pass\"",
    )
    .unwrap();
    std::fs::write(folder.path().join("words.data"), "# comment\nbad word\n").unwrap();
    let mut loader = Loader::new();
    loader.folder(folder.path()).unwrap();
    let set = loader.compile().unwrap();
    assert_eq!(set.ids().collect::<Vec<_>>(), vec![1, 2]);
}

/// A file that is just being written must not take the place of the rules in force.
#[test]
fn files_without_a_rule_are_none_to_use() {
    let folder = tempfile::tempdir().unwrap();
    let [empty, settings, rules] =
        ["a.conf", "b.conf", "c.conf"].map(|name| folder.path().join(name));
    std::fs::write(&empty, "\n# nothing yet\n").unwrap();
    std::fs::write(&settings, "SecRequestBodyAccess On\nSecMarker END\n").unwrap();
    std::fs::write(&rules, "SecAction \"id:1000,phase:1,pass,nolog\"").unwrap();
    let load = |files: &[&PathBuf]| {
        load_rules(&RulesConfig {
            files: files.iter().map(|file| (*file).clone()).collect(),
            ..RulesConfig::default()
        })
    };
    for files in [&[&empty][..], &[&settings], &[&empty, &settings]] {
        let error = load(files).expect_err("no rules");
        assert_eq!(error.kind, LoadErrorKind::NoRules);
        assert!(error.is_retryable());
        let place = format!("{}:1:1: there is no rule in it", files[0].display());
        assert!(error.to_string().starts_with(&place), "{error}");
    }
    // Of settings alone a file may well consist, beside others.
    assert!(load(&[&empty, &settings, &rules]).is_ok());
}

/// What is taken and does nothing is no mistake, and yet nobody is to believe that it protects them.
#[test]
fn what_does_nothing_is_told_with_its_place() {
    let notices = |text: &str| -> Vec<String> {
        let set = crate::support::rules(text);
        set.notices().iter().map(ToString::to_string).collect()
    };
    let asked = "\n# a list\nSecRule REMOTE_ADDR \"@rbl dnsbl.example.org\" \"id:7,phase:1,deny,\\\n    sanitiseArg:password\"";
    let told = notices(asked);
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].starts_with("test.conf:4:5: rule 7: action sanitise is not carried out"));
    assert!(
        told[1].starts_with("test.conf:3:22: rule 7: @rbl "),
        "{told:?}"
    );
    assert!(told[1].ends_with("it never matches"), "{told:?}");
    assert_eq!(crate::support::ids(asked, "/"), Vec::<u64>::new());

    let negated = "SecRule REMOTE_ADDR \"!@RBL dnsbl.example.org\" \"id:7,phase:1,pass\"";
    assert!(notices(negated)[0].ends_with(
        "@RBL would have to ask over the network, which no request waits for: it always matches"
    ));
    assert_eq!(crate::support::ids(negated, "/"), vec![7]);

    // Meant so, or only a description.
    for text in [
        "SecRule ARGS \"@noMatch\" \"id:7,phase:1,deny,accuracy:8,maturity:9\"",
        "SecRule REMOTE_ADDR \"@rbl x\" \"id:7,phase:1,deny\"\nSecRuleRemoveById 7",
    ] {
        assert_eq!(notices(text), Vec::<String>::new(), "{text}");
    }
    // A default of many rules is one place, and a set of nothing else is no flood.
    let default = "SecDefaultAction \"phase:1,pass,log,setenv:x=1\"\nSecAction \"id:1,phase:1\"\nSecAction \"id:2,phase:1\"";
    assert_eq!(notices(default).len(), 1);
    let many = (1..=150).map(|id| format!("SecAction \"id:{id},phase:1,setenv:x=1\"\n"));
    assert_eq!(notices(&many.collect::<String>()).len(), 100);
}
