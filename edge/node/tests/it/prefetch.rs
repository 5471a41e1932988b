//! What players will ask for next is there before they do.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::Uri;
use axum::routing::get as get_route;
use mcsp_api::Residency::Global;
use mcsp_api::proto::feed::purge::Target;
use parking_lot::Mutex;
use reqwest::{Method, Response};
use tokio::net::TcpListener;
use tokio::sync::Notify;

use crate::harness::{CONTENT, Node, Serve, World, cache_status, get, origin_path, wait_for};

/// Waits are long, so that none ends because the machine is slow.
const ON: &str = "[prefetch]\nwait_ms_max = 60000\nrun_timeout_ms = 60000\n";

/// A world whose origin has six segments of two renditions.
async fn world() -> World {
    let world = World::new().await;
    for height in ["v360", "v720"] {
        for nth in 1..=6 {
            let rest = format!("{height}/{nth}.m4s");
            serve(&world, &rest, Serve::ok(rest.clone()));
        }
    }
    world
}

fn serve(world: &World, rest: &str, answer: Serve) {
    let answer = answer
        .with("cache-control", "public, max-age=600")
        .with("surrogate-key", CONTENT);
    world.origin.serve(&origin_path(Global, rest), answer);
}

fn asked(world: &World, rest: &str) -> usize {
    world.origin.count(&origin_path(Global, rest))
}

async fn wait_held(node: &Node, rest: &str) {
    let name = origin_path(Global, rest);
    wait_for(rest, || async { node.state(&name).await == "fresh" }).await;
}

/// Waits until so many objects were fetched ahead and stored since the node began.
async fn wait_stored(node: &Node, count: f64) {
    let name = "mcsp_edge_prefetch_done_total";
    wait_for("objects stored ahead", || async {
        node.metric(name, &["\"stored\""]).await == count
    })
    .await;
}

/// A request of a player that says what it will ask for next.
async fn telling(node: &Node, path: &str, next: &[&str]) -> Response {
    let next: Vec<String> = next.iter().map(|next| format!("nor=\"{next}\"")).collect();
    node.request(Method::GET, path)
        .header("cmcd-request", next.join(","))
        .send()
        .await
        .unwrap()
}

#[tokio::test]
async fn the_segments_that_follow_are_there_before_they_are_asked_for() {
    let world = world().await;
    let node = world.node_with("los1", ON).await;
    get(&node, &world.media_path(Global, "v360/1.m4s")).await;
    wait_stored(&node, 2.0).await;
    assert_eq!(asked(&world, "v360/4.m4s"), 0, "two, and no more");
    let second = get(&node, &world.media_path(Global, "v360/2.m4s")).await;
    assert!(cache_status(&second).starts_with("los1; hit; ttl="));
    assert_eq!(second.text().await.unwrap(), "v360/2.m4s");
    wait_stored(&node, 3.0).await;
    get(&node, &world.media_path(Global, "v360/2.m4s")).await;
    for rest in ["v360/1.m4s", "v360/2.m4s", "v360/3.m4s", "v360/4.m4s"] {
        assert_eq!(asked(&world, rest), 1, "{rest}");
    }
    // Of those fetched ahead, one was asked for, however often.
    let used = node.metric("mcsp_edge_prefetch_used_total", &[]).await;
    assert_eq!(used, 1.0);
    let seen = world.origin.seen();
    let ahead = seen.iter().find(|seen| seen.path.ends_with("3.m4s"));
    assert!(
        ahead.unwrap().headers.contains_key("traceparent"),
        "it is part of the trace that caused it"
    );
}

