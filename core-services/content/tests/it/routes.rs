//! Reading, changing and deleting items over HTTP.

use http::Method;
use mcsp_api::Role;
use mcsp_api::events::{ContentDeleted, ContentUpdated};
use mcsp_api::rest::Visibility;
use mcsp_core_services_content::Moderation;
use serde_json::json;

use crate::stage::Stage;

#[tokio::test]
async fn strangers_see_what_is_published_and_nothing_else() {
    let stage = Stage::new(Moderation::Off).await;
    let owner = stage.person(Role::Creator);
    let stranger = stage.person(Role::Viewer);
    let draft = stage.draft(&owner, Visibility::Public).await;
    let public = stage.published(&owner, Visibility::Public).await;
    let unlisted = stage.published(&owner, Visibility::Unlisted).await;
    let private = stage.published(&owner, Visibility::Private).await;

    for (id, for_strangers) in [
        (&draft, 404),
        (&public, 200),
        (&unlisted, 200),
        (&private, 404),
    ] {
        let path = format!("/api/v1/content/{id}");
        assert_eq!(
            stage.ask(Method::GET, &path, None, None).await.0,
            for_strangers,
            "{id}"
        );
        assert_eq!(
            stage.ask(Method::GET, &path, Some(&stranger), None).await.0,
            for_strangers,
            "{id}"
        );
        let (status, content) = stage.ask(Method::GET, &path, Some(&owner), None).await;
        assert_eq!(
            (status, content["owner_id"].as_str()),
            (200, Some(owner.user_id.as_str()))
        );
    }
    for unknown in [
        "c_gl_00000000000000000000000000",
        "nonsense",
        "c_gl_'%20OR%201=1",
    ] {
        let (status, problem) = stage
            .ask(
                Method::GET,
                &format!("/api/v1/content/{unknown}"),
                None,
                None,
            )
            .await;
        assert_eq!(
            (status, problem["type"].as_str()),
            (404, Some("urn:mcsp:problem:not-found")),
            "{unknown}"
        );
        // The operator finds the request by its trace.
        assert_eq!(problem["trace_id"].as_str().map(str::len), Some(32));
    }
}

#[tokio::test]
async fn an_edit_changes_what_it_names_and_is_told_when_published() {
    let stage = Stage::new(Moderation::Off).await;
    let owner = stage.person(Role::Creator);
    let id = stage.published(&owner, Visibility::Public).await;
    let path = format!("/api/v1/content/{id}");

    let (status, content) = stage
        .ask(
            Method::PATCH,
            &path,
            Some(&owner),
            Some(json!({"tags": ["a"]})),
        )
        .await;
    assert_eq!((status, &content["metadata"]["tags"]), (200, &json!(["a"])));
    assert_eq!(content["metadata"]["title"], "A film");
    let (status, problem) = stage
        .ask(
            Method::PATCH,
            &path,
            Some(&owner),
            Some(json!({"title": "x".repeat(201)})),
        )
        .await;
    assert_eq!((status, problem["pointer"].as_str()), (400, Some("/title")));
    let (status, _) = stage
        .ask(
            Method::PATCH,
            &path,
            Some(&owner),
            Some(json!({"titel": "x"})),
        )
        .await;
    assert_eq!(status, 400);
    // What changes nothing is told to nobody.
    assert_eq!(
        stage
            .ask(
                Method::PATCH,
                &path,
                Some(&owner),
                Some(json!({"tags": ["a"]}))
            )
            .await
            .0,
        200
    );

    let visibility = format!("{path}/visibility");
    let (status, _) = stage
        .ask(
            Method::PATCH,
            &visibility,
            Some(&owner),
            Some(json!({"visibility": "PRIVATE"})),
        )
        .await;
    assert_eq!(status, 200);
    assert_eq!(stage.ask(Method::GET, &path, None, None).await.0, 404);
    let mut what: Vec<String> = stage
        .told::<ContentUpdated>()
        .await
        .into_iter()
        .map(|e| e.what)
        .collect();
    what.sort();
    assert_eq!(what, ["metadata", "visibility"]);
}

