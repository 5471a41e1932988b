//! Plain routes: what of a message reaches the other side, and what an origin says beside its answers.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::harness::{Node, RawOrigin, wait_for, within};

/// Sends a request on a connection of its own; all that comes back.
fn send(node: &Node, request: &str) -> JoinHandle<String> {
    let (address, request) = (node.plain, request.to_owned());
    tokio::spawn(async move {
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let read = client.read_to_end(&mut answer);
        within("an answer", read).await.unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    })
}

fn get(path: &str, fields: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{fields}\r\n")
}

fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or_default()
}

/// RFC 9112 section 3.2.2, for requests that are kept and such that pingora carries.
#[tokio::test]
async fn the_authority_of_a_target_is_the_host() {
    let mut origin = RawOrigin::start().await;
    let (node, _dir) = origin.node("").await;
    for method in ["GET", "POST"] {
        let request = format!(
            "{method} http://b.example:80/p HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
        );
        let answer = send(&node, &request);
        let asked = origin.asked().await;
        assert!(asked.head.starts_with(&format!("{method} /p HTTP/1.1\r\n")));
        assert_eq!(asked.field("host"), ["b.example:80"], "{}", asked.head);
        asked.answer("", "").await;
        assert_eq!(status(&answer.await.unwrap()), "200");
    }
}

#[tokio::test]
async fn what_is_of_one_connection_and_what_could_be_taken_for_ours_goes_no_further() {
    let mut origin = RawOrigin::start().await;
    let (node, _dir) = origin.node("").await;
    for method in ["GET", "HEAD", "POST", "DELETE"] {
        let request = format!(
            "{method} /p HTTP/1.1\r\nHost: a\r\nConnection: close, x-listed\r\nX-Listed: 1\r\nKeep-Alive: 1\r\n\
             TE: trailers\r\nX_Forwarded_For: 1\r\nX-Other: 1\r\nVia: 1.0 before\r\n\r\n"
        );
        let answer = send(&node, &request);
        let asked = origin.asked().await;
        for name in ["x-listed", "keep-alive", "te", "x_forwarded_for"] {
            assert!(
                asked.field(name).is_empty(),
                "{method} {name}: {}",
                asked.head
            );
        }
        assert_eq!(asked.field("x-other"), ["1"], "{method}");
        assert_eq!(
            asked.field("via").join(", "),
            "1.0 before, 1.1 mcsp-edge",
            "{method}"
        );
        let fields = "X-Hop: 1\r\nKeep-Alive: 1\r\nX-Whole: 1\r\n";
        asked
            .answer(&format!("{fields}Connection: x-hop\r\n"), "")
            .await;
        let answer = answer.await.unwrap().to_ascii_lowercase();
        assert!(answer.contains("x-whole: 1"), "{method}: {answer}");
        for name in ["x-hop", "keep-alive"] {
            assert!(!answer.contains(&format!("{name}:")), "{method}: {answer}");
        }
    }
}

#[tokio::test]
async fn a_body_that_is_badly_framed_is_the_clients_fault() {
    let mut origin = RawOrigin::start().await;
    let (node, _dir) = origin.node("").await;
    let request =
        "POST /p HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nZZ\r\n";
    let answer = send(&node, request);
    let asked = origin.asked().await;
    let answer = answer.await.unwrap();
    assert_eq!(status(&answer), "400", "{answer}");
    asked.given_up().await;
}

#[tokio::test]
async fn fields_with_underscores_reach_an_origin_that_takes_them_and_select_its_answers() {
    let mut origin = RawOrigin::start().await;
    let (node, _dir) = origin.node("underscored_fields = true\n").await;
    for tenant in ["1", "2"] {
        let answer = send(&node, &get("/p", &format!("x_tenant: {tenant}\r\n")));
        let asked = origin.asked().await;
        assert_eq!(asked.field("x_tenant"), [tenant]);
        let fields = "Cache-Control: max-age=60\r\nVary: x_tenant\r\n";
        asked.answer(fields, tenant).await;
        assert!(answer.await.unwrap().ends_with(tenant));
    }
}

#[tokio::test]
async fn hints_before_an_answer_reach_the_client() {
    let mut origin = RawOrigin::start().await;
    let (node, _dir) = origin.node("").await;
    for method in ["GET", "POST"] {
        for version in ["1.1", "1.0"] {
            let request = format!(
                "{method} /{method}/{version} HTTP/{version}\r\nHost: a\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
            );
            let answer = send(&node, &request);
            let mut asked = origin.asked().await;
            asked
                .write("HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n")
                .await;
            asked.answer("", "end").await;
            let answer = answer.await.unwrap();
            let hints = answer.contains("103 Early Hints\r\n");
            // RFC 9110 section 15.2: HTTP/1.0 has none.
            assert_eq!(hints, version == "1.1", "{method} {version}: {answer}");
            assert!(answer.ends_with("\r\n\r\nend"), "{answer}");
        }
    }
}

