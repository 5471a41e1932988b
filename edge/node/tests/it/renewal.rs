//! A session goes on when its URL ends, and ends when it was ended.

use mcsp_api::{MediaSessionId, Residency};
use mcsp_auth_edge::{MediaGrant, TokenForm};
use mcsp_runtime::{Clock as _, SystemClock, SystemEntropy};
use reqwest::Response;

use crate::harness::{CONTENT, Serve, World, cache_status, get, header, origin_path, wait_for};

const SEGMENTS: u32 = 6;

/// A session that began just now, whose URL has so many seconds left.
fn grant(world: &World, left_s: i64) -> MediaGrant {
    let region = "ng".parse().unwrap();
    MediaGrant {
        media_session_id: MediaSessionId::generate(region, &SystemClock, &SystemEntropy),
        expires_s: SystemClock.now_s() + left_s,
        ..world.grant(Residency::Global)
    }
}

fn path(token: &str, rest: &str) -> String {
    format!("/media/{token}/global/{CONTENT}/{rest}")
}

fn bytes_of(segment: u32) -> String {
    format!("the bytes of segment {segment}")
}

fn serve(world: &World) {
    let manifest = Serve::ok("#EXTM3U").with("cache-control", "max-age=30");
    world
        .origin
        .serve(&origin_path(Residency::Global, "manifest.m3u8"), manifest);
    for segment in 1..=SEGMENTS {
        let path = origin_path(Residency::Global, &format!("v360/{segment}.m4s"));
        let answer = Serve::ok(bytes_of(segment)).with("cache-control", "max-age=3600");
        world.origin.serve(&path, answer);
    }
}

/// Where a redirect leads, which nobody may keep.
fn location(answer: &Response) -> String {
    assert_eq!(answer.status(), 307, "{}", cache_status(answer));
    assert_eq!(header(answer.headers(), "cache-control"), Some("no-store"));
    assert_eq!(
        header(answer.headers(), "access-control-allow-origin"),
        Some("*")
    );
    header(answer.headers(), "location").unwrap().to_owned()
}

fn now_is(expires_s: i64) -> bool {
    SystemClock.now_s() >= expires_s
}

#[tokio::test]
async fn a_url_that_ends_in_mid_play_costs_one_redirect_and_no_byte() {
    let world = World::new().await;
    let node = world.node("los1").await;
    serve(&world);
    let grant = grant(&world, 2);
    let token = world.sign(&grant);
    // Players take a manifest's parts relative to the address that they got it from.
    let mut base = path(&token, "");
    let (mut redirects, mut played) = (0, String::new());
    for segment in 1..=SEGMENTS {
        if segment == SEGMENTS / 2 {
            wait_for("the URL's end", || async { now_is(grant.expires_s) }).await;
        }
        let mut answer = get(&node, &format!("{base}v360/{segment}.m4s?CMCD=bl%3D900")).await;
        if answer.status() == 307 {
            redirects += 1;
            let moved = location(&answer);
            let query = moved.strip_suffix("?CMCD=bl%3D900").expect("the query");
            let rest = format!("v360/{segment}.m4s");
            base = query.strip_suffix(&*rest).expect("the object").to_owned();
            assert_ne!(base, path(&token, ""));
            answer = get(&node, &moved).await;
        }
        assert_eq!(answer.status(), 200, "{}", cache_status(&answer));
        played.push_str(&answer.text().await.unwrap());
    }
    let whole: String = (1..=SEGMENTS).map(bytes_of).collect();
    assert_eq!((redirects, played), (1, whole));
    let log = node.log();
    let renewed = base.split('/').nth(2).unwrap();
    assert!(!log.contains(&token) && !log.contains(renewed));
    let asked = world.origin.seen();
    assert!(asked.iter().all(|seen| !seen.path.contains(renewed)));
    assert_eq!(asked.len(), SEGMENTS as usize, "the cache knows no token");
}

#[tokio::test]
async fn a_manifest_is_renewed_in_good_time_and_its_parts_are_left_alone() {
    let world = World::new().await;
    let node = world.node("los1").await;
    serve(&world);
    let token = world.sign(&grant(&world, 600));
    let segment = get(&node, &path(&token, "v360/1.m4s")).await;
    assert_eq!(segment.status(), 200, "good for ten minutes");
    let moved = location(&get(&node, &path(&token, "manifest.m3u8")).await);
    let manifest = get(&node, &moved).await;
    assert_eq!(
        (manifest.status().as_u16(), &*manifest.text().await.unwrap()),
        (200, "#EXTM3U"),
        "and no further redirect"
    );
}

#[tokio::test]
async fn what_was_ended_is_not_renewed() {
    let world = World::new().await;
    let node = world.node("los1").await;
    serve(&world);
    let (ended, alive) = (grant(&world, -1), grant(&world, -1));
    let last = world.origin.feed.revoke_media_session(
        ended.media_session_id.as_str(),
        SystemClock.now_s() + 43_200,
    );
    world.origin.feed.wait_acknowledged(last).await;
    let refused = get(&node, &path(&world.sign(&ended), "v360/1.m4s")).await;
    assert_eq!(refused.status(), 403);
    assert!(header(refused.headers(), "location").is_none());
    let alive = world.sign(&alive);
    let moved = location(&get(&node, &path(&alive, "v360/1.m4s")).await);
    // A renewed URL ends with its session too.
    let session = grant(&world, -1);
    let moved_of_session = location(&get(&node, &path(&world.sign(&session), "v360/1.m4s")).await);
    let last = world.origin.feed.revoke_media_session(
        session.media_session_id.as_str(),
        SystemClock.now_s() + 43_200,
    );
    world.origin.feed.wait_acknowledged(last).await;
    assert_eq!(get(&node, &moved_of_session).await.status(), 403);
    assert_eq!(get(&node, &moved).await.status(), 200);
}

#[tokio::test]
async fn who_cannot_sign_or_has_no_news_renews_nothing() {
    let world = World::new().await;
    let trust = "[proxy.trust]\nrevalidate_after_ms = 3000\n";
    let (lagos, london) = (
        world.node_with("los1", trust).await,
        world.node("lhr1").await,
    );
    serve(&world);
    let ended = grant(&world, -1);
    let public = path(&world.sign_as(&ended, TokenForm::Ed25519), "v360/1.m4s");
    let refused = get(&london, &public).await;
    assert_eq!(refused.status(), 403, "London holds no secret of Lagos");
    assert!(cache_status(&refused).contains("expired"));
    let ours = path(&world.sign(&ended), "v360/1.m4s");
    assert_eq!(get(&lagos, &ours).await.status(), 307);
    world.origin.feed.set_away(true);
    wait_for("old news", || async {
        get(&lagos, &ours).await.status() == 403
    })
    .await;
    let soon = path(&world.sign(&grant(&world, 600)), "manifest.m3u8");
    let served = get(&lagos, &soon).await;
    assert_eq!(served.status(), 200, "what is good is served");
    world.origin.feed.set_away(false);
    wait_for("news", || async {
        get(&lagos, &ours).await.status() == 307
    })
    .await;
}
