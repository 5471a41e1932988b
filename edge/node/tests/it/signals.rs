//! What is known of clients by their connections, and who they are to origins, on every way that a request may take.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use mcsp_api::headers::IDENTITY;
use mcsp_api::{Residency, ViewerIdentity};
use mcsp_geo::testdb::{RecordSize, TestDb};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Method, Version};
use rustls::pki_types::ServerName;

use crate::harness::{Node, Serve, USER, World, client, origin_path, wait_for, within};

/// Clients by protocol: HTTP/1.1 over TLS, HTTP/2.
fn clients() -> [(Version, Client); 2] {
    client();
    let old = Client::builder()
        .tls_danger_accept_invalid_certs(true)
        .http1_only()
        .build()
        .unwrap();
    [(Version::HTTP_11, old), (Version::HTTP_2, client())]
}

fn url(node: &Node, path: &str) -> String {
    format!("https://localhost:{}{path}", node.tls.port())
}

/// The access log's lines of a path.
fn lines(node: &Node, path: &str) -> Vec<serde_json::Value> {
    let log = node.log();
    let lines = log
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok());
    lines
        .filter(|line: &serde_json::Value| {
            let found = line["path"].as_str();
            line["target"] == "access" && found.is_some_and(|found| found.ends_with(path))
        })
        .collect()
}

#[tokio::test]
async fn every_request_of_a_connection_has_its_signals() {
    let world = World::new().await;
    let list = world.dir.path().join("networks.txt");
    std::fs::write(&list, "# of this test\nhosting 127.0.0.0/8\nhosting ::1\n").unwrap();
    let extra = format!("network_list = {:?}\n", list.display().to_string());
    let node = world.node_with("los1", &extra).await;
    let rest = "v360/1.m4s";
    let path = origin_path(Residency::Global, rest);
    world.origin.serve(&path, Serve::ok("bytes"));
    world
        .origin
        .serve("/api/v1/auth/login", Serve::ok("welcome"));
    world.origin.serve("/api/v1/users/me", Serve::ok("me"));
    for (version, client) in clients() {
        let media = url(&node, &world.media_path(Residency::Global, rest));
        let answer = client.get(&media).send().await.unwrap();
        assert_eq!((answer.status().as_u16(), answer.version()), (200, version));
        // Lent to pingora: with a body, and without one.
        let login = client.post(url(&node, "/api/v1/auth/login")).body("{}");
        assert_eq!(login.send().await.unwrap().status(), 200);
        let me = client
            .get(url(&node, "/api/v1/users/me"))
            .bearer_auth(world.access.token());
        assert_eq!(me.send().await.unwrap().status(), 200);
    }
    for path in [rest, "/auth/login", "/users/me"] {
        wait_for("two lines", || async { lines(&node, path).len() == 2 }).await;
        let lines = lines(&node, path);
        let prints: Vec<_> = lines.iter().map(|line| line["ja4"].as_str()).collect();
        for (print, alpn) in prints.iter().zip(["h1", "h2"]) {
            let print = print.unwrap_or_else(|| panic!("{path}: no fingerprint"));
            let head = print.split('_').next().unwrap();
            assert!(head.starts_with("t13") && head.ends_with(alpn), "{print}");
        }
        assert!(lines.iter().all(|line| line["network"] == "hosting"));
    }
    let visits = "mcsp_edge_visits_total";
    let of_hosting = node.metric(visits, &["network=\"hosting\""]).await;
    assert!(
        (2.0..=6.0).contains(&of_hosting),
        "{of_hosting} connections"
    );
    let requests = "mcsp_edge_listed_requests_total";
    node.counts(requests, &["hosting"], 6.0).await;
}

