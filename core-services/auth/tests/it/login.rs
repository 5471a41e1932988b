//! Login and logout.

use std::time::Instant;

use http::{Method, StatusCode};
use mcsp_api::headers;
use mcsp_core_services_auth::AuthConfig;

use crate::support::{EMAIL, PASSWORD, config, world, world_with};

#[tokio::test]
async fn the_right_password_signs_in_whatever_the_case_of_the_address() {
    let world = world().await;
    let registered = world.register().await;
    for email in [EMAIL, "ada@EXAMPLE.com"] {
        let answer = world.login(email, PASSWORD).await;
        assert_eq!(answer.status, StatusCode::OK);
        assert_eq!(answer.body["user"], registered.body["user"]);
        assert_ne!(
            world.viewer(&answer).await.session_id,
            world.viewer(&registered).await.session_id
        );
    }
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_address_look_the_same() {
    let world = world().await;
    world.register().await;
    let mut wrong = world.login(EMAIL, "wrong password").await;
    let mut unknown = world.login("nobody@example.com", "wrong password").await;
    for answer in [&mut wrong, &mut unknown] {
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
        assert!(answer.set_cookie().is_none());
        answer.body["trace_id"].take();
    }
    assert_eq!(wrong.body, unknown.body);
    assert_eq!(
        world.login("", "").await.status,
        StatusCode::UNAUTHORIZED,
        "no account has no address"
    );
}

#[tokio::test]
async fn an_unknown_address_takes_the_same_work() {
    let config = AuthConfig {
        password_memory_kib: 65_536,
        password_passes: 2,
        lockout_failures: 100,
        ..config()
    };
    let world = world_with(config, "").await;
    world.register().await;
    let mut fastest = [f64::MAX; 2];
    // Without the decoy the second would be hundreds of times as fast. A busy machine may hold one of them up again and again, but
    // not for ever.
    let are_alike = |fastest: &[f64; 2]| fastest[1] > fastest[0] / 3.0;
    for round in 0..40 {
        if round >= 4 && are_alike(&fastest) {
            break;
        }
        for (email, fastest) in [EMAIL, "nobody@example.com"].iter().zip(&mut fastest) {
            let started = Instant::now();
            world.login(email, "wrong password").await;
            *fastest = fastest.min(started.elapsed().as_secs_f64());
        }
    }
    assert!(
        are_alike(&fastest),
        "known {}, unknown {} s",
        fastest[0],
        fastest[1]
    );
}

#[tokio::test]
async fn more_logins_than_can_be_hashed_are_told_to_come_back_and_do_not_count() {
    let config = AuthConfig {
        password_memory_kib: 65_536,
        password_parallel_max: 1,
        password_wait_ms: 10,
        lockout_failures: 50,
        ..config()
    };
    let world = world_with(config, "").await;
    world.register().await;
    let burst =
        futures::future::join_all((0..20).map(|_| world.login(EMAIL, "wrong password"))).await;
    let busy = burst
        .iter()
        .filter(|answer| answer.status == StatusCode::SERVICE_UNAVAILABLE);
    let busy: Vec<_> = busy.collect();
    assert!(!busy.is_empty());
    for answer in busy {
        assert!(answer.headers.contains_key("retry-after"));
    }
    assert_eq!(world.login(EMAIL, PASSWORD).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_password_is_hashed_anew_when_the_settings_rise() {
    let world = world().await;
    world.register().await;
    let before = world.text("SELECT password_hash FROM users").await;
    assert!(
        before.starts_with("$argon2id$v=19$m=8192,t=1,p=1$"),
        "{before}"
    );

    let stronger = AuthConfig {
        password_memory_kib: 9216,
        ..config()
    };
    let request = mcsp_api::rest::LoginRequest {
        email: EMAIL.to_owned(),
        password: PASSWORD.to_owned(),
    };
    let service = world.again(stronger).await;
    service.login(&request, None).await.expect("signed in");
    let after = world.text("SELECT password_hash FROM users").await;
    assert!(
        after.starts_with("$argon2id$v=19$m=9216,t=1,p=1$"),
        "{after}"
    );
    service.login(&request, None).await.expect("signed in");
    assert_eq!(
        world.text("SELECT password_hash FROM users").await,
        after,
        "once"
    );
}

#[tokio::test]
async fn a_logout_ends_the_session_and_tells_the_edges() {
    let world = world().await;
    let answer = world.register().await;
    let other = world.login(EMAIL, PASSWORD).await;
    let viewer = world.viewer(&answer).await;

    let out = world.logout(&viewer).await;
    assert_eq!(out.status, StatusCode::NO_CONTENT);
    assert!(out.set_cookie().expect("a cookie").contains("Max-Age=0"));
    assert_eq!(world.me(&viewer).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(
        world.refresh(&answer.refresh_token()).await.status,
        StatusCode::UNAUTHORIZED
    );
    assert_eq!(
        world.logout(&viewer).await.status,
        StatusCode::NO_CONTENT,
        "again"
    );

    let events = world.events("session.user.revoked").await;
    assert_eq!(events.len(), 1, "told once");
    assert_eq!(events[0]["session_id"], viewer.session_id);
    assert!(events[0]["expires_s"].as_i64().expect("a time") >= viewer.expires_s);

    let other_viewer = world.viewer(&other).await;
    assert_eq!(
        world.me(&other_viewer).await.status,
        StatusCode::OK,
        "other sessions go on"
    );
    assert_eq!(
        world.refresh(&other.refresh_token()).await.status,
        StatusCode::OK
    );
}

#[tokio::test]
async fn only_an_edge_says_who_the_viewer_is() {
    let world = world().await;
    let answer = world.register().await;
    let viewer = world.viewer(&answer).await;
    for path in ["/api/v1/users/me", "/api/v1/auth/logout"] {
        let method = if path.ends_with("me") {
            Method::GET
        } else {
            Method::POST
        };
        let mut forged = http::Request::builder()
            .method(method)
            .uri(path)
            .body(axum::body::Body::empty())
            .expect("a request");
        let value = viewer.to_header_value().parse().expect("a value");
        forged.headers_mut().insert(headers::IDENTITY, value);
        assert_eq!(
            world.send(forged).await.status,
            StatusCode::UNAUTHORIZED,
            "{path}"
        );
    }
    assert_eq!(
        world.me(&viewer).await.status,
        StatusCode::OK,
        "the forgery ended nothing"
    );
}

#[tokio::test]
async fn while_the_database_is_away_nobody_is_told_that_he_is_signed_out() {
    let world = world().await;
    let answer = world.register().await;
    let viewer = world.viewer(&answer).await;
    world.db.close().await;
    let refused = [
        world.refresh(&answer.refresh_token()).await,
        world.login(EMAIL, PASSWORD).await,
        world.me(&viewer).await,
        world.logout(&viewer).await,
    ];
    for answer in refused {
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(answer.headers.contains_key("retry-after"));
        assert!(answer.set_cookie().is_none(), "the cookie is still good");
    }
}
