//! Plain routes: an old origin behind a node that has no region, no identity and no feed.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use reqwest::Method;
use tokio::net::TcpListener;

use crate::harness::{Node, cache_status, header, wait_for};

const LARGE_BYTES: usize = 2 << 20;

/// An origin that counts what reaches it.
#[derive(Clone, Default)]
struct Old {
    asked: Arc<AtomicUsize>,
}

impl Old {
    async fn start(&self) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().fallback(answer).with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        address
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

fn large() -> Vec<u8> {
    (0..LARGE_BYTES).map(|n| (n % 251) as u8).collect()
}

async fn answer(State(old): State<Old>, request: Request) -> Response {
    old.asked.fetch_add(1, Ordering::SeqCst);
    let (parts, _) = request.into_parts();
    let response = Response::builder().header("cache-control", "max-age=600");
    match parts.uri.path() {
        "/large" => part_of_large(&parts.headers),
        "/language" => {
            let language = parts.headers.get("accept-language").cloned();
            let body = format!("{language:?}");
            response
                .header("vary", "Accept-Language")
                .body(Body::from(body))
                .unwrap()
        }
        "/private" => Response::builder()
            .header("cache-control", "private")
            .body(Body::from("yours"))
            .unwrap(),
        // What it changed, in another way of writing `/a`.
        "/changes-a" => response
            .header("location", "/x/../%61#there")
            .body(Body::empty())
            .unwrap(),
        path => response.body(Body::from(path.to_owned())).unwrap(),
    }
}

/// Answers one range, as an origin that knows ranges does.
fn part_of_large(headers: &HeaderMap) -> Response {
    let response = Response::builder()
        .header("cache-control", "max-age=600")
        .header("etag", "\"l\"");
    let body = large();
    let range = headers
        .get("range")
        .and_then(|range| range.to_str().ok()?.strip_prefix("bytes=")?.split_once('-'));
    let Some((first, last)) = range else {
        return response.body(Body::from(body)).unwrap();
    };
    let first: usize = first.parse().unwrap();
    let last = last.parse().unwrap_or(usize::MAX).min(body.len() - 1);
    response
        .status(StatusCode::PARTIAL_CONTENT)
        .header(
            "content-range",
            format!("bytes {first}-{last}/{}", body.len()),
        )
        .body(Body::from(body[first..=last].to_vec()))
        .unwrap()
}

async fn node(old: &Old) -> (Node, tempfile::TempDir) {
    let dir = tempfile::TempDir::new().unwrap();
    let state = dir.path().join("edge-state");
    let text = format!(
        "state_dir = \"{}\"\nworker_threads = 2\n[admin]\naddress = \"127.0.0.1:0\"\n\
         [[listener]]\naddress = \"127.0.0.1:0\"\ntls = false\n\
         [[route]]\nname = \"old\"\nupstream = \"http://{}\"\n",
        state.display(),
        old.start().await,
    );
    let node = Node::start_from(dir.path(), "edge", &text).await;
    node.wait_ready().await;
    (node, dir)
}

/// Waits until the answer to `path` is stored.
async fn stored(node: &Node, path: &str) {
    let key = format!("http://{}{path}", node.plain);
    wait_for("the object", || async { node.state(&key).await == "fresh" }).await;
}

#[tokio::test]
async fn a_short_file_is_a_node_before_an_old_origin() {
    let old = Old::default();
    let (node, _dir) = node(&old).await;
    let get = |path: &'static str| node.request(Method::GET, path).send();
    let first = get("/a?x=1").await.unwrap();
    assert_eq!(
        cache_status(&first),
        "edge; fwd=uri-miss; fwd-status=200; stored"
    );
    stored(&node, "/a?x=1").await;
    let second = get("/a?x=1").await.unwrap();
    assert!(cache_status(&second).starts_with("edge; hit; ttl="));
    let age: u32 = header(second.headers(), "age").unwrap().parse().unwrap();
    assert!(age < 300, "{age}");
    assert_eq!(second.text().await.unwrap(), "/a");
    assert_eq!(old.asked(), 1);
    // Another query is another object; what is one client's own is not kept; MCSP's own paths are the origin's here.
    get("/a?x=2").await.unwrap();
    for _ in 0..2 {
        let own = get("/private").await.unwrap();
        assert!(cache_status(&own).ends_with("detail=private"));
    }
    assert_eq!(get("/api/v1/users/me").await.unwrap().status(), 200);
    assert_eq!(old.asked(), 5);
}

#[tokio::test]
async fn an_unsafe_method_takes_the_answer_out() {
    let old = Old::default();
    let (node, _dir) = node(&old).await;
    let ask = |method: Method| node.request(method, "/a").send();
    ask(Method::GET).await.unwrap();
    stored(&node, "/a").await;
    ask(Method::GET).await.unwrap();
    assert_eq!(old.asked(), 1);
    assert_eq!(ask(Method::PUT).await.unwrap().status(), 200);
    let again = ask(Method::GET).await.unwrap();
    assert!(cache_status(&again).contains("fwd=uri-miss"));
    assert_eq!(old.asked(), 3);
}

#[tokio::test]
async fn an_answer_takes_out_what_it_says_that_its_request_changed_however_it_writes_it() {
    let old = Old::default();
    let (node, _dir) = node(&old).await;
    let ask = |method: Method, path: &'static str| node.request(method, path).send();
    for path in ["/a", "/b"] {
        ask(Method::GET, path).await.unwrap();
        stored(&node, path).await;
    }
    ask(Method::POST, "/changes-a").await.unwrap();
    let a = ask(Method::GET, "/a").await.unwrap();
    assert!(cache_status(&a).contains("fwd=uri-miss"));
    let b = ask(Method::GET, "/b").await.unwrap();
    assert!(cache_status(&b).contains("hit"));
}

#[tokio::test]
async fn clients_get_the_variant_that_they_ask_for() {
    let old = Old::default();
    let (node, _dir) = node(&old).await;
    let ask = async |language: &'static str| {
        let request = node.request(Method::GET, "/language");
        let response = request.header("accept-language", language).send().await;
        response.unwrap().text().await.unwrap()
    };
    let yoruba = ask("yo").await;
    let hausa = ask("ha, en").await;
    assert!(yoruba.contains("yo") && hausa.contains("ha"));
    assert_eq!(ask("yo").await, yoruba);
    assert_eq!(ask("en,HA").await, hausa, "order and case do not matter");
    assert_eq!(old.asked(), 2);
}