/// A list that names systems, which only the database tells addresses of; a prefix says more than its system does.
#[tokio::test]
async fn the_system_of_an_address_is_known_to_rules_logs_and_metrics() {
    let world = World::new().await;
    let show = |name: &str| world.dir.path().join(name).display().to_string();
    let mut systems = TestDb::new(RecordSize::Bits24, 6);
    systems.insert_system("127.0.0.0/8", 64_500).unwrap();
    systems.insert_system("127.0.0.2/32", 64_501).unwrap();
    std::fs::write(show("asn.mmdb"), systems.to_bytes().unwrap()).unwrap();
    let list = "vpn AS64500\nproxy AS64501\ntor 127.0.0.3\n";
    std::fs::write(show("networks.txt"), list).unwrap();
    let rules = r#"
        SecRule TX:asn "@streq 64501" "id:1001,phase:1,deny,status:403,log,msg:'System'"
        SecRule TX:network "@streq tor" "id:1002,phase:1,deny,status:403,log,msg:'Network'"
        SecRule TX:ja4 "@rx ." "id:1003,phase:1,pass,nolog"
    "#;
    std::fs::write(show("rules.conf"), rules).unwrap();
    let extra = format!(
        "asn_database = {:?}\nnetwork_list = {:?}\n[waf.rules]\nfiles = [{:?}]\n",
        show("asn.mmdb"),
        show("networks.txt"),
        show("rules.conf")
    );
    let node = world.node_with("los1", &extra).await;
    let rest = "v360/1.m4s";
    let path = origin_path(Residency::Global, rest);
    world.origin.serve(&path, Serve::ok("bytes"));
    world.origin.serve("/", Serve::ok("page"));
    // Media go through the lane, the page through every rule.
    for path in [world.media_path(Residency::Global, rest), "/".to_owned()] {
        for (from, wanted) in [
            ([127, 0, 0, 1], 200),
            ([127, 0, 0, 2], 403),
            ([127, 0, 0, 3], 403),
        ] {
            let from = std::net::IpAddr::from(from);
            let client = Client::builder().local_address(from).build().unwrap();
            let asked = client.get(format!("http://{}{path}", node.plain));
            assert_eq!(
                asked.send().await.unwrap().status(),
                wanted,
                "{from}: {path}"
            );
        }
    }
    wait_for("three lines", || async { lines(&node, rest).len() == 3 }).await;
    let told: Vec<_> = lines(&node, rest)
        .iter()
        .map(|line| {
            (
                line["asn"].as_u64(),
                line["network"].as_str().map(str::to_owned),
            )
        })
        .collect();
    let wanted = [(64_500, "vpn"), (64_501, "proxy"), (64_500, "tor")];
    assert_eq!(
        told,
        wanted.map(|(asn, network)| (Some(asn), Some(network.to_owned())))
    );
    for network in ["vpn", "proxy", "tor"] {
        let label = format!("network=\"{network}\"");
        let metrics = ["mcsp_edge_visits_total", "mcsp_edge_listed_requests_total"];
        for metric in metrics {
            node.counts(metric, &[&label], 2.0).await;
        }
    }
}

#[tokio::test]
async fn no_client_is_who_it_says_it_is_on_any_way() {
    let world = World::new().await;
    let node = world.node("los1").await;
    let rest = "v360/1.m4s";
    for path in [
        &*origin_path(Residency::Global, rest),
        "/",
        "/api/v1/auth/login",
        "/api/v1/users/me",
        "/api/v1/content/trending",
    ] {
        let kept = Serve::ok("an answer").with("cache-control", "no-store");
        world.origin.serve(path, kept);
    }
    let forged = ViewerIdentity {
        user_id: "u_gl_01k9x3m5y8q2v7r4t6w1z0a3bc".parse().unwrap(),
        role: mcsp_api::Role::PlatformAdmin,
        session_id: "s".to_owned(),
        organisation_id: None,
        expires_s: i64::MAX,
    };
    let forged = forged.to_header_value();
    let media = world.media_path(Residency::Global, rest);
    for (version, client) in clients() {
        let asked = world.origin.seen().len();
        let send = async |method: Method, path: &str, token: Option<String>| {
            let mut request = client.request(method.clone(), url(&node, path));
            if let Some(token) = token {
                request = request.bearer_auth(token);
            }
            if method == Method::POST {
                request = request.body("{}");
            }
            for name in [IDENTITY, "x_mcsp_identity", "x-mcsp_identity"] {
                request = request.header(name, &forged).header(name, &forged);
            }
            let answer = request.send().await.unwrap();
            assert_eq!(answer.status(), 200, "{path}");
            assert_eq!(answer.version(), version);
        };
        send(Method::GET, &media, None).await;
        send(Method::GET, "/", None).await;
        send(Method::POST, "/api/v1/auth/login", None).await;
        send(Method::GET, "/api/v1/content/trending", None).await;
        let seen = world.origin.seen().split_off(asked);
        assert_eq!(seen.len(), 4);
        for one in &seen {
            assert!(identities(&one.headers).is_empty(), "{}", one.path);
        }
        let token = world.access.token();
        send(Method::GET, "/api/v1/users/me", Some(token)).await;
        let seen = world.origin.seen().pop().unwrap();
        let found = identities(&seen.headers);
        let [found] = found[..] else {
            panic!("{found:?}");
        };
        let found = ViewerIdentity::from_header_value(found.to_str().unwrap()).unwrap();
        assert_eq!(found.user_id.as_str(), USER);
    }
}

