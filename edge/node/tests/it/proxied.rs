//! Behind a load balancer: whose connections are is what its PROXY header says, and nobody else's.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mcsp_api::Residency::Global;
use mcsp_geo::testdb::{RecordSize, TestDb, write_test_db};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;

use crate::harness::{Node, Serve, World, origin_path, wait_for, within};

/// How long who is turned away is kept from coming back.
const HOLD: Duration = Duration::from_secs(1);

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

fn line(client: &str) -> Vec<u8> {
    format!("PROXY TCP4 {client} 127.0.0.1 4000 443\r\n").into_bytes()
}

/// Version 2, of a client over IPv6.
fn header(client: [u16; 8]) -> Vec<u8> {
    let addresses: Vec<u8> = [client, [0, 0, 0, 0, 0, 0, 0, 1]]
        .concat()
        .iter()
        .flat_map(|part| part.to_be_bytes())
        .collect();
    [
        SIGNATURE,
        &[0x21, 0x21, 0, 36],
        &addresses,
        &[0x0f, 0xa0, 0x01, 0xbb],
    ]
    .concat()
}

/// A node whose listeners both take connections of a load balancer at 127.0.0.1.
async fn behind(world: &World, extra: &str) -> Node {
    let address = "[[listener]]\naddress = \"127.0.0.1:0\"\n";
    let required = format!(
        "{address}proxy_protocol = \"required\"\nproxy_sources = [\"127.0.0.1/32\", \"10.0.0.0/8\"]\n"
    );
    let edit = |text: String| text.replace(address, &required);
    world.node_edited("los1", extra, edit).await
}

async fn ask<S: AsyncRead + tokio::io::AsyncWrite + Unpin>(mut stream: S, path: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut told = Vec::new();
    let _ = within("an answer", stream.read_to_end(&mut told)).await;
    String::from_utf8_lossy(&told).into_owned()
}

async fn connect(to: SocketAddr, begin: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(to).await.unwrap();
    stream.write_all(begin).await.unwrap();
    stream
}

/// What comes on a connection that the node is to close.
async fn is_closed(mut stream: TcpStream) {
    let mut told = Vec::new();
    let _ = within("the end", stream.read_to_end(&mut told)).await;
    assert_eq!(told, b"", "without a word");
}

async fn counted(node: &Node, outcome: &str) -> f64 {
    let label = format!("\"{outcome}\"");
    node.metric("mcsp_edge_connections_total", &[&label]).await
}

fn logged(node: &Node, path: &str) -> Vec<serde_json::Value> {
    let log = node.log();
    let lines = log
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok());
    lines
        .filter(|line: &serde_json::Value| {
            line["target"] == "access"
                && line["path"]
                    .as_str()
                    .is_some_and(|found| found.ends_with(path))
        })
        .collect()
}

#[tokio::test]
async fn the_header_says_who_the_client_is_to_limits_geography_and_logs() {
    let world = World::new().await;
    let show = |name: &str| world.dir.path().join(name).display().to_string();
    let places = [
        ("203.0.113.0/24", "KE"),
        ("2001:db8::/32", "GH"),
        ("127.0.0.0/8", "NG"),
    ];
    write_test_db(show("country.mmdb"), &places).unwrap();
    let mut systems = TestDb::new(RecordSize::Bits24, 6);
    systems.insert_system("203.0.113.0/24", 64_500).unwrap();
    systems.insert_system("2001:db8::/32", 64_501).unwrap();
    std::fs::write(show("asn.mmdb"), systems.to_bytes().unwrap()).unwrap();
    let extra = format!(
        "geo_database = {:?}\nasn_database = {:?}\n[limits.rate.web]\naddress = \"1/min burst 2\"\n",
        show("country.mmdb"),
        show("asn.mmdb")
    );
    let node = behind(&world, &extra).await;
    world.origin.serve("/", Serve::ok("page"));
    let status = async |client: &str| {
        let told = ask(connect(node.plain, &line(client)).await, "/").await;
        told.get(9..12).unwrap_or_default().to_owned()
    };
    for wanted in ["200", "200", "429"] {
        assert_eq!(status("203.0.113.9").await, wanted);
    }
    assert_eq!(status("203.0.113.10").await, "200", "another client");
    wait_for("the log", || async { logged(&node, "/").len() == 4 }).await;
    for line in logged(&node, "/") {
        assert_eq!(
            (&line["country"], &line["asn"]),
            (&"KE".into(), &64_500.into())
        );
    }
    // The balancer's own: its address counts.
    for own in [
        b"PROXY UNKNOWN\r\n".to_vec(),
        [SIGNATURE, &[0x20, 0, 0, 0]].concat(),
    ] {
        let told = ask(connect(node.plain, &own).await, "/").await;
        assert!(told.starts_with("HTTP/1.1 200 "), "{told}");
    }
    wait_for("the log", || async { logged(&node, "/").len() == 6 }).await;
    assert_eq!(logged(&node, "/")[5]["country"], "NG");

    // Before TLS, whose fingerprint is the client's own.
    let rest = "v360/1.m4s";
    world
        .origin
        .serve(&origin_path(Global, rest), Serve::ok("segment"));
    let identity = world.identity("edge", "client");
    let tls = TlsConnector::from(identity.client_config(&[b"http/1.1"]).unwrap());
    let name = ServerName::try_from("los1.edge.mcsp.internal").unwrap();
    let client = header([0x2001, 0xdb8, 0, 0, 0, 0, 0, 7]);
    let stream = connect(node.tls, &client).await;
    let stream = within("a handshake", tls.connect(name, stream))
        .await
        .unwrap();
    let told = ask(stream, &world.media_path(Global, rest)).await;
    assert!(told.starts_with("HTTP/1.1 200 "), "{told}");
    wait_for("the log", || async { logged(&node, rest).len() == 1 }).await;
    let line = &logged(&node, rest)[0];
    assert_eq!(
        (&line["country"], &line["asn"]),
        (&"GH".into(), &64_501.into())
    );
    let print = line["ja4"].as_str().unwrap();
    assert!(print.starts_with("t13") && print.contains("h1_"), "{print}");
}

