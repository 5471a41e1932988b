//! Every endpoint there is: read from the OpenAPI documents, the sources and the protos, so that none is forgotten.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::support::repository;

/// A REST endpoint of a service.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Rest {
    pub(crate) service: &'static str,
    pub(crate) method: String,
    pub(crate) path: String,
}

/// Every operation of every service's OpenAPI document.
pub(crate) fn rest() -> BTreeSet<Rest> {
    let documents = [
        ("auth", mcsp_svc_auth::openapi()),
        ("content", mcsp_svc_content::openapi()),
        ("playback", mcsp_svc_playback::openapi()),
        ("upload", mcsp_svc_upload::openapi()),
    ];
    let mut found = BTreeSet::new();
    for (service, document) in documents {
        let document: Value = serde_json::to_value(document).unwrap();
        for (path, item) in document["paths"].as_object().unwrap() {
            for method in item.as_object().unwrap().keys() {
                found.insert(Rest {
                    service,
                    method: method.to_uppercase(),
                    path: path.clone(),
                });
            }
        }
    }
    found
}

/// Every path that a source file gives to a router.
pub(crate) fn routed_paths(source: &str) -> BTreeSet<String> {
    let text = std::fs::read_to_string(repository().join(source)).unwrap();
    let mut found = BTreeSet::new();
    for call in [".route(", ".route_service("] {
        for (at, _) in text.match_indices(call) {
            let arguments = text[at + call.len()..].trim_start();
            let path = arguments
                .strip_prefix('"')
                .and_then(|rest| rest.split('"').next());
            found.insert(
                path.unwrap_or_else(|| panic!("{source}: a route without a literal path"))
                    .to_owned(),
            );
        }
    }
    found
}

/// Every `/package.Service/Method` of every proto.
pub(crate) fn grpc_methods() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir(repository().join("core-services/api/proto")).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        let mut package = String::new();
        let mut service = String::new();
        for line in text.lines().map(str::trim) {
            let word = |prefix: &str| {
                let rest = line.strip_prefix(prefix)?;
                rest.split([' ', ';', '(', '{']).next().map(str::to_owned)
            };
            if let Some(name) = word("package ") {
                package = name;
            } else if let Some(name) = word("service ") {
                service = name;
            } else if let Some(name) = word("rpc ") {
                found.insert(format!("/{package}.{service}/{name}"));
            }
        }
    }
    found
}

#[test]
fn every_route_of_a_service_is_in_its_document() {
    for service in ["auth", "content", "playback", "upload"] {
        let documented: BTreeSet<String> = rest()
            .into_iter()
            .filter(|endpoint| endpoint.service == service)
            .map(|endpoint| endpoint.path)
            .collect();
        let routed = routed_paths(&format!("core-services/{service}/src/http.rs"));
        assert_eq!(
            routed, documented,
            "{service}: routes and OpenAPI document differ"
        );
    }
}

#[test]
fn the_protos_are_read() {
    let methods = grpc_methods();
    for method in [
        "/mcsp.auth.v1.Auth/GetKeySet",
        "/mcsp.feed.v1.EdgeFeed/Subscribe",
        "/mcsp.kv.v1.KeyValue/Scan",
    ] {
        assert!(
            methods.contains(method),
            "{method} is not among {methods:?}"
        );
    }
}
