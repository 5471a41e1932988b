//! Two regions: what is decided in London and belongs in Nigeria is opened there, and leaves no byte here.

use std::collections::BTreeMap;

use mcsp_api::Role;
use mcsp_api::rest::UploadSession;
use serde_json::{Value, json};

use crate::stage::{Call, GLOBAL, Make, NG, SESSIONS, Stage, detail_of, request};

struct World {
    lagos: Stage,
    london: Stage,
}

impl World {
    async fn new() -> Self {
        let lagos = Stage::lagos().await;
        let peers = BTreeMap::from([("ng-lagos".to_owned(), lagos.channel_for("global-london"))]);
        let london = Stage::make(Make {
            peers,
            ..Make::region("global-london")
        })
        .await;
        Self { lagos, london }
    }
}

fn nigerian(size_bytes: usize) -> Value {
    let mut body = request(size_bytes);
    body["residency"] = json!("NG");
    body
}

#[tokio::test]
async fn nigerian_content_asked_for_in_london_is_opened_in_lagos() {
    let world = World::new().await;
    let creator = world.london.person(Role::Creator);
    let open = || {
        Call::post(SESSIONS)
            .by(&creator)
            .with(nigerian(10))
            .through("lhr1")
            .keyed("k-1")
    };
    let (status, body) = world.london.ask(open()).await;
    assert_eq!(status, 201, "{body}");
    let session: UploadSession = serde_json::from_value(body).unwrap();
    assert!(session.upload_id.starts_with("up_ng_") && session.content_id.starts_with("c_ng_"));
    let url = session.parts[0].url.as_deref().unwrap();
    assert!(
        url.starts_with("https://abv1.example:8443/storage/mcsp-ng/ng/")
            || url.starts_with("https://los1.example:8443/storage/mcsp-ng/ng/"),
        "{url}"
    );

    // The same key again: the same session, nothing decided anew.
    let (status, again) = world.london.ask(open()).await;
    assert_eq!(
        (status, again["upload_id"].as_str()),
        (201, Some(session.upload_id.as_str()))
    );

    world.lagos.put_all(&session).await;
    let (status, done) = world.lagos.complete(&creator, &session.upload_id).await;
    assert_eq!(status, 200, "{done}");
    assert_eq!(world.lagos.told().await.len(), 1);
    let key = format!("ng/{}/source/original", session.content_id);
    assert_eq!(world.lagos.stored(NG, &key).await, Some(10));

    // London has the decision, and no session, no byte, no draft, no event.
    assert_eq!(world.london.objects_in(GLOBAL).await, 0);
    assert!(world.london.told().await.is_empty());
    assert!(
        world
            .london
            .content
            .record(&session.content_id.parse().unwrap())
            .await
            .is_err()
    );
    for (stage, action) in [
        (&world.london, "residency.decided"),
        (&world.lagos, "residency.accepted"),
    ] {
        let entries = stage.audit.list(0, 10).await.unwrap();
        let actions: Vec<&str> = entries.iter().map(|entry| entry.action.as_str()).collect();
        assert_eq!(actions, [action]);
        assert_eq!(detail_of(&entries[0])["decision"], "NG");
        assert_eq!(entries[0].object, session.content_id);
    }
}

#[tokio::test]
async fn nigerian_parts_do_not_go_through_a_foreign_pop() {
    let world = World::new().await;
    let creator = world.lagos.person(Role::Creator);
    let call = Call::post(SESSIONS)
        .by(&creator)
        .with(nigerian(10))
        .through("lhr1");
    let (status, body) = world.lagos.ask(call).await;
    assert_eq!(status, 201);
    let url = body["parts"][0]["url"].as_str().unwrap();
    assert!(!url.contains("lhr1"), "{url}");
    // Global content stays with the PoP that was asked.
    let call = Call::post(SESSIONS)
        .by(&creator)
        .with(request(10))
        .through("lhr1");
    let (_, body) = world.lagos.ask(call).await;
    let url = body["parts"][0]["url"].as_str().unwrap();
    assert!(
        url.starts_with("https://lhr1.example:9999/storage/mcsp-global/"),
        "{url}"
    );
}

#[tokio::test]
async fn faults_of_the_request_come_back_from_the_home_region_as_they_are() {
    let world = World::new().await;
    let creator = world.london.person(Role::Creator);
    // Lagos allows fewer sessions than London knows of.
    for n in 0..50 {
        let key = format!("k-{n}");
        let call = Call::post(SESSIONS)
            .by(&creator)
            .with(nigerian(10))
            .keyed(&key);
        assert_eq!(world.london.ask(call).await.0, 201);
    }
    let (status, problem) = world
        .london
        .ask(Call::post(SESSIONS).by(&creator).with(nigerian(10)))
        .await;
    assert_eq!(
        (status, problem["type"].as_str()),
        (429, Some("urn:mcsp:problem:too-many-requests"))
    );
}

#[tokio::test]
async fn while_nigeria_is_away_nothing_nigerian_is_opened_elsewhere() {
    let london = Stage::make(Make::region("global-london")).await;
    let creator = london.person(Role::Creator);
    let (status, problem) = london
        .ask(Call::post(SESSIONS).by(&creator).with(nigerian(10)))
        .await;
    assert_eq!(
        (status, problem["retry_after_s"].as_u64().is_some()),
        (503, true)
    );
    assert_eq!(london.objects_in(GLOBAL).await, 0);
    // Its own content is not touched by that.
    assert_eq!(
        london.open(&creator, 10).await.residency,
        mcsp_api::Residency::Global
    );
}

#[tokio::test]
async fn a_region_takes_only_what_is_its_own() {
    let world = World::new().await;
    let creator = world.london.person(Role::Creator);
    let request_json = request(10).to_string();
    let decision = |content_id: &str, residency: &str| {
        json!({
            "content_id": content_id,
            "creator_id": creator.user_id,
            "decision": {"residency": residency, "rule_id": "creator-choice", "engine_version": "1", "decided_ms": 1},
        })
        .to_string()
    };
    let other = world.london.person(Role::Creator);
    for (creator_id, decision) in [
        (&creator, decision("c_gl_00000000000000000000000000", "NG")),
        (&other, decision("c_ng_00000000000000000000000000", "NG")),
        (&creator, "{}".to_owned()),
    ] {
        let outcome = world
            .lagos
            .service
            .create_for(
                creator_id.user_id.as_str(),
                "",
                &request_json,
                "k",
                &decision,
            )
            .await;
        let problem = outcome.unwrap_err().into_problem();
        assert_eq!(
            (problem.status, problem.pointer.as_deref()),
            (400, Some("/decision_json"))
        );
    }
}
