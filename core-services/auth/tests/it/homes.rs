//! Accounts far from home: whose tokens they get, who is asked, what a cut line stops, and what it does not.

use std::time::Duration;

use http::StatusCode;
use mcsp_api::proto::auth as pb;
use mcsp_api::proto::auth::home_login_client::HomeLoginClient;
use mcsp_core_services_auth::{AuthConfig, home_login};
use serde_json::{Value, json};
use tonic::Code;

use crate::regions::{
    BREAKER_FAILURES, BREAKER_OPEN_MS, LONDON, Regions, Way, channel, patient, regions,
    regions_with,
};
use crate::support::{Answer, EMAIL, PASSWORD, REGION, World, registration};

const NOBODY: &str = "nobody@example.com";
const WRONG: &str = "wrong password";
const LONDONER: &str = "ian@example.com";
const REGISTER: &str = "/api/v1/auth/register";

/// `EMAIL` is at home in Lagos, [`LONDONER`] in London, both with the same password.
async fn with_people() -> Regions {
    let regions = regions().await;
    people(&regions).await;
    regions
}

async fn people(regions: &Regions) {
    regions.lagos.register().await;
    let answer = regions
        .london
        .post(REGISTER, &registration_of(LONDONER))
        .await;
    assert_eq!(answer.status, StatusCode::CREATED, "{:?}", answer.body);
}

fn registration_of(email: &str) -> Value {
    let mut body = registration();
    body["email"] = json!(email);
    body
}

fn body_of(mut answer: Answer) -> Value {
    answer.body["trace_id"].take();
    answer.body
}

async fn sessions(world: &World) -> i64 {
    world.count("SELECT COUNT(*) FROM sessions").await
}

