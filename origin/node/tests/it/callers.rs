//! Every interface, and who may use it: the whole table, so that a change of who may call whom is seen. An interface
//! without a row fails.

use std::collections::{BTreeMap, BTreeSet};

use mcsp_identity::{CallerTable, SpiffeId};

use crate::endpoints::grpc_methods;

const HERE: &str = "ng-lagos";
const CALLERS: [(&str, &str); 13] = [
    ("edge", "los1"),
    ("edge", "origin"),
    (HERE, "origin"),
    (HERE, "auth"),
    (HERE, "upload"),
    (HERE, "media"),
    (HERE, "operator"),
    (HERE, "unheard-of"),
    ("global-london", "origin"),
    ("global-london", "auth"),
    ("global-london", "upload"),
    ("global-london", "media"),
    ("global-london", "operator"),
];

/// The callers of [`CALLERS`] that may use each interface of a server in Lagos.
const ROWS: &[(&str, &[&str])] = &[
    ("http:api", &["edge/los1", "edge/origin"]),
    ("http:media", &["edge/los1", "edge/origin"]),
    ("http:web", &["edge/los1", "edge/origin"]),
    // Served by edge nodes, which are not of a region.
    ("http:shield", &["edge/los1", "edge/origin"]),
    ("http:admin", &[]),
    (
        "s3",
        &[
            "edge/los1",
            "edge/origin",
            "ng-lagos/origin",
            "ng-lagos/upload",
            "ng-lagos/media",
        ],
    ),
    ("mcsp.auth.v1.Auth", &["ng-lagos/origin"]),
    (
        "mcsp.auth.v1.HomeLogin",
        &[
            "ng-lagos/origin",
            "ng-lagos/auth",
            "global-london/origin",
            "global-london/auth",
        ],
    ),
    (
        "mcsp.content.v1.Content",
        &["ng-lagos/origin", "ng-lagos/upload"],
    ),
    (
        "mcsp.events.v1.EventLog",
        &[
            "ng-lagos/origin",
            "ng-lagos/auth",
            "ng-lagos/upload",
            "ng-lagos/media",
        ],
    ),
    (
        "mcsp.feed.v1.EdgeFeed",
        &[
            "edge/los1",
            "edge/origin",
            "ng-lagos/origin",
            "global-london/origin",
        ],
    ),
    (
        "mcsp.feed.v1.PurgeProgress",
        &["ng-lagos/origin", "global-london/origin"],
    ),
    ("mcsp.feed.v1.Purges", &["ng-lagos/operator"]),
    (
        "mcsp.kv.v1.KeyValue",
        &["ng-lagos/origin", "ng-lagos/auth", "ng-lagos/upload"],
    ),
    ("mcsp.playback.v1.Playback", &["ng-lagos/origin"]),
    (
        "mcsp.upload.v1.Upload",
        &[
            "ng-lagos/origin",
            "ng-lagos/upload",
            "global-london/origin",
            "global-london/upload",
        ],
    ),
];

#[test]
fn every_interface_has_a_row() {
    let mut interfaces: BTreeSet<String> = [
        "http:api",
        "http:media",
        "http:web",
        "http:shield",
        "http:admin",
        "s3",
    ]
    .map(str::to_owned)
    .into();
    for method in grpc_methods() {
        let service = method.trim_start_matches('/').split('/').next().unwrap();
        interfaces.insert(service.to_owned());
    }
    let rows: BTreeSet<String> = ROWS
        .iter()
        .map(|(interface, _)| (*interface).to_owned())
        .collect();
    assert_eq!(rows, interfaces);
    let table = CallerTable::embedded().unwrap();
    for interface in table.interfaces() {
        assert!(
            interfaces.contains(interface),
            "the table opens {interface:?}, which nothing serves"
        );
    }
}

#[test]
fn the_table_allows_exactly_this() {
    let table = CallerTable::embedded().unwrap();
    let mut differences = BTreeMap::new();
    for (interface, allowed) in ROWS {
        for (namespace, account) in CALLERS {
            let caller = SpiffeId::new("mcsp.internal", namespace, account).unwrap();
            let expected = allowed.contains(&format!("{namespace}/{account}").as_str());
            if table.allows(&caller, HERE, interface) != expected {
                differences.insert(format!("{namespace}/{account} → {interface}"), expected);
            }
        }
    }
    assert!(
        differences.is_empty(),
        "expected to be allowed: {differences:?}"
    );
}
