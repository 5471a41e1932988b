//! Configurations, good and bad.

use mcsp_origin_node::NodeError;
use mcsp_origin_node::config::{Config, DEFAULT_TOML};
use mcsp_runtime::parse_config;

use crate::support::Machine;

/// No variable of any test machine begins so.
const PREFIX: &str = "MCSP_NODE_TEST_";

fn parse(text: &str) -> Result<Config, NodeError> {
    let config: Config = parse_config(text, "test.toml", PREFIX)?;
    config.validate()?;
    Ok(config)
}

const REQUIRED: &str = "region = \"ng-lagos\"\ndata_dir = \"/var/lib/mcsp\"\npops_dir = \"/etc/mcsp/pops\"\n\
    [identity]\ncert_file = \"/etc/mcsp/identity/cert.pem\"\nkey_file = \"/etc/mcsp/identity/key.pem\"\n\
    ca_file = \"/etc/mcsp/identity/ca.pem\"\n";

#[test]
fn the_printed_configuration_is_the_default_one_and_names_every_key() {
    let printed = parse(DEFAULT_TOML).unwrap();
    assert_eq!(printed, parse(REQUIRED).unwrap());
    let keys = |value: &toml::Value| -> Vec<String> {
        fn collect(prefix: &str, value: &toml::Value, found: &mut Vec<String>) {
            match value {
                toml::Value::Table(table) => {
                    for (key, value) in table {
                        collect(&format!("{prefix}{key}."), value, found);
                    }
                }
                _ => found.push(prefix.trim_end_matches('.').to_owned()),
            }
        }
        let mut found = Vec::new();
        collect("", value, &mut found);
        found
    };
    let written = keys(&DEFAULT_TOML.parse::<toml::Table>().unwrap().into());
    for key in keys(&toml::Value::try_from(&printed).unwrap()) {
        assert!(written.contains(&key), "default.toml does not name {key}");
    }
    // Keys without a value of their own are there as comments.
    for key in [
        "callers_file",
        "auth_db",
        "upload_db",
        "content_db",
        "feed_db",
        "events",
        "kv",
        "objects",
        "credentials_dir",
        "worker_credentials_file",
        "content",
        "site_dir",
    ] {
        assert!(
            DEFAULT_TOML.contains(&format!("# {key} = ")),
            "default.toml does not name {key}"
        );
    }
}

