//! Registration: what an account may be, and retries that make one account.

use http::StatusCode;
use mcsp_api::Role;
use serde_json::{Value, json};

use crate::support::{EMAIL, PASSWORD, World, contains, registration, world};

const PATH: &str = "/api/v1/auth/register";

async fn register_with_key(world: &World, body: &Value, key: &str) -> crate::support::Answer {
    world
        .post_with(PATH, body, &[("idempotency-key", key)])
        .await
}

#[tokio::test]
async fn an_account_is_signed_in_at_once() {
    let world = world().await;
    let answer = world.register().await;
    assert_eq!(answer.body["token_type"], "Bearer");
    assert_eq!(answer.body["expires_in"], 900);
    assert_eq!(answer.headers["cache-control"], "no-store");

    let viewer = world.viewer(&answer).await;
    assert_eq!(viewer.role, Role::Creator);
    assert_eq!(viewer.user_id.region().as_str(), "ng");
    let me = world.me(&viewer).await;
    assert_eq!(me.status, StatusCode::OK);
    assert_eq!(me.body, answer.body["user"]);
    assert_eq!(me.body["email"], EMAIL, "as it was written");
}

#[tokio::test]
async fn the_refresh_token_is_in_a_guarded_cookie_and_nowhere_else() {
    let world = world().await;
    let answer = world.register().await;
    let line = answer.set_cookie().expect("a cookie").to_owned();
    for attribute in [
        "HttpOnly",
        "Secure",
        "SameSite=Strict",
        "Path=/api/v1/auth",
        "Max-Age=2592000",
    ] {
        assert!(
            line.split("; ").any(|part| part == attribute),
            "{attribute} is not in {line}"
        );
    }
    assert!(!line.contains("Domain"), "this host only");
    assert!(!answer.body.to_string().contains(&answer.refresh_token()));
    assert!(
        answer.refresh_token().starts_with("r_ng_"),
        "edges route by it"
    );
}

#[tokio::test]
async fn neither_password_nor_tokens_are_stored() {
    let world = world().await;
    let answer = world.register().await;
    let refreshed = world.refresh(&answer.refresh_token()).await;
    let stored = world.stored_bytes();
    assert!(contains(&stored, EMAIL), "the search itself works");
    for secret in [
        PASSWORD,
        &answer.refresh_token(),
        &refreshed.refresh_token(),
        answer.access_token(),
    ] {
        assert!(!contains(&stored, secret));
    }
}

#[tokio::test]
async fn addresses_differ_in_more_than_case() {
    let world = world().await;
    world.register().await;
    for email in [EMAIL, "ada@example.com", "ADA@EXAMPLE.COM"] {
        let mut body = registration();
        body["email"] = json!(email);
        let answer = world.post(PATH, &body).await;
        assert_eq!(answer.status, StatusCode::CONFLICT, "{email}");
        assert_eq!(answer.body["type"], "urn:mcsp:problem:conflict");
        assert!(answer.set_cookie().is_none());
    }
    assert_eq!(world.count("SELECT COUNT(*) FROM users").await, 1);
}

#[tokio::test]
async fn nobody_appoints_himself() {
    let world = world().await;
    for role in ["org_admin", "moderator", "platform_admin", "root", ""] {
        let mut body = registration();
        body["role"] = json!(role);
        let answer = world.post(PATH, &body).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{role}");
        assert_eq!(answer.body["pointer"], "/role");
    }
    let mut body = registration();
    body["organisation_id"] = json!("o_ng_01k9x3m5y8q2v7r4t6w1z0a3bc");
    assert_eq!(
        world.post(PATH, &body).await.status,
        StatusCode::BAD_REQUEST
    );
    assert_eq!(world.count("SELECT COUNT(*) FROM users").await, 0);

    let mut body = registration();
    body.as_object_mut().expect("an object").remove("role");
    assert_eq!(world.post(PATH, &body).await.body["user"]["role"], "viewer");
}

