//! Heads: what is taken, what is refused, and how.

use http::{Method, StatusCode};
use mcsp_edge_fetch::{BodyLength, Fault, FetchConfig, FetchErrorKind};

use crate::harness::{Harness, fields, get, read, request, target};
use crate::origin::{Origin, Step, send};

#[tokio::test]
async fn what_breaks_the_protocol_is_refused_and_counted() {
    let large = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "y".repeat(70_000));
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "x: y\r\n".repeat(129));
    let endless = "HTTP/1.1 103 Early Hints\r\n\r\n".repeat(17);
    let cases: &[(&str, Fault)] = &[
        ("hello\r\n\r\n", Fault::StatusLine),
        ("\r\nHTTP/1.1 200 OK\r\n\r\n", Fault::StatusLine),
        ("HTTP/2.0 200 OK\r\n\r\n", Fault::StatusLine),
        ("HTTP/1.2 200 OK\r\n\r\n", Fault::StatusLine),
        ("HTTP/1.1 20 OK\r\n\r\n", Fault::StatusLine),
        ("HTTP/1.1 2000 OK\r\n\r\n", Fault::StatusLine),
        ("HTTP/1.1 200 OK\nx: y\n\n", Fault::LineEnd),
        ("HTTP/1.1 200 OK\r\nx: y\n\r\n", Fault::LineEnd),
        ("HTTP/1.1 200 OK\r\nx: a\rb\r\n\r\n", Fault::LineEnd),
        ("HTTP/1.1 200 OK\r\nx: y\r\r\n\r\n", Fault::LineEnd),
        ("HTTP/1.1 200 OK\r\nx: a\r\n b\r\n\r\n", Fault::ObsFold),
        ("HTTP/1.1 200 OK\r\n x: a\r\n\r\n", Fault::ObsFold),
        ("HTTP/1.1 200 OK\r\nx: a\r\n\tb\r\n\r\n", Fault::ObsFold),
        ("HTTP/1.1 200 OK\r\nx\r\n\r\n", Fault::FieldLine),
        ("HTTP/1.1 200 OK\r\n: y\r\n\r\n", Fault::FieldLine),
        ("HTTP/1.1 200 OK\r\nx y: z\r\n\r\n", Fault::FieldLine),
        ("HTTP/1.1 200 OK\r\nx: \0\r\n\r\n", Fault::FieldLine),
        (&large, Fault::HeadSize),
        (&many, Fault::HeadFields),
        (&endless, Fault::Interim),
        (
            "HTTP/1.1 206 Partial Content\r\ncontent-range: bytes 0-2/9\r\ncontent-length: 3\r\n\r\nabc",
            Fault::UnaskedPart,
        ),
        (
            "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n",
            Fault::Switch,
        ),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\nabcd",
            Fault::ContentLength,
        ),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 3, 4\r\n\r\nabcd",
            Fault::ContentLength,
        ),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: +3\r\n\r\nabc",
            Fault::ContentLength,
        ),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: -3\r\n\r\nabc",
            Fault::ContentLength,
        ),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 0x3\r\n\r\nabc",
            Fault::ContentLength,
        ),
        (
            "HTTP/1.1 200 OK\r\ncontent-length:\r\n\r\nabc",
            Fault::ContentLength,
        ),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 3,\r\n\r\nabc",
            Fault::ContentLength,
        ),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 18446744073709551616\r\n\r\nabc",
            Fault::ContentLength,
        ),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
            Fault::BothLengths,
        ),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
            Fault::TransferEncoding,
        ),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
            Fault::TransferEncoding,
        ),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\nabc",
            Fault::TransferEncoding,
        ),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: xchunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
            Fault::TransferEncoding,
        ),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: zstd\r\n\r\nabc",
            Fault::TransferEncoding,
        ),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: somewhatchunkedtoo\r\n\r\nabc",
            Fault::TransferEncoding,
        ),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding:\r\n\r\nabc",
            Fault::TransferEncoding,
        ),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
            Fault::FieldLine,
        ),
        (
            "HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
            Fault::TransferEncoding,
        ),
    ];
    let harness = Harness::new();
    for (raw, fault) in cases {
        let origin = Origin::answering(raw.as_bytes()).await;
        let error = harness
            .fetch(&get(), &target(&[origin.address]))
            .await
            .expect_err(raw);
        assert_eq!(error.kind, FetchErrorKind::Protocol(*fault), "{raw:?}");
        assert_eq!(error.address, Some(origin.address));
        assert_eq!(error.status(), StatusCode::BAD_GATEWAY);
    }
    let counted = harness.counted("mcsp_edge_fetch_faults_total");
    assert_eq!(counted, cases.len() as f64);
}

