//! Refresh tokens: good once, and a trap for whoever has a copy.

use std::time::Duration;

use http::header::COOKIE;
use http::{Method, StatusCode};
use mcsp_api::events::{Event as _, UserSessionRevoked};
use mcsp_core_services_auth::AuthConfig;

use crate::support::{World, config, world, world_with};

const REVOKED: &str = UserSessionRevoked::TOPIC.name;

#[tokio::test]
async fn a_refresh_token_is_traded_for_a_new_one_in_the_same_session() {
    let world = world().await;
    let first = world.register().await;
    world.clock.advance(Duration::from_secs(840));
    let second = world.refresh(&first.refresh_token()).await;
    assert_eq!(second.status, StatusCode::OK);
    assert_ne!(second.refresh_token(), first.refresh_token());
    assert_eq!(second.body["user"], first.body["user"]);
    let (before, after) = (world.viewer(&first).await, world.viewer(&second).await);
    assert_eq!(before.session_id, after.session_id);
    assert_eq!(after.expires_s, before.expires_s + 840);
    assert_eq!(
        world.refresh(&second.refresh_token()).await.status,
        StatusCode::OK
    );
    assert!(world.events(REVOKED).await.is_empty());
}

#[tokio::test]
async fn a_spent_token_ends_the_session_for_thief_and_owner_alike() {
    let world = world().await;
    let first = world.register().await;
    let second = world.refresh(&first.refresh_token()).await;
    let third = world.refresh(&second.refresh_token()).await;
    let viewer = world.viewer(&third).await;

    let stolen = world.refresh(&first.refresh_token()).await;
    assert_eq!(stolen.status, StatusCode::UNAUTHORIZED);
    assert!(stolen.set_cookie().expect("a cookie").contains("Max-Age=0"));
    assert_eq!(
        world.refresh(&third.refresh_token()).await.status,
        StatusCode::UNAUTHORIZED,
        "the newest one too"
    );
    assert_eq!(world.me(&viewer).await.status, StatusCode::UNAUTHORIZED);

    let events = world.events(REVOKED).await;
    assert_eq!(events.len(), 1);
    assert_eq!(events[0]["session_id"], viewer.session_id);
    assert!(events[0]["expires_s"].as_i64().expect("a time") >= viewer.expires_s);

    let audit = world.service.audit();
    let entries = audit
        .list_object(&viewer.session_id, 0, 10)
        .await
        .expect("entries");
    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0].action, "auth.session.revoke");
    assert!(entries[0].detail_json.contains("refresh-token-reused"));
    assert!(entries[0].detail_json.contains(viewer.user_id.as_str()));
    assert!(audit.verify().await.expect("a report").is_intact());

    // Its other uses change nothing more.
    for token in [first.refresh_token(), second.refresh_token()] {
        assert_eq!(world.refresh(&token).await.status, StatusCode::UNAUTHORIZED);
    }
    assert_eq!(world.events(REVOKED).await.len(), 1);
    assert_eq!(
        audit
            .list_object(&viewer.session_id, 0, 10)
            .await
            .expect("entries")
            .len(),
        1
    );
}

#[tokio::test]
async fn a_theft_leaves_the_users_other_sessions_alone() {
    let world = world().await;
    let first = world.register().await;
    let other = world
        .login(crate::support::EMAIL, crate::support::PASSWORD)
        .await;
    world.refresh(&first.refresh_token()).await;
    world.refresh(&first.refresh_token()).await;
    assert_eq!(
        world.refresh(&other.refresh_token()).await.status,
        StatusCode::OK
    );
}

#[tokio::test]
async fn of_two_uses_at_once_one_is_good_and_the_session_ends() {
    let world = world().await;
    for _ in 0..5 {
        let answer = world.login_or_register().await;
        let token = answer.refresh_token();
        let (a, b) = futures::future::join(world.refresh(&token), world.refresh(&token)).await;
        let mut statuses = [a.status.as_u16(), b.status.as_u16()];
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 401]);
        let good = if a.status == StatusCode::OK { a } else { b };
        assert_eq!(
            world.refresh(&good.refresh_token()).await.status,
            StatusCode::UNAUTHORIZED
        );
    }
}

impl World {
    async fn login_or_register(&self) -> crate::support::Answer {
        let answer = self
            .login(crate::support::EMAIL, crate::support::PASSWORD)
            .await;
        if answer.status == StatusCode::OK {
            answer
        } else {
            self.register().await
        }
    }
}

#[tokio::test]
async fn a_token_that_lay_too_long_is_refused_without_an_alarm() {
    let world = world().await;
    let answer = world.register().await;
    world.clock.advance(Duration::from_secs(2_592_000));
    assert_eq!(
        world.refresh(&answer.refresh_token()).await.status,
        StatusCode::UNAUTHORIZED
    );
    assert!(world.events(REVOKED).await.is_empty());
}

#[tokio::test]
async fn no_session_lives_for_ever() {
    let config = AuthConfig {
        refresh_token_s: 3600,
        session_max_s: 7200,
        ..config()
    };
    let world = world_with(config, "").await;
    let mut answer = world.register().await;
    for _ in 0..3 {
        world.clock.advance(Duration::from_secs(2000));
        answer = world.refresh(&answer.refresh_token()).await;
        assert_eq!(answer.status, StatusCode::OK);
    }
    let line = answer.set_cookie().expect("a cookie");
    assert!(
        line.contains("Max-Age=1200"),
        "no longer than the session: {line}"
    );
    world.clock.advance(Duration::from_secs(1200));
    assert_eq!(
        world.refresh(&answer.refresh_token()).await.status,
        StatusCode::UNAUTHORIZED
    );
}

#[tokio::test]
async fn without_one_good_cookie_there_is_no_session() {
    let world = world().await;
    let good = world.register().await.refresh_token();
    let long = "r_".to_owned() + &"x".repeat(5000);
    for cookies in [
        vec![],
        vec!["theme=dark".to_owned()],
        vec!["mcsp_refresh=".to_owned()],
        vec!["mcsp_refresh=nonsense".to_owned()],
        vec![format!("mcsp_refresh={long}")],
        vec![format!("mcsp_refresh={}", &good[..good.len() - 1])],
        vec![format!("mcsp_refresh={good}; mcsp_refresh=r_ng_planted")],
        vec![
            format!("mcsp_refresh={good}"),
            "mcsp_refresh=r_ng_planted".to_owned(),
        ],
        vec![format!("MCSP_REFRESH={good}")],
    ] {
        let mut request = world.request(Method::POST, "/api/v1/auth/refresh", None);
        for cookie in &cookies {
            request
                .headers_mut()
                .append(COOKIE, cookie.parse().expect("a value"));
        }
        let answer = world.send(request).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{cookies:?}");
    }
    assert_eq!(
        world.refresh(&good).await.status,
        StatusCode::OK,
        "none of that spent it"
    );
}

#[tokio::test]
async fn sessions_survive_a_restart() {
    let world = world().await;
    let answer = world.register().await;
    let viewer = world.viewer(&answer).await;
    let again = world.again(config()).await;
    assert_eq!(
        again.me(&viewer).await.expect("an account").user_id,
        viewer.user_id.to_string()
    );
    again
        .refresh(&answer.refresh_token())
        .await
        .expect("the session goes on");
}
