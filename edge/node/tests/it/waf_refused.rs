//! Requests that are refused before they have a route: rules see them, or an event says why.

use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::harness::{World, wait_for, whole_lines};
use crate::waf::{RULES, Site};

/// What the wire refuses, it refuses whatever rules say; they have seen it.
#[tokio::test]
async fn heads_that_are_no_request_are_refused_and_told() {
    let site = Site::new("").await;
    let heads = [
        "GET /?q=attack> HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /?q=attack HTTP/2.0\r\nHost: a\r\n\r\n",
        "CONNECT /?q=attack HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST /?q=attack HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "GET /?q=attack HTTP/1.1\r\nHost: a\r\nA : b\r\n\r\n",
        "GET /?q=attack HTTP/1.1\nHost: a\n\n",
    ];
    for (nth, head) in heads.into_iter().enumerate() {
        let mut stream = TcpStream::connect(site.node.plain).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let status = answer.split(' ').nth(1).unwrap();
        assert!(
            ["400", "501", "505"].contains(&status),
            "{head:?}: {answer}"
        );
        let event = site.event(nth).await;
        assert_eq!(event["matches"][0]["id"], 1001, "{head:?}: {event}");
    }
    assert_eq!(site.asked(), 0);
    // What was not meant as a request is nothing to tell of.
    let mut stream = TcpStream::connect(site.node.plain).await.unwrap();
    stream
        .write_all(b"\x16\x03\x01attack \r\n\r\n")
        .await
        .unwrap();
    let _ = stream.read_to_end(&mut Vec::new()).await;
    assert_eq!(site.get("/?q=an+attack").await, 403);
    wait_for("the last event", || async {
        site.events().len() > heads.len()
    })
    .await;
    assert_eq!(site.events().len(), heads.len() + 1);
}

/// Rules look at it for as long as a file is there, which nobody else on the worker waits for.
#[tokio::test]
async fn a_long_head_that_is_no_request_is_looked_at_beside_the_workers() {
    let folder = tempfile::TempDir::new().unwrap();
    let hold = folder.path().join("hold");
    std::fs::write(&hold, "").unwrap();
    let rules = format!(
        "SecRule ARGS:hold \"@faultHold {}\" \"id:1100,phase:2,pass,nolog\"\n\
         SecRule ARGS:q \"@contains attack\" \"id:1101,phase:2,deny,log,msg:'Attack'\"\n",
        hold.display()
    );
    let site = Site::on_one_worker(&rules, "").await;
    let pad = "x".repeat(9_000);
    let head = format!("GET /?hold=1&q=attack&pad={pad} HTTP/1.1\r\nHost: a\r\nA : b\r\n\r\n");
    let mut stream = TcpStream::connect(site.node.plain).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    let begun = hold.with_extension("begun");
    wait_for("rules to look at it", || async { begun.exists() }).await;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert_eq!(site.get("/").await, 200);
    std::fs::remove_file(&hold).unwrap();
    let event = site.event(0).await;
    assert_eq!(
        (&event["matches"][0]["id"], &event["status"]),
        (&1101.into(), &400.into())
    );
    let blocked = ["route=\"refused\"", "outcome=\"blocked\""];
    site.node
        .counts("mcsp_edge_waf_requests_total", &blocked, 1.0)
        .await;
}

/// Over HTTP/2: what is answered 400 is shown to rules, and of what is reset an event says why.
#[tokio::test]
async fn requests_that_http_2_refuses_are_told() {
    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    let world = World::new().await;
    let show = |name: &str| world.dir.path().join(name).display().to_string();
    std::fs::write(show("rules.conf"), RULES).unwrap();
    let extra = format!(
        "[waf]\naudit_file = {:?}\n[waf.rules]\nfiles = [{:?}]\n",
        show("audit.jsonl"),
        show("rules.conf")
    );
    let node = world.node_with("los1", &extra).await;
    let identity = world.identity("edge", "client");
    let tls = TlsConnector::from(identity.client_config(&[b"h2"]).unwrap());
    let name = ServerName::try_from("los1.edge.mcsp.internal").unwrap();
    let stream = TcpStream::connect(node.tls).await.unwrap();
    let mut stream = tls.connect(name, stream).await.unwrap();
    let literal = |index: u8, value: &[u8]| {
        let length = u8::try_from(value.len()).unwrap();
        [&[index, length][..], value].concat()
    };
    // :authority, and User-Agent with an index of more than four bits.
    let (authority, agent) = (literal(0x01, b"a.example"), literal(0x2b, b"a scanner"));
    let agent = [&[0x0f, agent[0]][..], &agent[1..]].concat();
    let (get, https, star) = (&[0x82][..], &[0x87][..], literal(0x04, b"*"));
    for (stream_id, block) in [
        (1, [get, https, &star, &authority, &agent].concat()),
        (3, [https, &[0x84], &authority, &agent].concat()),
    ] {
        let length = u8::try_from(block.len()).unwrap();
        let head = [0, 0, length, 1, 0x05, 0, 0, 0, stream_id];
        let preface = if stream_id == 1 { PREFACE } else { b"" };
        stream
            .write_all(&[preface, &head[..], &block].concat())
            .await
            .unwrap();
        stream.flush().await.unwrap();
    }
    let events = || {
        let text = whole_lines(&world.dir.path().join("audit.jsonl"));
        let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
        lines.collect::<Vec<serde_json::Value>>()
    };
    wait_for("two events", || async { events().len() == 2 }).await;
    let told = events();
    let seen = told.iter().find(|event| event["method"] == "GET").unwrap();
    assert_eq!(seen["matches"][0]["id"], 1002, "{seen}");
    assert_eq!(seen["status"], 400, "{seen}");
    let reset = told.iter().find(|event| event["method"] == "").unwrap();
    assert_eq!(reset["matches"], serde_json::json!([]), "{reset}");
    assert_eq!(reset["body_error"], "malformed HTTP/2 request: no :method");
    assert_eq!(reset["client"], "127.0.0.1", "{reset}");
    for reason in ["path", "malformed"] {
        let label = format!("\"{reason}\"");
        node.counts("mcsp_edge_h2_refused_total", &[&label], 1.0)
            .await;
    }
}
