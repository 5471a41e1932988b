//! HTTP/2 frame by frame: floods of what costs its sender nothing, and answers before the answer.

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use crate::harness::{Node, RawOrigin, Serve, World, wait_for, within};

const TRENDING: &str = "/api/v1/content/trending";

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;
const ENHANCE_YOUR_CALM: u32 = 11;

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

fn settings() -> Vec<u8> {
    frame(SETTINGS, 0, 0, &[])
}

fn ping() -> Vec<u8> {
    frame(PING, 0, 0, &[0; 8])
}

/// A connection over TLS on which HTTP/2 was agreed on.
async fn connect(world: &World, node: &Node) -> impl AsyncRead + AsyncWrite + use<> {
    let identity = world.identity("edge", "client");
    let name = rustls::pki_types::ServerName::try_from("los1.edge.mcsp.internal").unwrap();
    let address = node.tls.to_string();
    let dialer = mcsp_identity::Dialer::new(&identity, &address, name, &[b"h2"]).unwrap();
    dialer.dial().await.unwrap()
}

/// Sends these bytes over HTTP/2 and reads until the node ends the connection; the error code of its GOAWAY.
async fn flood(world: &World, node: &Node, bytes: &[u8]) -> Option<u32> {
    let (mut reader, mut writer) = tokio::io::split(connect(world, node).await);
    let mut sent = PREFACE.to_vec();
    sent.extend(settings());
    sent.extend(bytes);
    let write = async move {
        // The node may end the connection before it has read all.
        let _ = writer.write_all(&sent).await;
        writer
    };
    let read = async move {
        let mut read = Vec::new();
        let _ = reader.read_to_end(&mut read).await;
        read
    };
    let both = async { tokio::join!(write, read) };
    let (_, read) = within("the connection's end", both).await;
    let mut rest = read.as_slice();
    while rest.len() >= 9 {
        let length = usize::from(rest[0]) << 16 | usize::from(rest[1]) << 8 | usize::from(rest[2]);
        let payload = rest.get(9..9 + length)?;
        if rest[3] == GOAWAY {
            return Some(u32::from_be_bytes(payload[4..8].try_into().unwrap()));
        }
        rest = &rest[9 + length..];
    }
    None
}

#[tokio::test]
async fn floods_of_empty_frames_end_their_connection_and_nobody_elses() {
    let world = World::new().await;
    let node = world.node("los1").await;
    world.origin.serve(TRENDING, Serve::ok("[]"));
    let floods = [
        ("ping", ping().repeat(200)),
        ("settings", settings().repeat(200)),
        ("other", frame(2, 0, 1, &[0, 0, 0, 0, 9]).repeat(3_000)),
    ];
    for (kind, bytes) in floods {
        let told = flood(&world, &node, &bytes).await;
        // ENHANCE_YOUR_CALM, where it was not lost with the connection.
        assert!(matches!(told, Some(11) | None), "{kind}: {told:?}");
        wait_for(kind, || async {
            let labels = [&*format!("\"{kind}\"")];
            node.metric("mcsp_edge_h2_floods_total", &labels).await == 1.0
        })
        .await;
        let request = node.client.get(format!("https://{}{TRENDING}", node.tls));
        assert_eq!(request.send().await.unwrap().status(), 200, "{kind}");
    }
}

