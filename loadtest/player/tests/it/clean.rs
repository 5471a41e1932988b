//! Players of a node that is well.

use mcsp_loadtest_measure::{CacheSource, RequestClass};

use crate::node::{PLAYERS, Plant, run};

#[tokio::test(start_paused = true)]
async fn a_clean_run_finds_nothing_and_plays_everything() {
    for manifest in ["hls", "dash"] {
        let extra = PLAYERS.replace(
            "player = {",
            &format!("player = {{ manifest = \"{manifest}\","),
        );
        let done = run(Plant::Nothing, &extra).await;
        assert!(
            done.kinds().is_empty(),
            "{manifest}: {:?}",
            done.partial.findings
        );
        let sessions = &done.partial.sessions;
        assert_eq!(
            (sessions.sessions, sessions.started, sessions.failed),
            (10, 10, 0),
            "{manifest}"
        );
        assert_eq!(
            (sessions.stalls, sessions.wrong_bytes, sessions.truncated),
            (0, 0, 0)
        );
        // The item is 60 s long, to the microsecond.
        assert_eq!(sessions.played_us, 600_000_000, "{manifest}");
        let counts = done.partial.counts_of(Some("segment"));
        assert_eq!(counts.requests, 150, "{manifest}");
    }
}

#[tokio::test(start_paused = true)]
async fn quality_follows_the_link_and_the_screen() {
    let with = |device: &str| format!("{PLAYERS}devices = [{{ name = \"d\", {device} }}]\n");
    let mbit_s = |extra: String| async move {
        let done = run(Plant::Nothing, &extra).await;
        assert!(done.kinds().is_empty(), "{:?}", done.partial.findings);
        done.partial.sessions.bitrate_kbit_s().expect("it played") / 1_000.0
    };
    let fast = mbit_s(with("max_height = 0")).await;
    let small = mbit_s(with("max_height = 360")).await;
    let slow = mbit_s(with("bandwidth = { kbit_s = 175 }")).await;
    assert!(fast > 0.2, "{fast}");
    assert!((0.0395..0.0405).contains(&small), "{small}");
    assert!((0.04..0.175).contains(&slow), "{slow}");
}

#[tokio::test(start_paused = true)]
async fn a_link_that_is_too_slow_stalls_and_says_so() {
    let extra = format!("{PLAYERS}devices = [{{ name = \"d\", bandwidth = {{ kbit_s = 20 }} }}]\n");
    let done = run(Plant::Nothing, &extra).await;
    let sessions = &done.partial.sessions;
    assert!(sessions.stalls > 10, "{}", sessions.stalls);
    // 36 kbit/s through 20: for each second played, 0.8 s of standing still.
    let ratio = sessions.rebuffer_ratio().expect("it played");
    assert!((0.3..0.5).contains(&ratio), "{ratio}");
    assert!(done.kinds().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_moved_tree_is_followed_and_stayed_with() {
    let done = run(Plant::Moved, PLAYERS).await;
    assert!(done.kinds().is_empty(), "{:?}", done.partial.findings);
    assert_eq!(done.partial.sessions.played_us, 600_000_000);
    let seen = done.node.seen.lock();
    let renewed = seen
        .iter()
        .filter(|(path, _)| path.contains("/RENEWED/"))
        .count();
    let asked_before = seen
        .iter()
        .filter(|(path, _)| path.contains("/TOKEN/") && path.ends_with(".m4s"))
        .count();
    // Each player is sent on once, and then asks where it was sent.
    assert!(
        renewed > 100 && asked_before < 60,
        "{renewed} {asked_before}"
    );
}

#[tokio::test(start_paused = true)]
async fn requests_tell_cmcd_and_where_their_bytes_came_from() {
    let done = run(Plant::Nothing, PLAYERS).await;
    let seen = done.node.seen.lock();
    let (_, head) = seen
        .iter()
        .find(|(path, _)| path.ends_with("/4.m4s"))
        .expect("a segment");
    for field in [
        "cmcd-object: br=",
        "cmcd-request: bl=",
        "cid=\"item\"",
        "sid=\"s\"",
        "cmcd-status: rtp=",
    ] {
        assert!(head.contains(field), "{field} in {head}");
    }
    let counts = done
        .partial
        .counts
        .get(&RequestClass::Segment)
        .expect("segments");
    assert_eq!(
        counts.sources[CacheSource::Memory as usize],
        counts.requests
    );
}

#[tokio::test(start_paused = true)]
async fn a_seek_is_no_stall() {
    let extra = PLAYERS
        .replace("player = {", "player = { seek_share = 1.0,")
        .replace("300", "40");
    let done = run(Plant::Nothing, &extra).await;
    assert!(done.kinds().is_empty(), "{:?}", done.partial.findings);
    let sessions = &done.partial.sessions;
    assert_eq!((sessions.stalls, sessions.failed), (0, 0));
}
