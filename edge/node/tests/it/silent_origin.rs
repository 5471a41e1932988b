//! Origins that say nothing: that take a request and never answer, or do not even take a connection. Who may be given what is
//! held does not wait for them. No origin's own time limit ends within these tests, so that an answer is one that came while
//! the origin was silent.

use std::sync::Arc;
use std::time::Duration;

use mcsp_api::Residency::Global;
use mcsp_api::proto::feed::purge::Target;
use reqwest::Response;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use crate::harness::{
    Node, RawOrigin, Serve, World, cache_status, get, origin_path, wait_for, within,
};

const NEVER: &str = "[fetch]\nhead_timeout_ms = 600000\nconnect_timeout_ms = 60000\n";
const HASTY: &str = "[proxy]\nstale_wait_ms = 50\n";
/// It does not take long for the feed to be away.
const WARY: &str = "[proxy.trust]\nrevalidate_after_ms = 1000\nverify_wait_ms = 50\n";
/// Past its life at once.
const STALE: &str = "Cache-Control: max-age=0, stale-if-error=600\r\nETag: \"1\"\r\n";

/// A request that need not be answered soon.
fn ask(node: &Node, path: &str) -> JoinHandle<Response> {
    let request = node.request(reqwest::Method::GET, path);
    tokio::spawn(async move { request.send().await.unwrap() })
}

async fn is_silent(node: &Node) -> bool {
    node.metric("mcsp_edge_upstream_silent", &[]).await > 0.0
}

async fn not_waited(node: &Node, why: &str) -> f64 {
    let label = format!("\"{why}\"");
    node.metric("mcsp_edge_not_waited_total", &[&label]).await
}

/// A node whose origin holds objects of media, all of them cached, and answers nothing more until there are permits.
struct Held {
    world: World,
    node: Node,
    turn: Arc<Semaphore>,
}

impl Held {
    async fn new(trust: &str, rests: &[&str]) -> Self {
        let world = World::new().await;
        let extra = format!("{HASTY}{trust}{NEVER}");
        let node = world.node_with("los1", &extra).await;
        let turn = Arc::new(Semaphore::new(0));
        for rest in rests {
            let name = origin_path(Global, rest);
            world.origin.serve(&name, segment("old"));
            let path = world.media_path(Global, rest);
            get(&node, &path).await.bytes().await.unwrap();
            wait_for("the object", || async {
                node.state(&name).await == "fresh"
            })
            .await;
            world.origin.serve(&name, segment("old").in_turn(&turn));
        }
        Self { world, node, turn }
    }

    fn asked(&self, rest: &str) -> usize {
        self.world.origin.count(&origin_path(Global, rest))
    }

    async fn get(&self, rest: &str) -> Response {
        get(&self.node, &self.world.media_path(Global, rest)).await
    }

    /// Waits until it is served unverified.
    async fn unverified(&self, rest: &str) {
        wait_for("unverified service", || async {
            let answer = self.get(rest).await;
            let status = cache_status(&answer);
            assert_eq!(answer.text().await.unwrap(), "old", "{status}");
            status.ends_with("detail=unverified")
        })
        .await;
    }
}

fn segment(body: &'static str) -> Serve {
    Serve::ok(body).with("etag", &format!("\"{body}\""))
}

#[tokio::test]
async fn what_cannot_be_verified_is_served_while_the_origin_says_nothing() {
    let held = Held::new(WARY, &["1.m4s", "2.m4s"]).await;
    held.world.origin.feed.set_away(true);
    held.unverified("1.m4s").await;
    wait_for("the outage", || is_silent(&held.node)).await;
    // One question for all of them, which is still open.
    for _ in 0..20 {
        let answer = held.get("1.m4s").await;
        assert!(cache_status(&answer).ends_with("detail=unverified"));
    }
    assert_eq!(held.asked("1.m4s"), 2);
    assert!(not_waited(&held.node, "wait-over").await >= 1.0);
    assert!(not_waited(&held.node, "silent").await >= 20.0);
    // Of another object nobody waits at all.
    let waited = not_waited(&held.node, "wait-over").await;
    held.unverified("2.m4s").await;
    assert_eq!(not_waited(&held.node, "wait-over").await, waited);
    let states = held.node.admin_json("/upstreams").await;
    let silent = |state: &serde_json::Value| state["silent_ms"].is_u64();
    let silent = states.as_array().unwrap().iter().filter(|s| silent(s));
    assert_eq!(silent.count(), 1, "{states}");
    // What the origin says in the end counts for those who come next.
    held.turn.add_permits(1_000);
    wait_for("a verified one", || async {
        let answer = held.get("1.m4s").await;
        !cache_status(&answer).contains("detail")
    })
    .await;
    wait_for("the end of the outage", || async {
        !is_silent(&held.node).await
    })
    .await;
    let log = held.node.log();
    for told in ["an upstream does not answer", "an upstream answers again"] {
        let lines = log.lines().filter(|line| line.contains(told));
        // A slow machine may have the node see more than one outage, but not one for each request.
        assert!((1..5).contains(&lines.count()), "{told}");
    }
}

