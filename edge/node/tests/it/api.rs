//! The API path: routed, never cached.

use reqwest::Method;

use crate::harness::{Serve, World, get, header, wait_for};

#[tokio::test]
async fn calls_go_to_their_region_with_a_trace_and_come_back_untouched() {
    let world = World::new().await;
    let node = world.node("lhr1").await;
    let id = "c_ng_01k9x3m5y8q2v7r4t6w1z0a3bc";
    let path = format!("/api/v1/content/{id}");
    world.origin.serve(
        &path,
        Serve::ok("{}")
            .with("cache-control", "max-age=60")
            .with("x-mcsp-inner", "1"),
    );
    world.origin.serve("/api/v1/auth/login", Serve::ok("{}"));
    for _ in 0..2 {
        let request = node.request(Method::GET, &format!("{path}?full=1"));
        let sent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let response = request.header("traceparent", sent).send().await.unwrap();
        assert_eq!(response.status(), 200);
        let trace = header(response.headers(), "traceparent").unwrap();
        assert!(
            trace.starts_with("00-0af7651916cd43dd8448eb211c80319c-"),
            "{trace}"
        );
        assert!(header(response.headers(), "x-mcsp-inner").is_none());
        assert!(header(response.headers(), "access-control-allow-origin").is_none());
    }
    let login = node
        .request(Method::POST, "/api/v1/auth/login")
        .body("{\"a\":1}");
    assert_eq!(login.send().await.unwrap().status(), 200);
    let seen = world.origin.seen();
    assert_eq!(seen.len(), 3, "nothing of the API is cached");
    assert_eq!(seen[0].path, format!("{path}?full=1"));
    assert_eq!(
        seen[0].headers.get("host").unwrap(),
        "origin.ng-lagos.mcsp.internal"
    );
    let trace = seen[0]
        .headers
        .get("traceparent")
        .unwrap()
        .to_str()
        .unwrap();
    assert!(trace.starts_with("00-0af7651916cd43dd8448eb211c80319c-"));
    assert_eq!(
        seen[2].headers.get("host").unwrap(),
        "origin.global-london.mcsp.internal"
    );
    assert_eq!(seen[2].body, "{\"a\":1}");
}

#[tokio::test]
async fn an_origin_that_is_away_is_503_with_retry_after() {
    let world = World::new().await;
    let node = world.node("los1").await;
    world.origin.set_away(true);
    let response = get(&node, "/api/v1/content/trending").await;
    assert_eq!(response.status(), 503);
    assert!(header(response.headers(), "retry-after").is_some());
    let problem: serde_json::Value =
        serde_json::from_slice(&response.bytes().await.unwrap()).unwrap();
    assert_eq!(problem["type"], "urn:mcsp:problem:unavailable");
    assert_eq!(problem["trace_id"].as_str().unwrap().len(), 32);
    let trace_id = problem["trace_id"].as_str().unwrap();
    wait_for("the log", || async { node.log().contains(trace_id) }).await;
}

#[tokio::test]
async fn everything_else_is_404_and_bodies_are_bounded() {
    let world = World::new().await;
    let node = world
        .node_with("los1", "[proxy.limits]\napi_body_bytes_max = 1024\n")
        .await;
    for path in [
        "/metrics",
        "/readyz",
        "/admin",
        "/api/v2/x",
        "/media/",
        "/mcsp.feed.v1.EdgeFeed/Subscribe",
    ] {
        let response = get(&node, path).await;
        assert_eq!(response.status(), 404, "{path}");
        assert_eq!(
            header(response.headers(), "content-type"),
            Some("application/problem+json")
        );
    }
    // Clients would tidy it up.
    let raw = node
        .raw("GET /api/v1/%2e%2e/x HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        .await;
    assert!(raw.starts_with("HTTP/1.1 400 "), "{raw}");
    let post = |body: reqwest::Body| {
        node.request(Method::POST, "/api/v1/auth/login")
            .body(body)
            .send()
    };
    assert_eq!(post(vec![b'a'; 1025].into()).await.unwrap().status(), 413);
    let chunks = futures::stream::iter((0..8).map(|_| Ok::<_, std::io::Error>(vec![b'a'; 1000])));
    let unsaid = post(reqwest::Body::wrap_stream(chunks)).await.unwrap();
    assert_eq!(unsaid.status(), 413, "a length that is not said is counted");
    assert_eq!(
        node.request(Method::TRACE, "/")
            .send()
            .await
            .unwrap()
            .status(),
        405
    );
}

#[tokio::test]
async fn a_failing_origin_is_passed_over_and_an_act_is_not_repeated() {
    let world = World::new().await;
    let second = world.another_origin().await;
    let dead = "127.0.0.1:1".parse().unwrap();
    let origins = [dead, world.origin.address, second.address];
    // The feed is where its state is: on the first origin that answers.
    second.feed.set_away(true);
    let node = world.start_with_origins("los1", &origins, "").await;
    node.wait_ready().await;
    let path = "/api/v1/content/trending";
    for origin in [&world.origin, &second] {
        origin.serve(path, Serve::ok("trending"));
        origin.serve("/api/v1/auth/login", Serve::ok("welcome"));
    }
    for _ in 0..6 {
        let login = node
            .request(Method::POST, "/api/v1/auth/login")
            .body("{}")
            .send()
            .await
            .unwrap();
        assert_eq!(
            login.status(),
            200,
            "what never reached an origin may go to another"
        );
    }
    world.origin.serve(path, Serve::status(503));
    world.origin.serve("/api/v1/auth/login", Serve::status(503));
    for _ in 0..6 {
        assert_eq!(get(&node, path).await.text().await.unwrap(), "trending");
    }
    // An act that an origin may have carried out is not repeated, whatever became of its answer.
    let acts = || world.origin.count("/api/v1/auth/login") + second.count("/api/v1/auth/login");
    let before = acts();
    for origin in [&world.origin, &second] {
        origin.serve("/api/v1/auth/login", Serve::status(502));
    }
    let login = node
        .request(Method::POST, "/api/v1/auth/login")
        .body("{}")
        .send()
        .await
        .unwrap();
    assert_eq!((login.status().as_u16(), acts() - before), (502, 1));
    assert!(node.metric("mcsp_edge_upstream_retries_total", &[]).await > 0.0);
}
