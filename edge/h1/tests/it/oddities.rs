//! Heads that are refused unless a route takes them: each by its one oddity, in one form, as the last of its connection.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::request::Parts;
use mcsp_edge_h1::{
    Delegation, Exchange, Handler, Head, Limits, Next, Oddity, Peer, Refusal, SentLine,
    serve_connection,
};
use pingora_core::protocols::Stream;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::watch;

use crate::site::statuses;

const ALL: [Oddity; 5] = [
    Oddity::LengthAndCoding,
    Oddity::Version,
    Oddity::TargetCharacters,
    Oddity::TargetWithoutPath,
    Oddity::Connect,
];

/// Lends everything out, and notes what its borrower is given.
#[derive(Default)]
struct Taking {
    takes: Vec<Oddity>,
    lent: Mutex<Vec<(String, Option<SentLine>)>>,
    refused: Mutex<Vec<Refusal>>,
    shown: Mutex<Vec<String>>,
}

impl Handler for Taking {
    async fn on_request(&self, _exchange: &mut Exchange<'_>) -> Next {
        Next::Delegate
    }

    async fn delegate(&self, delegation: Delegation) -> Option<Stream> {
        let Delegation {
            mut stream,
            is_last,
            sent_line,
            ..
        } = delegation;
        let is_odd = sent_line.as_ref().is_some_and(|line| line.oddity.is_some());
        assert_eq!(is_last, is_odd, "an odd request is the last");
        let mut bytes = Vec::new();
        let whole = async { while stream.read_buf(&mut bytes).await.unwrap() > 0 {} };
        // The client's end comes only after the request.
        let _ = tokio::time::timeout(Duration::from_secs(1), whole).await;
        let text = String::from_utf8(bytes).unwrap();
        self.lent.lock().unwrap().push((text, sent_line));
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
        stream.write_all(answer).await.unwrap();
        stream.flush().await.unwrap();
        Some(stream)
    }

    fn on_refused(&self, refusal: Refusal, _peer: &Peer) {
        self.refused.lock().unwrap().push(refusal);
    }

    fn on_refused_head(&self, head: &[u8], _peer: &Peer) {
        let head = String::from_utf8_lossy(head).into_owned();
        self.shown.lock().unwrap().push(head);
    }

    fn may_take(&self, oddity: Oddity) -> bool {
        self.takes.contains(&oddity)
    }

    fn takes(&self, oddity: Oddity, request: &Parts, _peer: &Peer) -> bool {
        let host = request.headers.get("host").unwrap();
        self.takes.contains(&oddity) && host != "elsewhere"
    }

    fn fields(&self, _head: &mut Head) {}
}

/// Sends `request` and one more; what was lent, what was refused, and the statuses.
async fn taken(takes: &[Oddity], request: &str) -> (Arc<Taking>, Vec<u16>) {
    let handler = Arc::new(Taking {
        takes: takes.to_vec(),
        ..Taking::default()
    });
    let (mut client, server) = tokio::io::duplex(1 << 16);
    let (stop, stopped) = watch::channel(false);
    let serving = Arc::clone(&handler);
    let served = tokio::spawn(async move {
        serve_connection(Box::new(server), &Limits::default(), &serving, stopped).await
    });
    let input = format!("{request}GET /next HTTP/1.1\r\nHost: a\r\n\r\n");
    client.write_all(input.as_bytes()).await.unwrap();
    client.shutdown().await.unwrap();
    let mut output = Vec::new();
    client.read_to_end(&mut output).await.unwrap();
    served.await.unwrap();
    drop(stop);
    let statuses = statuses(&output);
    (handler, statuses)
}