#[test]
fn every_fault_names_the_key_the_value_and_what_was_expected() {
    for (root, tables, expected) in [
        ("", "[auht]\n", vec!["auht"]),
        ("", "[listen]\nrcp = \"127.0.0.1:0\"\n", vec!["rcp"]),
        (
            "",
            "[listen]\nrpc = \"localhost\"\n",
            vec!["listen.rpc", "localhost"],
        ),
        (
            "",
            "[listen]\nadmin = \"0.0.0.0:1\"\n",
            vec!["listen.admin", "0.0.0.0:1", "loopback"],
        ),
        (
            "",
            "[limits]\nconnections_max = 0\n",
            vec!["limits.connections_max", "0", "1 to 100000"],
        ),
        (
            "",
            "[calls]\ntimeout_ms = 0\n",
            vec!["calls.timeout_ms", "0", "1 to 120000"],
        ),
        (
            "",
            "[auth]\naccess_token_s = 1\n",
            vec!["auth.access_token_s", "1", "60 to 3600"],
        ),
        (
            "",
            "[upload]\nurl_life_s = 1\n",
            vec!["upload.url_life_s", "1", "30 to 3600"],
        ),
        (
            "",
            "[upload]\nbucket_ng = \"other\"\n",
            vec!["upload.bucket_ng", "other", "mcsp-ng"],
        ),
        (
            "",
            "[playback]\nurl_life_s = 20000\n",
            vec!["playback.url_life_s", "20000", "token_life_max_s"],
        ),
        (
            "",
            "[media_keys]\nrotate_after_s = 1\n",
            vec!["rotate_after_s", "1", "600"],
        ),
        (
            "",
            "[log]\ntrace_sample_ratio = 2.0\n",
            vec!["log.trace_sample_ratio", "2", "0 to 1"],
        ),
        (
            "",
            "[storage.endpoint]\npart_bytes_max = 1\n",
            vec!["storage.endpoint.part_bytes_max", "1"],
        ),
        (
            "",
            "[content]\nmoderation = \"maybe\"\n",
            vec!["moderation", "maybe"],
        ),
        (
            "",
            "[peers.ng-lagos]\naddress = \"a:1\"\n",
            vec!["peers.ng-lagos", "another region"],
        ),
        (
            "",
            "[engines]\nkv = \"redis://a\"\n",
            vec!["engines.kv", "redis", "sled"],
        ),
        (
            "",
            "[engines]\nkv = \"/var/lib\"\n",
            vec!["engines.kv", "/var/lib", "scheme"],
        ),
        (
            "",
            "[engines]\nauth_db = \"postgres://a\"\n",
            vec!["engines.auth_db", "postgres", "sqlite"],
        ),
        (
            "",
            "[engines]\nobjects = \"faulty:file:/x\"\n",
            vec!["engines.objects", "faulty", "file"],
        ),
        ("roles = []\n", "", vec!["roles", "expected all"]),
        (
            "roles = [\"auth\", \"everything\"]\n",
            "",
            vec!["everything", "expected all"],
        ),
        (
            "roles = [\"playback\"]\n",
            "",
            vec![
                "playback and feed in one process",
                "engines.events",
                "engines.kv",
            ],
        ),
        (
            "roles = [\"upload\"]\n",
            "",
            vec!["remote.content", "engines.objects is missing"],
        ),
        ("roles = [\"web\"]\n", "", vec!["web.site_dir"]),
        (
            "stop_timeout_ms = 1000000\n",
            "",
            vec!["stop_timeout_ms", "1000000", "0 to 600000"],
        ),
    ] {
        let text = REQUIRED.replacen("[identity]", &format!("{root}[identity]"), 1) + tables;
        let error = parse(&text).expect_err(&text);
        assert_eq!(error.exit_code(), 64, "{error}");
        let error = error.to_string();
        for part in expected {
            assert!(
                error.contains(part),
                "{root}{tables} gave {error:?}, without {part:?}"
            );
        }
    }
    let error = parse(&REQUIRED.replace("/var/lib/mcsp", "lib"))
        .expect_err("relative")
        .to_string();
    assert!(
        error.contains("data_dir") && error.contains("absolute"),
        "{error}"
    );
    let error = parse(&REQUIRED.replace("ng-lagos", "edge"))
        .expect_err("reserved")
        .to_string();
    assert!(error.contains("region = \"edge\""), "{error}");
}

#[test]
fn faulty_engines_and_engines_elsewhere_are_taken() {
    let faulty =
        "[engines]\nkv = \"faulty:sled:/x?seed=1\"\nauth_db = \"faulty:sqlite:/x?seed=1\"\n";
    parse(&format!("{REQUIRED}{faulty}")).unwrap();
    let elsewhere = "[engines]\nevents = \"mcsp://a:1/b\"\nkv = \"faulty:mcsp://a:1/b?seed=1\"\n";
    let text = REQUIRED.replacen("[identity]", "roles = [\"auth\"]\n[identity]", 1) + elsewhere;
    let uris = parse(&text).unwrap().engine_uris().unwrap();
    assert_eq!(
        uris.auth_db.as_deref(),
        Some("sqlite:/var/lib/mcsp/auth.db")
    );
    assert_eq!(
        (uris.content_db, uris.objects),
        (None, None),
        "what no role needs is not opened"
    );
}

#[test]
fn what_a_configuration_points_at_is_checked_all_at_once() {
    let machine = Machine::new();
    let mut config = machine.config("ng-lagos", "origin", "");
    config.check().unwrap();
    config.callers_file = Some(machine.path("absent.toml"));
    config.web.site_dir = Some(machine.path("pops"));
    "global-london".clone_into(&mut config.region);
    config.peers.insert(
        "mars-north".to_owned(),
        toml::from_str("address = \"a:1\"").unwrap(),
    );
    let error = config.check().expect_err("four faults").to_string();
    for part in ["absent.toml", "index.html", "peers.mars-north"] {
        assert!(error.contains(part), "{error:?} without {part}");
    }
    let mut other = machine.config("ng-lagos", "origin", "");
    other.identity = machine.identity("global-london", "origin").config().clone();
    let error = other.check().expect_err("another region's certificate");
    assert_eq!(error.exit_code(), 64);
    assert!(
        error.to_string().contains("ns/global-london/sa/origin"),
        "{error}"
    );
    let mut nowhere = machine.config("ng-lagos", "origin", "");
    "mars-north".clone_into(&mut nowhere.region);
    let error = nowhere.check().expect_err("no such region").to_string();
    assert!(
        error.contains("mars-north") && error.contains("ng-lagos, global-london"),
        "{error}"
    );
}