#[tokio::test]
async fn what_a_late_answer_brings_takes_the_place_of_what_was_served_meanwhile() {
    let held = Held::new(WARY, &["1.m4s"]).await;
    let name = origin_path(Global, "1.m4s");
    let turn = &held.turn;
    let changed = segment("new").in_turn(turn);
    held.world.origin.serve(&name, changed);
    held.world.origin.feed.set_away(true);
    held.unverified("1.m4s").await;
    turn.add_permits(1_000);
    wait_for("the new one", || async {
        held.get("1.m4s").await.text().await.unwrap() == "new"
    })
    .await;
    for _ in 0..5 {
        assert_eq!(held.get("1.m4s").await.text().await.unwrap(), "new");
    }
}

#[tokio::test]
async fn a_purge_that_comes_while_the_origin_says_nothing_is_obeyed() {
    let held = Held::new("", &["1.m4s"]).await;
    let feed = &held.world.origin.feed;
    let purge = |soft| feed.purge(Target::Prefix("/media/".to_owned()), soft);
    feed.wait_acknowledged(purge(true)).await;
    // Stale since the purge: it stands in for an origin that says nothing.
    for _ in 0..5 {
        let answer = held.get("1.m4s").await;
        let status = cache_status(&answer);
        assert!(status.ends_with("detail=stale-if-error"), "{status}");
        assert_eq!(answer.text().await.unwrap(), "old");
    }
    let name = origin_path(Global, "1.m4s");
    let changed = segment("new").in_turn(&held.turn);
    held.world.origin.serve(&name, changed);
    feed.wait_acknowledged(purge(false)).await;
    let path = held.world.media_path(Global, "1.m4s");
    let asked = held.asked("1.m4s");
    let waiting = ask(&held.node, &path);
    wait_for("a question for what is gone", || async {
        held.asked("1.m4s") > asked
    })
    .await;
    assert!(!waiting.is_finished());
    // The questions from before the purge are answered too: that nothing has changed.
    held.turn.add_permits(1_000);
    let answer = within("an answer", waiting).await.unwrap();
    assert_eq!(answer.text().await.unwrap(), "new");
    for _ in 0..5 {
        assert_eq!(held.get("1.m4s").await.text().await.unwrap(), "new");
    }
}

#[tokio::test]
async fn what_was_purged_while_the_node_was_away_is_not_served_once_the_feed_is_back() {
    let held = Held::new(WARY, &["1.m4s"]).await;
    let feed = &held.world.origin.feed;
    feed.set_away(true);
    held.unverified("1.m4s").await;
    let name = origin_path(Global, "1.m4s");
    let changed = segment("new").in_turn(&held.turn);
    held.world.origin.serve(&name, changed);
    let sequence = feed.purge(Target::Prefix("/media/".to_owned()), false);
    held.unverified("1.m4s").await;
    feed.set_away(false);
    feed.wait_acknowledged(sequence).await;
    // Nothing else has been answered yet.
    wait_for("the end of the outage", || async {
        !is_silent(&held.node).await
    })
    .await;
    let asked = held.asked("1.m4s");
    let waiting = ask(&held.node, &held.world.media_path(Global, "1.m4s"));
    wait_for("a question for what is gone", || async {
        held.asked("1.m4s") > asked
    })
    .await;
    assert!(!waiting.is_finished());
    held.turn.add_permits(1_000);
    let answer = within("an answer", waiting).await.unwrap();
    assert_eq!(answer.text().await.unwrap(), "new");
    for _ in 0..5 {
        assert_eq!(held.get("1.m4s").await.text().await.unwrap(), "new");
    }
}

