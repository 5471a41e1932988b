//! What takes rules long is done beside the workers: nobody else waits for it, it fails open as all inspection does, and no client
//! has more than its share.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, TcpStream};
use std::path::PathBuf;
use std::time::Duration;

use reqwest::{Method, Response, StatusCode};
use tempfile::TempDir;
use tokio::task::JoinHandle;

use crate::harness::{header, wait_for};
use crate::waf::Site;
use crate::waf_faults::{BREAKER, is_given_up_and_comes_back};

/// Long enough for the threads beside the workers.
const PAD: usize = 3_000;

/// A site where what says `hold` is looked at for as long as a file is there.
struct Holding {
    site: Site,
    hold: PathBuf,
    _folder: TempDir,
}

impl Holding {
    async fn new(waf: &str) -> Self {
        let folder = TempDir::new().unwrap();
        let hold = folder.path().join("hold");
        std::fs::write(&hold, "").unwrap();
        let path = hold.display();
        let rules = format!(
            "SecRule ARGS:hold \"@faultHold {path}\" \"id:1100,phase:2,pass,nolog\"\n\
             SecRule ARGS:q \"@contains attack\" \"id:1101,phase:2,deny,log,msg:'Attack'\"\n\
             SecRule REQUEST_FILENAME \"@streq /large\" \"id:1102,phase:4,pass,nolog,chain\"\n\
             SecRule RESPONSE_BODY \"@faultHold {path}\" \"\"\n\
             SecRule REQUEST_HEADERS:X-Odd \"@streq 1\" \"id:1103,phase:1,pass,log,msg:'Odd'\"\n"
        );
        Self {
            site: Site::on_one_worker(&rules, waf).await,
            hold,
            _folder: folder,
        }
    }

    fn let_go(&self) {
        std::fs::remove_file(&self.hold).unwrap();
    }

    /// Asks from an address of this machine, beside what else the test does.
    fn ask(&self, client: u8, method: Method, path: &str, body: &str) -> JoinHandle<Response> {
        let from = IpAddr::from([127, 0, 0, client]);
        let client = reqwest::Client::builder().local_address(from);
        let url = format!("http://{}{path}", self.site.node.plain);
        let mut request = client.build().unwrap().request(method, url);
        if !body.is_empty() {
            request = request
                .header("content-type", "application/x-www-form-urlencoded")
                .body(body.to_owned());
        }
        tokio::spawn(async move { request.send().await.unwrap() })
    }

    fn post(&self, client: u8, fields: &str) -> JoinHandle<Response> {
        self.ask(client, Method::POST, "/", &padded(fields))
    }

    async fn are_there(&self, places: f64) {
        wait_for("so many places to be taken", || async {
            let metric = self.site.node.metric("mcsp_edge_waf_beside_places", &[]);
            metric.await == places
        })
        .await;
    }

    async fn came_to(&self, outcome: &str) -> f64 {
        let label = format!("outcome=\"{outcome}\"");
        let labels = [label.as_str()];
        let node = &self.site.node;
        node.metric("mcsp_edge_waf_beside_total", &labels).await
    }
}

fn padded(fields: &str) -> String {
    format!("{fields}&pad={}", "x".repeat(PAD))
}

async fn status(asked: JoinHandle<Response>) -> StatusCode {
    asked.await.unwrap().status()
}

#[tokio::test]
async fn others_on_the_same_worker_are_served_meanwhile() {
    let holding = Holding::new("[waf.beside]\nthreads = 8\n").await;
    let head = format!("/?hold=1&pad={}", "x".repeat(9_000));
    let held = [
        // Bodies that are read ahead, and that pass; heads of what is looked up, and of what is passed on; an answer.
        holding.post(1, "hold=1"),
        holding.ask(
            2,
            Method::POST,
            "/",
            &format!("hold=1&pad={}", "x".repeat(70_000)),
        ),
        holding.ask(3, Method::GET, &head, ""),
        holding.ask(4, Method::DELETE, &head, ""),
        holding.ask(5, Method::GET, "/large", ""),
    ];
    holding.are_there(5.0).await;
    for _ in 0..3 {
        assert_eq!(holding.site.get("/").await, 200);
        assert_eq!(holding.site.post("/", "q=good").await, 200);
        assert_eq!(holding.site.get("/?q=an+attack").await, 403);
    }
    assert!(held.iter().all(|held| !held.is_finished()));
    holding.let_go();
    for held in held {
        assert_eq!(status(held).await, 200);
    }
    holding.are_there(0.0).await;
    assert_eq!(holding.came_to("inspected").await, 5.0);
}

