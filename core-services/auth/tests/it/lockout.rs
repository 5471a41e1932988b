//! Lockout after wrong passwords, with the key-value store and without it.

use std::time::Duration;

use http::StatusCode;
use mcsp_core_services_auth::AuthConfig;

use crate::support::{Answer, EMAIL, PASSWORD, World, config, world, world_with};

async fn fail(world: &World, email: &str, times: usize) {
    for _ in 0..times {
        assert_eq!(
            world.login(email, "wrong password").await.status,
            StatusCode::UNAUTHORIZED
        );
    }
}

fn retry_after_s(answer: &Answer) -> u64 {
    assert_eq!(
        answer.status,
        StatusCode::TOO_MANY_REQUESTS,
        "{:?}",
        answer.body
    );
    let header = answer.headers["retry-after"]
        .to_str()
        .expect("ASCII")
        .parse()
        .expect("seconds");
    assert_eq!(answer.body["retry_after_s"], header);
    header
}

/// What must hold wherever failures are counted.
async fn locks_and_unlocks(world: &World) {
    world.register().await;
    fail(world, EMAIL, 4).await;
    assert_eq!(
        world.login(EMAIL, PASSWORD).await.status,
        StatusCode::OK,
        "four are forgiven"
    );
    fail(world, EMAIL, 5).await;
    assert_eq!(
        retry_after_s(&world.login(EMAIL, PASSWORD).await),
        900,
        "the right one too"
    );
    assert_eq!(
        retry_after_s(&world.login("ADA@example.com", PASSWORD).await),
        900
    );

    world.clock.advance(Duration::from_secs(600));
    assert_eq!(
        retry_after_s(&world.login(EMAIL, "wrong password").await),
        300,
        "trying does not prolong it"
    );
    world.clock.advance(Duration::from_millis(299_999));
    assert_eq!(retry_after_s(&world.login(EMAIL, PASSWORD).await), 1);
    world.clock.advance(Duration::from_millis(1));
    assert_eq!(world.login(EMAIL, PASSWORD).await.status, StatusCode::OK);
}

#[tokio::test]
async fn an_account_locks_and_unlocks() {
    let world = world().await;
    locks_and_unlocks(&world).await;
    assert_eq!(
        world.count("SELECT COUNT(*) FROM login_failures").await,
        0,
        "all in the key-value store"
    );
}

#[tokio::test]
async fn an_account_locks_and_unlocks_without_the_key_value_store() {
    let world = world_with(config(), "error_rate=1").await;
    locks_and_unlocks(&world).await;
}

#[tokio::test]
async fn a_store_that_loses_answers_locks_all_the_same() {
    for seed in 0..5 {
        let world = world_with(
            config(),
            &format!("seed={seed}&error_rate=0.3&lost_ack_rate=0.3"),
        )
        .await;
        world.register().await;
        let mut wrong = 0;
        // Counted here or there: at most the bound in each.
        for _ in 0..30 {
            if world.login(EMAIL, "wrong password").await.status == StatusCode::UNAUTHORIZED {
                wrong += 1;
            }
        }
        assert!((1..=10).contains(&wrong), "seed {seed}: {wrong} guesses");
    }
}

#[tokio::test]
async fn sessions_go_on_while_the_account_is_locked() {
    let world = world().await;
    let answer = world.register().await;
    fail(&world, EMAIL, 5).await;
    assert_eq!(
        world.refresh(&answer.refresh_token()).await.status,
        StatusCode::OK
    );
}

#[tokio::test]
async fn an_address_without_an_account_locks_like_one_with() {
    let world = world().await;
    fail(&world, "nobody@example.com", 5).await;
    assert_eq!(
        retry_after_s(&world.login("nobody@example.com", PASSWORD).await),
        900
    );
    world.register().await;
    assert_eq!(
        world.login(EMAIL, PASSWORD).await.status,
        StatusCode::OK,
        "and only that one"
    );
}

#[tokio::test]
async fn failures_far_apart_do_not_add_up() {
    let world = world().await;
    world.register().await;
    for _ in 0..4 {
        fail(&world, EMAIL, 3).await;
        world.clock.advance(Duration::from_secs(901));
    }
    assert_eq!(world.login(EMAIL, PASSWORD).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_burst_of_guesses_gets_no_more_than_the_same_few() {
    for faults in ["", "error_rate=1"] {
        let config = AuthConfig {
            password_parallel_max: 16,
            ..config()
        };
        let world = world_with(config, faults).await;
        world.register().await;
        let burst =
            futures::future::join_all((0..40).map(|_| world.login(EMAIL, "wrong password"))).await;
        let looked_at = burst
            .iter()
            .filter(|answer| answer.status == StatusCode::UNAUTHORIZED)
            .count();
        assert_eq!(looked_at, 5, "{faults:?}");
        assert!(burst.iter().all(|answer| {
            [StatusCode::UNAUTHORIZED, StatusCode::TOO_MANY_REQUESTS].contains(&answer.status)
        }));
    }
}