#[tokio::test]
async fn a_part_that_nobody_asked_for_is_no_answer() {
    let mut origin = RawOrigin::start().await;
    let (node, _dir) = origin.node("").await;
    let part = "HTTP/1.1 206 Partial Content\r\nCache-Control: max-age=60\r\nContent-Range: bytes 0-2/9\r\n\
                Content-Length: 3\r\n\r\nabc";
    let answer = send(&node, &get("/a", ""));
    // One address, and no other to try.
    origin.asked().await.write(part).await;
    let answer = answer.await.unwrap();
    assert_eq!(status(&answer), "502", "{answer}");
    // A range said of what is whole means nothing (RFC 9110 section 14.4), and no part of that can be told from it.
    let answer = send(&node, &get("/b", ""));
    let fields = "Cache-Control: max-age=60\r\nContent-Range: bytes 0-4/5\r\n";
    origin.asked().await.answer(fields, "0123456789").await;
    answer.await.unwrap();
    wait_for("the object", || async {
        node.state("http://a/b").await == "fresh"
    })
    .await;
    let whole = send(&node, &get("/b", "Range: bytes=2-3\r\n"))
        .await
        .unwrap();
    assert_eq!(status(&whole), "200", "{whole}");
    assert!(whole.ends_with("\r\n\r\n0123456789"), "{whole}");
}

#[tokio::test]
async fn clients_that_take_the_same_codings_share_an_answer_whatever_else_they_list() {
    let mut origin = RawOrigin::start().await;
    let (node, _dir) = origin.node("").await;
    let first = send(
        &node,
        &get("/a", "Accept-Encoding: gzip;q=0.8, deflate, br\r\n"),
    );
    let asked = origin.asked().await;
    assert_eq!(asked.field("accept-encoding"), ["br,gzip;q=0.9"]);
    let fields = "Cache-Control: max-age=60\r\nVary: Accept-Encoding\r\nContent-Encoding: br\r\n";
    asked.answer(fields, "br").await;
    first.await.unwrap();
    for n in 0..64 {
        let list = format!(
            "Accept-Encoding: x-{n}, GZIP;q=0.{}, br, sdch;q=0.1\r\n",
            n + 10
        );
        let answer = send(&node, &get("/a", &list)).await.unwrap();
        assert!(answer.contains("; hit; "), "{answer}");
    }
    let other = send(&node, &get("/a", "Accept-Encoding: gzip\r\n"));
    origin
        .asked()
        .await
        .answer("Vary: Accept-Encoding\r\n", "")
        .await;
    other.await.unwrap();
    assert!(origin.is_idle());
}

/// RFC 9111 section 4.3.5.
#[tokio::test]
async fn the_answer_to_a_head_says_what_the_stored_one_is_worth() {
    let mut origin = RawOrigin::start().await;
    let (node, _dir) = origin.node("client_directives = true\n").await;
    let head = |fields: &str| get("/a", fields).replace("GET", "HEAD");
    let stored = send(&node, &get("/a", ""));
    let lifetime = |seconds: u32, etag: u32| {
        format!("Cache-Control: max-age={seconds}\r\nETag: \"{etag}\"\r\n")
    };
    origin.asked().await.answer(&lifetime(0, 1), "body").await;
    stored.await.unwrap();
    wait_for("the object", || async {
        node.state("http://a/a").await == "stale"
    })
    .await;
    // The same: it is as good as new.
    let asks = send(&node, &head(""));
    let mut asked = origin.asked().await;
    assert!(asked.head.starts_with("HEAD "));
    let said = lifetime(60, 1);
    asked
        .write(&format!(
            "HTTP/1.1 200 OK\r\n{said}Content-Length: 4\r\n\r\n"
        ))
        .await;
    drop(asked);
    assert_eq!(status(&asks.await.unwrap()), "200");
    let hit = send(&node, &get("/a", "")).await.unwrap();
    assert!(
        hit.contains("; hit; ") && hit.ends_with("\r\n\r\nbody"),
        "{hit}"
    );
    // Another: it is of no use any more, though its time has not come.
    let asks = send(&node, &head("Cache-Control: no-cache\r\n"));
    let mut asked = origin.asked().await;
    let said = lifetime(60, 2);
    asked
        .write(&format!(
            "HTTP/1.1 200 OK\r\n{said}Content-Length: 4\r\n\r\n"
        ))
        .await;
    drop(asked);
    asks.await.unwrap();
    let newer = send(&node, &get("/a", ""));
    let asked = origin.asked().await;
    assert_eq!(asked.field("if-none-match"), ["\"1\""]);
    asked.answer(&lifetime(60, 2), "news").await;
    assert!(newer.await.unwrap().ends_with("\r\n\r\nnews"));
}