#[tokio::test]
async fn an_edit_of_a_draft_is_told_to_nobody() {
    let stage = Stage::new(Moderation::Off).await;
    let owner = stage.person(Role::Creator);
    let id = stage.draft(&owner, Visibility::Public).await;
    let path = format!("/api/v1/content/{id}");
    let (status, content) = stage
        .ask(
            Method::PATCH,
            &path,
            Some(&owner),
            Some(json!({"title": "New"})),
        )
        .await;
    assert_eq!(
        (status, content["metadata"]["title"].as_str()),
        (200, Some("New"))
    );
    assert!(stage.told::<ContentUpdated>().await.is_empty());
}

#[tokio::test]
async fn the_owner_deletes_once_and_for_ever() {
    let stage = Stage::new(Moderation::Off).await;
    let owner = stage.person(Role::Creator);
    let stranger = stage.person(Role::Viewer);
    let id = stage.published(&owner, Visibility::Public).await;
    let path = format!("/api/v1/content/{id}");

    assert_eq!(
        stage
            .ask(Method::DELETE, &path, Some(&stranger), None)
            .await
            .0,
        403
    );
    assert_eq!(
        stage.ask(Method::DELETE, &path, Some(&owner), None).await.0,
        204
    );
    assert_eq!(
        stage.ask(Method::DELETE, &path, Some(&owner), None).await.0,
        204
    );
    assert_eq!(
        stage
            .ask(Method::DELETE, &path, Some(&stranger), None)
            .await
            .0,
        404
    );
    assert_eq!(stage.ask(Method::GET, &path, None, None).await.0, 404);
    assert_eq!(
        stage.ask(Method::GET, &path, Some(&owner), None).await.0,
        410
    );
    assert_eq!(
        stage
            .ask(
                Method::PATCH,
                &path,
                Some(&owner),
                Some(json!({"title": "back"}))
            )
            .await
            .0,
        410
    );
    assert_eq!(stage.told::<ContentDeleted>().await.len(), 1);
    assert_eq!(stage.service.record(&id).await.unwrap().metadata.title, "");
    // The owner's own act needs no audit record.
    assert!(stage.audit.list(0, 100).await.unwrap().is_empty());
}

#[tokio::test]
async fn an_administrators_deletion_is_written_down_before_and_after() {
    let stage = Stage::new(Moderation::Off).await;
    let owner = stage.person(Role::Creator);
    let admin = stage.person(Role::PlatformAdmin);
    let id = stage.published(&owner, Visibility::Private).await;
    let path = format!("/api/v1/content/{id}");

    assert_eq!(
        stage.ask(Method::DELETE, &path, Some(&admin), None).await.0,
        204
    );
    assert_eq!(
        stage.ask(Method::DELETE, &path, Some(&admin), None).await.0,
        204
    );
    let entries = stage.audit.list(0, 100).await.unwrap();
    let phases: Vec<&str> = entries.iter().map(|entry| entry.phase.as_str()).collect();
    assert_eq!(phases, ["intended", "committed"]);
    assert!(
        entries
            .iter()
            .all(|e| e.object == id.as_str() && e.actor == admin.user_id.as_str())
    );
    assert_eq!(stage.told::<ContentDeleted>().await.len(), 1);
}

#[tokio::test]
async fn without_the_audit_log_no_administrator_deletes() {
    let stage = Stage::with_audit(Moderation::Off, "faulty:sqlite::memory:?error_rate=1").await;
    let owner = stage.person(Role::Creator);
    let admin = stage.person(Role::PlatformAdmin);
    let id = stage.published(&owner, Visibility::Public).await;
    let path = format!("/api/v1/content/{id}");

    let (status, problem) = stage.ask(Method::DELETE, &path, Some(&admin), None).await;
    assert_eq!(
        (status, problem["retry_after_s"].as_u64().is_some()),
        (503, true)
    );
    assert_eq!(stage.ask(Method::GET, &path, None, None).await.0, 200);
    assert!(stage.told::<ContentDeleted>().await.is_empty());
    // The owner needs no audit log.
    assert_eq!(
        stage.ask(Method::DELETE, &path, Some(&owner), None).await.0,
        204
    );
}