#[tokio::test]
async fn an_origin_that_takes_a_question_and_says_nothing_keeps_nobody_from_what_may_stand_in() {
    let mut origin = RawOrigin::start().await;
    let (node, _dir) = origin.node(&format!("{HASTY}{NEVER}")).await;
    for path in ["/a", "/b"] {
        let first = ask(&node, path);
        origin.asked().await.answer(STALE, "held").await;
        assert_eq!(first.await.unwrap().text().await.unwrap(), "held");
    }
    let waiting = ask(&node, "/a");
    let open = origin.asked().await;
    assert_eq!(open.field("if-none-match"), ["\"1\""]);
    let answer = within("an answer", waiting).await.unwrap();
    let status = cache_status(&answer);
    assert!(status.ends_with("detail=stale-if-error"), "{status}");
    assert_eq!(answer.text().await.unwrap(), "held");
    wait_for("the outage", || is_silent(&node)).await;
    for _ in 0..20 {
        let answer = get(&node, "/a").await;
        assert_eq!(answer.text().await.unwrap(), "held");
    }
    assert!(origin.is_idle(), "the one question is still open");
    // By and by one who asks for something else finds out whether it is back.
    let probe = within("another question", async {
        loop {
            assert_eq!(get(&node, "/b").await.text().await.unwrap(), "held");
            tokio::select! {
                probe = origin.asked() => return probe,
                () = tokio::time::sleep(Duration::from_millis(20)) => {}
            }
        }
    })
    .await;
    assert!(probe.head.starts_with("GET /b "), "{}", probe.head);
    probe.answer("Cache-Control: max-age=60\r\n", "new").await;
    wait_for("the new one", || async {
        get(&node, "/b").await.text().await.unwrap() == "new"
    })
    .await;
    wait_for("the end of the outage", || async {
        !is_silent(&node).await
    })
    .await;
    // What is not held is waited for.
    let miss = ask(&node, "/c");
    let asked = origin.asked().await;
    assert!(!miss.is_finished());
    asked.answer("", "had").await;
    assert_eq!(miss.await.unwrap().text().await.unwrap(), "had");
}

#[tokio::test]
async fn one_thing_that_takes_long_is_not_an_origin_that_says_nothing() {
    let mut origin = RawOrigin::start().await;
    let (node, _dir) = origin
        .node(&format!("[proxy]\nstale_wait_ms = 4000\n{NEVER}"))
        .await;
    for path in ["/slow", "/quick"] {
        let first = ask(&node, path);
        origin.asked().await.answer(STALE, "held").await;
        first.await.unwrap().text().await.unwrap();
    }
    let slow = ask(&node, "/slow");
    let open = origin.asked().await;
    // Times are told in milliseconds, of which these take more than one.
    for _ in 0..5 {
        let quick = ask(&node, "/quick");
        origin.asked().await.answer(STALE, "new").await;
        assert_eq!(quick.await.unwrap().text().await.unwrap(), "new");
    }
    let answer = within("an answer", slow).await.unwrap();
    assert!(cache_status(&answer).ends_with("detail=stale-if-error"));
    assert!(!is_silent(&node).await);
    assert_eq!(not_waited(&node, "wait-over").await, 1.0);
    // Those who come later to the same question have waited enough with the first.
    assert_eq!(get(&node, "/slow").await.text().await.unwrap(), "held");
    assert_eq!(not_waited(&node, "wait-over").await, 2.0);
    drop(open);
}

/// RFC 5861 section 3.
#[tokio::test]
async fn what_may_be_served_while_it_is_validated_waits_for_no_origin() {
    let mut origin = RawOrigin::start().await;
    let (node, _dir) = origin.node(NEVER).await;
    let first = ask(&node, "/a");
    let fields = "Cache-Control: max-age=0, stale-while-revalidate=600\r\n";
    origin.asked().await.answer(fields, "held").await;
    first.await.unwrap().text().await.unwrap();
    assert_eq!(get(&node, "/a").await.text().await.unwrap(), "held");
    let _open = origin.asked().await;
    for _ in 0..5 {
        assert_eq!(get(&node, "/a").await.text().await.unwrap(), "held");
    }
    assert!(origin.is_idle());
}

