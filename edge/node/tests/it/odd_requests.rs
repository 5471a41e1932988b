//! Requests that are refused unless their route takes them: what reaches its origin, what rules are shown, what is kept.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::harness::{Node, RawOrigin, wait_for, within};
use crate::waf::Site;

const TAKES: &str =
    "takes = [\"length-and-coding\", \"version\", \"target-characters\", \"connect\"]\n";
const SMUGGLED: &str = "POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
const FRAMED: &str = "GET /p HTTP/2.0\r\nHost: a\r\n\r\n";
const ANGLED: &str = "GET /p?a=>x HTTP/1.1\r\nHost: a\r\n\r\n";
const TUNNEL: &str = "CONNECT b.example:80 HTTP/1.1\r\nHost: a\r\n\r\n";

/// Sends `request`, and another behind it that is not to be served; all that comes back.
fn send(node: &Node, request: &str) -> JoinHandle<String> {
    let address = node.plain;
    let input = format!("{request}GET /behind HTTP/1.1\r\nHost: a\r\n\r\n");
    tokio::spawn(async move {
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(input.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let read = client.read_to_end(&mut answer);
        within("an answer", read).await.unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    })
}

#[tokio::test]
async fn an_origin_is_asked_in_the_one_form_and_nothing_follows() {
    let mut origin = RawOrigin::start().await;
    let (node, _dir) = origin.node(TAKES).await;
    for (request, line, length, coding) in [
        (SMUGGLED, "POST /p HTTP/1.1\r\n", 0, 1),
        (FRAMED, "GET /p HTTP/1.1\r\n", 0, 0),
        (ANGLED, "GET /p?a=%3Ex HTTP/1.1\r\n", 0, 0),
        (TUNNEL, "CONNECT b.example:80 HTTP/1.1\r\n", 0, 0),
    ] {
        let answer = send(&node, request);
        let asked = origin.asked().await;
        assert!(asked.head.starts_with(line), "{}", asked.head);
        let count = |name: &str| asked.field(name).len();
        assert_eq!(count("content-length"), length, "{}", asked.head);
        assert_eq!(count("transfer-encoding"), coding, "{}", asked.head);
        assert_eq!(count("host"), 1, "{}", asked.head);
        let is_tunnel = request == TUNNEL;
        let host = if is_tunnel { "b.example:80" } else { "a" };
        assert_eq!(asked.field("host"), [host]);
        // Nobody else is given a connection that may be a tunnel.
        let is_closing = asked.field("connection").contains(&"close");
        assert_eq!(is_closing, is_tunnel, "{}", asked.head);
        asked.answer("Cache-Control: max-age=60\r\n", "").await;
        let answer = answer.await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer}");
        assert!(
            answer.to_lowercase().contains("connection: close\r\n"),
            "{answer}"
        );
        let has_length = answer.to_lowercase().contains("content-length: 0\r\n");
        assert_eq!(has_length, !is_tunnel, "{answer}");
        let is_chunked = answer.to_lowercase().contains("transfer-encoding");
        assert!(!is_chunked, "{answer}");
        // Nor is it kept: the next one is asked for again.
        assert!(origin.is_idle());
    }
    let plain = "GET /p HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let answer = send(&node, plain);
    origin.asked().await.answer("", "").await;
    assert!(answer.await.unwrap().starts_with("HTTP/1.1 200 "));
}

#[tokio::test]
async fn without_that_they_are_refused() {
    let mut origin = RawOrigin::start().await;
    let (node, _dir) = origin.node("takes = [\"connect\"]\n").await;
    for (request, status) in [(SMUGGLED, "400"), (FRAMED, "505"), (ANGLED, "400")] {
        let answer = send(&node, request).await.unwrap();
        assert_eq!(answer.split(' ').nth(1), Some(status), "{answer}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer}");
    }
    let (node, _dir) = origin.node("").await;
    let answer = send(&node, TUNNEL).await.unwrap();
    assert_eq!(answer.split(' ').nth(1), Some("501"), "{answer}");
    assert!(origin.is_idle());
}

#[tokio::test]
async fn there_is_never_a_tunnel() {
    let mut origin = RawOrigin::start().await;
    let (node, _dir) = origin.node(TAKES).await;
    for fields in [
        "",
        "Content-Length: 15\r\n",
        "Transfer-Encoding: chunked\r\n",
    ] {
        let answer = send(&node, TUNNEL);
        let mut asked = origin.asked().await;
        let begun = format!("HTTP/1.1 200 OK\r\n{fields}\r\nfrom the tunnel");
        asked.write(&begun).await;
        asked.given_up().await;
        let answer = answer.await.unwrap();
        assert_eq!(answer.split(' ').nth(1), Some("502"), "{answer}");
        assert!(!answer.contains("from the tunnel"), "{answer}");
    }
    assert!(origin.is_idle());
    let answer = send(&node, TUNNEL);
    let mut asked = origin.asked().await;
    let refused = "HTTP/1.1 405 No\r\nContent-Length: 2\r\n\r\nno";
    asked.write(refused).await;
    let answer = answer.await.unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 405 ") && answer.ends_with("\r\n\r\nno"),
        "{answer}"
    );
}

