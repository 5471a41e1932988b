//! What has expired is removed; what is still needed is not.

use std::time::Duration;

use http::StatusCode;
use mcsp_core_services_auth::AuthConfig;
use mcsp_runtime::ShutdownTrigger;

use crate::support::{config, registration, world, world_with};

#[tokio::test]
async fn expired_sessions_and_keys_are_removed() {
    let world = world_with(config(), "error_rate=1").await;
    let key = [("idempotency-key", "k-1")];
    let answer = world
        .post_with("/api/v1/auth/register", &registration(), &key)
        .await;
    world.refresh(&answer.refresh_token()).await;
    world.login("nobody@example.com", "wrong password").await;
    world.service.maintain().await.expect("a turn");
    for (query, expected) in [
        ("SELECT COUNT(*) FROM sessions", 1),
        ("SELECT COUNT(*) FROM refresh_tokens", 2),
        ("SELECT COUNT(*) FROM register_keys", 1),
        ("SELECT COUNT(*) FROM login_failures", 1),
    ] {
        assert_eq!(world.count(query).await, expected, "{query}");
    }
    world.clock.advance(Duration::from_secs(2_592_000));
    world.service.maintain().await.expect("a turn");
    for query in [
        "SELECT COUNT(*) FROM sessions",
        "SELECT COUNT(*) FROM refresh_tokens",
        "SELECT COUNT(*) FROM register_keys",
        "SELECT COUNT(*) FROM login_failures",
    ] {
        assert_eq!(world.count(query).await, 0, "{query}");
    }
    assert_eq!(world.count("SELECT COUNT(*) FROM users").await, 1);
}

#[tokio::test]
async fn a_spent_token_is_remembered_as_long_as_its_session_lives() {
    let world = world().await;
    let first = world.register().await;
    let mut last = first.refresh_token();
    for _ in 0..2 {
        world.clock.advance(Duration::from_secs(2_000_000));
        let answer = world.refresh(&last).await;
        assert_eq!(answer.status, StatusCode::OK);
        last = answer.refresh_token();
        world.service.maintain().await.expect("a turn");
    }
    // The first token has expired by its own date; its reuse is a theft nevertheless.
    assert_eq!(
        world.refresh(&first.refresh_token()).await.status,
        StatusCode::UNAUTHORIZED
    );
    assert_eq!(world.events("session.user.revoked").await.len(), 1);
}

#[tokio::test]
async fn maintenance_stops_when_told() {
    let world = world().await;
    let (trigger, shutdown) = ShutdownTrigger::new();
    let service = world.service.clone();
    let task = tokio::spawn(async move { service.run_maintenance(shutdown).await });
    trigger.trigger();
    let stopped = tokio::time::timeout(Duration::from_secs(60), task).await;
    stopped.expect("in time").expect("no panic");
}

#[test]
fn settings_out_of_range_are_named() {
    let fault = |change: fn(&mut AuthConfig)| {
        let mut config = AuthConfig::default();
        change(&mut config);
        config.validate().expect_err("out of range").to_string()
    };
    assert!(AuthConfig::default().validate().is_ok());
    let text = fault(|config| config.access_token_s = 5);
    assert_eq!(text, "auth.access_token_s is 5; expected 60 to 3600");
    let text = fault(|config| config.session_max_s = 3600);
    assert!(
        text.contains("session_max_s") && text.contains("2592000"),
        "{text}"
    );
    assert!(fault(|config| config.password_memory_kib = 1024).contains("password_memory_kib"));
    assert!(
        serde_json::from_str::<AuthConfig>(r#"{"acess_token_s":900}"#).is_err(),
        "unknown keys"
    );
}
