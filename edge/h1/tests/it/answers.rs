//! What goes out: framing, persistence, and what becomes of answers that go wrong.

use std::time::Duration;

use mcsp_edge_h1::{CloseReason, FieldLines, Limits, imf_fixdate};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::Instant;

use crate::site::{Site, open, read_until, talk, talk_in_pieces};

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")
}

/// RFC 9112 6.3 and 9.3, RFC 9110 6.4.1 and 8.6: every kind of answer to every kind of request, byte for byte.
#[tokio::test(start_paused = true)]
async fn answers_are_framed_by_method_status_and_version() {
    let ok = "HTTP/1.1 200 OK\r\n";
    let chunks = format!("3\r\nxxx\r\n3c\r\n{}\r\n0\r\n\r\n", "x".repeat(60));
    let rows = [
        (
            get("/full/5"),
            format!("{ok}Content-Type: text/plain\r\nContent-Length: 5\r\n\r\nxxxxx"),
        ),
        (
            get("/full/0"),
            format!("{ok}Content-Type: text/plain\r\nContent-Length: 0\r\n\r\n"),
        ),
        (
            get("/known/5"),
            format!("{ok}Content-Length: 5\r\n\r\nxxxxx"),
        ),
        (get("/none"), format!("{ok}Content-Length: 0\r\n\r\n")),
        (
            get("/chunked/3"),
            format!("{ok}Transfer-Encoding: chunked\r\n\r\n{chunks}"),
        ),
        (
            get("/chunked/0"),
            format!("{ok}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        ),
        (
            get("/close/2"),
            format!("{ok}Content-Length: 2\r\nConnection: close\r\n\r\nxx"),
        ),
        (
            get("/until-close/2"),
            format!("{ok}Connection: close\r\n\r\nxx"),
        ),
        (
            get("/204/9"),
            "HTTP/1.1 204 No Content\r\nContent-Type: text/plain\r\n\r\n".to_owned(),
        ),
        (
            get("/304/9"),
            "HTTP/1.1 304 Not Modified\r\nContent-Type: text/plain\r\n\r\n".to_owned(),
        ),
        (
            "HEAD /full/5 HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
            format!("{ok}Content-Type: text/plain\r\nContent-Length: 5\r\n\r\n"),
        ),
        (
            "HEAD /chunked/5 HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
            format!("{ok}Transfer-Encoding: chunked\r\n\r\n"),
        ),
        (
            "HEAD /none HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
            format!("{ok}\r\n"),
        ),
        (
            "HEAD /until-close/5 HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
            format!("{ok}\r\n"),
        ),
        (
            "GET /known/2 HTTP/1.0\r\n\r\n".to_owned(),
            format!("{ok}Content-Length: 2\r\nConnection: close\r\n\r\nxx"),
        ),
        (
            "GET /known/2 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n".to_owned(),
            format!("{ok}Content-Length: 2\r\nConnection: keep-alive\r\n\r\nxx"),
        ),
        (
            "GET /chunked/1 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n".to_owned(),
            format!("{ok}Connection: close\r\n\r\n{}", "x".repeat(21)),
        ),
        (
            get("/hints"),
            format!(
                "HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n{ok}Content-Length: 0\r\n\r\n"
            ),
        ),
    ];
    for (input, output) in rows {
        let talk = talk(input.as_bytes()).await;
        assert_eq!(talk.text(), output, "{input:?}");
    }
}

/// Every one of these ends the connection, and what follows on it is not served.
#[tokio::test(start_paused = true)]
async fn answers_that_go_wrong_end_the_connection() {
    let cut = "HTTP/1.1 200 OK\r\n";
    let rows = [
        (
            "/nothing",
            "HTTP/1.1 500 Internal Server Error\r\n",
            CloseReason::Failed,
        ),
        ("/drop", "", CloseReason::Dropped),
        ("/long/3", cut, CloseReason::Cut),
        ("/short/3", cut, CloseReason::Cut),
        ("/unfinished/3", cut, CloseReason::Cut),
        ("/peek-and-lend", "", CloseReason::Dropped),
    ];
    for (path, start, reason) in rows {
        let talk = talk(format!("{}{}", get(path), get("/never")).as_bytes()).await;
        assert_eq!(talk.seen.len(), 1, "{path}");
        assert_eq!(talk.closed.reason, reason, "{path}");
        assert!(talk.text().starts_with(start), "{path}: {}", talk.text());
        assert!(
            !talk.text().ends_with("0\r\n\r\n"),
            "{path}: {}",
            talk.text()
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_second_answer_is_an_error_and_not_sent() {
    let talk = talk(get("/twice").as_bytes()).await;
    assert_eq!(talk.statuses(), [200]);
}

#[tokio::test(start_paused = true)]
async fn the_last_request_says_so() {
    let limits = Limits {
        requests_max: 2,
        ..Limits::default()
    };
    let input = get("/full/1").repeat(3);
    let talk = talk_in_pieces(&[input.as_bytes()], &limits).await;
    assert_eq!(talk.statuses(), [200, 200]);
    assert_eq!(talk.text().matches("Connection: close\r\n").count(), 1);
    assert_eq!(talk.closed.requests, 2);
    assert_eq!(talk.closed.reason, CloseReason::Answered);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_ends_closes_idle_connections_and_finishes_requests() {
    let site = Site::new();
    let mut idle = open(&site, &Limits::default(), 4096);
    let mut busy = open(&site, &Limits::default(), 4096);
    idle.client
        .write_all(get("/full/1").as_bytes())
        .await
        .unwrap();
    read_until(&mut idle.client, b"\r\n\r\nx").await;
    busy.client
        .write_all(get("/wait/1").as_bytes())
        .await
        .unwrap();
    site.waiting.acquire().await.unwrap().forget();

    idle.stop.send_replace(true);
    assert_eq!(idle.served.await.unwrap().reason, CloseReason::Stopped);
    busy.stop.send_replace(true);
    site.gate.add_permits(1);
    let output = read_until(&mut busy.client, b"\r\n\r\nx").await;
    let output = String::from_utf8(output).unwrap();
    assert!(output.contains("\r\nConnection: close\r\n"), "{output}");
    drop(busy.client);
    assert_eq!(busy.served.await.unwrap().reason, CloseReason::Answered);
    assert_eq!(site.seen().len(), 2);
}

/// A body beyond what one write takes arrives whole through a pipe that holds a few bytes at a time.
#[tokio::test(start_paused = true)]
async fn large_answers_pass_a_narrow_pipe() {
    for path in ["/full/100000", "/known/100000", "/chunked/5000"] {
        let site = Site::new();
        let mut line = open(&site, &Limits::default(), 37);
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        line.client.write_all(request.as_bytes()).await.unwrap();
        let mut output = Vec::new();
        line.client.read_to_end(&mut output).await.unwrap();
        let body = String::from_utf8(output).unwrap().matches('x').count();
        // `text/plain` has one too.
        let extra = usize::from(path.starts_with("/full"));
        let expected = if path.starts_with("/chunked") {
            105_000
        } else {
            100_000
        };
        assert_eq!(body, expected + extra, "{path}");
        assert_eq!(line.served.await.unwrap().reason, CloseReason::Answered);
    }
}

#[tokio::test(start_paused = true)]
async fn a_handler_learns_that_its_client_is_gone() {
    let site = Site::new();
    let mut line = open(&site, &Limits::default(), 4096);
    line.client
        .write_all(get("/gone").as_bytes())
        .await
        .unwrap();
    site.waiting.acquire().await.unwrap().forget();
    line.client
        .write_all(get("/ahead").as_bytes())
        .await
        .unwrap();
    assert_eq!(site.errors(), [""; 0]);
    drop(line.client);
    line.served.await.unwrap();
    assert_eq!(site.errors(), ["gone"]);
}

/// It may be one that asked with `nc`, and waits.
#[tokio::test(start_paused = true)]
async fn a_client_that_sends_no_more_is_taken_for_gone_after_a_while() {
    let site = Site::new();
    let mut line = open(&site, &Limits::default(), 4096);
    let began = tokio::time::Instant::now();
    line.client
        .write_all(get("/gone").as_bytes())
        .await
        .unwrap();
    line.client.shutdown().await.unwrap();
    line.served.await.unwrap();
    assert_eq!(site.errors(), ["gone"]);
    assert!(began.elapsed().as_millis() >= 1000);
}

#[test]
fn stored_lines_leave_out_what_belongs_to_a_connection() {
    let mut fields = http::HeaderMap::new();
    for (name, value) in [
        ("content-length", "1"),
        ("transfer-encoding", "chunked"),
        ("connection", "close"),
        ("keep-alive", "timeout=5"),
        ("upgrade", "h2c"),
        ("cache-control", "max-age=5"),
    ] {
        fields.insert(name, value.parse().unwrap());
    }
    fields.append("cache-control", "public".parse().unwrap());
    assert_eq!(
        FieldLines::from(&fields).as_bytes(),
        b"Cache-Control: max-age=5\r\nCache-Control: public\r\n"
    );
}

/// RFC 9110 5.6.7, against known dates: the standard's own, leap days, ends of centuries, and beyond the range.
#[test]
fn dates_are_imf_fixdate() {
    let rows = [
        (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
        (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
        (-5, "Thu, 01 Jan 1970 00:00:00 GMT"),
        (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
        (1_709_164_799, "Wed, 28 Feb 2024 23:59:59 GMT"),
        (4_107_542_400, "Mon, 01 Mar 2100 00:00:00 GMT"),
        (253_402_300_799, "Fri, 31 Dec 9999 23:59:59 GMT"),
        (i64::MAX, "Fri, 31 Dec 9999 23:59:59 GMT"),
    ];
    for (unix_s, text) in rows {
        assert_eq!(std::str::from_utf8(&imf_fixdate(unix_s)).unwrap(), text);
    }
}

/// RFC 9112 3: heads come in pieces; one that drips is read when some of it has gathered.
#[tokio::test(start_paused = true)]
async fn a_head_that_drips_is_served_and_one_in_a_few_pieces_without_delay() {
    let head = b"GET /204 HTTP/1.1\r\nHost: a\r\n\r\n";
    for (piece_bytes, longest_ms) in [(10, 0), (1, 200)] {
        let site = Site::new();
        let mut line = open(&site, &Limits::default(), 64 << 10);
        for piece in head.chunks(piece_bytes) {
            line.client.write_all(piece).await.unwrap();
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let sent = Instant::now();
        let answer = read_until(&mut line.client, b"\r\n\r\n").await;
        assert!(answer.starts_with(b"HTTP/1.1 204"), "{piece_bytes}");
        assert!(
            sent.elapsed() <= Duration::from_millis(longest_ms),
            "{piece_bytes}: {:?}",
            sent.elapsed()
        );
        assert_eq!(site.seen().len(), 1);
    }
}
