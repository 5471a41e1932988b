//! Signing keys: what is published, and rotation without an error window.

use std::collections::BTreeSet;
use std::time::Duration;

use mcsp_api::events::{Event as _, TokenKeysRotated};
use mcsp_core_services_auth::{AuthError, AuthService};
use serde_json::Value;

use crate::support::{EMAIL, PASSWORD, REGION, World, config, contains, world};

const ROTATED: &str = TokenKeysRotated::TOPIC.name;

fn key_ids(jwks: &Value) -> Vec<String> {
    let keys = jwks["keys"].as_array().expect("keys");
    keys.iter()
        .map(|key| key["kid"].as_str().expect("an id").to_owned())
        .collect()
}

async fn login_at(service: &AuthService) -> String {
    let request = mcsp_api::rest::LoginRequest {
        email: EMAIL.to_owned(),
        password: PASSWORD.to_owned(),
    };
    service
        .login(&request, None)
        .await
        .expect("signed in")
        .response
        .access_token
}

async fn last_announced(world: &World) -> Value {
    let event = world.events(ROTATED).await.pop().expect("an event");
    assert_eq!(event["region"], REGION);
    serde_json::from_str(event["jwks_json"].as_str().expect("a text")).expect("a key set")
}

#[tokio::test]
async fn current_and_next_are_published_and_nothing_secret() {
    let world = world().await;
    let answer = world
        .send(world.request(http::Method::GET, "/.well-known/jwks.json", None))
        .await;
    assert_eq!(answer.headers["content-type"], "application/jwk-set+json");
    assert_eq!(key_ids(&answer.body).len(), 2);
    for key in answer.body["keys"].as_array().expect("keys") {
        let names: BTreeSet<_> = key
            .as_object()
            .expect("a key")
            .keys()
            .map(String::as_str)
            .collect();
        assert_eq!(
            names,
            BTreeSet::from(["kty", "use", "alg", "kid", "n", "e"])
        );
        assert_eq!(
            (&key["kty"], &key["alg"], &key["use"]),
            (&"RSA".into(), &"RS256".into(), &"sig".into())
        );
        assert_eq!(
            key["n"].as_str().expect("a modulus").len(),
            342,
            "2048 bits"
        );
    }
    assert_eq!(
        last_announced(&world).await,
        answer.body,
        "the edges are told at the start"
    );
}

#[tokio::test]
async fn a_rotation_has_no_error_window() {
    let world = world().await;
    let before = world.register().await;
    let old_set = world.jwks().await;
    world.service.rotate_keys("test").await.expect("a rotation");
    let after = world.login(EMAIL, PASSWORD).await;
    let new_set = world.jwks().await;

    assert!(world.viewer_by(&old_set, before.access_token()).is_some());
    assert!(
        world.viewer_by(&old_set, after.access_token()).is_some(),
        "an edge that has not heard yet"
    );
    assert!(
        world.viewer_by(&new_set, before.access_token()).is_some(),
        "signed before"
    );
    assert!(world.viewer_by(&new_set, after.access_token()).is_some());
    let (old, new) = (key_ids(&old_set), key_ids(&new_set));
    assert_eq!(old[1], new[0], "next became current");
    assert_eq!(old[0], new[2], "current became previous");
    assert!(!old.contains(&new[1]), "and there is a new next one");
    assert_eq!(last_announced(&world).await, new_set);
}

#[tokio::test]
async fn a_rotation_is_audited_and_destroys_the_old_private_key() {
    let world = world().await;
    let private = world
        .text("SELECT private_pem FROM signing_keys WHERE slot = 'current'")
        .await;
    assert!(private.starts_with("-----BEGIN PRIVATE KEY-----"));
    world
        .service
        .rotate_keys("a reason")
        .await
        .expect("a rotation");
    let current = key_ids(&world.jwks().await)[0].clone();
    let entries = world
        .service
        .audit()
        .list_object(&current, 0, 10)
        .await
        .expect("entries");
    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0].action, "auth.keys.rotate");
    assert!(entries[0].detail_json.contains("a reason"));
    assert_eq!(
        world
            .count("SELECT COUNT(*) FROM signing_keys WHERE private_pem <> ''")
            .await,
        2
    );
    assert!(!world.service.jwks_json().contains("PRIVATE"));
}

