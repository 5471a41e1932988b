//! How much clients may ask for, and what becomes of those who ask for more.

use std::sync::Arc;

use mcsp_api::Residency::Global;
use mcsp_edge_limits::{RATE_LIMIT, RATE_LIMIT_POLICY};
use reqwest::{Method, Response};
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Notify;

use crate::harness::{CONTENT, Node, Serve, World, get, header, origin_path, wait_for, within};

const TRENDING: &str = "/api/v1/content/trending";
const LOGIN: &str = "/api/v1/auth/login";

async fn turned_away(node: &Node, class: &str, reason: &str) -> f64 {
    let labels = [format!("\"{class}\""), format!("\"{reason}\"")];
    let labels = labels.each_ref().map(String::as_str);
    node.metric("mcsp_edge_turned_away_total", &labels).await
}

async fn is_problem(response: Response, status: u16, kind: &str) -> serde_json::Value {
    assert_eq!(response.status().as_u16(), status);
    let content_type = header(response.headers(), "content-type");
    assert_eq!(content_type, Some("application/problem+json"));
    let bytes = response.bytes().await.unwrap();
    let problem: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
    assert_eq!(problem["type"], format!("urn:mcsp:problem:{kind}"));
    problem
}

#[tokio::test]
async fn the_api_tells_how_a_client_stands_and_answers_429_to_more() {
    let world = World::new().await;
    let extra = "[limits.rate.api_read]\naddress = \"1/min burst 3\"\n";
    let node = world.node_with("los1", extra).await;
    world.origin.serve(TRENDING, Serve::ok("[]"));
    for left in [2, 1, 0] {
        let response = get(&node, TRENDING).await;
        assert_eq!(response.status(), 200);
        let field = header(response.headers(), RATE_LIMIT.as_str()).unwrap();
        let wanted = format!("\"api_read-address\";r={left};t=");
        assert!(field.starts_with(&wanted), "{field}");
        let policy = header(response.headers(), RATE_LIMIT_POLICY.as_str());
        assert_eq!(policy, Some("\"api_read-address\";q=3;w=180"));
    }
    let response = get(&node, TRENDING).await;
    let retry_after: u32 = header(response.headers(), "retry-after")
        .unwrap()
        .parse()
        .unwrap();
    assert!((1..=60).contains(&retry_after), "{retry_after}");
    let field = header(response.headers(), RATE_LIMIT.as_str()).unwrap();
    assert_eq!(field, format!("\"api_read-address\";r=0;t={retry_after}"));
    let problem = is_problem(response, 429, "too-many-requests").await;
    assert_eq!(problem["retry_after_s"], retry_after);
    assert_eq!(world.origin.count(TRENDING), 3);
    assert_eq!(turned_away(&node, "api_read", "rate-address").await, 1.0);
    let told = "\"limit_class\":\"api_read\",\"limit\":\"rate-address\"";
    wait_for("the log", || async { node.log().contains(told) }).await;
    // Other requests of the same client are none of these.
    world.origin.serve("/", Serve::ok("page"));
    assert_eq!(get(&node, "/").await.status(), 200);
}

#[tokio::test]
async fn a_stream_has_its_own_limit_over_both_protocols() {
    let world = World::new().await;
    let extra = "[limits.rate.segment]\ntoken = \"1/min burst 4\"\n";
    let node = world.node_with("los1", extra).await;
    let rest = "v360/1.m4s";
    world
        .origin
        .serve(&origin_path(Global, rest), Serve::ok("segment"));
    let path = world.media_path(Global, rest);
    let over_h2 = || async {
        let request = node.client.get(format!("https://{}{path}", node.tls));
        request.send().await.unwrap()
    };
    for _ in 0..2 {
        let response = get(&node, &path).await;
        assert_eq!(response.status(), 200);
        assert!(header(response.headers(), RATE_LIMIT.as_str()).is_none());
        assert_eq!(over_h2().await.status(), 200);
    }
    for response in [get(&node, &path).await, over_h2().await] {
        assert!(header(response.headers(), "retry-after").is_some());
        let allowed = header(response.headers(), "access-control-allow-origin");
        assert_eq!(allowed, Some("*"), "players of other origins may read why");
        is_problem(response, 429, "too-many-requests").await;
    }
    assert_eq!(turned_away(&node, "segment", "rate-token").await, 2.0);
}

