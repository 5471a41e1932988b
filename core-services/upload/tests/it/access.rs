//! Every operation of the document, called by those who may not: a new one without a row here fails.

use std::collections::BTreeMap;

use mcsp_api::Role;
use mcsp_api::rest::UploadStatus;
use mcsp_core_services_upload::openapi;
use serde_json::json;

use crate::stage::{Call, SESSIONS, Stage, request};

/// What a caller gets without signing in, as a viewer, and as another creator.
fn expected() -> BTreeMap<(&'static str, &'static str), [u16; 3]> {
    BTreeMap::from([
        (("post", "/api/v1/uploads/session"), [401, 403, 201]),
        (("get", "/api/v1/uploads/session/{id}"), [401, 404, 404]),
        (("delete", "/api/v1/uploads/session/{id}"), [401, 404, 404]),
        (
            ("patch", "/api/v1/uploads/session/{id}/metadata"),
            [401, 404, 404],
        ),
        (
            ("post", "/api/v1/uploads/session/{id}/complete"),
            [401, 404, 404],
        ),
    ])
}

#[tokio::test]
async fn no_operation_lets_in_whom_it_should_not() {
    let stage = Stage::lagos().await;
    let owner = stage.person(Role::Creator);
    let session = stage.open(&owner, 10).await;
    let (viewer, stranger) = (stage.person(Role::Viewer), stage.person(Role::Creator));

    let document = serde_json::to_value(openapi()).unwrap();
    let mut expected = expected();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for method in operations.as_object().unwrap().keys() {
            let row = expected
                .remove(&(method.as_str(), path.as_str()))
                .unwrap_or_else(|| panic!("{method} {path} has no row in this test"));
            let concrete = path.replace("{id}", &session.upload_id);
            let mut got = Vec::new();
            for who in [None, Some(&viewer), Some(&stranger)] {
                let mut call = Call::new(method.to_uppercase().parse().unwrap(), &concrete);
                if let Some(who) = who {
                    call = call.by(who);
                }
                if path == SESSIONS {
                    call = call.with(request(10));
                } else if method == "patch" {
                    call = call.with(json!({"title": "mine now"}));
                }
                got.push(stage.ask(call).await.0);
            }
            assert_eq!(got, row, "{method} {path}");
        }
    }
    assert!(
        expected.is_empty(),
        "rows without an operation: {expected:?}"
    );
    assert_eq!(
        stage.state(&owner, &session.upload_id).await.status,
        UploadStatus::Open
    );
}

#[tokio::test]
async fn what_is_no_session_is_not_found() {
    let stage = Stage::lagos().await;
    let owner = stage.person(Role::Creator);
    for unknown in ["up_ng_00000000000000000000000000", "nonsense"] {
        let (status, problem) = stage
            .ask(Call::get(&format!("{SESSIONS}/{unknown}")).by(&owner))
            .await;
        assert_eq!(
            (status, problem["type"].as_str()),
            (404, Some("urn:mcsp:problem:not-found"))
        );
        // The operator finds the request by its trace.
        assert_eq!(problem["trace_id"].as_str().map(str::len), Some(32));
    }
}
