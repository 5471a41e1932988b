//! The interface as a whole: its document, who may call what, and gRPC.

use std::path::Path;

use http::{Method, StatusCode};
use mcsp_api::proto::auth::GetKeySetRequest;
use mcsp_api::proto::auth::auth_client::AuthClient;
use mcsp_core_services_auth::{grpc, openapi};
use mcsp_identity::{SpiffeId, TRUST_DOMAIN_DEFAULT};
use mcsp_rpc::RpcChannel;
use tonic::service::Routes;

use crate::support::{REGION, world};

/// Every operation, and what it answers to a stranger who sends nothing.
const TO_STRANGERS: [(&str, &str, u16); 6] = [
    ("post", "/api/v1/auth/register", 415),
    ("post", "/api/v1/auth/login", 415),
    ("post", "/api/v1/auth/refresh", 401),
    ("post", "/api/v1/auth/logout", 401),
    ("get", "/api/v1/users/me", 401),
    ("get", "/.well-known/jwks.json", 200),
];

#[test]
fn the_committed_document_is_the_one_in_force() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("openapi.json");
    let generated = openapi().to_pretty_json().expect("JSON") + "\n";
    if std::env::var_os("MCSP_UPDATE_OPENAPI").is_some() {
        std::fs::write(&path, &generated).expect("written");
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == generated,
        "openapi.json is out of date; run this test with MCSP_UPDATE_OPENAPI=1 and commit the file"
    );
}

#[tokio::test]
async fn every_operation_has_a_row_and_answers_a_stranger_as_it_says() {
    let document = serde_json::to_value(openapi()).expect("JSON");
    let mut listed = Vec::new();
    for (path, operations) in document["paths"].as_object().expect("paths") {
        for method in operations.as_object().expect("operations").keys() {
            listed.push((method.clone(), path.clone()));
        }
    }
    listed.sort();
    let mut rows: Vec<_> = TO_STRANGERS
        .iter()
        .map(|(method, path, _)| ((*method).to_owned(), (*path).to_owned()))
        .collect();
    rows.sort();
    assert_eq!(listed, rows);

    let world = world().await;
    for (method, path, status) in TO_STRANGERS {
        let method: Method = method.to_uppercase().parse().expect("a method");
        let answer = world.send(world.request(method, path, None)).await;
        assert_eq!(answer.status.as_u16(), status, "{path}");
        if status >= 400 {
            assert_eq!(
                answer.headers["content-type"], "application/problem+json",
                "{path}"
            );
            assert_eq!(answer.body["status"], status);
        }
        let wrong = world.send(world.request(Method::PUT, path, None)).await;
        assert_eq!(wrong.status, StatusCode::METHOD_NOT_ALLOWED, "{path}");
        assert_eq!(
            wrong.headers["content-type"], "application/problem+json",
            "{path}"
        );
    }
}

#[tokio::test]
async fn other_services_get_the_same_key_set() {
    let world = world().await;
    let caller = SpiffeId::new(TRUST_DOMAIN_DEFAULT, REGION, "origin").expect("a name");
    let channel = RpcChannel::in_process(Routes::new(grpc(world.service.clone())), caller);
    let answer = AuthClient::new(channel)
        .get_key_set(GetKeySetRequest {})
        .await
        .expect("a key set");
    assert_eq!(
        answer.into_inner().jwks_json,
        world.service.jwks_json().to_string()
    );
}