/// It is not handed over: what carries it cannot wait, and the thread leaves all else to others.
#[tokio::test]
async fn others_on_the_same_worker_are_served_while_what_is_passed_on_is_looked_at() {
    let holding = Holding::new("").await;
    let held = holding.ask(1, Method::POST, "/large", "a=1");
    let begun = holding.hold.with_extension("begun");
    wait_for("rules to look at it", || async { begun.exists() }).await;
    for _ in 0..3 {
        assert_eq!(holding.site.get("/").await, 200);
    }
    assert!(!held.is_finished());
    holding.let_go();
    assert_eq!(status(held).await, 200);
}

#[tokio::test]
async fn what_is_long_is_judged_as_what_is_short() {
    let holding = Holding::new("").await;
    holding.let_go();
    assert_eq!(status(holding.post(1, "q=good")).await, 200);
    let asked = holding.site.asked();
    assert_eq!(status(holding.post(1, "q=an+attack")).await, 403);
    let larger = format!("q=an+attack&pad={}", "x".repeat(100_000));
    let larger = holding.ask(1, Method::POST, "/", &larger);
    assert_eq!(status(larger).await, 403);
    let head = format!("/?q=an+attack&pad={}", "x".repeat(9_000));
    for method in [Method::GET, Method::HEAD, Method::DELETE] {
        assert_eq!(status(holding.ask(1, method, &head, "")).await, 403);
    }
    assert_eq!(holding.site.asked(), asked);
    let event = holding.site.event(0).await;
    assert_eq!(
        (&event["matches"][0]["id"], &event["status"]),
        (&1101.into(), &403.into())
    );
    assert_eq!(holding.came_to("inspected").await, 6.0);
}

