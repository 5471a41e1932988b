//! The firewall of a running node: what it refuses, what it only reports, and how it fails.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::response::Response;
use mcsp_api::Residency;
use reqwest::{Method, StatusCode, Version};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::net::TcpListener;

use crate::harness::{Node, Serve, World, client, get, origin_path, wait_for, whole_lines};

pub(crate) const RULES: &str = r#"
SecRule ARGS "@contains attack" "id:1001,phase:2,deny,status:403,log,msg:'Attack',logdata:'%{MATCHED_VAR}'"
SecRule REQUEST_HEADERS:User-Agent "@contains scanner" "id:1002,phase:1,deny,log,msg:'Scanner'"
SecRule REQUEST_COOKIES "@contains attack" "id:1003,phase:1,deny,log,msg:'Cookie'"
SecRule RESPONSE_BODY "@contains secret" "id:1004,phase:4,deny,log,msg:'Leak'"
SecRule RESPONSE_HEADERS:X-Leak "@rx ." "id:1005,phase:3,deny,log,msg:'Leak'"
SecRule REQUEST_BODY "@contains heavy" "id:1006,phase:2,pass,nolog,t:hexEncode,t:hexEncode,t:hexEncode"
"#;

/// `it is a secret`, in gzip.
const CODED: &[u8] = &[
    31, 139, 8, 0, 0, 0, 0, 0, 2, 3, 203, 44, 81, 200, 44, 86, 72, 84, 40, 78, 77, 46, 74, 45, 1,
    0, 62, 0, 198, 27, 14, 0, 0, 0,
];

/// An origin that counts requests whose whole body reached it.
#[derive(Clone, Default)]
struct Old {
    asked: Arc<AtomicUsize>,
}

async fn answer(State(old): State<Old>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    if parts.uri.path() == "/hasty" {
        // It acts on the head, whatever follows.
        old.asked.fetch_add(1, Ordering::SeqCst);
        return Response::default();
    }
    let Ok(body) = to_bytes(body, 64 << 20).await else {
        return Response::default();
    };
    old.asked.fetch_add(1, Ordering::SeqCst);
    let response = Response::builder()
        .header("cache-control", "no-store")
        .header("content-type", "text/plain");
    match parts.uri.path() {
        "/tells" => response.body(Body::from("a secret")),
        "/tells/coded" => response
            .header("content-encoding", "gzip")
            .body(Body::from(CODED)),
        "/large" => response.body(Body::from("a line\n".repeat(5_000))),
        "/marked" => response.header("x-leak", "1").body(Body::empty()),
        _ => response.body(Body::from(body.len().to_string())),
    }
    .unwrap()
}

pub(crate) struct Site {
    old: Old,
    pub(crate) node: Node,
    dir: TempDir,
}

impl Site {
    pub(crate) async fn new(waf: &str) -> Self {
        Self::with_rules(RULES, waf).await
    }

    pub(crate) async fn with_rules(rules: &str, waf: &str) -> Self {
        Self::with_route(rules, "", waf).await
    }

    /// With `extra` in the route.
    pub(crate) async fn with_route(rules: &str, extra: &str, waf: &str) -> Self {
        Self::start(rules, 2, extra, waf).await
    }

    /// On one worker, which is everybody's.
    pub(crate) async fn on_one_worker(rules: &str, waf: &str) -> Self {
        Self::start(rules, 1, "", waf).await
    }

    async fn start(rules: &str, workers: usize, extra: &str, waf: &str) -> Self {
        let dir = TempDir::new().unwrap();
        let old = Old::default();
        let address = old.start().await;
        std::fs::write(dir.path().join("rules.conf"), rules).unwrap();
        let show = |name: &str| dir.path().join(name).display().to_string();
        let text = format!(
            "state_dir = \"{}\"\nworker_threads = {workers}\n[admin]\naddress = \"127.0.0.1:0\"\n\
             [[listener]]\naddress = \"127.0.0.1:0\"\ntls = false\n\
             [[route]]\nname = \"old\"\nupstream = \"http://{address}\"\n{extra}\
             [waf]\naudit_file = \"{}\"\n{waf}\n[waf.rules]\nfiles = [\"{}\"]\n",
            show("edge-state"),
            show("audit.jsonl"),
            show("rules.conf"),
        );
        let node = Node::start_from(dir.path(), "edge", &text).await;
        node.wait_ready().await;
        Self { old, node, dir }
    }

