//! Opening sessions: what is refused, what a repeated key means, what is decided and written down.

use futures::future::join_all;
use mcsp_api::rest::{ContentStatus, UploadSession, UploadStatus, Visibility};
use mcsp_api::{OrganisationId, Residency, Role};
use mcsp_core_services_upload::UploadConfig;
use mcsp_geo::residency::Policy;
use serde_json::{Value, json};

use crate::stage::{Call, MIB, Make, SESSIONS, Stage, detail_of, request};

#[tokio::test]
async fn a_session_has_a_part_plan_urls_through_the_pop_and_a_draft() {
    let stage = Stage::lagos().await;
    let creator = stage.person(Role::Creator);
    let session = stage.open(&creator, 8 * MIB + 5).await;

    assert_eq!(
        (session.status, session.residency),
        (UploadStatus::Open, Residency::Global)
    );
    assert!(session.upload_id.starts_with("up_ng_") && session.content_id.starts_with("c_ng_"));
    let sizes: Vec<u64> = session.parts.iter().map(|part| part.size_bytes).collect();
    assert_eq!(sizes, [8 * MIB as u64, 5]);
    for part in &session.parts {
        let url = part.url.as_deref().unwrap();
        let begin = format!(
            "https://los1.example:9999/storage/mcsp-global/global/{}/source/original?",
            session.content_id
        );
        assert!(url.starts_with(&begin), "{url}");
        assert!(url.contains("X-Amz-Expires=900"), "{url}");
    }
    let draft = stage
        .content
        .record(&session.content_id.parse().unwrap())
        .await
        .unwrap();
    assert_eq!(
        (draft.status(), &draft.owner_id),
        (ContentStatus::Draft, &creator.user_id)
    );

    let entries = stage.audit.list(0, 10).await.unwrap();
    assert_eq!(entries.len(), 1);
    assert_eq!(
        (entries[0].action.as_str(), entries[0].object.as_str()),
        ("residency.decided", session.content_id.as_str())
    );
    assert_eq!(detail_of(&entries[0])["decision"], "GLOBAL");
    assert_eq!(detail_of(&entries[0])["rule_id"], "platform-default");
    assert!(
        !entries[0].detail_json.contains("film"),
        "the record tells what the file is called"
    );
}

#[tokio::test]
async fn faults_are_problems_that_name_the_field() {
    let stage = Stage::lagos().await;
    let creator = stage.person(Role::Creator);
    let cases: [(&str, Value, u16, &str); 7] = [
        ("/size_bytes", json!(0), 400, "/size_bytes"),
        ("/size_bytes", json!(20_000_000_001_u64), 413, "/size_bytes"),
        ("/size_bytes", json!(-1), 400, "/size_bytes"),
        ("/media_type", json!("PICTURE"), 400, "/media_type"),
        ("/metadata/title", json!(""), 400, "/metadata/title"),
        ("/metadata/language", json!("x"), 400, "/metadata/language"),
        ("/metadata/tags", json!(["a", ""]), 400, "/metadata/tags/1"),
    ];
    for (at, value, status, pointer) in cases {
        let mut body = request(10);
        match body.pointer_mut(at) {
            Some(field) => *field = value,
            None => body["metadata"][at.trim_start_matches("/metadata/")] = value,
        }
        let (got, problem) = stage
            .ask(Call::post(SESSIONS).by(&creator).with(body))
            .await;
        assert_eq!(
            (got, problem["pointer"].as_str()),
            (status, Some(pointer)),
            "{at}: {problem}"
        );
    }
    let (status, _) = stage
        .ask(
            Call::post(SESSIONS)
                .by(&creator)
                .with(request(10))
                .keyed("a b"),
        )
        .await;
    assert_eq!(status, 400);
    assert!(
        stage.audit.list(0, 10).await.unwrap().is_empty(),
        "something was decided for a request that is refused"
    );
}

#[tokio::test]
async fn the_same_key_is_the_same_session_and_another_request_under_it_is_refused() {
    let stage = Stage::lagos().await;
    let creator = stage.person(Role::Creator);
    let other = stage.person(Role::Creator);
    let open = |who, size| {
        Call::post(SESSIONS)
            .by(who)
            .with(request(size))
            .keyed("k-1")
    };

    let together = join_all((0..8).map(|_| stage.ask(open(&creator, 10)))).await;
    let mut uploads = Vec::new();
    for (status, body) in together {
        // A call that loses a race may be told to try again, but never opens a second session.
        if status == 201 {
            uploads.push(
                serde_json::from_value::<UploadSession>(body)
                    .unwrap()
                    .upload_id,
            );
        } else {
            assert_eq!(status, 409, "{body}");
        }
    }
    let (status, again) = stage.ask(open(&creator, 10)).await;
    assert_eq!(status, 201);
    uploads.push(again["upload_id"].as_str().unwrap().to_owned());
    uploads.dedup();
    assert_eq!(uploads.len(), 1);

    assert_eq!(stage.ask(open(&creator, 11)).await.0, 409);
    let (status, others) = stage.ask(open(&other, 11)).await;
    assert_eq!(status, 201);
    assert_ne!(others["upload_id"].as_str(), Some(uploads[0].as_str()));
}