#[tokio::test]
async fn guesses_at_one_account_stop_at_the_edge() {
    let world = World::new().await;
    let node = world.node("lhr1").await;
    world.origin.serve(LOGIN, Serve::status(401));
    let guess = |email: &str, password: usize| {
        let body = format!("{{\"email\":\"{email}\",\"password\":\"{password}\"}}");
        node.request(Method::POST, LOGIN)
            .header("content-type", "application/json")
            .body(body)
            .send()
    };
    for at in 0..10 {
        let email = ["ada@example.ng", "ADA@example.ng"][at % 2];
        assert_eq!(guess(email, at).await.unwrap().status(), 401);
    }
    let seen = world.origin.seen();
    assert_eq!(
        seen.last().unwrap().body,
        "{\"email\":\"ADA@example.ng\",\"password\":\"9\"}"
    );
    let response = guess("ada@example.ng", 10).await.unwrap();
    let field = header(response.headers(), RATE_LIMIT.as_str()).unwrap();
    assert!(field.starts_with("\"login-account\";r=0;t="), "{field}");
    is_problem(response, 429, "too-many-requests").await;
    assert_eq!(world.origin.count(LOGIN), 10);
    assert_eq!(guess("obi@example.ng", 0).await.unwrap().status(), 401);
    assert_eq!(turned_away(&node, "login", "rate-account").await, 1.0);
    let told = "\"detail\":\"rate-account\",\"limit_class\":\"login\",\"limit\":\"rate-account\"";
    wait_for("the log", || async { node.log().contains(told) }).await;
    // A body that is larger than any name and password is refused before it is read.
    let large = node.request(Method::POST, LOGIN).body(vec![b' '; 17 << 10]);
    assert_eq!(large.send().await.unwrap().status(), 413);
}

#[tokio::test]
async fn one_address_has_only_so_many_connections() {
    let world = World::new().await;
    let extra = "[limits.concurrency]\nconnections_address_max = 3\n";
    let node = world.node_with("los1", extra).await;
    let connect = || async { TcpStream::connect(node.plain).await.unwrap() };
    let mut held = [connect().await, connect().await, connect().await];
    let mut fourth = connect().await;
    let mut byte = [0; 1];
    let read = within("the end", fourth.read(&mut byte)).await;
    assert!(matches!(read, Ok(0) | Err(_)), "closed without a word");
    assert_eq!(turned_away(&node, "connection", "busy-address").await, 1.0);
    // The others are served, and make room.
    let request = b"GET /api/v1/content/trending HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    for stream in &mut held {
        stream.write_all(request).await.unwrap();
        let mut answer = Vec::new();
        within("an answer", stream.read_to_end(&mut answer))
            .await
            .unwrap();
        assert!(answer.starts_with(b"HTTP/1.1 "));
    }
    drop(held);
    wait_for("room", || async {
        node.request(Method::GET, TRENDING).send().await.is_ok()
    })
    .await;
}

/// What is refused costs a node something too.
#[tokio::test]
async fn a_connection_that_goes_on_asking_is_closed() {
    let world = World::new().await;
    let extra = "[limits.rate.web]\naddress = \"1/min burst 5\"\n\
                 [limits.rate.api_read]\naddress = \"1/min burst 5\"\n";
    let node = world.node_with("los1", extra).await;
    world.origin.serve("/", Serve::ok("page"));
    world.origin.serve(TRENDING, Serve::ok("[]"));
    // Answered by the node itself, and by pingora's proxy.
    for path in ["/", TRENDING] {
        let mut stream = TcpStream::connect(node.plain).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n");
        let mut answers = Vec::new();
        // One after the other: what waits unread when the connection ends could cost the last answers.
        let end = within("the end", async {
            for _ in 0..200 {
                stream.write_all(request.as_bytes()).await?;
                let before = answers.len();
                while !answers[before..].windows(4).any(|end| end == b"\r\n\r\n") {
                    if stream.read_buf(&mut answers).await? == 0 {
                        return Ok(());
                    }
                }
            }
            Ok::<_, std::io::Error>(())
        })
        .await;
        let answers = String::from_utf8_lossy(&answers);
        let refused = answers.matches("HTTP/1.1 429 ").count();
        // Fifty, and five a second; not all that were asked for.
        assert!((51..150).contains(&refused), "{path}: {refused}, {end:?}");
        assert_eq!(answers.matches("HTTP/1.1 200 ").count(), 5, "{path}");
        let last = answers.rfind("HTTP/1.1 ").unwrap();
        let last = answers[last..].to_ascii_lowercase();
        assert!(last.contains("connection: close\r\n"), "{last}");
    }
}