#[tokio::test]
async fn a_previous_key_goes_after_its_last_token_has_expired() {
    let world = world().await;
    let token = world.register().await.access_token().to_owned();
    let old = key_ids(&world.jwks().await)[0].clone();
    world.service.rotate_keys("test").await.expect("a rotation");
    world.clock.advance(Duration::from_secs(900 + 120));
    assert!(
        world.viewer_by(&world.jwks().await, &token).is_none(),
        "expired, whatever the skew"
    );
    world.service.maintain().await.expect("a turn");
    assert!(
        key_ids(&world.jwks().await).contains(&old),
        "kept for a margin"
    );

    world.clock.advance(Duration::from_secs(480));
    world.service.maintain().await.expect("a turn");
    let set = world.jwks().await;
    assert!(!key_ids(&set).contains(&old));
    assert_eq!(last_announced(&world).await, set);
}

#[tokio::test]
async fn keys_rotate_when_it_is_time_and_only_then() {
    let world = world().await;
    let first = key_ids(&world.jwks().await);
    world.service.maintain().await.expect("a turn");
    assert_eq!(key_ids(&world.jwks().await), first);
    world.clock.advance(Duration::from_secs(604_800));
    world.service.maintain().await.expect("a turn");
    let second = key_ids(&world.jwks().await);
    assert_eq!(second[0], first[1]);
    world.service.maintain().await.expect("a turn");
    assert_eq!(key_ids(&world.jwks().await), second);
}

#[tokio::test]
async fn keys_survive_a_restart() {
    let world = world().await;
    let token = world.register().await.access_token().to_owned();
    let again = world.again(config()).await;
    let set: Value = serde_json::from_str(&again.jwks_json()).expect("a key set");
    assert_eq!(set, world.jwks().await);
    assert!(world.viewer_by(&set, &token).is_some());
    assert_eq!(
        world.events(ROTATED).await.len(),
        2,
        "announced at each start"
    );
}

#[tokio::test]
async fn two_processes_follow_each_other() {
    let world = world().await;
    world.register().await;
    let other = world.again(config()).await;
    world.service.rotate_keys("here").await.expect("a rotation");
    let set = world.jwks().await;

    // The other one has not looked yet: what it signs is good, and it does not rotate a second time.
    assert!(world.viewer_by(&set, &login_at(&other).await).is_some());
    other.rotate_keys("there").await.expect("nothing to do");
    assert_eq!(world.jwks().await, set);
    assert_eq!(
        other.jwks_json().to_string(),
        world.service.jwks_json().to_string()
    );
    assert!(world.viewer_by(&set, &login_at(&other).await).is_some());
    assert_eq!(world.count("SELECT COUNT(*) FROM signing_keys").await, 3);
}

#[tokio::test]
async fn two_processes_that_start_at_once_agree() {
    let world = world().await;
    let folder = tempfile::tempdir().expect("a folder");
    let uri = format!("sqlite:{}", folder.path().join("fresh.db").display());
    let db = mcsp_db::Db::open(&uri).await.expect("a database");
    let (a, b) = futures::future::join(
        crate::support::open_service(&db, &world.kv, &world.clock, config()),
        crate::support::open_service(&db, &world.kv, &world.clock, config()),
    )
    .await;
    assert_eq!(a.jwks_json(), b.jwks_json());
}

#[tokio::test]
async fn rotations_in_a_row_are_bounded_and_lose_no_live_key() {
    let world = world().await;
    let token = world.register().await.access_token().to_owned();
    let mut refused = None;
    for _ in 0..20 {
        if let Err(error) = world.service.rotate_keys("again").await {
            refused = Some(error);
            break;
        }
    }
    assert!(matches!(refused, Some(AuthError::RotatedTooOften)));
    let set = world.jwks().await;
    assert!(
        world.viewer_by(&set, &token).is_some(),
        "edges take the set, and the first key is in it"
    );
    assert!(!contains(set.to_string().as_bytes(), "\"d\""));
}
