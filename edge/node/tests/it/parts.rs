//! Ranges of a response that is not held, of an origin without strong validators, while others want other parts of it.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use bytes::Bytes;
use futures::StreamExt as _;
use reqwest::Method;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::harness::Node;

const TOTAL_BYTES: usize = 4 << 20;
/// What comes of a part before the gate opens.
const AT_ONCE_BYTES: usize = 300 << 10;

fn body() -> Bytes {
    (0..TOTAL_BYTES).map(|n| (n % 251) as u8).collect()
}

async fn start(gate: Arc<Semaphore>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new().fallback(answer).with_state(gate);
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

/// Wholes come at once; parts that begin later than the first slice wait for the gate in the middle.
async fn answer(State(gate): State<Arc<Semaphore>>, request: Request) -> Response {
    let response = Response::builder()
        .header("cache-control", "max-age=600")
        .header("last-modified", "Mon, 01 Jan 2024 00:00:00 GMT");
    let range = request
        .headers()
        .get("range")
        .and_then(|range| range.to_str().ok()?.strip_prefix("bytes=")?.split_once('-'));
    let Some((first, last)) = range else {
        return response.body(Body::from(body())).unwrap();
    };
    let first: usize = first.parse().unwrap();
    let last = last.parse().unwrap_or(usize::MAX).min(TOTAL_BYTES - 1);
    let part = body().slice(first..=last);
    let response = response
        .status(StatusCode::PARTIAL_CONTENT)
        .header(
            "content-range",
            format!("bytes {first}-{last}/{TOTAL_BYTES}"),
        )
        .header("content-length", part.len());
    let (now, later) = (
        part.slice(..AT_ONCE_BYTES.min(part.len())),
        part.slice(AT_ONCE_BYTES.min(part.len())..),
    );
    let rest = futures::stream::once(async move {
        if !later.is_empty() {
            let _ = gate.acquire().await;
        }
        Ok::<_, std::io::Error>(later)
    });
    let stream = futures::stream::iter([Ok(now)]).chain(rest);
    response.body(Body::from_stream(stream)).unwrap()
}

#[tokio::test]
async fn what_others_fetch_of_a_body_is_not_taken_for_what_a_client_needs() {
    let gate = Arc::new(Semaphore::new(0));
    let dir = tempfile::TempDir::new().unwrap();
    let text = format!(
        "state_dir = \"{}\"\nworker_threads = 2\n[admin]\naddress = \"127.0.0.1:0\"\n\
         [[listener]]\naddress = \"127.0.0.1:0\"\ntls = false\n\
         [[route]]\nname = \"old\"\nupstream = \"http://{}\"\n",
        dir.path().join("edge-state").display(),
        start(Arc::clone(&gate)).await,
    );
    let node = Node::start_from(dir.path(), "edge", &text).await;
    node.wait_ready().await;
    let get = |range: Option<&'static str>| {
        let request = node.request(Method::GET, "/film");
        match range {
            Some(range) => request.header("range", range),
            None => request,
        }
    };
    // Its head is here when its first byte is: the slice is under way, and stays so until the gate opens.
    let slow = get(Some("bytes=1000000-1500000")).send().await.unwrap();
    assert_eq!(slow.status(), 206);
    let beginning = get(Some("bytes=0-99")).send().await.unwrap();
    assert_eq!(beginning.bytes().await.unwrap(), body().slice(..100));
    let whole = get(None).send().await.unwrap();
    assert_eq!(whole.status(), 200);
    assert!(
        whole.bytes().await.unwrap() == body(),
        "the whole is not whole"
    );
    let later = get(Some("bytes=3000000-3000009")).send().await.unwrap();
    assert_eq!(
        later.bytes().await.unwrap(),
        body().slice(3_000_000..3_000_010)
    );
    gate.close();
    let slow = slow.bytes().await.unwrap();
    assert!(
        slow == body().slice(1_000_000..1_500_001),
        "the part is another"
    );
}

#[tokio::test]
async fn clients_of_other_parts_that_wait_for_one_head_each_get_theirs() {
    let gate = Arc::new(Semaphore::new(0));
    gate.close();
    let dir = tempfile::TempDir::new().unwrap();
    let text = format!(
        "state_dir = \"{}\"\nworker_threads = 2\n[admin]\naddress = \"127.0.0.1:0\"\n\
         [[listener]]\naddress = \"127.0.0.1:0\"\ntls = false\n\
         [[route]]\nname = \"old\"\nupstream = \"http://{}\"\n",
        dir.path().join("edge-state").display(),
        start(gate).await,
    );
    let node = Node::start_from(dir.path(), "edge", &text).await;
    node.wait_ready().await;
    let ask = |first: usize| {
        let last = first + 99_999;
        let request = node
            .request(Method::GET, "/film")
            .header("range", format!("bytes={first}-{last}"));
        async move {
            let answer = request.send().await.unwrap();
            let status = answer.status();
            (first, status, answer.bytes().await.unwrap())
        }
    };
    let asked = (0..8).map(|n| ask(n * 500_000));
    for (first, status, got) in futures::future::join_all(asked).await {
        let wanted = match status.as_u16() {
            206 => body().slice(first..first + 100_000),
            _ => body(),
        };
        assert!(got == wanted, "{first}: {} bytes", got.len());
    }
}