/// (oddity, as it is sent, as it is given on, the target and version as sent)
const TAKEN: [(Oddity, &str, &str, (&str, &str)); 12] = [
    (
        Oddity::LengthAndCoding,
        "POST /a HTTP/1.1\r\nHost: a\r\ncontent-LENGTH: 3\r\nTransfer-Encoding: chunked\r\nX: 1\r\n\r\n2\r\nxy\r\n0\r\n\r\n",
        "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nX: 1\r\n\r\n2\r\nxy\r\n0\r\n\r\n",
        ("/a", "HTTP/1.1"),
    ),
    (
        Oddity::LengthAndCoding,
        "POST http://b/a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n0\r\n\r\n",
        "POST /a HTTP/1.1\r\nHost: b\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        ("http://b/a", "HTTP/1.1"),
    ),
    (
        Oddity::Version,
        "POST / HTTP/2.0\r\nHost: a\r\nContent-Length: 1\r\n\r\nx",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx",
        ("/", "HTTP/2.0"),
    ),
    (
        Oddity::Version,
        "GET / HTTP/2\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        ("/", "HTTP/2"),
    ),
    (
        Oddity::Version,
        "GET / HTTP/4.0\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        ("/", "HTTP/4.0"),
    ),
    (
        Oddity::TargetCharacters,
        "GET /p?a=<\">%3E HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /p?a=%3C%22%3E%3E HTTP/1.1\r\nHost: a\r\n\r\n",
        ("/p?a=<\">%3E", "HTTP/1.1"),
    ),
    (
        Oddity::TargetCharacters,
        "GET /<p> HTTP/1.0\r\nHost: a\r\n\r\n",
        "GET /%3Cp%3E HTTP/1.0\r\nHost: a\r\n\r\n",
        ("/<p>", "HTTP/1.0"),
    ),
    (
        Oddity::TargetWithoutPath,
        "POST ?a=1 HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx",
        "POST /?a=1 HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx",
        ("?a=1", "HTTP/1.1"),
    ),
    (
        Oddity::TargetWithoutPath,
        "GET ? HTTP/1.0\r\nHost: a\r\n\r\n",
        "GET /? HTTP/1.0\r\nHost: a\r\n\r\n",
        ("?", "HTTP/1.0"),
    ),
    (
        Oddity::TargetWithoutPath,
        "GET ?a=1))>0} HTTP/1.0\r\nHost: a\r\n\r\n",
        "GET /?a=1))%3E0} HTTP/1.0\r\nHost: a\r\n\r\n",
        ("?a=1))>0}", "HTTP/1.0"),
    ),
    (
        Oddity::Connect,
        "CONNECT b.example:80 HTTP/1.1\r\nX: 1\r\nHost: a\r\n\r\n",
        "CONNECT b.example:80 HTTP/1.1\r\nX: 1\r\nHost: b.example:80\r\n\r\n",
        ("b.example:80", "HTTP/1.1"),
    ),
    (
        Oddity::Connect,
        "CONNECT [::1]:443 HTTP/1.1\r\nHost: a\r\n\r\n",
        "CONNECT [::1]:443 HTTP/1.1\r\nHost: [::1]:443\r\n\r\n",
        ("[::1]:443", "HTTP/1.1"),
    ),
];