/// Such a head says that there is a body, and is one of a cached route all the same.
#[tokio::test]
async fn a_head_that_speaks_of_an_empty_body_is_inspected_as_a_whole() {
    let holding = Holding::new("").await;
    let answer = holding.site.node.raw(
        "GET /?q=an+attack HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    );
    assert!(answer.await.starts_with("HTTP/1.1 403 "));
}

/// Its origin could act on the head alone.
#[tokio::test]
async fn a_head_is_inspected_before_its_origin_has_it_whatever_body_follows() {
    let holding = Holding::new("").await;
    for (method, length, status) in [
        ("POST", "Transfer-Encoding: chunked", 403),
        ("GET", "Transfer-Encoding: chunked", 403),
        ("PUT", "Content-Length: 100000", 403),
    ] {
        let head = format!("{method} /hasty?q=an+attack HTTP/1.1\r\nHost: a\r\n{length}\r\n\r\n");
        let mut client = TcpStream::connect(holding.site.node.plain).unwrap();
        client.write_all(head.as_bytes()).unwrap();
        client
            .set_read_timeout(Some(Duration::from_secs(30)))
            .unwrap();
        let mut answer = [0; 12];
        let read = tokio::task::spawn_blocking(move || {
            client.read_exact(&mut answer).unwrap();
            answer
        });
        let answer = String::from_utf8_lossy(&read.await.unwrap()).into_owned();
        assert_eq!(answer, format!("HTTP/1.1 {status}"), "{method} {length}");
    }
    assert_eq!(holding.site.asked(), 0);
    let event = holding.site.event(2).await;
    assert_eq!(
        (&event["matches"][0]["id"], &event["status"]),
        (&1101.into(), &403.into())
    );
    // What is harmless goes on, and is judged as a whole.
    let pieces = |last: &str| {
        let pieces = ["a=1&", "q=", last]
            .map(str::to_owned)
            .map(Ok::<_, std::io::Error>);
        reqwest::Body::wrap_stream(futures::stream::iter(pieces))
    };
    assert_eq!(holding.site.post("/", pieces("good")).await, 200);
    assert_eq!(holding.site.post("/", pieces("attack")).await, 403);
    let node = &holding.site.node;
    let passed = ["route=\"old\"", "outcome=\"passed\""];
    node.counts("mcsp_edge_waf_requests_total", &passed, 1.0)
        .await;
}

#[tokio::test]
async fn a_panic_beside_the_workers_lets_the_request_through() {
    let rules = "SecRule ARGS:q \"@faultPanic crash\" \"id:1100,phase:2,pass,nolog\"\n\
                 SecRule ARGS:q \"@contains attack\" \"id:1101,phase:2,deny\"\n";
    let site = Site::with_rules(rules, BREAKER).await;
    for nth in 1..=3 {
        assert_eq!(site.post("/", padded("q=crash")).await, 200);
        assert_eq!(site.failed_open("panic").await, f64::from(nth));
    }
    assert_eq!(site.asked(), 3);
    let beside = site
        .node
        .metric("mcsp_edge_waf_beside_total", &["inspected"]);
    assert_eq!(beside.await, 3.0);
    is_given_up_and_comes_back(&site).await;
    assert_eq!(site.post("/", padded("q=an+attack")).await, 403);
}

#[tokio::test]
async fn without_rules_what_is_long_passes_as_all_else() {
    let site = Site::with_rules("SecRule nothing of the kind", "").await;
    assert_eq!(site.post("/", padded("q=an+attack")).await, 200);
    assert_eq!(site.failed_open("unloaded").await, 1.0);
}

#[tokio::test]
async fn a_client_that_goes_leaves_its_place_to_others() {
    let holding =
        Holding::new("[waf.beside]\nthreads = 1\nclient_places_max = 2\nwait_ms_max = 60000\n")
            .await;
    let first = holding.post(1, "hold=1");
    holding.are_there(1.0).await;
    let body = padded("hold=1");
    let mut second = TcpStream::connect(holding.site.node.plain).unwrap();
    write!(
        second,
        "POST / HTTP/1.1\r\nHost: a\r\nX-Odd: 1\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    holding.are_there(2.0).await;
    let third = holding.post(1, "q=good").await.unwrap();
    assert_eq!(third.status(), 429);
    assert!(header(third.headers(), "retry-after").is_some());
    drop(second);
    holding.are_there(1.0).await;
    assert_eq!(holding.came_to("left").await, 1.0);
    // What rules had found by then is told, and counted.
    let event = holding.site.event(0).await;
    assert_eq!(event["matches"][0]["id"], 1103, "{event}");
    let node = &holding.site.node;
    node.counts("mcsp_edge_waf_requests_total", &["outcome=\"left\""], 1.0)
        .await;
    let fourth = holding.post(1, "hold=1");
    holding.are_there(2.0).await;
    holding.let_go();
    assert_eq!(status(first).await, 200);
    assert_eq!(status(fourth).await, 200);
    assert_eq!(holding.came_to("share").await, 1.0);
}

/// Whoever brings much is told to come again; others are let through, as where inspection fails in any other way.
#[tokio::test]
async fn who_waits_too_long_passes_unless_that_is_its_clients_fault() {
    waits_too_long("pass", 200).await;
}

#[tokio::test]
async fn who_waits_too_long_is_refused_where_that_is_wanted() {
    waits_too_long("refuse", 503).await;
}

async fn waits_too_long(overload: &str, other: u16) {
    let waf = format!("[waf.beside]\nthreads = 1\nwait_ms_max = 5000\noverload = \"{overload}\"\n");
    let holding = Holding::new(&waf).await;
    let first = holding.post(1, "hold=1");
    holding.are_there(1.0).await;
    let again = holding.post(1, "q=good");
    holding.are_there(2.0).await;
    let others = holding.post(2, "q=good");
    let again = again.await.unwrap();
    assert_eq!(again.status(), 429);
    assert!(header(again.headers(), "retry-after").is_some());
    assert_eq!(status(others).await, other);
    let counted = [
        holding.came_to("share").await,
        holding.came_to("late").await,
    ];
    assert_eq!(counted, [1.0, 1.0]);
    let passed = f64::from(u8::from(overload == "pass"));
    assert_eq!(holding.site.failed_open("overload").await, passed);
    let log = holding.site.node.log();
    assert_eq!(log.contains("\"kind\":\"overload\""), overload == "pass");
    // What is short is looked at all the same.
    assert_eq!(holding.site.post("/", "q=an+attack").await, 403);
    holding.let_go();
    assert_eq!(status(first).await, 200);
}

/// What it brought takes no turn from anybody else, though rules were at it already.
#[tokio::test]
async fn rules_end_early_when_their_client_goes_in_the_middle_of_them() {
    let folder = TempDir::new().unwrap();
    let [first, second] = ["first", "second"].map(|name| folder.path().join(name));
    for path in [&first, &second] {
        std::fs::write(path, "").unwrap();
    }
    // The budget, and whether anybody waits, is looked at between some rules.
    let between: String = (1200..1240)
        .map(|id| format!("SecAction \"id:{id},phase:2,pass,nolog\"\n"))
        .collect();
    let hold = |id: u32, path: &PathBuf| {
        let path = path.display();
        format!("SecRule ARGS:hold \"@faultHold {path}\" \"id:{id},phase:2,pass,nolog\"\n")
    };
    let rules = format!("{}{between}{}", hold(1100, &first), hold(1101, &second));
    let site = Site::on_one_worker(&rules, "").await;
    let body = padded("hold=1");
    let mut client = TcpStream::connect(site.node.plain).unwrap();
    write!(
        client,
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let begun = |path: &PathBuf| path.with_extension("begun").exists();
    wait_for("rules to look at it", || async { begun(&first) }).await;
    drop(client);
    wait_for("word that it has gone", || async {
        let places = site.node.metric("mcsp_edge_waf_beside_places", &[]);
        places.await == 0.0
    })
    .await;
    std::fs::remove_file(&first).unwrap();
    let node = &site.node;
    node.counts("mcsp_edge_waf_beside_total", &["outcome=\"left\""], 1.0)
        .await;
    node.counts("mcsp_edge_waf_requests_total", &["outcome=\"left\""], 1.0)
        .await;
    assert!(!begun(&second) && site.asked() == 0);
}

/// Not for a worker, which is everybody's.
#[tokio::test]
async fn an_answer_beyond_its_clients_share_waits_for_what_is_its_own() {
    let holding =
        Holding::new("[waf.beside]\nthreads = 1\nclient_places_max = 1\nwait_ms_max = 60000\n")
            .await;
    let first = holding.ask(1, Method::GET, "/large", "");
    holding.are_there(1.0).await;
    let second = holding.ask(1, Method::GET, "/large", "");
    for _ in 0..3 {
        assert_eq!(holding.site.get("/").await, 200);
    }
    assert!(!first.is_finished() && !second.is_finished());
    holding.let_go();
    assert_eq!(status(first).await, 200);
    assert_eq!(status(second).await, 200);
    let counted = [
        holding.came_to("inspected").await,
        holding.came_to("share").await,
    ];
    assert_eq!(counted, [2.0, 0.0]);
}

#[tokio::test]
async fn an_answer_that_waits_for_its_clients_others_too_long_is_refused() {
    let holding =
        Holding::new("[waf.beside]\nthreads = 1\nclient_places_max = 1\nwait_ms_max = 500\n").await;
    let first = holding.ask(1, Method::GET, "/large", "");
    holding.are_there(1.0).await;
    let second = holding.ask(1, Method::GET, "/large", "").await.unwrap();
    assert_eq!(second.status(), 429);
    assert!(header(second.headers(), "retry-after").is_some());
    assert_eq!(holding.site.failed_open("overload").await, 0.0);
    holding.let_go();
    assert_eq!(status(first).await, 200);
}