#[tokio::test]
async fn connections_are_counted_by_their_clients() {
    let world = World::new().await;
    let extra = "[limits.concurrency]\nconnections_address_max = 2\n";
    let node = behind(&world, extra).await;
    let begun = |client: &'static str| async move { connect(node.plain, &line(client)).await };
    let _held = [begun("203.0.113.9").await, begun("203.0.113.9").await];
    wait_for("both", || async { counted(&node, "accepted").await == 2.0 }).await;
    let began = Instant::now();
    let away = begun("203.0.113.9").await;
    wait_for("one too many", || async {
        counted(&node, "turned_away").await == 1.0
    })
    .await;
    let told = ask(begun("203.0.113.10").await, "/nowhere").await;
    assert!(told.starts_with("HTTP/1.1 404 "), "{told}");
    is_closed(away).await;
    let held = began.elapsed();
    assert!(held >= HOLD, "back for more after {held:?}");
}

#[tokio::test]
async fn who_says_nothing_or_may_not_is_closed() {
    let world = World::new().await;
    let node = behind(&world, "[connections]\nhandshake_timeout_ms = 2000\n").await;
    for wrong in [
        &b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[..],
        b"PROXY TCP4 203.0.113.9 127.0.0.1 4000\r\n",
        b"PROXY UDP4 203.0.113.9 127.0.0.1 4000 443\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ] {
        for to in [node.plain, node.tls] {
            is_closed(connect(to, wrong).await).await;
        }
    }
    wait_for("a count", || async {
        counted(&node, "proxy_header_failed").await >= 6.0
    })
    .await;
    // One that does not end.
    is_closed(connect(node.plain, b"PROXY TCP4 203.0.").await).await;
    wait_for("a count", || async {
        counted(&node, "proxy_header_timeout").await >= 1.0
    })
    .await;
    // From where nobody is believed.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from(([127, 0, 0, 2], 0))).unwrap();
    let mut stranger = socket.connect(node.plain).await.unwrap();
    let _ = stranger.write_all(&line("203.0.113.9")).await;
    is_closed(stranger).await;
    wait_for("a count", || async {
        counted(&node, "untrusted").await == 1.0
    })
    .await;
    assert_eq!(counted(&node, "accepted").await, 0.0);
}

#[tokio::test]
async fn where_there_is_no_balancer_nobody_says_who_others_are() {
    let world = World::new().await;
    let node = world.node_with("los1", "").await;
    let begin = [
        line("203.0.113.9"),
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(),
    ]
    .concat();
    let mut begun = connect(node.plain, &begin).await;
    let mut told = [0; 12];
    within("an answer", begun.read_exact(&mut told))
        .await
        .unwrap();
    assert_eq!(&told, b"HTTP/1.1 400");
    let mut rest = Vec::new();
    let _ = within("the end", begun.read_to_end(&mut rest)).await;
    let said = world.check(
        "los1",
        "[[listener]]\naddress = \"127.0.0.1:0\"\ntls = false\nproxy_protocol = \"required\"\n",
    );
    assert!(said.contains("proxy_sources"), "{said}");
}
