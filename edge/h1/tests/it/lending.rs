//! Streams lent out for one request: exactly that request's bytes are seen, and the connection goes on or ends.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use mcsp_edge_h1::{CloseReason, Delegation, Limits};
use pingora_core::protocols::Stream;
use pingora_core::protocols::http::ServerSession;
use pingora_http::ResponseHeader;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::site::{Lent, Line, Site, open, read_until, statuses};

const NEXT: &str = "GET /full/1 HTTP/1.1\r\nHost: a\r\n\r\n";
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

/// Reads `expected` bytes, then makes sure that nothing more is to be read, answers, and gives the stream back.
fn exact(expected: usize, read: Arc<Mutex<Vec<u8>>>) -> impl Fn(Delegation) -> Lent {
    move |delegation| {
        let read = Arc::clone(&read);
        Box::pin(async move {
            let mut stream = delegation.stream;
            let mut bytes = vec![0; expected];
            stream.read_exact(&mut bytes).await.unwrap();
            let mut probe = [0];
            let beyond =
                tokio::time::timeout(std::time::Duration::from_secs(5), stream.read(&mut probe));
            assert!(beyond.await.is_err(), "a byte too many");
            read.lock().unwrap().extend_from_slice(&bytes);
            stream.write_all(ANSWER).await.unwrap();
            stream.flush().await.unwrap();
            Some(stream)
        })
    }
}

/// Every body, cut at every byte between what the connection has read and what the borrower reads itself.
#[tokio::test(start_paused = true)]
async fn a_borrower_sees_one_request_and_no_byte_more() {
    let requests = [
        "GET /lend HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
        "POST /lend HTTP/1.1\r\nHost: a\r\nContent-Length: 7\r\n\r\nGET / H".to_owned(),
        "POST /lend HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;x\r\nabc\r\n0\r\nT: 1\r\n\r\n".to_owned(),
        format!("POST /lend HTTP/1.1\r\nHost: a\r\nContent-Length: 20000\r\n\r\n{}", "b".repeat(20_000)),
    ];
    for request in requests {
        let last = NEXT.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n");
        let input = format!("{request}{NEXT}{last}");
        let cuts = (1..input.len()).filter(|cut| input.len() < 1000 || cut % 997 == 0);
        for cut in cuts {
            let read = Arc::new(Mutex::new(Vec::new()));
            let site = Site::lending(exact(request.len(), Arc::clone(&read)));
            let mut line = open(&site, &Limits::default(), 1 << 16);
            line.client
                .write_all(&input.as_bytes()[..cut])
                .await
                .unwrap();
            tokio::task::yield_now().await;
            line.client
                .write_all(&input.as_bytes()[cut..])
                .await
                .unwrap();
            let mut output = Vec::new();
            let all = line.client.read_to_end(&mut output);
            let all = tokio::time::timeout(std::time::Duration::from_secs(60), all);
            all.await.unwrap().unwrap();
            assert_eq!(
                read.lock().unwrap().as_slice(),
                request.as_bytes(),
                "cut at {cut}"
            );
            assert_eq!(statuses(&output), [200, 200, 200], "cut at {cut}");
            assert_eq!(site.seen().len(), 3);
        }
    }
}

/// RFC 9112 3.2.2: the target's authority is the host, whatever else the request says.
#[tokio::test(start_paused = true)]
async fn a_borrower_sees_one_host() {
    for (input, wanted) in [
        (
            "POST http://b.example/p?q HTTP/1.1\r\nX: 1\r\nhOsT: a\r\nContent-Length: 2\r\n\r\nab",
            "POST /p?q HTTP/1.1\r\nHost: b.example\r\nX: 1\r\nContent-Length: 2\r\n\r\nab",
        ),
        (
            "DELETE HTTPS://b:81?q HTTP/1.0\r\nConnection: close\r\n\r\n",
            "DELETE /?q HTTP/1.0\r\nHost: b:81\r\nConnection: close\r\n\r\n",
        ),
        (
            "PUT /http://b HTTP/1.1\r\nHost: a\r\nHosts: c\r\n\r\n",
            "PUT /http://b HTTP/1.1\r\nHost: a\r\nHosts: c\r\n\r\n",
        ),
    ] {
        let read = Arc::new(Mutex::new(Vec::new()));
        let site = Site::lending_all(exact(wanted.len(), Arc::clone(&read)));
        let mut line = open(&site, &Limits::default(), 1 << 16);
        line.client.write_all(input.as_bytes()).await.unwrap();
        read_until(&mut line.client, ANSWER).await;
        let read = String::from_utf8(read.lock().unwrap().clone()).unwrap();
        assert_eq!(read, wanted);
    }
}