#[tokio::test]
async fn more_than_may_wait_are_not_sent_to_the_origin_one_by_one() {
    let mut origin = RawOrigin::start().await;
    let (node, _dir) = origin
        .node(&format!(
            "[proxy]\nstale_wait_ms = 60000\n[cache]\nwaiters_max = 1\n{NEVER}"
        ))
        .await;
    let first = ask(&node, "/a");
    origin.asked().await.answer(STALE, "held").await;
    first.await.unwrap().text().await.unwrap();
    let leads = ask(&node, "/a");
    let open = origin.asked().await;
    let waits = ask(&node, "/a");
    wait_for("one who waits", || async {
        node.metric("mcsp_cache_joins_total", &["\"follow\""]).await >= 1.0
    })
    .await;
    let answer = get(&node, "/a").await;
    assert!(cache_status(&answer).ends_with("detail=stale-if-error"));
    assert_eq!(not_waited(&node, "crowd").await, 1.0);
    assert!(!leads.is_finished() && !waits.is_finished() && origin.is_idle());
    open.answer("Cache-Control: max-age=60\r\n", "new").await;
    for asked in [leads, waits] {
        let answer = within("an answer", asked).await.unwrap();
        assert_eq!(answer.text().await.unwrap(), "new");
    }
}

/// Another of our nodes would take it for good.
#[tokio::test]
async fn who_waits_behind_a_verification_that_fails_is_told_that_it_did() {
    let trust = "[proxy.trust]\nrevalidate_after_ms = 1000\nverify_wait_ms = 60000\n";
    let held = Held::new(trust, &["1.m4s"]).await;
    let name = origin_path(Global, "1.m4s");
    let failing = Serve::status(503).in_turn(&held.turn);
    held.world.origin.serve(&name, failing);
    held.world.origin.feed.set_away(true);
    wait_for("silence", || async {
        let age_s = held.node.metric("mcsp_edge_feed_age_seconds", &[]);
        age_s.await > 1.5
    })
    .await;
    let followers = async || {
        let follow = held.node.metric("mcsp_cache_joins_total", &["\"follow\""]);
        follow.await
    };
    let before = followers().await;
    let path = held.world.media_path(Global, "1.m4s");
    let crowd: Vec<_> = (0..5).map(|_| ask(&held.node, &path)).collect();
    wait_for("those who wait", || async {
        followers().await >= before + 4.0
    })
    .await;
    held.turn.add_permits(1_000);
    for asked in crowd {
        let answer = within("an answer", asked).await.unwrap();
        let status = cache_status(&answer);
        assert!(status.ends_with("detail=unverified"), "{status}");
    }
}

/// Its line of connections is full: whoever else knocks is not heard.
async fn unreachable(listener: &tokio::net::TcpListener) -> Vec<TcpStream> {
    let address = listener.local_addr().unwrap();
    let mut in_line = Vec::new();
    for _ in 0..64 {
        let connect = tokio::time::timeout(Duration::from_millis(500), TcpStream::connect(address));
        match connect.await {
            Ok(stream) => in_line.push(stream.unwrap()),
            Err(_) => return in_line,
        }
    }
    panic!("the line has no end");
}

#[tokio::test]
async fn an_origin_that_takes_no_connection_keeps_nobody_from_what_may_stand_in() {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let dir = TempDir::new().unwrap();
    let text = format!(
        "state_dir = \"{}\"\nworker_threads = 2\n[admin]\naddress = \"127.0.0.1:0\"\n\
         [[listener]]\naddress = \"127.0.0.1:0\"\ntls = false\n\
         [[route]]\nname = \"raw\"\nupstream = \"http://{}\"\n{HASTY}{NEVER}",
        dir.path().join("edge-state").display(),
        listener.local_addr().unwrap(),
    );
    let node = Node::start_from(dir.path(), "edge", &text).await;
    node.wait_ready().await;
    let first = ask(&node, "/a");
    let (mut stream, _) = within("a connection", listener.accept()).await.unwrap();
    let mut head = [0; 1024];
    assert!(stream.read(&mut head).await.unwrap() > 0);
    let answer =
        format!("HTTP/1.1 200 OK\r\n{STALE}Content-Length: 4\r\nConnection: close\r\n\r\nheld");
    stream.write_all(answer.as_bytes()).await.unwrap();
    drop(stream);
    assert_eq!(first.await.unwrap().text().await.unwrap(), "held");

    let _in_line = unreachable(&listener).await;
    for _ in 0..5 {
        let answer = get(&node, "/a").await;
        let status = cache_status(&answer);
        assert!(status.ends_with("detail=stale-if-error"), "{status}");
        assert_eq!(answer.text().await.unwrap(), "held");
    }
    wait_for("the outage", || is_silent(&node)).await;
    assert_eq!(not_waited(&node, "wait-over").await, 1.0);
}
