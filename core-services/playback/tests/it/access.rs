//! Every operation of the document, called by those who may not: a new one without a row here fails.

use std::collections::BTreeMap;

use mcsp_api::rest::Visibility;
use mcsp_api::{Residency, Role};
use mcsp_core_services_playback::openapi;

use crate::stage::Stage;

/// What a caller gets without signing in, and as a stranger: of a private item, of another's session.
fn expected() -> BTreeMap<(&'static str, &'static str), [u16; 2]> {
    BTreeMap::from([
        (("get", "/api/v1/play/{content_id}"), [401, 404]),
        (
            ("delete", "/api/v1/play/sessions/{media_session_id}"),
            [401, 404],
        ),
    ])
}

#[tokio::test]
async fn no_operation_lets_in_whom_it_should_not() {
    let stage = Stage::new().await;
    let owner = stage.person(Role::Creator);
    let stranger = stage.person(Role::PlatformAdmin);
    let id = stage
        .published(&owner, Visibility::Private, Residency::Global)
        .await;
    let session = stage.play(&id, "los1", &owner).await.media_session_id;

    let document = serde_json::to_value(openapi()).unwrap();
    let mut expected = expected();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for method in operations.as_object().unwrap().keys() {
            let row = expected
                .remove(&(method.as_str(), path.as_str()))
                .unwrap_or_else(|| panic!("{method} {path} has no row in this test"));
            let concrete = path
                .replace("{content_id}", id.as_str())
                .replace("{media_session_id}", &session);
            let mut got = Vec::new();
            for who in [None, Some(&stranger)] {
                let verb = method.to_uppercase().parse().unwrap();
                got.push(stage.ask(verb, &concrete, "los1", None, who).await.0);
            }
            assert_eq!(got, row, "{method} {path}");
        }
    }
    assert!(
        expected.is_empty(),
        "rows without an operation: {expected:?}"
    );
    assert!(stage.revoked().await.is_empty());
}