async fn outcome(
    input: &str,
    lend: impl Fn(Delegation) -> Lent + Send + Sync + 'static,
) -> (Vec<String>, CloseReason) {
    let site = Site::lending(lend);
    let Line {
        mut client,
        served,
        stop,
    } = open(&site, &Limits::default(), 1 << 16);
    client.write_all(input.as_bytes()).await.unwrap();
    let served = served.await.unwrap();
    drop((client, stop));
    (site.seen(), served.reason)
}

/// What is left of a request would be taken for the next one.
#[tokio::test(start_paused = true)]
async fn a_stream_that_is_not_at_the_requests_end_is_not_taken_back() {
    let head = format!(
        "POST /lend HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n",
        NEXT.len()
    );
    let input = format!("{head}{NEXT}{NEXT}");
    for read_bytes in [0, 10, head.len(), head.len() + NEXT.len() - 1] {
        let (seen, reason) = outcome(&input, move |delegation| {
            Box::pin(async move {
                let mut stream = delegation.stream;
                let mut bytes = vec![0; read_bytes];
                stream.read_exact(&mut bytes).await.unwrap();
                Some(stream)
            })
        })
        .await;
        assert_eq!(seen.len(), 1, "{read_bytes}");
        assert_eq!(reason, CloseReason::Delegated);
    }
}

#[tokio::test(start_paused = true)]
async fn broken_framing_is_an_error_to_the_borrower() {
    let input = format!(
        "POST /lend HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab{NEXT}"
    );
    let errors = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&errors);
    let (seen, _) = outcome(&input, move |delegation| {
        let noted = Arc::clone(&noted);
        Box::pin(async move {
            let mut stream = delegation.stream;
            let mut bytes = Vec::new();
            for _ in 0..2 {
                let error = stream.read_to_end(&mut bytes).await.unwrap_err();
                noted.lock().unwrap().push(error.kind());
            }
            Some(stream)
        })
    })
    .await;
    assert_eq!(seen.len(), 1);
    assert_eq!(
        *errors.lock().unwrap(),
        [std::io::ErrorKind::InvalidData; 2]
    );
}

/// RFC 9110 7.8: after an upgrade what follows belongs to the other protocol; without one the connection goes on.
#[tokio::test(start_paused = true)]
async fn an_upgrade_takes_the_connection_and_a_refused_one_does_not() {
    let head = "GET /lend HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n";
    let (seen, reason) = outcome(&format!("{head}frames{NEXT}"), move |delegation| {
        Box::pin(async move {
            let mut stream = delegation.stream;
            let mut bytes = vec![0; head.len() + "frames".len()];
            stream.read_exact(&mut bytes).await.unwrap();
            assert!(bytes.ends_with(b"\r\n\r\nframes"));
            Some(stream)
        })
    })
    .await;
    assert_eq!((seen.len(), reason), (1, CloseReason::Delegated));

    let close = NEXT.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n");
    let (seen, reason) = outcome(&format!("{head}{close}"), move |delegation| {
        Box::pin(async move {
            let mut stream = delegation.stream;
            stream.read_exact(&mut vec![0; head.len()]).await.unwrap();
            Some(stream)
        })
    })
    .await;
    assert_eq!((seen.len(), reason), (2, CloseReason::Answered));
}

#[tokio::test(start_paused = true)]
async fn a_borrower_learns_that_the_client_is_gone_and_whether_it_is_the_last() {
    let lasts = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&lasts);
    let site = Site::lending(move |delegation| {
        noted
            .lock()
            .unwrap()
            .push((delegation.is_last, delegation.requests_before));
        Box::pin(async move {
            let mut stream = delegation.stream;
            let mut all = Vec::new();
            stream.read_to_end(&mut all).await.unwrap();
            assert!(all.ends_with(b"\r\n\r\n"));
            None
        })
    });
    for (fields, is_last) in [("Host: a", false), ("Host: a\r\nConnection: close", true)] {
        let mut line = open(&site, &Limits::default(), 4096);
        let input = format!("GET /lend HTTP/1.1\r\n{fields}\r\n\r\nGET /ahead");
        line.client.write_all(input.as_bytes()).await.unwrap();
        drop(line.client);
        assert_eq!(line.served.await.unwrap().reason, CloseReason::Delegated);
        assert_eq!(lasts.lock().unwrap().pop(), Some((is_last, 0)));
    }
}

#[tokio::test(start_paused = true)]
async fn another_stream_is_not_taken_for_the_lent_one() {
    let (seen, reason) = outcome(
        &format!("GET /lend HTTP/1.1\r\nHost: a\r\n\r\n{NEXT}"),
        |_| {
            Box::pin(async {
                let other: Stream = Box::new(std::io::Cursor::new(Vec::<u8>::new()));
                Some(other)
            })
        },
    )
    .await;
    assert_eq!((seen.len(), reason), (1, CloseReason::Delegated));
}

async fn respond(session: &mut ServerSession, body: Vec<u8>) {
    let mut head = ResponseHeader::build(418, None).unwrap();
    head.set_content_length(body.len()).unwrap();
    session.write_response_header(Box::new(head)).await.unwrap();
    session
        .write_response_body(Bytes::from(body), true)
        .await
        .unwrap();
}