#[tokio::test]
async fn the_player_says_what_comes_next_but_not_what_it_may_have() {
    let world = world().await;
    let node = world.node_with("los1", ON).await;
    let mut grant = world.grant(Global);
    grant.limits.max_height = 480;
    let path = |rest: &str| format!("/media/{}/global/{CONTENT}/{rest}", world.sign(&grant));
    // Above what its grant allows; another residency; what no viewer gets; and one that it may have.
    let told = [
        "..%2Fv720%2F2.m4s",
        &format!("..%2F..%2F..%2Fng%2F{CONTENT}%2Fv360%2F2.m4s"),
        "..%2Fsource%2Foriginal",
        "5.m4s",
    ];
    telling(&node, &path("v360/1.m4s"), &told).await;
    wait_held(&node, "v360/5.m4s").await;
    let mut seen: Vec<String> = world.origin.seen().into_iter().map(|s| s.path).collect();
    seen.sort();
    let wanted = ["v360/1.m4s", "v360/5.m4s"].map(|rest| origin_path(Global, rest));
    assert_eq!(seen, wanted, "in place of what follows by number");
    // In the query, by one who may have it.
    let path = world.media_path(Global, "v360/1.m4s");
    get(
        &node,
        &format!("{path}?CMCD=nor%3D%22..%252Fv720%252F2.m4s%22"),
    )
    .await;
    wait_held(&node, "v720/2.m4s").await;
}

#[tokio::test]
async fn a_playlist_that_was_fetched_tells_where_players_begin() {
    let world = world().await;
    let node = world.node_with("los1", ON).await;
    let playlist = "#EXTM3U\n#EXT-X-MAP:URI=\"init.mp4\"\n#EXTINF:4,\n5.m4s\n#EXTINF:4,\n6.m4s\n\
                    #EXTINF:4,\n7.m4s\n#EXT-X-ENDLIST\n";
    serve(&world, "v360/index.m3u8", Serve::ok(playlist));
    serve(&world, "v360/init.mp4", Serve::ok("init"));
    get(&node, &world.media_path(Global, "v360/index.m3u8")).await;
    for rest in ["v360/init.mp4", "v360/5.m4s", "v360/6.m4s"] {
        wait_held(&node, rest).await;
    }
    assert_eq!(asked(&world, "v360/7.m4s"), 0);
}

#[tokio::test]
async fn viewers_go_first_and_what_was_purged_meanwhile_is_not_fetched() {
    let world = world().await;
    let extra = format!("{ON}viewer_fetches_max = 1\n");
    let node = world.node_with("los1", &extra).await;
    let gate = Arc::new(Notify::new());
    serve(&world, "v360/1.m4s", Serve::ok("of a viewer").gated(&gate));
    let mut first = get(&node, &world.media_path(Global, "v360/1.m4s")).await;
    first.chunk().await.unwrap().unwrap();
    let waiting = async || node.metric("mcsp_edge_prefetch_waiting", &[]).await;
    wait_for("offers", || async { waiting().await == 2.0 }).await;
    let key = origin_path(Global, "v360/2.m4s");
    let sequence = world.origin.feed.purge(Target::Prefix(key), false);
    world.origin.feed.wait_acknowledged(sequence).await;
    assert_eq!(waiting().await, 2.0);
    assert_eq!(world.origin.seen().len(), 1, "the viewer's alone");
    gate.notify_one();
    wait_held(&node, "v360/3.m4s").await;
    node.counts("mcsp_edge_prefetch_waiting", &[], 0.0).await;
    assert_eq!(asked(&world, "v360/2.m4s"), 0);
    node.counts("mcsp_edge_prefetch_done_total", &["\"unwanted\""], 1.0)
        .await;
}

#[tokio::test]
async fn a_viewer_who_comes_meanwhile_reads_what_is_being_fetched_ahead() {
    let world = world().await;
    let node = world.node_with("los1", ON).await;
    let gate = Arc::new(Notify::new());
    let answer = Serve::ok("fetched ahead").gated(&gate);
    serve(&world, "v360/2.m4s", answer);
    get(&node, &world.media_path(Global, "v360/1.m4s")).await;
    let name = origin_path(Global, "v360/2.m4s");
    wait_for("a fill", || async { node.state(&name).await == "filling" }).await;
    let mut viewer = get(&node, &world.media_path(Global, "v360/2.m4s")).await;
    assert!(cache_status(&viewer).contains("collapsed"));
    let begun = viewer.chunk().await.unwrap().unwrap();
    gate.notify_one();
    let rest = viewer.bytes().await.unwrap();
    assert_eq!([begun, rest].concat(), b"fetched ahead");
    assert_eq!(asked(&world, "v360/2.m4s"), 1);
}