#[tokio::test]
async fn each_bad_field_is_named() {
    let world = world().await;
    for (field, value) in [
        ("email", json!("not an address")),
        ("email", json!(format!("{}@example.com", "a".repeat(300)))),
        ("password", json!("1234567")),
        ("password", json!("x".repeat(129))),
        ("display_name", json!("")),
        ("display_name", json!("  ")),
        ("display_name", json!("two\nlines")),
        ("display_name", json!("n".repeat(101))),
        ("display_name", json!(7)),
    ] {
        let mut body = registration();
        body[field] = value.clone();
        let answer = world.post(PATH, &body).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{field} {value}");
        assert_eq!(answer.body["pointer"], format!("/{field}"), "{value}");
    }
    // Characters, not bytes.
    let mut body = registration();
    body["password"] = json!("ọ".repeat(128));
    body["display_name"] = json!("ẹ".repeat(100));
    assert_eq!(world.post(PATH, &body).await.status, StatusCode::CREATED);
}

#[tokio::test]
async fn the_same_request_again_is_the_same_account() {
    let world = world().await;
    let first = register_with_key(&world, &registration(), "k-1").await;
    let second = register_with_key(&world, &registration(), "k-1").await;
    assert_eq!(
        (first.status, second.status),
        (StatusCode::CREATED, StatusCode::CREATED)
    );
    assert_eq!(first.body["user"], second.body["user"]);
    assert_eq!(world.count("SELECT COUNT(*) FROM users").await, 1);
    let (a, b) = (world.viewer(&first).await, world.viewer(&second).await);
    assert_ne!(
        a.session_id, b.session_id,
        "the first answer's tokens are not kept anywhere"
    );
}

#[tokio::test]
async fn a_key_alone_opens_nothing() {
    let world = world().await;
    register_with_key(&world, &registration(), "k-1").await;
    for (field, value) in [
        ("password", "another password"),
        ("display_name", "Bola"),
        ("role", "viewer"),
    ] {
        let mut body = registration();
        body[field] = json!(value);
        let answer = register_with_key(&world, &body, "k-1").await;
        assert_eq!(answer.status, StatusCode::CONFLICT, "{field}");
        assert!(answer.set_cookie().is_none());
    }
    assert_eq!(
        register_with_key(&world, &registration(), "k-2")
            .await
            .status,
        StatusCode::CONFLICT
    );
}

#[tokio::test]
async fn a_key_is_of_its_address() {
    let world = world().await;
    register_with_key(&world, &registration(), "k-1").await;
    let mut body = registration();
    body["email"] = json!("bola@example.com");
    let answer = register_with_key(&world, &body, "k-1").await;
    assert_eq!(
        answer.status,
        StatusCode::CREATED,
        "another client's key may be the same"
    );
    assert_eq!(answer.body["user"]["email"], "bola@example.com");
}

#[tokio::test]
async fn a_bad_key_is_refused() {
    let world = world().await;
    for key in ["", "two words", &"k".repeat(129)] {
        let answer = register_with_key(&world, &registration(), key).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{key:?}");
    }
    assert_eq!(world.count("SELECT COUNT(*) FROM users").await, 0);
}

#[tokio::test]
async fn equal_requests_at_once_make_one_account() {
    let world = world().await;
    let body = registration();
    let all =
        futures::future::join_all((0..6).map(|_| register_with_key(&world, &body, "k-1"))).await;
    assert!(
        all.iter()
            .any(|answer| answer.status == StatusCode::CREATED)
    );
    for answer in &all {
        // More than a few at once look like guesses at the password.
        assert!(
            [StatusCode::CREATED, StatusCode::TOO_MANY_REQUESTS].contains(&answer.status),
            "{:?}",
            answer.body
        );
    }
    assert_eq!(world.count("SELECT COUNT(*) FROM users").await, 1);
    assert_eq!(world.count("SELECT COUNT(*) FROM register_keys").await, 1);
}