/// CVE-2024-27316 and its like: a request's fields that never end, by many frames, by frames that hold nothing, by large ones.
#[tokio::test]
async fn continuations_without_end_end_their_connection_and_nobody_elses() {
    let world = World::new().await;
    let node = world.node("los1").await;
    world.origin.serve(TRENDING, Serve::ok("[]"));
    let url = format!("https://{}{TRENDING}", node.tls);
    // One who is served before the floods is served on the same connection after them.
    assert_eq!(node.client.get(&url).send().await.unwrap().status(), 200);
    let begun = frame(HEADERS, END_STREAM, 1, b"\x82\x87\x84\x41\x01x");
    let part = |payload: &[u8]| frame(CONTINUATION, 0, 1, payload);
    // A field that goes into no table: its name and its value, each of one letter.
    let field = b"\x00\x01a\x01b";
    let large = field.repeat(16_000 / field.len());
    let floods = [
        ("small", part(field).repeat(20_000)),
        ("empty", part(b"").repeat(20_000)),
        ("large", part(&large).repeat(4_000)),
    ];
    for (at, (kind, parts)) in floods.iter().enumerate() {
        let told = flood(&world, &node, &[&*begun, parts].concat()).await;
        assert!(
            matches!(told, Some(ENHANCE_YOUR_CALM) | None),
            "{kind}: {told:?}"
        );
        let closed = at as f64 + 1.0;
        node.counts("mcsp_edge_h2_closed_total", &["\"excess\""], closed)
            .await;
        let request = node.client.get(&url);
        assert_eq!(request.send().await.unwrap().status(), 200, "{kind}");
    }
    assert_eq!(world.origin.count(TRENDING), 4, "no flood was a request");
    // Sixty-four million bytes were to be sent: what is in no buffer of either system was not taken.
    let labels = ["peers=\"clients\""];
    let name = "mcsp_edge_network_received_bytes_total";
    let received = node.metric(name, &labels).await;
    assert!(received < 16e6, "{received}");
}

/// A node's frames, one after the other.
async fn next(reader: &mut (impl AsyncRead + Unpin)) -> (u8, u8, u32, Vec<u8>) {
    let mut head = [0; 9];
    within("a frame", reader.read_exact(&mut head))
        .await
        .unwrap();
    let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
    let mut payload = vec![0; length];
    within("its payload", reader.read_exact(&mut payload))
        .await
        .unwrap();
    let stream = u32::from_be_bytes(head[5..].try_into().unwrap());
    (head[3], head[4], stream, payload)
}

/// RFC 9113 section 8.1: a head with each interim status, as it comes, and then the answer's.
#[tokio::test]
async fn hints_before_an_answer_reach_a_client_over_h2_before_there_is_one() {
    let world = World::new().await;
    let mut origin = RawOrigin::start().await;
    let route = format!(
        "[[route]]\nname = \"raw\"\nhosts = [\"raw.example\"]\nupstream = \"http://{}\"\n",
        origin.address
    );
    let node = world.node_with("los1", &route).await;
    let (mut reader, mut writer) = tokio::io::split(connect(&world, &node).await);
    // `:method`, `:scheme` https, `:path` /, and `:authority`.
    for (stream, method) in [(1, 0x82), (3, 0x83)] {
        let mut fields = vec![method, 0x87, 0x84, 0x41, 11];
        fields.extend(b"raw.example");
        let asks = frame(HEADERS, END_HEADERS | END_STREAM, stream, &fields);
        let begins = match stream {
            1 => [PREFACE, &settings(), &asks].concat(),
            _ => asks,
        };
        writer.write_all(&begins).await.unwrap();
        let mut asked = origin.asked().await;
        let mut head = async || loop {
            let (kind, flags, of, payload) = next(&mut reader).await;
            if of == stream && matches!(kind, HEADERS | DATA) {
                return (kind, flags & END_STREAM, payload);
            }
        };
        // The origin says nothing more until this one is here.
        for hints in ["</a>; rel=preload", "</b>; rel=preload"] {
            asked
                .write(&format!(
                    "HTTP/1.1 103 Early Hints\r\nLink: {hints}\r\n\r\n"
                ))
                .await;
            let (kind, end, block) = head().await;
            assert_eq!((kind, end), (HEADERS, 0), "{hints}");
            // `:status` by its name's index, its value as it is; and something more.
            assert!(block.starts_with(b"\x08\x03103"), "{block:x?}");
            assert!(block.len() > 15, "{block:x?}");
        }
        asked.answer("", "end").await;
        let (kind, end, block) = head().await;
        assert_eq!((kind, end, block[0]), (HEADERS, 0, 0x88), "{block:x?}");
        let (kind, _, body) = head().await;
        assert_eq!((kind, body.as_slice()), (DATA, &b"end"[..]));
    }
}