    pub(crate) fn asked(&self) -> usize {
        self.old.asked.load(Ordering::SeqCst)
    }

    pub(crate) async fn get(&self, path: &str) -> StatusCode {
        let sent = self.node.request(Method::GET, path).send().await;
        sent.unwrap().status()
    }

    async fn head(&self, path: &str) -> StatusCode {
        let sent = self.node.request(Method::HEAD, path).send().await;
        sent.unwrap().status()
    }

    pub(crate) async fn post(&self, path: &str, body: impl Into<reqwest::Body>) -> StatusCode {
        let request = self.node.request(Method::POST, path);
        let form = request.header("content-type", "application/x-www-form-urlencoded");
        form.body(body).send().await.unwrap().status()
    }

    /// The events so far.
    pub(crate) fn events(&self) -> Vec<serde_json::Value> {
        let text = whole_lines(&self.dir.path().join("audit.jsonl"));
        let lines = text.lines();
        lines
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// The first event of a request that was let through for that reason.
    pub(crate) async fn let_through(&self, reason: &str) -> serde_json::Value {
        let told = || {
            let mut events = self.events().into_iter();
            events.find(|event| event["let_through"]["reason"] == reason)
        };
        wait_for("an event of it", || async { told().is_some() }).await;
        told().unwrap()
    }

    pub(crate) async fn event(&self, nth: usize) -> serde_json::Value {
        wait_for("an event", || async { self.events().len() > nth }).await;
        self.events().swap_remove(nth)
    }

    fn write_rules(&self, rules: &str) {
        std::fs::write(self.dir.path().join("rules.conf"), rules).unwrap();
    }

    async fn reload(&self) -> (StatusCode, String) {
        let url = format!("http://{}/waf/reload", self.node.admin);
        let response = self.node.client.post(url).send().await.unwrap();
        (response.status(), response.text().await.unwrap())
    }

    pub(crate) async fn failed_open(&self, kind: &str) -> f64 {
        self.node
            .metric("mcsp_edge_waf_failed_open_total", &[kind])
            .await
    }
}

impl Old {
    async fn start(&self) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().fallback(answer).with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        address
    }
}

#[tokio::test]
async fn what_is_hostile_is_refused_and_never_reaches_the_origin() {
    let site = Site::new("").await;
    assert_eq!(site.get("/?q=good").await, 200);
    assert_eq!(site.post("/", "q=good").await, 200);
    let asked = site.asked();
    let response = site.node.request(Method::GET, "/?q=an+attack");
    let response = response.send().await.unwrap();
    assert_eq!(response.status(), 403);
    let problem: serde_json::Value =
        serde_json::from_slice(&response.bytes().await.unwrap()).unwrap();
    assert!(
        !problem.to_string().contains("1001"),
        "nothing of the rule: {problem}"
    );
    assert_eq!(site.post("/", "q=an+attack").await, 403);
    // In pieces, the last of which has it.
    let pieces: Vec<Result<Vec<u8>, std::io::Error>> = ["q=", "an+", "att", "ack"]
        .map(|piece| Ok(piece.as_bytes().to_vec()))
        .into();
    let body = reqwest::Body::wrap_stream(futures::stream::iter(pieces));
    assert_eq!(site.post("/", body).await, 403);
    assert_eq!(site.asked(), asked);
    let event = site.event(0).await;
    assert_eq!(event["matches"][0]["id"], 1001);
    assert_eq!(event["matches"][0]["data"], "an attack");
    assert_eq!(
        (&event["enforced"], &event["status"]),
        (&true.into(), &403.into())
    );
    let blocked = ["route=\"old\"", "outcome=\"blocked\""];
    site.node
        .counts("mcsp_edge_waf_requests_total", &blocked, 3.0)
        .await;
}