#[tokio::test]
async fn rules_are_shown_what_was_sent() {
    let rules = r#"
SecRule REQUEST_PROTOCOL "@streq HTTP/2.0" "id:2001,phase:1,pass,log,msg:'version'"
SecRule REQUEST_URI_RAW "@contains >" "id:2002,phase:1,pass,log,msg:'target'"
SecRule REQUEST_METHOD "@streq CONNECT" "id:2003,phase:1,pass,log,msg:'%{REQUEST_LINE}'"
SecRule REQUEST_HEADERS:Content-Length "@rx ." "id:2004,phase:1,pass,log,msg:'length'"
SecRule ARGS:a "@streq attack>" "id:2005,phase:2,deny,status:403,log,msg:'attack'"
"#;
    let site = Site::with_route(rules, TAKES, "").await;
    let mut events = 0;
    for (request, wanted) in [
        (FRAMED, Some((2001, "version"))),
        (ANGLED, Some((2002, "target"))),
        (TUNNEL, Some((2003, "CONNECT b.example:80 HTTP/1.1"))),
        (SMUGGLED, None),
    ] {
        let answer = send(&site.node, request).await.unwrap();
        // That origin has something to say to it.
        let status = if request == TUNNEL { "502" } else { "200" };
        assert_eq!(answer.split(' ').nth(1), Some(status), "{answer}");
        if let Some((id, message)) = wanted {
            let event = site.event(events).await;
            events += 1;
            let found = event["matches"].as_array().unwrap();
            assert_eq!(found.len(), 1, "{event}");
            assert_eq!(found[0]["id"], id, "{event}");
            assert_eq!(found[0]["message"], message, "{event}");
        }
    }
    let attack = ANGLED.replace("a=>x", "a=attack>");
    let answer = send(&site.node, &attack).await.unwrap();
    assert_eq!(answer.split(' ').nth(1), Some("403"), "{answer}");
}

#[tokio::test]
async fn an_absurd_vary_is_passed_on_counted_and_not_kept() {
    let mut origin = RawOrigin::start().await;
    let (node, _dir) = origin.node("").await;
    let names: Vec<String> = (0..500).map(|n| format!("x-{n}")).collect();
    let absurd = format!(
        "Cache-Control: max-age=60\r\nVary: {}\r\n",
        names.join(", ")
    );
    for count in [1.0, 2.0] {
        let answer = tokio::spawn(node.request(reqwest::Method::GET, "/v").send());
        origin.asked().await.answer(&absurd, "v").await;
        let answer = answer.await.unwrap().unwrap();
        assert_eq!(answer.text().await.unwrap(), "v");
        node.counts("mcsp_edge_not_stored_total", &["reason=\"vary\""], count)
            .await;
    }
}

#[tokio::test]
async fn ranges_by_the_thousand_are_refused_and_counted() {
    let mut origin = RawOrigin::start().await;
    let (node, _dir) = origin.node("").await;
    let ask = |range: &str| {
        let request = node.request(reqwest::Method::GET, "/r");
        tokio::spawn(request.header("range", range).send())
    };
    let thousands: Vec<String> = (0..2000).map(|n| format!("{n}-{}", n + 9)).collect();
    let thousands = format!("bytes={}", thousands.join(","));
    let cold = ask(&thousands);
    origin
        .asked()
        .await
        .answer("Cache-Control: max-age=60\r\n", "0123456789")
        .await;
    assert_eq!(cold.await.unwrap().unwrap().status(), 416);
    assert_eq!(ask(&thousands).await.unwrap().unwrap().status(), 416);
    assert_eq!(ask("bytes=99-").await.unwrap().unwrap().status(), 416);
    assert_eq!(ask("bytes=9-").await.unwrap().unwrap().status(), 206);
    for (reason, wanted) in [("too-many", 2.0), ("outside", 1.0)] {
        node.counts("mcsp_edge_ranges_refused_total", &[reason], wanted)
            .await;
    }
    assert!(origin.is_idle());
}

#[tokio::test]
async fn a_body_that_is_not_framed_as_it_should_be_is_counted_by_what_is_wrong() {
    let origin = RawOrigin::start().await;
    let (node, _dir) = origin.node("").await;
    let answer = node
        .raw(
            "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n\
             3\r\nabc\r\nno size\r\n",
        )
        .await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    wait_for("the count", || async {
        node.metric("mcsp_edge_bodies_refused_total", &["reason"])
            .await
            >= 1.0
    })
    .await;
}