#[tokio::test]
async fn without_the_audit_log_nothing_is_decided() {
    let make = Make {
        audit_uri: "faulty:sqlite::memory:?error_rate=1".into(),
        ..Make::region("ng-lagos")
    };
    let stage = Stage::make(make).await;
    let creator = stage.person(Role::Creator);
    let (status, problem) = stage
        .ask(
            Call::post(SESSIONS)
                .by(&creator)
                .with(request(10))
                .keyed("k"),
        )
        .await;
    assert_eq!(
        (status, problem["retry_after_s"].as_u64().is_some()),
        (503, true)
    );
    let report = stage.service.reconcile_once().await.unwrap();
    assert_eq!(
        report.examined, 0,
        "a session was opened without a decision"
    );
}

#[tokio::test]
async fn the_organisations_policy_overrules_its_creator() {
    let organisation = OrganisationId::generate(
        "ng".parse().unwrap(),
        &mcsp_runtime::SystemClock,
        &mcsp_runtime::SystemEntropy,
    );
    let mut policy = Policy::default();
    policy
        .organisation
        .insert(organisation.clone(), Residency::Ng);
    let stage = Stage::make(Make {
        policy,
        ..Make::region("ng-lagos")
    })
    .await;
    let mut creator = stage.person(Role::Creator);
    creator.organisation_id = Some(organisation);

    let mut body = request(10);
    body["residency"] = json!("GLOBAL");
    let (status, session) = stage
        .ask(Call::post(SESSIONS).by(&creator).with(body))
        .await;
    assert_eq!((status, session["residency"].as_str()), (201, Some("NG")));
    let url = session["parts"][0]["url"].as_str().unwrap();
    assert!(
        url.starts_with("https://los1.example:9999/storage/mcsp-ng/ng/"),
        "{url}"
    );
    let entry = &stage.audit.list(0, 10).await.unwrap()[0];
    assert_eq!(detail_of(entry)["rule_id"], "organisation-policy");
    assert_eq!(detail_of(entry)["creator_choice"], "GLOBAL");
}

#[tokio::test]
async fn unfinished_sessions_are_bounded() {
    let config = UploadConfig {
        open_sessions_max: 2,
        trigger_wait_ms: 0,
        ..UploadConfig::default()
    };
    let stage = Stage::make(Make {
        config,
        ..Make::region("ng-lagos")
    })
    .await;
    let creator = stage.person(Role::Creator);
    let first = stage.open(&creator, 10).await;
    stage.open(&creator, 10).await;
    let (status, problem) = stage
        .ask(Call::post(SESSIONS).by(&creator).with(request(10)))
        .await;
    assert_eq!((status, problem["status"].as_u64()), (429, Some(429)));
    let path = format!("{SESSIONS}/{}", first.upload_id);
    assert_eq!(stage.ask(Call::delete(&path).by(&creator)).await.0, 204);
    stage.open(&creator, 10).await;
}

#[tokio::test]
async fn metadata_changes_by_field_until_publication() {
    let stage = Stage::lagos().await;
    let creator = stage.person(Role::Creator);
    let session = stage.open(&creator, 10).await;
    let path = format!("{SESSIONS}/{}/metadata", session.upload_id);
    let change = |body| {
        Call::new(http::Method::PATCH, &path)
            .by(&creator)
            .with(body)
    };

    let (status, metadata) = stage.ask(change(json!({"visibility": "PRIVATE"}))).await;
    assert_eq!((status, metadata["title"].as_str()), (200, Some("A film")));
    let record = stage
        .content
        .record(&session.content_id.parse().unwrap())
        .await
        .unwrap();
    assert_eq!(record.metadata.visibility, Visibility::Private);
    let (status, problem) = stage.ask(change(json!({"title": ""}))).await;
    assert_eq!((status, problem["pointer"].as_str()), (400, Some("/title")));

    let cancel = format!("{SESSIONS}/{}", session.upload_id);
    assert_eq!(stage.ask(Call::delete(&cancel).by(&creator)).await.0, 204);
    assert_eq!(stage.ask(change(json!({"title": "late"}))).await.0, 409);
}