#[tokio::test(start_paused = true)]
async fn what_a_route_takes_is_given_on_in_one_form_and_ends_its_connection() {
    for (oddity, sent, given, (target, version)) in TAKEN {
        let (handler, statuses) = taken(&[oddity], sent).await;
        assert_eq!(statuses, [200], "{sent}");
        let line = SentLine {
            target: target.into(),
            version: version.into(),
            oddity: Some(oddity),
        };
        let lent = handler.lent.lock().unwrap().clone();
        assert_eq!(lent, [(given.to_owned(), Some(line))], "{sent}");
        assert!(handler.shown.lock().unwrap().is_empty(), "{sent}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_no_route_takes_is_refused_and_shown_as_it_came() {
    for (oddity, sent, ..) in TAKEN {
        let elsewhere = sent.replace("Host: a", "Host: elsewhere");
        let others: Vec<Oddity> = ALL.into_iter().filter(|other| *other != oddity).collect();
        let mut tries = vec![(vec![], sent), (others, sent)];
        // The target's host counts, and not the field.
        if !sent.contains("://b") && oddity != Oddity::Connect {
            tries.push((vec![oddity], &elsewhere));
        }
        for (takes, sent) in tries {
            let (handler, statuses) = taken(&takes, sent).await;
            assert!(handler.lent.lock().unwrap().is_empty(), "{sent}");
            let head = sent.split_inclusive("\r\n\r\n").next().unwrap();
            assert_eq!(*handler.shown.lock().unwrap(), [head], "{takes:?}");
            assert_eq!(statuses.len(), 1, "{sent}");
            assert!(statuses[0] >= 400, "{sent}");
        }
    }
}

/// Where an oddity comes with another fault, or is none that has one reading.
#[tokio::test(start_paused = true)]
async fn nothing_else_is_taken_with_it() {
    for (refusal, sent) in [
        (
            Refusal::ContentLengthRepeated,
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        ),
        (
            Refusal::ContentLength,
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\nTransfer-Encoding: chunked\r\n\r\n",
        ),
        (
            Refusal::LengthAndCoding,
            "POST / HTTP/1.0\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        ),
        (
            Refusal::Coding,
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked, chunked\r\n\r\n",
        ),
        (
            Refusal::CodingUnknown,
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        ),
        (
            Refusal::SpaceBeforeColon,
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length : 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        ),
        (
            Refusal::Version,
            "POST / HTTP/2.0\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        ),
        (Refusal::Version, "PRI * HTTP/2.0\r\n\r\n"),
        (Refusal::Version, "GET / HTTP/2.0\r\n\r\n"),
        (Refusal::Version, "GET / HTTP/0.9\r\nHost: a\r\n\r\n"),
        (Refusal::RequestLine, "GET / HTTP/11\r\nHost: a\r\n\r\n"),
        (
            Refusal::RequestLine,
            "GET / HTTP/1.1 HTTP/2.0\r\nHost: a\r\n\r\n",
        ),
        (Refusal::RequestLine, "GET / \r\nHost: a\r\n\r\n"),
        (Refusal::RequestLine, "GET /\r\nHost: a\r\n\r\n"),
        (Refusal::Target, "GET a?b HTTP/1.1\r\nHost: a\r\n\r\n"),
        (Refusal::Target, "GET ?<b>#c HTTP/1.1\r\nHost: a\r\n\r\n"),
        (Refusal::Target, "GET ?a#b HTTP/1.1\r\nHost: a\r\n\r\n"),
        (Refusal::Target, "GET /a#<b> HTTP/1.1\r\nHost: a\r\n\r\n"),
        (Refusal::Target, "GET /<\u{7f}> HTTP/1.1\r\nHost: a\r\n\r\n"),
        (
            Refusal::Target,
            "GET http://<b>/ HTTP/1.1\r\nHost: a\r\n\r\n",
        ),
        (
            Refusal::Target,
            "CONNECT b.example HTTP/1.1\r\nHost: a\r\n\r\n",
        ),
        (
            Refusal::Target,
            "CONNECT b.example: HTTP/1.1\r\nHost: a\r\n\r\n",
        ),
        (
            Refusal::Target,
            "CONNECT b.example:0 HTTP/1.1\r\nHost: a\r\n\r\n",
        ),
        (Refusal::Target, "CONNECT /b HTTP/1.1\r\nHost: a\r\n\r\n"),
        (
            Refusal::Target,
            "CONNECT u@b:80 HTTP/1.1\r\nHost: a\r\n\r\n",
        ),
        (
            Refusal::Connect,
            "CONNECT b:80 HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        ),
        (Refusal::Connect, "CONNECT b:80 HTTP/1.1\r\n\r\n"),
        (
            Refusal::Connect,
            "CONNECT b:80 HTTP/1.1\r\nHost: b\r\nContent-Length: 1\r\n\r\nx",
        ),
    ] {
        let (handler, statuses) = taken(&ALL, sent).await;
        assert_eq!(*handler.refused.lock().unwrap(), [refusal], "{sent}");
        assert!(handler.lent.lock().unwrap().is_empty(), "{sent}");
        assert_eq!(statuses.len(), 1, "{sent}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_not_odd_goes_on_as_before() {
    let sent = "POST http://b/x HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\ny";
    let (handler, statuses) = taken(&ALL, sent).await;
    assert_eq!(statuses, [200, 200]);
    let lent = handler.lent.lock().unwrap();
    assert_eq!(
        lent[0].0,
        "POST /x HTTP/1.1\r\nHost: b\r\nContent-Length: 1\r\n\r\ny"
    );
    let line = lent[0].1.as_ref().unwrap();
    assert_eq!((&*line.target, line.oddity), (&b"http://b/x"[..], None));
    assert_eq!(
        lent[1],
        ("GET /next HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), None)
    );
}
