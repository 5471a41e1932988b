//! Plain routes: what one client says or gets must not become what others get.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use reqwest::Method;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::harness::{Node, cache_status, header, wait_for};

/// An origin whose state changes by `PUT`.
struct Shop {
    version: AtomicUsize,
    posts: AtomicUsize,
    gate: Semaphore,
}

async fn start(shop: Arc<Shop>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new().fallback(answer).with_state(shop);
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

async fn answer(State(shop): State<Arc<Shop>>, request: Request) -> Response {
    let said = |name: &str| request.headers().get(name).cloned();
    let path = request.uri().path().to_owned();
    let version = shop.version.load(Ordering::SeqCst);
    let response = Response::builder().header("cache-control", "max-age=600");
    if request.method() == Method::PUT {
        shop.version.fetch_add(1, Ordering::SeqCst);
        return response.status(204).body(Body::empty()).unwrap();
    }
    if request.method() == Method::POST {
        shop.posts.fetch_add(1, Ordering::SeqCst);
        shop.gate.acquire().await.unwrap().forget();
        let response = response.header("content-location", path);
        return response.body(Body::from(version.to_string())).unwrap();
    }
    match path.as_str() {
        "/origin" => response
            .header("vary", "Origin")
            .body(Body::from(format!("{:?}", said("origin")))),
        "/session" => Response::builder()
            .header("last-modified", "Mon, 01 Jan 2024 00:00:00 GMT")
            .header("set-cookie", format!("session={version}"))
            .body(Body::empty()),
        "/fields" => Response::builder()
            .header("cache-control", "max-age=600, no-cache=\"x-once\"")
            .header("x-once", "1")
            .body(Body::empty()),
        "/broken" => Response::builder()
            .header("cache-control", "private")
            .header("content-length", "5")
            .body(Body::from_stream(futures::stream::once(async {
                Err::<String, _>(std::io::Error::other("gone"))
            }))),
        _ => response.body(Body::from(version.to_string())),
    }
    .unwrap()
}

async fn node() -> (Node, Arc<Shop>, tempfile::TempDir) {
    let shop = Arc::new(Shop {
        version: AtomicUsize::new(1),
        posts: AtomicUsize::new(0),
        gate: Semaphore::new(0),
    });
    let dir = tempfile::TempDir::new().unwrap();
    let state = dir.path().join("edge-state");
    let text = format!(
        "state_dir = \"{}\"\nworker_threads = 2\n[admin]\naddress = \"127.0.0.1:0\"\n\
         [[listener]]\naddress = \"127.0.0.1:0\"\ntls = false\n\
         [[route]]\nname = \"shop\"\nupstream = \"http://{}\"\n",
        state.display(),
        start(Arc::clone(&shop)).await,
    );
    let node = Node::start_from(dir.path(), "edge", &text).await;
    node.wait_ready().await;
    (node, shop, dir)
}

#[tokio::test]
async fn what_a_connection_takes_out_of_a_request_selects_nothing() {
    let (node, _shop, _dir) = node().await;
    let ask = async |connection: bool| {
        let request = node.request(Method::GET, "/origin");
        let request = request.header("origin", "https://good");
        let request = if connection {
            request.header("connection", "origin")
        } else {
            request
        };
        request.send().await.unwrap().text().await.unwrap()
    };
    assert_eq!(ask(true).await, "None");
    assert_eq!(ask(false).await, "Some(\"https://good\")");
}

#[tokio::test]
async fn an_answer_to_a_post_is_not_kept_that_a_later_act_made_out_of_date() {
    let (node, shop, _dir) = node().await;
    let get = || node.request(Method::GET, "/cart").send();
    let post = tokio::spawn(node.request(Method::POST, "/cart").send());
    wait_for("the origin", || async {
        shop.posts.load(Ordering::SeqCst) == 1
    })
    .await;
    let put = node.request(Method::PUT, "/cart").send().await.unwrap();
    assert_eq!(put.status(), 204);
    shop.gate.add_permits(2);
    assert_eq!(post.await.unwrap().unwrap().text().await.unwrap(), "1");
    assert_eq!(get().await.unwrap().text().await.unwrap(), "2");
    // One that nothing came in between is.
    let post = node.request(Method::POST, "/kept").send().await.unwrap();
    assert_eq!(post.text().await.unwrap(), "2");
    let kept = node.request(Method::GET, "/kept").send().await.unwrap();
    assert!(cache_status(&kept).contains("; hit"), "{kept:?}");
}

#[tokio::test]
async fn sessions_are_not_shared_where_the_origin_does_not_say_so() {
    let (node, _shop, _dir) = node().await;
    for _ in 0..2 {
        let own = node.request(Method::GET, "/session").send().await.unwrap();
        assert_eq!(header(own.headers(), "set-cookie"), Some("session=1"));
        assert!(cache_status(&own).ends_with("detail=set-cookie"));
    }
}

#[tokio::test]
async fn fields_that_are_not_kept_reach_who_asked_for_them() {
    let (node, _shop, _dir) = node().await;
    for once in [Some("1"), None] {
        let answer = node.request(Method::GET, "/fields").send().await.unwrap();
        assert_eq!(header(answer.headers(), "x-once"), once);
    }
}

#[tokio::test]
async fn a_host_with_more_in_it_is_refused() {
    let (node, _shop, _dir) = node().await;
    let answer = node
        .raw("GET /x HTTP/1.1\r\nHost: victim.example/static\r\nConnection: close\r\n\r\n")
        .await;
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
}

#[tokio::test]
async fn an_answer_that_breaks_off_before_its_body_is_a_502() {
    let (node, _shop, _dir) = node().await;
    let answer = node.request(Method::GET, "/broken").send().await.unwrap();
    assert_eq!(answer.status(), 502);
}