#[tokio::test]
async fn nodes_of_a_pop_keep_a_limit_together_and_each_goes_on_alone() {
    let world = World::new().await;
    world.origin.serve(TRENDING, Serve::ok("[]"));
    let rate = "[limits.rate.api_read]\naddress = \"1/min burst 40\"\n[limits.exchange]\ninterval_ms = 20\n";
    let listen = "listen = \"127.0.0.1:0\"\n";
    let first = world.node_with("los1-a", &format!("{rate}{listen}")).await;
    let peer = format!("peers = [\"{}\"]\n", first.limits.unwrap());
    let mut second = world.node_with("los1-b", &format!("{rate}{peer}")).await;
    wait_for("they know each other", || async {
        first.metric("mcsp_edge_limits_peers", &[]).await == 1.0
    })
    .await;
    for _ in 0..40 {
        assert_eq!(get(&second, TRENDING).await.status(), 200);
    }
    assert_eq!(get(&second, TRENDING).await.status(), 429);
    wait_for("the other node knows", || async {
        get(&first, TRENDING).await.status() == 429
    })
    .await;
    second.kill();
    let third = world.node_with("los1-c", rate).await;
    assert_eq!(get(&third, TRENDING).await.status(), 200, "on its own");
}

#[tokio::test]
async fn what_cannot_be_used_is_named() {
    let world = World::new().await;
    for (extra, wanted) in [
        (
            "[limits]\nipv6_prefix = 65\n",
            "limits.ipv6_prefix = 65: expected 32 to 64",
        ),
        (
            "[limits.rate.segment]\naddress = \"fast\"\n",
            "such as \"100/s burst 400\"",
        ),
        (
            "[limits.exchange]\nlisten = \"127.0.0.1:0\"\npeers = [\"nowhere\"]\n",
            "limits.exchange.peers = \"nowhere\": expected host:port",
        ),
    ] {
        let said = world.check("los1", extra);
        assert!(said.contains(wanted), "{said}");
    }
}

#[tokio::test]
async fn a_node_with_too_much_to_do_goes_on_with_what_runs_and_begins_nothing() {
    let world = World::new().await;
    let extra = "[limits.concurrency]\nrequests_max = 16\n\
                 [limits.shed]\nlag_ms = 10000\nin_flight_share = 0.1\nstep_ms = 10\ncalm_ms = 10\n";
    let node = world.node_with("los1", extra).await;
    let gate = Arc::new(Notify::new());
    let slow = Serve::ok(vec![0; 300_000]).gated(&gate);
    world.origin.serve(&origin_path(Global, "v360/2.m4s"), slow);
    let segment = Serve::ok("segment");
    world
        .origin
        .serve(&origin_path(Global, "v360/1.m4s"), segment);
    let running = world.media_path(Global, "v360/1.m4s");
    assert_eq!(get(&node, &running).await.status(), 200);
    let mut other = world.grant(Global);
    other.media_session_id = "ms_ng_01k9x3m5y8q2v7r4t6w1z0a3bd".parse().unwrap();
    let token = world.sign(&other);
    let begun = format!("/media/{token}/global/{CONTENT}/v360/1.m4s");

    // Two of sixteen are more than a tenth.
    let held = world.media_path(Global, "v360/2.m4s");
    let held = [get(&node, &held).await, get(&node, &held).await];
    wait_for("the last step", || async {
        node.metrics().await.contains("mcsp_edge_shed_level 4")
    })
    .await;
    assert_eq!(get(&node, &running).await.status(), 200);
    let play = format!("/api/v1/play/{CONTENT}");
    for path in [&begun, &play] {
        let response = get(&node, path).await;
        let retry_after = header(response.headers(), "retry-after").unwrap();
        assert!((5..=15).contains(&retry_after.parse::<u32>().unwrap()));
        is_problem(response, 503, "unavailable").await;
    }
    assert_eq!(turned_away(&node, "segment", "shed").await, 1.0);
    let told = "\"limit_class\":\"segment\",\"limit\":\"shed\"";
    wait_for("the log", || async { node.log().contains(told) }).await;
    gate.notify_one();
    for response in held {
        assert_eq!(response.bytes().await.unwrap().len(), 300_000);
    }
    wait_for("nothing to refuse", || async {
        node.metrics().await.contains("mcsp_edge_shed_level 0")
    })
    .await;
    assert_eq!(get(&node, &begun).await.status(), 200);
}