/// RFC 9113 section 8.1: neither the method nor a length says whether there is a body.
#[tokio::test]
async fn a_body_that_only_http_2_can_bring_is_inspected() {
    let world = World::new().await;
    let old = Old::default();
    let rules = world.dir.path().join("rules.conf");
    std::fs::write(&rules, RULES).unwrap();
    let extra = format!(
        "[[route]]\nname = \"old\"\nhosts = [\"old.example\"]\nupstream = \"http://{}\"\n\
         [waf.rules]\nfiles = [\"{}\"]\n",
        old.start().await,
        rules.display()
    );
    let node = world.node_with("los1", &extra).await;
    let client = reqwest::Client::builder()
        .tls_danger_accept_invalid_certs(true)
        .resolve("old.example", node.tls)
        .build()
        .unwrap();
    for method in [Method::GET, Method::DELETE, Method::POST] {
        let ask = |body: &'static str| {
            let pieces = futures::stream::iter([Ok::<_, std::io::Error>(body)]);
            let url = format!("https://old.example:{}/", node.tls.port());
            let request = client.request(method.clone(), url);
            let form = request.header("content-type", "application/x-www-form-urlencoded");
            form.body(reqwest::Body::wrap_stream(pieces)).send()
        };
        let asked = old.asked.load(Ordering::SeqCst);
        let answer = ask("q=fine").await.unwrap();
        assert_eq!(answer.version(), reqwest::Version::HTTP_2);
        assert_eq!(
            (answer.status(), answer.text().await.unwrap().as_str()),
            (StatusCode::OK, "6"),
            "{method}"
        );
        assert_eq!(ask("q=an+attack").await.unwrap().status(), 403, "{method}");
        assert_eq!(old.asked.load(Ordering::SeqCst), asked + 1, "{method}");
    }
}

#[tokio::test]
async fn detecting_only_reports() {
    let site = Site::new("mode = \"detect\"").await;
    // Events are written once their answers have gone out: one after the other, so that each has its place.
    for (nth, path, body, id) in [
        (0, "/?q=an+attack", None, 1001),
        (1, "/", Some("q=an+attack"), 1001),
        (2, "/tells", Some(""), 1004),
    ] {
        let status = match body {
            Some(body) => site.post(path, body).await,
            None => site.get(path).await,
        };
        assert_eq!(status, 200);
        let event = site.event(nth).await;
        assert_eq!(event["matches"][0]["id"], id, "{event}");
        assert_eq!(event["enforced"], false);
        assert_eq!(event["block"]["status"], 403);
    }
    assert_eq!(site.asked(), 3);
}