/// Serves one request by pingora, as a node does.
fn pingora(delegation: Delegation) -> Lent {
    Box::pin(async move {
        let mut session = ServerSession::new_http1(delegation.stream);
        if delegation.is_last {
            session.set_keepalive_reuses_remaining(Some(0));
        }
        assert!(session.read_request().await.unwrap());
        let mut body = Vec::new();
        while let Some(data) = session.read_request_body().await.unwrap() {
            body.extend_from_slice(&data);
        }
        respond(&mut session, body).await;
        let reusable = session.finish().await.unwrap()?;
        let (stream, prefix) = reusable.into_parts();
        assert_eq!(prefix, None, "read too far");
        Some(stream)
    })
}

#[tokio::test]
async fn pingora_serves_one_request_and_gives_the_stream_back() {
    let site = Site::lending(pingora);
    let mut line = open(&site, &Limits::default(), 1 << 16);
    let post = |fields: &str, body: &str| {
        format!("POST /lend HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n{body}")
    };
    let input = [
        NEXT.to_owned(),
        "GET /lend HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
        NEXT.to_owned(),
        post("Content-Length: 5", "abcde"),
        post(
            "Transfer-Encoding: chunked",
            "3\r\nabc\r\n2;x\r\nde\r\n0\r\n\r\n",
        ),
        NEXT.to_owned(),
        post("Content-Length: 3\r\nConnection: close", "end"),
        NEXT.to_owned(),
    ]
    .concat();
    line.client.write_all(input.as_bytes()).await.unwrap();
    let mut output = Vec::new();
    line.client.read_to_end(&mut output).await.unwrap();
    assert_eq!(line.served.await.unwrap().reason, CloseReason::Delegated);
    let text = String::from_utf8_lossy(&output);
    assert_eq!(
        statuses(&output),
        [200, 418, 200, 418, 418, 200, 418],
        "{text}"
    );
    assert_eq!(text.matches("\r\n\r\nabcde").count(), 2, "{text}");
    assert!(text.ends_with("\r\n\r\nend"), "{text}");
    assert_eq!(text.matches("onnection: close").count(), 1, "{text}");
    assert_eq!(site.seen().len(), 7);
}

/// The next request comes while pingora serves this one: it must not disturb it, nor be lost.
#[tokio::test]
async fn what_comes_while_pingora_serves_waits_its_turn() {
    let site = Site::lending(|delegation| {
        Box::pin(async move {
            let mut session = ServerSession::new_http1(delegation.stream);
            assert!(session.read_request().await.unwrap());
            // What the proxy does beside waiting for its upstream.
            let idle = tokio::time::timeout(
                std::time::Duration::from_millis(50),
                session.read_body_or_idle(true),
            );
            assert!(idle.await.is_err(), "disturbed");
            respond(&mut session, Vec::new()).await;
            Some(session.finish().await.unwrap()?.into_parts().0)
        })
    });
    let mut line = open(&site, &Limits::default(), 1 << 16);
    line.client
        .write_all(b"GET /lend HTTP/1.1\r\nHost: a\r\n\r\n")
        .await
        .unwrap();
    tokio::task::yield_now().await;
    line.client.write_all(NEXT.as_bytes()).await.unwrap();
    let output = read_until(&mut line.client, b"\r\n\r\nx").await;
    assert_eq!(statuses(&output), [418, 200]);
}

/// A body that comes by single bytes gathers, and loses none of them.
#[tokio::test(start_paused = true)]
async fn a_body_that_drips_is_read_now_and_then() {
    let body = "0123456789".repeat(4);
    let head = format!(
        "POST /lend HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let reads = Arc::new(Mutex::new(Vec::new()));
    let wanted = head.len() + body.len();
    let seen = Arc::clone(&reads);
    let site = Site::lending(move |delegation| {
        let seen = Arc::clone(&seen);
        Box::pin(async move {
            let mut stream = delegation.stream;
            let mut bytes = Vec::new();
            while bytes.len() < wanted {
                stream.read_buf(&mut bytes).await.unwrap();
                seen.lock().unwrap().push(bytes.len());
            }
            stream.write_all(ANSWER).await.unwrap();
            stream.flush().await.unwrap();
            Some(stream)
        })
    });
    let mut line = open(&site, &Limits::default(), 1 << 16);
    line.client.write_all(head.as_bytes()).await.unwrap();
    for byte in body.as_bytes() {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        line.client.write_all(&[*byte]).await.unwrap();
    }
    read_until(&mut line.client, b"\r\n\r\n").await;
    let reads = reads.lock().unwrap();
    assert_eq!(reads.last(), Some(&wanted));
    assert!(reads.len() < body.len() / 2, "{reads:?}");
}