#[tokio::test]
async fn who_signs_in_elsewhere_gets_the_tokens_of_home() {
    let regions = with_people().await;
    let (lagos, london) = (&regions.lagos, &regions.london);
    let at_home = lagos.login(EMAIL, PASSWORD).await;
    let away = london.login(EMAIL, PASSWORD).await;
    assert_eq!(away.status, StatusCode::OK, "{:?}", away.body);
    assert_eq!(away.body["user"], at_home.body["user"]);
    assert_eq!(away.body["expires_in"], 900);
    assert!(away.refresh_token().starts_with("r_ng_"));
    let attributes = |answer: &Answer| {
        let line = answer.set_cookie().expect("a cookie").to_owned();
        line.split_once(';').expect("attributes").1.to_owned()
    };
    assert_eq!(attributes(&away), attributes(&at_home));
    assert_eq!(away.headers["cache-control"], "no-store");

    assert!(
        london
            .viewer_by(&london.jwks().await, away.access_token())
            .is_none(),
        "London has no key for it"
    );
    assert_eq!(sessions(london).await, 1, "the Londoner's");
    // What edges do next: they bring the session's calls home.
    let viewer = lagos.viewer(&away).await;
    assert_eq!(lagos.me(&viewer).await.status, StatusCode::OK);
    let renewed = lagos.refresh(&away.refresh_token()).await;
    assert_eq!(renewed.status, StatusCode::OK);
    assert_eq!(lagos.logout(&viewer).await.status, StatusCode::NO_CONTENT);
    assert_eq!(lagos.me(&viewer).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(
        lagos.refresh(&renewed.refresh_token()).await.status,
        StatusCode::UNAUTHORIZED
    );
    assert_eq!(lagos.events("session.user.revoked").await.len(), 1);
}

#[tokio::test]
async fn a_session_that_is_brought_to_the_wrong_region_loses_nothing() {
    let regions = with_people().await;
    let (lagos, london) = (&regions.lagos, &regions.london);
    let away = london.login(EMAIL, PASSWORD).await;
    let viewer = lagos.viewer(&away).await;
    for answer in [
        london.refresh(&away.refresh_token()).await,
        london.me(&viewer).await,
        london.logout(&viewer).await,
    ] {
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(answer.set_cookie().is_none(), "the cookie is still good");
    }
    assert_eq!(
        lagos.refresh(&away.refresh_token()).await.status,
        StatusCode::OK
    );
}

#[tokio::test]
async fn what_is_wrong_looks_the_same_wherever_the_account_is() {
    let regions = with_people().await;
    let london = &regions.london;
    let before = regions.to_lagos.logins();
    let mut bodies = Vec::new();
    for email in [LONDONER, EMAIL, NOBODY] {
        let answer = london.login(email, WRONG).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{email}");
        assert!(answer.set_cookie().is_none());
        bodies.push(body_of(answer));
    }
    assert!(bodies.iter().all(|body| *body == bodies[0]), "{bodies:?}");
    assert_eq!(
        regions.to_lagos.logins() - before,
        3,
        "each was carried over, so that none is answered sooner"
    );
    assert_eq!(regions.to_london.logins(), 0, "and no further");
}

#[tokio::test]
async fn no_other_region_hears_of_a_right_password_or_of_what_no_account_has() {
    let regions = with_people().await;
    let london = &regions.london;
    assert_eq!(
        london.login(LONDONER, PASSWORD).await.status,
        StatusCode::OK
    );
    for (email, password) in [
        ("", ""),
        ("no address", PASSWORD),
        (LONDONER, "short"),
        (EMAIL, "short"),
    ] {
        let answer = london.login(email, password).await;
        assert_eq!(
            answer.status,
            StatusCode::UNAUTHORIZED,
            "{email} {password}"
        );
    }
    assert_eq!(regions.to_lagos.logins(), 0);
}

#[tokio::test]
async fn a_cut_line_stops_nobody_at_home_and_calls_nobody_unknown() {
    let regions = with_people().await;
    let (london, line) = (&regions.london, &regions.to_lagos);
    for way in [Way::Cut, Way::Garbled] {
        line.set(way);
        assert_eq!(
            london.login(LONDONER, PASSWORD).await.status,
            StatusCode::OK
        );
        for _ in 0..7 {
            let answer = london.login(EMAIL, PASSWORD).await;
            assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{way:?}");
            assert!(answer.headers.contains_key("retry-after"));
            assert!(answer.set_cookie().is_none());
        }
        let wrong = london.login(LONDONER, WRONG).await;
        assert_eq!(wrong.status, StatusCode::UNAUTHORIZED, "that much is known");
        line.set(Way::Open);
        london.clock.advance(Duration::from_millis(BREAKER_OPEN_MS));
        assert_eq!(
            london.login(EMAIL, PASSWORD).await.status,
            StatusCode::OK,
            "what could not be decided did not count"
        );
    }
}

#[tokio::test]
async fn a_silent_line_is_waited_for_a_while_and_then_left_alone() {
    let config = AuthConfig {
        peer_timeout_ms: 100,
        ..patient()
    };
    let regions = regions_with(config).await;
    let (london, line) = (&regions.london, &regions.to_lagos);
    line.set(Way::Silent);
    // A line that says nothing would be waited for for ever.
    let answered = tokio::time::timeout(Duration::from_secs(120), async {
        for _ in 0..(BREAKER_FAILURES + 4) {
            let answer = london.login(EMAIL, PASSWORD).await;
            assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        }
    });
    answered.await.unwrap();
    assert_eq!(
        line.logins(),
        BREAKER_FAILURES as usize,
        "the breaker opened"
    );
    line.set(Way::Open);
    assert_eq!(
        london.login(NOBODY, PASSWORD).await.status,
        StatusCode::SERVICE_UNAVAILABLE
    );
    london.clock.advance(Duration::from_millis(BREAKER_OPEN_MS));
    london.login(NOBODY, PASSWORD).await;
    assert_eq!(line.logins(), BREAKER_FAILURES as usize + 1, "and closes");
}

#[tokio::test]
async fn guesses_are_the_same_few_through_however_many_regions() {
    let regions = with_people().await;
    let (lagos, london) = (&regions.lagos, &regions.london);
    for email in [EMAIL, LONDONER, NOBODY] {
        let mut looked_at = 0;
        for turn in 0..12 {
            let world = if turn % 2 == 0 { london } else { lagos };
            match world.login(email, WRONG).await.status {
                StatusCode::UNAUTHORIZED => looked_at += 1,
                status => assert_eq!(status, StatusCode::TOO_MANY_REQUESTS, "{email}"),
            }
        }
        assert_eq!(looked_at, 5, "{email}");
    }
    for (world, email) in [(lagos, EMAIL), (london, EMAIL), (london, LONDONER)] {
        let locked = world.login(email, PASSWORD).await;
        assert_eq!(locked.status, StatusCode::TOO_MANY_REQUESTS, "{email}");
        assert_eq!(locked.body["retry_after_s"], 900, "{email}");
    }
    for world in [lagos, london] {
        world.clock.advance(Duration::from_secs(900));
    }
    assert_eq!(london.login(EMAIL, PASSWORD).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_lock_at_home_is_told_elsewhere_and_a_right_password_forgives_in_both() {
    let regions = with_people().await;
    let (lagos, london) = (&regions.lagos, &regions.london);
    for _ in 0..4 {
        london.login(EMAIL, WRONG).await;
    }
    assert_eq!(london.login(EMAIL, PASSWORD).await.status, StatusCode::OK);
    for _ in 0..4 {
        assert_eq!(
            lagos.login(EMAIL, WRONG).await.status,
            StatusCode::UNAUTHORIZED
        );
    }
    assert_eq!(lagos.login(EMAIL, PASSWORD).await.status, StatusCode::OK);

    // Locked at home while the line was cut, so that London has counted nothing.
    regions.to_london.set(Way::Cut);
    for _ in 0..5 {
        lagos.login(EMAIL, WRONG).await;
    }
    let locked = london.login(EMAIL, PASSWORD).await;
    assert_eq!(locked.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(locked.headers["retry-after"], "900");
}

#[tokio::test]
async fn an_address_is_registered_in_one_region_only() {
    let regions = with_people().await;
    let (lagos, london) = (&regions.lagos, &regions.london);
    let taken = london
        .post(REGISTER, &registration_of("ADA@example.com"))
        .await;
    assert_eq!(taken.status, StatusCode::CONFLICT);
    assert_eq!(taken.body["pointer"], "/email");
    assert!(taken.set_cookie().is_none());
    assert_eq!(
        lagos
            .post(REGISTER, &registration_of(LONDONER))
            .await
            .status,
        StatusCode::CONFLICT
    );
    assert_eq!(london.count("SELECT COUNT(*) FROM users").await, 1);
}

#[tokio::test]
async fn people_register_while_the_line_is_cut_and_stand_in_nobodys_way() {
    let regions = with_people().await;
    let (lagos, london) = (&regions.lagos, &regions.london);
    regions.to_lagos.set(Way::Cut);
    let mut second = registration();
    second["password"] = json!("another password");
    let answer = london.post(REGISTER, &second).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{:?}", answer.body);
    assert_eq!(
        london.login(EMAIL, "another password").await.status,
        StatusCode::OK
    );
    regions.to_lagos.set(Way::Open);
    for world in [lagos, london] {
        for (password, home) in [(PASSWORD, "u_ng_"), ("another password", "u_gl_")] {
            let answer = world.login(EMAIL, password).await;
            assert_eq!(answer.status, StatusCode::OK);
            let user_id = answer.body["user"]["user_id"].as_str().expect("an id");
            assert!(user_id.starts_with(home), "{user_id}");
        }
    }
}

#[tokio::test]
async fn only_auth_services_ask_and_only_what_an_account_can_have() {
    let regions = with_people().await;
    let ask = |namespace: &'static str, account: &'static str, password: &'static str| {
        let server = home_login(regions.lagos.service.clone());
        let mut client = HomeLoginClient::new(channel(server, REGION, namespace, account));
        async move {
            let request = pb::LoginForRequest {
                email: EMAIL.to_owned(),
                password: password.to_owned(),
                client_address: "2001:db8::1".to_owned(),
            };
            client
                .login_for(request)
                .await
                .map_err(|status| status.code())
        }
    };
    for (namespace, account) in [(LONDON, "auth"), (LONDON, "origin")] {
        let answer = ask(namespace, account, PASSWORD).await.expect("signed in");
        assert!(answer.into_inner().refresh_token.starts_with("r_ng_"));
    }
    for (namespace, account) in [("edge", "lhr1"), (LONDON, "upload"), (LONDON, "media")] {
        let refused = ask(namespace, account, PASSWORD)
            .await
            .expect_err("refused");
        assert_eq!(refused, Code::PermissionDenied, "{namespace}/{account}");
    }
    let refused = ask(LONDON, "auth", "short").await.expect_err("refused");
    assert_eq!(refused, Code::InvalidArgument);
    let refused = ask(LONDON, "auth", WRONG).await.expect_err("refused");
    assert_eq!(refused, Code::Unauthenticated);
}