/// What an origin could take for a viewer's identity: many do not tell `_` from `-`.
fn identities(headers: &HeaderMap) -> Vec<&HeaderValue> {
    let is_it = |name: &HeaderName| name.as_str().replace('_', "-") == IDENTITY;
    let found = headers.iter().filter(|(name, _)| is_it(name));
    found.map(|(_, value)| value).collect()
}

/// A TLS client whose hello comes in records of so many bytes, and these in writes of so many; what it is told of `path`.
fn ask_in_pieces(
    to: SocketAddr,
    config: Arc<rustls::ClientConfig>,
    path: &str,
    (record, write): (usize, usize),
) -> String {
    let name = ServerName::try_from("los1.edge.mcsp.internal").unwrap();
    let mut tls = rustls::ClientConnection::new(config, name).unwrap();
    let mut hello = Vec::new();
    tls.write_tls(&mut hello).unwrap();
    // One record, whose head has five bytes.
    let (head, message) = hello.split_at(5);
    let split: Vec<u8> = message
        .chunks(record)
        .flat_map(|part| {
            let length = u16::try_from(part.len()).unwrap().to_be_bytes();
            [&head[..3], &length, part].concat()
        })
        .collect();
    let mut socket = TcpStream::connect(to).unwrap();
    socket.set_nodelay(true).unwrap();
    for piece in split.chunks(write) {
        socket.write_all(piece).unwrap();
    }
    let mut stream = rustls::Stream::new(&mut tls, &mut socket);
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut told = Vec::new();
    // Who closes without a word has still said all of it.
    let _ = stream.read_to_end(&mut told);
    String::from_utf8_lossy(&told).into_owned()
}

#[tokio::test]
async fn a_hello_has_its_fingerprint_in_however_many_pieces_it_comes() {
    let world = World::new().await;
    let node = world.node("los1").await;
    let config = world
        .identity("edge", "client")
        .client_config(&[b"http/1.1"])
        .unwrap();
    let pieces = [(16_384, 16_384), (16_384, 1), (100, 33), (7, 5), (1, 1)];
    for (record, write) in pieces {
        let path = format!("/nowhere/{record}/{write}");
        let (to, config) = (node.tls, Arc::clone(&config));
        let asking = {
            let path = path.clone();
            tokio::task::spawn_blocking(move || ask_in_pieces(to, config, &path, (record, write)))
        };
        let told = within("an answer", asking).await.unwrap();
        assert!(told.starts_with("HTTP/1.1 404 "), "{path}: {told}");
        wait_for("its line", || async { lines(&node, &path).len() == 1 }).await;
    }
    let prints: Vec<_> = pieces
        .iter()
        .map(|(record, write)| {
            let path = format!("/nowhere/{record}/{write}");
            lines(&node, &path)[0]["ja4"].as_str().map(str::to_owned)
        })
        .collect();
    let whole = prints[0].as_deref().unwrap();
    assert!(
        whole.starts_with("t13d") && whole.contains("h1_"),
        "{whole}"
    );
    for (print, pieces) in prints.iter().zip(pieces) {
        assert_eq!(print.as_deref(), Some(whole), "{pieces:?}");
    }
}