#[tokio::test]
async fn a_node_tells_how_it_is() {
    let world = World::new().await;
    let node = world.node("los1").await;
    wait_for("the node looks at itself", || async {
        node.metrics().await.contains("mcsp_edge_shed_level 0")
    })
    .await;
    assert_eq!(node.metric("mcsp_edge_requests_in_flight", &[]).await, 0.0);
}

#[tokio::test]
async fn limits_are_read_again_and_a_file_with_a_mistake_is_not() {
    let world = World::new().await;
    let few = "[limits.rate.api_read]\naddress = \"1/min burst 2\"\n";
    let node = world.node_with("los1", few).await;
    world.origin.serve(TRENDING, Serve::ok("[]"));
    let file = world.dir.path().join("los1.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let write = |rate: &str, more: &str| {
        let text = text.replace("1/min burst 2", rate);
        std::fs::write(&file, format!("{more}{text}")).unwrap();
    };
    let reload = async || {
        let url = format!("http://{}/limits/reload", node.admin);
        let response = node.client.post(url).send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    };
    let loads = |outcome: &'static str| {
        let node = &node;
        async move {
            node.metric("mcsp_edge_limits_loads_total", &[outcome])
                .await
        }
    };
    let admitted = async || {
        let mut admitted = 0;
        while get(&node, TRENDING).await.status() == 200 {
            admitted += 1;
        }
        admitted
    };
    assert_eq!(admitted().await, 2);
    write("1/min burst 5", "");
    let (status, told) = reload().await;
    assert_eq!((status, told.as_str()), (200, "{\"takes_a_restart\":[]}"));
    assert_eq!(admitted().await, 3, "two of five are owed");
    for (rate, more, wanted) in [
        ("fast", "", "such as \"100/s burst 400\""),
        ("1/min burst 50", "colour = 1\n", "colour"),
        (
            "1/min burst 50",
            "drain_ms = 600001\n",
            "drain_ms = 600001: expected 0 to 600000",
        ),
    ] {
        write(rate, more);
        let (status, told) = reload().await;
        assert!(status == 422 && told.contains(wanted), "{status} {told}");
        assert_eq!(get(&node, TRENDING).await.status(), 429, "as before");
    }
    assert_eq!((loads("loaded").await, loads("refused").await), (1.0, 3.0));
    let alert = "\"alert\":\"limits-refused\"";
    wait_for("the log", || async { node.log().contains(alert) }).await;
    // By a signal, on a node without a firewall too.
    let pid = Pid::from_raw(i32::try_from(node.pid()).unwrap()).unwrap();
    let hang_up = || kill_process(pid, Signal::HUP).unwrap();
    hang_up();
    wait_for("a refusal", || async { loads("refused").await == 4.0 }).await;
    write("1/min burst 9", "");
    hang_up();
    wait_for("other limits", || async { loads("loaded").await == 2.0 }).await;
    assert_eq!(admitted().await, 4);
}

/// Whoever breaks off as soon as he has asked is counted all the same: his request is there to be read, and the system no longer
/// says whose the connection is.
#[tokio::test]
async fn a_client_that_is_gone_already_is_counted_by_its_address() {
    let world = World::new().await;
    let extra = "[limits.rate.api_read]\naddress = \"1/min burst 2\"\n";
    let node = world.node_with("los1", extra).await;
    world.origin.serve(TRENDING, Serve::ok("[]"));
    let pid = Pid::from_raw(i32::try_from(node.pid()).unwrap()).unwrap();
    kill_process(pid, Signal::STOP).unwrap();
    for _ in 0..3 {
        let mut client = TcpStream::connect(node.plain).await.unwrap();
        let request = format!("GET {TRENDING} HTTP/1.1\r\nHost: a\r\n\r\n");
        client.write_all(request.as_bytes()).await.unwrap();
        client.set_zero_linger().unwrap();
    }
    kill_process(pid, Signal::CONT).unwrap();
    wait_for("three answers", || async {
        let unknown = node.metric("mcsp_edge_limits_no_address_total", &[]);
        turned_away(&node, "api_read", "rate-address").await + unknown.await >= 1.0
    })
    .await;
    node.counts("mcsp_edge_limits_no_address_total", &[], 0.0)
        .await;
}
