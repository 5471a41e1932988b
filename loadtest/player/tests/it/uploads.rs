//! Creators and API users.

use std::sync::atomic::Ordering;

use crate::node::{Plant, run};

#[tokio::test(start_paused = true)]
async fn an_upload_that_breaks_off_is_resumed_and_completed() {
    let extra = "protocol = \"h1\"\nduration_s = 1\narrivals = [{ kind = \"constant\", rate_per_s = 1.0 }]\n\
        mix = { players = 0.0, creators = 1.0 }\n\
        creator = { upload_min_bytes = 134464, upload_max_bytes = 134464, break_share = 1.0 }\n";
    let done = run(Plant::Nothing, extra).await;
    let parts = done.node.parts.lock();
    let bytes: Vec<u8> = parts.values().flatten().copied().collect();
    assert_eq!(bytes.len(), 134_464);
    assert_eq!(&bytes[4..8], b"free");
    assert_eq!(done.node.completed.load(Ordering::Relaxed), 1);
    let seen = done.node.seen.lock();
    let looks = seen
        .iter()
        .filter(|(path, _)| path == "/api/v1/uploads/session/u")
        .count();
    assert_eq!(looks, 2, "once after it broke off, once when all was sent");
    // Going away is not an error of the node.
    assert_eq!(done.partial.counts_of(Some("upload")).errors, 0);
}

#[tokio::test(start_paused = true)]
async fn an_api_user_calls_and_thinks() {
    let extra = "protocol = \"h1\"\nduration_s = 10\narrivals = [{ kind = \"constant\", rate_per_s = 1.0 }]\n\
        mix = { players = 0.0, api_users = 1.0 }\n";
    let done = run(Plant::Nothing, extra).await;
    let counts = done.partial.counts_of(Some("api"));
    // Ten calls each, and each account's registration and sign-in.
    assert_eq!((counts.requests, counts.errors), (120, 0));
}