#[tokio::test]
async fn a_range_far_into_a_cold_object_is_asked_for_by_itself_and_the_rest_when_it_is_wanted() {
    let old = Old::default();
    let (node, _dir) = node(&old).await;
    let wanted = large();
    let range = async |range: &'static str| {
        let request = node.request(Method::GET, "/large").header("range", range);
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 206);
        response.bytes().await.unwrap()
    };
    assert_eq!(
        range("bytes=1000000-1000009").await,
        &wanted[1_000_000..1_000_010]
    );
    assert_eq!(old.asked(), 1);
    let key = format!("http://{}/large", node.plain);
    wait_for("one slice, and no more", || async {
        node.inspect(&key).await["variants"][0]["held_bytes"] == 256 << 10
    })
    .await;
    assert_eq!(
        range("bytes=900000-900004").await,
        &wanted[900_000..900_005]
    );
    assert_eq!(old.asked(), 1, "it is in the same slice");
    let whole = node.request(Method::GET, "/large").send().await.unwrap();
    assert_eq!(whole.status(), 200);
    assert_eq!(whole.bytes().await.unwrap(), wanted);
    stored(&node, "/large").await;
    let asked = old.asked();
    assert!(asked <= 3, "what is missing on either side: {asked}");
    let again = node.request(Method::GET, "/large").send().await.unwrap();
    assert!(cache_status(&again).contains("; hit; "));
    assert_eq!(again.bytes().await.unwrap(), wanted);
    assert_eq!(old.asked(), asked);
}

#[tokio::test]
async fn only_what_is_cached_is_given_to_who_asks_for_no_more() {
    let old = Old::default();
    let (node, _dir) = node(&old).await;
    let ask = || {
        let request = node.request(Method::GET, "/a");
        request.header("cache-control", "only-if-cached").send()
    };
    assert_eq!(ask().await.unwrap().status(), 504);
    assert_eq!(old.asked(), 0);
    node.request(Method::GET, "/a").send().await.unwrap();
    stored(&node, "/a").await;
    assert_eq!(ask().await.unwrap().status(), 200);
}
