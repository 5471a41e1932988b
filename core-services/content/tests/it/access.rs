//! Every operation of the document, called by those who may not: a new one without a row here fails.

use std::collections::BTreeMap;

use http::Method;
use mcsp_api::Role;
use mcsp_api::rest::Visibility;
use mcsp_core_services_content::{Moderation, openapi};
use serde_json::json;

use crate::stage::Stage;

/// What an anonymous caller and a signed-in stranger get for a published item, then for a hidden one.
fn expected() -> BTreeMap<(&'static str, &'static str), [u16; 4]> {
    BTreeMap::from([
        (("get", "/api/v1/content/{id}"), [200, 200, 404, 404]),
        (("patch", "/api/v1/content/{id}"), [401, 403, 401, 404]),
        (("delete", "/api/v1/content/{id}"), [401, 403, 401, 404]),
        (
            ("patch", "/api/v1/content/{id}/visibility"),
            [401, 403, 401, 404],
        ),
    ])
}

#[tokio::test]
async fn no_operation_lets_in_whom_it_should_not() {
    let stage = Stage::new(Moderation::Off).await;
    let owner = stage.person(Role::Creator);
    let stranger = stage.person(Role::Creator);
    let shown = stage.published(&owner, Visibility::Public).await;
    let hidden = stage.draft(&owner, Visibility::Public).await;

    let document = serde_json::to_value(openapi()).unwrap();
    let mut expected = expected();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for method in operations.as_object().unwrap().keys() {
            let row = expected
                .remove(&(method.as_str(), path.as_str()))
                .unwrap_or_else(|| panic!("{method} {path} has no row in this test"));
            let mut got = Vec::new();
            for id in [&shown, &hidden] {
                for viewer in [None, Some(&stranger)] {
                    let body = match (method.as_str(), path.ends_with("visibility")) {
                        ("patch", true) => Some(json!({"visibility": "PRIVATE"})),
                        ("patch", false) => Some(json!({"title": "mine now"})),
                        _ => None,
                    };
                    let verb: Method = method.to_uppercase().parse().unwrap();
                    got.push(
                        stage
                            .ask(verb, &path.replace("{id}", id.as_str()), viewer, body)
                            .await
                            .0,
                    );
                }
            }
            assert_eq!(got, row, "{method} {path}");
        }
    }
    assert!(
        expected.is_empty(),
        "rows without an operation: {expected:?}"
    );
    let record = stage.service.record(&shown).await.unwrap();
    assert_eq!(
        (record.metadata.title.as_str(), record.metadata.visibility),
        ("A film", Visibility::Public)
    );
}

#[tokio::test]
async fn methods_that_do_not_apply_are_problems() {
    let stage = Stage::new(Moderation::Off).await;
    let (status, problem) = stage
        .ask(
            Method::POST,
            "/api/v1/content/c_gl_00000000000000000000000000",
            None,
            None,
        )
        .await;
    assert_eq!(
        (status, problem["type"].as_str()),
        (405, Some("urn:mcsp:problem:method-not-allowed"))
    );
}