#[tokio::test]
async fn routes_differ() {
    let route = "[[waf.route]]\nname = \"old\"\n[waf.route.exclude]\nids = [\"1002\"]\n\
                 [[waf.route.exclude.targets]]\nids = [\"1001\"]\ntargets = [\"ARGS:text\"]\n";
    let site = Site::new(route).await;
    assert_eq!(site.get("/?text=attack").await, 200);
    assert_eq!(site.get("/?q=attack").await, 403);
    let scanner = site
        .node
        .request(Method::GET, "/")
        .header("user-agent", "scanner");
    assert_eq!(scanner.send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn answers_of_what_is_routed_are_inspected() {
    let site = Site::new("").await;
    assert_eq!(site.post("/marked", "").await, 403);
    let told = site.node.raw(
        "POST /tells HTTP/1.1\r\nHost: example.org\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    );
    assert!(!told.await.contains("secret"), "nothing of it goes out");
    // What may not be kept is passed on beside the cache.
    for path in ["/marked", "/tells", "/tells/coded"] {
        assert_eq!(site.get(path).await, 403, "{path}");
        assert_eq!(
            site.head(path).await,
            if path == "/marked" { 403 } else { 200 }
        );
    }
    assert_eq!(site.post("/tells/coded", "").await, 403);
    assert_eq!(site.get("/").await, 200);
    // Of seven that were refused; in which order they are written is their threads' matter.
    site.event(6).await;
    let events = site.events();
    let of = |id: i64| events.iter().filter(move |e| e["matches"][0]["id"] == id);
    assert_eq!((of(1004).count(), of(1005).count()), (4, 3), "{events:?}");
}

#[tokio::test]
async fn what_lies_beyond_a_limit_passes_and_is_reported_or_is_refused() {
    let limited =
        |beyond: &str| format!("[waf.limits]\nrequest_body_bytes_max = 64\nbeyond = \"{beyond}\"");
    let long = format!("a={}&q=an+attack", "b".repeat(300_000));
    let site = Site::new(&limited("pass")).await;
    assert_eq!(site.post("/", long.clone()).await, 200);
    assert_eq!(site.asked(), 1, "all of it reached the origin");
    assert_eq!(site.event(0).await["body_cut"], true);
    assert_eq!(site.post("/", "q=an+attack").await, 403);
    let site = Site::new(&limited("reject")).await;
    assert_eq!(site.post("/", long).await, 413);
    assert_eq!(site.asked(), 0);
}

#[tokio::test]
async fn a_node_without_usable_rules_serves_and_says_so() {
    let site = Site::with_rules("SecRule ARGS \"@rx (\" \"id:600\"", "").await;
    assert_eq!(site.get("/?q=an+attack").await, 200);
    assert_eq!(site.failed_open("unloaded").await, 1.0);
    let log = site.node.log();
    assert!(
        log.contains("waf-rules-refused") && log.contains("rules.conf:1:15"),
        "{log}"
    );
    site.write_rules(RULES);
    assert_eq!(site.reload().await.0, 200);
    assert_eq!(site.get("/?q=an+attack").await, 403);
}

#[tokio::test]
async fn what_of_the_rules_does_nothing_is_told_with_its_place() {
    let asked = "SecRule REMOTE_ADDR \"@rbl dnsbl.example.org\" \"id:1010,phase:1,deny\"\n";
    let site = Site::with_rules(&format!("{RULES}{asked}"), "").await;
    assert_eq!(site.get("/?q=one").await, 200);
    let log = site.node.log();
    let told: Vec<&str> = log
        .lines()
        .filter(|line| line.contains("rules.conf:8:22"))
        .collect();
    let [line] = told.as_slice() else {
        panic!("not told once: {log}");
    };
    for wanted in ["WARN", "1010", "@rbl", "never matches"] {
        assert!(line.contains(wanted), "{wanted}: {line}");
    }
}

#[tokio::test]
async fn rules_are_replaced_while_requests_run_and_bad_ones_are_not() {
    let site = Site::new("").await;
    site.write_rules(&format!(
        "{RULES}\nSecRule ARGS|NOPE \"@rx x\" \"id:2000\"\n"
    ));
    let (status, text) = site.reload().await;
    assert_eq!(status, 422);
    assert!(
        text.contains("rules.conf:9:14: unknown variable \"NOPE\""),
        "{text}"
    );
    assert_eq!(
        site.get("/?q=an+attack").await,
        403,
        "those before are in force"
    );
    site.write_rules("");
    let (status, text) = site.reload().await;
    assert_eq!(status, 422, "a file that is being written: {text}");
    assert_eq!(site.get("/?q=an+attack").await, 403);
    site.write_rules("SecRule ARGS \"@contains other\" \"id:1,phase:2,deny\"");
    let (status, text) = site.reload().await;
    assert_eq!(status, 422, "ids below 100 are the node's: {text}");
    site.write_rules("SecRule ARGS \"@contains other\" \"id:3000,phase:2,deny\"");
    let (status, state) = site.reload().await;
    assert_eq!(status, 200);
    // And three of the node's own.
    assert!(state.contains("\"rules\":4"), "{state}");
    assert_eq!(site.get("/?q=an+attack").await, 200);
    assert_eq!(site.get("/?q=other").await, 403);
    site.write_rules(RULES);
    let pid = i32::try_from(site.node.pid()).unwrap();
    kill_process(Pid::from_raw(pid).unwrap(), Signal::HUP).unwrap();
    wait_for("the rules before", || async {
        site.get("/?q=an+attack").await == 403
    })
    .await;
}

#[tokio::test]
async fn media_pass_by_the_lane_and_scanners_do_not() {
    let world = World::new().await;
    let rules = world.dir.path().join("rules.conf");
    std::fs::write(&rules, RULES).unwrap();
    let node = world
        .node_with(
            "los1",
            &format!("[waf.rules]\nfiles = [\"{}\"]\n", rules.display()),
        )
        .await;
    let path = world.media_path(Residency::Ng, "v360/1.m4s");
    world.origin.serve(
        &origin_path(Residency::Ng, "v360/1.m4s"),
        Serve::ok("bytes"),
    );
    assert_eq!(get(&node, &path).await.status(), 200);
    let cleared = ["route=\"media\"", "outcome=\"cleared\""];
    node.counts("mcsp_edge_waf_requests_total", &cleared, 1.0)
        .await;
    for (name, value) in [("user-agent", "a scanner"), ("cookie", "a=attack")] {
        let request = node.request(Method::GET, &path).header(name, value);
        assert_eq!(request.send().await.unwrap().status(), 403, "{name}");
    }
    let framed = format!("https://localhost:{}{path}", node.tls.port());
    let framed = client().head(framed).send().await.unwrap();
    assert_eq!(
        (framed.status(), framed.version()),
        (StatusCode::OK, Version::HTTP_2)
    );
    // Nobody's player leaves the host away.
    let old = node.raw(&format!("GET {path} HTTP/1.0\r\n\r\n")).await;
    assert!(old.starts_with("HTTP/1.1 200 "), "{old}");
    node.counts("mcsp_edge_waf_requests_total", &cleared, 2.0)
        .await;
    // A query needs every rule.
    assert_eq!(get(&node, &format!("{path}?q=attack")).await.status(), 403);
    assert_eq!(get(&node, &format!("{path}?q=fine")).await.status(), 200);
    wait_for("events", || async {
        node.log().contains("\"log\":\"waf\"")
    })
    .await;
    let log = node.log();
    let token = path.split('/').nth(2).unwrap();
    assert!(
        log.contains("\"log\":\"waf\"") && !log.contains(token),
        "events without tokens"
    );
}

#[tokio::test]
async fn the_api_is_inspected_before_tokens_are_and_passwords_are_not() {
    let world = World::new().await;
    let rules = world.dir.path().join("rules.conf");
    let tagged = RULES.replace("id:1001,", "id:1001,tag:'OWASP_CRS',");
    std::fs::write(&rules, tagged).unwrap();
    let node = world
        .node_with(
            "los1",
            &format!("[waf.rules]\nfiles = [\"{}\"]\n", rules.display()),
        )
        .await;
    world.origin.serve("/api/v1/auth/login", Serve::ok("{}"));
    let login = |body: &'static str| {
        node.request(Method::POST, "/api/v1/auth/login")
            .header("content-type", "application/json")
            .body(body)
            .send()
    };
    let hostile = login(r#"{"email":"attack","password":"x"}"#).await.unwrap();
    assert_eq!(hostile.status(), 403);
    let secret = login(r#"{"email":"a@example.org","password":"attack"}"#)
        .await
        .unwrap();
    assert_eq!(secret.status(), 200);
    assert_eq!(world.origin.count("/api/v1/auth/login"), 1);
    let unsigned = node.request(Method::GET, "/api/v1/users/me?q=attack");
    assert_eq!(unsigned.send().await.unwrap().status(), 403);
}

#[tokio::test]
async fn check_says_what_is_wrong_with_the_rules() {
    let world = World::without_keys().await;
    let rules = world.dir.path().join("bad.conf");
    std::fs::write(&rules, "SecAction \"id:500\"\nSecNothing\n").unwrap();
    let said = world.check(
        "los1",
        &format!("[waf.rules]\nfiles = [\"{}\"]\n", rules.display()),
    );
    assert!(
        said.contains("bad.conf:2:1: unknown directive \"SecNothing\""),
        "{said}"
    );
}

#[tokio::test]
async fn bytes_that_are_no_text_pass_as_they_come() {
    let site = Site::new("[waf.limits]\nrequest_body_bytes_max = 64\nbeyond = \"reject\"").await;
    let request = site.node.request(Method::PUT, "/part");
    let film = request.header("content-type", "video/mp4");
    let sent = film.body(vec![b'&'; 300_000]).send().await.unwrap();
    assert_eq!(sent.status(), 200, "the limit is on what is inspected");
    assert_eq!(sent.text().await.unwrap(), "300000");
    assert_eq!(site.events(), Vec::<serde_json::Value>::new());
}
