//! What becomes of one request's inspection, where no node is needed to see it.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use http::StatusCode;
use mcsp_edge_waf::{
    Beside, BesideConfig, Client, Overload, RequestLine, RulesConfig, Ticks, WafConfig,
};
use prometheus::Registry;
use tempfile::TempDir;

use super::{Firewall, Inspection};
use crate::answer::Answer;

/// Asked for what work costs, which a thread does before and after it, it fails at once, or after so many questions.
#[derive(Debug)]
struct Failing(AtomicU64);

impl Ticks for Failing {
    fn now_us(&self) -> u64 {
        assert!(
            self.0.fetch_sub(1, Ordering::SeqCst) > 0,
            "a fault that was put in"
        );
        0
    }
}

/// A firewall whose thread loses its first piece of work.
fn firewall(folder: &TempDir, overload: Overload) -> Arc<Firewall> {
    let file = folder.path().join("rules.conf");
    let rules = "SecRule ARGS:q \"@contains attack\" \"id:1000,phase:2,deny\"";
    std::fs::write(&file, rules).expect("a file");
    let config = WafConfig {
        rules: RulesConfig {
            files: vec![file],
            ..RulesConfig::default()
        },
        beside: BesideConfig {
            threads: 1,
            overload,
            ..BesideConfig::default()
        },
        ..WafConfig::default()
    };
    let made = Firewall::new(&config, None, &Registry::new()).expect("a firewall");
    let mut firewall = made.expect("rules are named");
    firewall.load().expect("rules");
    let failing = Arc::new(Failing(AtomicU64::new(0)));
    let threads = Beside::start(&config.beside, failing).expect("threads");
    Arc::get_mut(&mut firewall)
        .expect("nobody else has it")
        .beside = threads;
    firewall
}

/// A request with a form, whose body is still to come.
fn posted(firewall: &Arc<Firewall>) -> Inspection {
    let unknown = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    let client = Client {
        address: unknown,
        port: 0,
        server: unknown,
        server_port: 0,
        country: None,
        signals: Default::default(),
        id: "id".to_owned(),
        now_ms: 0,
    };
    let mut inspection = Inspection::begin(firewall, "api", client);
    let line = RequestLine {
        method: b"POST",
        target: b"/",
        protocol: b"HTTP/1.1",
    };
    let form = b"application/x-www-form-urlencoded";
    let fields: [(&[u8], &[u8]); 1] = [(b"Content-Type", form)];
    assert!(inspection.head(line, fields).is_continue());
    inspection
}

/// Asks with a long body, and says what comes of it.
async fn ask(firewall: &Arc<Firewall>) -> Option<Answer> {
    let mut inspection = posted(firewall);
    let body = format!("q=attack&pad={}", "x".repeat(4_000));
    assert!(inspection.request_ahead(body.as_bytes()).is_continue());
    assert!(inspection.is_request_long());
    let answer = inspection.request_end().await.break_value();
    inspection.finish(200);
    answer
}

fn counted(firewall: &Firewall, outcome: &str) -> [u64; 3] {
    let metrics = &firewall.metrics;
    let requests = metrics.requests.with_label_values(&["api", outcome]);
    let failed_open = metrics.failed_open("lost");
    [
        metrics.beside("lost").get(),
        failed_open.get(),
        requests.get(),
    ]
}

#[tokio::test]
async fn what_is_lost_with_its_thread_is_let_through_counted_and_the_next_is_inspected() {
    let folder = TempDir::new().expect("a folder");
    let firewall = firewall(&folder, Overload::Pass);
    assert!(ask(&firewall).await.is_none());
    assert_eq!(counted(&firewall, "let-through"), [1, 1, 1]);
    // The thread has asked beyond its last question, and answers from there on.
    let answer = ask(&firewall).await.expect("a refusal");
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn what_is_lost_with_its_thread_is_refused_where_that_is_wanted() {
    let folder = TempDir::new().expect("a folder");
    let firewall = firewall(&folder, Overload::Refuse);
    let answer = ask(&firewall).await.expect("a refusal");
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(counted(&firewall, "turned-away"), [1, 0, 1]);
}

/// What pingora kept of the body comes once more for another origin, and then the rest.
#[tokio::test]
async fn a_body_that_begins_again_is_held_once() {
    let folder = TempDir::new().expect("a folder");
    let firewall = firewall(&folder, Overload::Pass);
    for (rest, wanted) in [("x=1", Some("a=1&b=2&x=1")), ("q=attack", None)] {
        let mut inspection = posted(&firewall);
        inspection.begin_request_again();
        let hold = |inspection: &mut Inspection, piece: &str, is_end| {
            let mut piece = Some(Bytes::copy_from_slice(piece.as_bytes()));
            let held = inspection.hold_request(&mut piece, is_end);
            let is_all = held.continue_value().expect("no refusal yet");
            assert!(is_all || piece == Some(Bytes::new()), "nothing goes on");
            is_all
        };
        assert!(!hold(&mut inspection, "a=1&b", false));
        assert!(!hold(&mut inspection, "=2&", false));
        inspection.begin_request_again();
        assert!(!hold(&mut inspection, "a=1&b=2&", false));
        assert!(hold(&mut inspection, rest, true));
        let judged = inspection.request_end().await;
        assert_eq!(judged.is_continue(), wanted.is_some());
        if let Some(wanted) = wanted {
            assert_eq!(inspection.release_request(), wanted);
        }
    }
}