#[tokio::test]
async fn what_may_be_taken_is_taken() {
    let harness = Harness::new();
    // White space before the colon is removed (RFC 9112 section 5.1); lengths that agree are one (RFC 9110 section 8.6).
    let raw = "HTTP/1.1 200\r\nContent-Length : 3\r\ncontent-length: 3, 3\r\nX-A:  b c\t\r\nx-a:\u{e9}\r\n\r\nabc";
    let raw: Vec<u8> = raw.chars().map(|letter| letter as u8).collect();
    let origin = Origin::answering(&raw).await;
    let (response, body) = harness.get(&origin).await.unwrap();
    assert_eq!(response.length(), BodyLength::Known(3));
    assert_eq!(body, (b"abc".to_vec(), true));
    let pairs = [("content-length", "3"), ("x-a", "b c"), ("x-a", "\u{fffd}")];
    let pairs = pairs.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(fields(&response.head), pairs);
    assert_eq!(
        (response.requested_ms, response.responded_ms),
        (1_000, 1_000)
    );
}

#[tokio::test]
async fn interim_answers_are_told_and_the_final_one_follows() {
    let harness = Harness::new();
    let interim = "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\ncontent-length: 9\r\n\r\n";
    let raw = format!(
        "HTTP/1.1 100 Continue\r\n\r\n{interim}HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
    );
    let origin = Origin::answering(raw.as_bytes()).await;
    let mut told = Vec::new();
    let mut response = harness
        .fetcher
        .fetch(&get(), &target(&[origin.address]), &mut |head| {
            told.push(head.status.as_u16());
        })
        .await
        .unwrap();
    assert_eq!(read(&mut response).await.unwrap(), (b"ok".to_vec(), true));
    assert_eq!(told, [100, 103]);
}

#[tokio::test]
async fn answers_without_a_body_have_none_and_leave_the_connection_usable() {
    let harness = Harness::new();
    let head = |status: &str| send(&format!("HTTP/1.1 {status}\r\ncontent-length: 9\r\n\r\n"));
    let origin = Origin::start(vec![vec![
        Step::Request,
        head("200 OK"),
        Step::Request,
        head("304 Not Modified"),
        Step::Request,
        send("HTTP/1.1 204 No Content\r\n\r\n"),
        Step::Request,
        send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"),
        Step::Request,
        send("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"),
    ]])
    .await;
    let target = target(&[origin.address]);
    let methods = [
        Method::HEAD,
        Method::GET,
        Method::GET,
        Method::HEAD,
        Method::GET,
    ];
    for method in methods {
        let mut response = harness.fetch(&request(method), &target).await.unwrap();
        assert!(response.is_complete());
        assert_eq!(read(&mut response).await.unwrap(), (Vec::new(), true));
    }
    assert_eq!(origin.seen().connections, 1);
    assert_eq!(origin.seen().requests.len(), 5);
}

#[tokio::test]
async fn bounds_are_configured() {
    let harness = Harness::with(FetchConfig {
        head_bytes_max: 1_024,
        interim_max: 1,
        ..FetchConfig::default()
    });
    let raw = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "y".repeat(1_024));
    let origin = Origin::answering(raw.as_bytes()).await;
    let error = harness.get(&origin).await.unwrap_err();
    assert_eq!(error.kind, FetchErrorKind::Protocol(Fault::HeadSize));
    let raw = "HTTP/1.1 103 E\r\n\r\nHTTP/1.1 103 E\r\n\r\nHTTP/1.1 204 N\r\n\r\n";
    let origin = Origin::answering(raw.as_bytes()).await;
    let error = harness.get(&origin).await.unwrap_err();
    assert_eq!(error.kind, FetchErrorKind::Protocol(Fault::Interim));
}
