//! Users who call the API, with pauses for thought.

use http::Method;
use mcsp_loadtest_scenario::User;

use crate::accounts::{SignIn, Who, bearer};
use crate::api::{Call, CallError, call as call_api};
use crate::world::World;

/// One session of calls. What fails is recorded, and the user goes on.
pub(crate) async fn call(world: &World, user: User) {
    let mut client = world.client(&user);
    let mut random = user.random();
    let base = world.api(&user);
    let settings = &world.scenario.api_user;
    let who = Who {
        account: user.account,
        is_creator: false,
    };
    let signed_in = bearer(world, &mut client, base, who, SignIn::Any, user.at_us).await;
    let Ok(mut authorization) = signed_in else {
        return;
    };
    let actions = &settings.actions;
    let weights = [
        actions.sign_in,
        actions.refresh,
        actions.me,
        actions.browse,
        actions.play,
    ];
    let mut intended_us = world.clock().now_us();
    for _ in 0..settings.calls {
        let think_ms = random.between(settings.think_min_ms, settings.think_max_ms);
        intended_us = intended_us
            .max(world.clock().now_us())
            .saturating_add(think_ms.saturating_mul(1_000));
        world.clock().until(intended_us).await;
        let draw = random.next_u64();
        let item = world.popularity.pick(intended_us, draw);
        let item = item.and_then(|index| world.options.content_ids.get(index));
        let id = item.map_or("none", String::as_str);
        let action = random.weighted(weights);
        let outcome = match action {
            0 | 1 => {
                let sign_in = if action == 0 {
                    SignIn::Anew
                } else {
                    SignIn::Refresh
                };
                let renewed = bearer(world, &mut client, base, who, sign_in, intended_us).await;
                renewed.map(|renewed| authorization = renewed)
            }
            _ => {
                let (name, path) = match action {
                    2 => ("me", "/api/v1/users/me".to_owned()),
                    3 => ("content", format!("/api/v1/content/{id}")),
                    _ => ("play", format!("/api/v1/play/{id}")),
                };
                let one = Call {
                    name,
                    method: Method::GET,
                    path: &path,
                    headers: &[("authorization", authorization.as_str())],
                    body: None,
                    expected: &[],
                    intended_us,
                };
                let called = call_api(world, &mut client, base, &one).await;
                called.map(|_| ())
            }
        };
        if let Err(CallError::Status(401)) = outcome {
            let now_us = world.clock().now_us();
            match bearer(world, &mut client, base, who, SignIn::Refresh, now_us).await {
                Ok(renewed) => authorization = renewed,
                Err(_) => return,
            }
        }
    }
}