const CONTROL: [(&str, &str); 1] = [("cache-control", "max-age=600")];

/// Two plain origins that say what they were asked.
#[tokio::test]
async fn on_a_plain_route_only_what_the_player_says_and_the_route_has_is_fetched() {
    type Asked = Arc<Mutex<Vec<String>>>;
    async fn origin(asked: &Asked) -> std::net::SocketAddr {
        let answer = |State(asked): State<Asked>, uri: Uri| async move {
            asked.lock().push(uri.to_string());
            ([("cache-control", "max-age=600")], uri.to_string())
        };
        let router = Router::new().fallback(answer).with_state(Arc::clone(asked));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await });
        address
    }
    let (live, other) = (Asked::default(), Asked::default());
    let dir = tempfile::tempdir().unwrap();
    let text = format!(
        "state_dir = \"{}\"\n[admin]\naddress = \"127.0.0.1:0\"\n\
         [[listener]]\naddress = \"127.0.0.1:0\"\ntls = false\n{ON}\
         [[route]]\nname = \"live\"\nupstream = \"http://{}\"\n\
         [[route]]\nname = \"other\"\npath_prefix = \"/other\"\nupstream = \"http://{}\"\n",
        dir.path().join("edge-state").display(),
        origin(&live).await,
        origin(&other).await,
    );
    let node = Node::start_from(dir.path(), "edge", &text).await;
    node.wait_ready().await;
    // Another route's; another origin's; and one of its own, with a query.
    let told = [
        "%2Fother%2F1.ts",
        "https:%2F%2Fother.test%2F1.ts",
        "9.ts?q=1",
    ];
    telling(&node, "/a/1.ts", &told).await;
    wait_stored(&node, 1.0).await;
    assert_eq!(*live.lock(), ["/a/1.ts", "/a/9.ts?q=1"]);
    assert!(other.lock().is_empty());
    // Numbers are not counted on where nothing is known of the names.
    let next = get(&node, "/a/9.ts?q=1").await;
    assert!(cache_status(&next).contains("; hit"));
    let offered = node.metric("mcsp_edge_prefetch_offered_total", &[]).await;
    assert_eq!(offered, 1.0);
}

/// Names without numbers, that only the playlist puts in order.
#[tokio::test]
async fn on_a_plain_route_playlists_say_what_follows_what() {
    const PLAYLIST: &str = "#EXTM3U\n#EXTINF:4,\nx.ts\n#EXTINF:4,\nb.ts\n#EXTINF:4,\nq.ts\n#EXTINF:4,\n/else/e.ts\n\
                            #EXTINF:4,\nc.ts\n#EXT-X-ENDLIST\n";
    let origin = Router::new()
        .route("/live/v.m3u8", get_route(|| async { (CONTROL, PLAYLIST) }))
        .fallback(|uri: Uri| async move { (CONTROL, uri.to_string()) });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, origin).await });
    let dir = tempfile::tempdir().unwrap();
    let text = format!(
        "state_dir = \"{}\"\n[admin]\naddress = \"127.0.0.1:0\"\n\
         [[listener]]\naddress = \"127.0.0.1:0\"\ntls = false\n{ON}\
         [[route]]\nname = \"live\"\npath_prefix = \"/live\"\nupstream = \"http://{address}\"\n",
        dir.path().join("edge-state").display(),
    );
    let node = Node::start_from(dir.path(), "edge", &text).await;
    node.wait_ready().await;
    let held = async |name: &str| {
        let key = format!("http://{}/live/{name}", node.plain);
        wait_for(name, || async { node.state(&key).await == "fresh" }).await;
    };
    get(&node, "/live/v.m3u8").await.bytes().await.unwrap();
    held("x.ts").await;
    held("b.ts").await;
    let absent = format!("http://{}/live/q.ts", node.plain);
    assert_eq!(node.state(&absent).await, "absent");
    // What leads out of the route is left out, and is none of those that follow.
    let second = get(&node, "/live/b.ts").await;
    assert!(cache_status(&second).contains("; hit"));
    held("q.ts").await;
    held("c.ts").await;
    wait_stored(&node, 4.0).await;
}
