//! What is no request is refused by a running node, counted by what is wrong with it, and leaves nothing in the cache.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::harness::{Node, RawOrigin, wait_for, within};

/// What comes back until the node ends the connection, which it may before it has read all.
async fn send(node: &Node, request: &str) -> String {
    let mut stream = TcpStream::connect(node.plain).await.unwrap();
    let _ = stream.write_all(request.as_bytes()).await;
    let mut answer = Vec::new();
    let _ = within("an end", stream.read_to_end(&mut answer)).await;
    String::from_utf8_lossy(&answer).into_owned()
}

async fn counted(node: &Node, reason: &str) -> f64 {
    let label = format!("reason=\"{reason}\"");
    node.metric("mcsp_edge_h1_refused_total", &[&label]).await
}

#[tokio::test]
async fn each_form_is_counted_by_what_is_wrong_and_nothing_is_kept() {
    let mut origin = RawOrigin::start().await;
    let (node, _dir) = origin.node("").await;
    let long = "x".repeat(64 << 10);
    let many = "X-A: b\r\n".repeat(1_000);
    let forms = [
        // CL.TE and TE.CL.
        (
            "length_and_coding",
            "POST",
            "Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nG",
        ),
        (
            "length_and_coding",
            "POST",
            "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n8\r\nSMUGGLED\r\n0\r\n\r\n",
        ),
        (
            "content_length_repeated",
            "POST",
            "Content-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        ),
        ("content_length", "POST", "Content-Length: +2\r\n\r\nab"),
        ("folding", "GET", "X-A: 1\r\n b\r\n\r\n"),
        ("bare_lf", "GET", "X-A: 1\nX-B: 2\r\n\r\n"),
        ("bare_cr", "GET", "X-A: 1\rX-B: 2\r\n\r\n"),
        ("space_before_colon", "GET", "X-A : 1\r\n\r\n"),
        ("head_too_large", "GET", &format!("X-A: {long}\r\n\r\n")),
        ("too_many_fields", "GET", &format!("{many}\r\n")),
        ("host_repeated", "GET", "Host: b\r\n\r\n"),
    ];
    for (reason, method, rest) in forms {
        let before = counted(&node, reason).await;
        let request = format!("{method} /kept HTTP/1.1\r\nHost: a\r\n{rest}");
        let answer = send(&node, &request).await;
        let status = answer.split(' ').nth(1).unwrap_or_default();
        assert!(["400", "431"].contains(&status), "{reason}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{reason}: {answer}");
        wait_for(reason, || async {
            counted(&node, reason).await > before + 0.9
        })
        .await;
    }
    assert!(origin.is_idle(), "an origin was asked");
    for key in ["http://a/kept", "http://b/kept"] {
        assert_eq!(node.state(key).await, "absent", "{key}");
    }
}
