//! The firewall of a running node when it fails itself: requests pass, somebody is told, and it comes back.

use reqwest::Method;

use crate::harness::wait_for;
use crate::waf::Site;

pub(crate) const BREAKER: &str =
    "[waf.breaker]\nfailures_max = 3\nclient_failures_max = 3\nwindow_ms = 60000\nopen_ms = 5000";

/// Everybody passes, and inspection is tried again by itself.
pub(crate) async fn is_given_up_and_comes_back(site: &Site) {
    assert!(site.node.log().contains("\"alert\":\"waf-given-up\""));
    let bypassed = site.get("/?q=an+attack").await;
    let event = site.let_through("bypassed").await;
    assert_eq!(
        (&event["method"], &event["target"], &event["status"]),
        (&"GET".into(), &"/?q=an+attack".into(), &200.into())
    );
    assert_eq!(event["client"], "127.0.0.1");
    wait_for("word of what passes", || async {
        site.node.log().contains("\"kind\":\"bypassed\"")
    })
    .await;
    wait_for("inspection", || async {
        site.get("/?q=an+attack").await == 403
    })
    .await;
    let passed = site.node.metric("mcsp_edge_waf_bypassed_total", &[]);
    assert!(passed.await >= 1.0 && bypassed == 200, "{bypassed}");
    wait_for("word of it", || async {
        site.node.metric("mcsp_edge_waf_given_up", &[]).await == 0.0
    })
    .await;
    wait_for("word of that", || async {
        site.node.log().contains("inspection works again")
    })
    .await;
}

#[tokio::test]
async fn an_overrun_lets_the_request_through_until_inspection_is_given_up_and_tried_again() {
    let waf = format!("[waf.limits]\nscratch_bytes_max = 65536\n{BREAKER}");
    let site = Site::new(&waf).await;
    let heavy = format!("q=heavy{}", "x".repeat(60_000));
    for nth in 1..=3 {
        assert_eq!(site.post("/", heavy.clone()).await, 200);
        assert_eq!(site.failed_open("overrun").await, f64::from(nth));
    }
    let beside = site
        .node
        .metric("mcsp_edge_waf_beside_total", &["inspected"]);
    assert_eq!(beside.await, 3.0, "they are long");
    let event = site.let_through("overrun").await;
    assert_eq!(
        (&event["overrun"], &event["method"], &event["status"]),
        (&true.into(), &"POST".into(), &200.into())
    );
    let passed = ["route=\"old\"", "outcome=\"let-through\""];
    let node = &site.node;
    node.counts("mcsp_edge_waf_requests_total", &passed, 3.0)
        .await;
    assert!(site.node.log().contains("waf-fail-open"));
    is_given_up_and_comes_back(&site).await;
}

const RULES: &str = r#"
SecRule ARGS:q "@faultPanic crash" "id:1100,phase:2,pass,nolog"
SecRule REQUEST_HEADERS:X-Crash "@faultPanic head" "id:1101,phase:1,pass,nolog"
SecRule RESPONSE_HEADERS:Content-Type "@faultPanic nothing" "id:1102,phase:3,pass,nolog"
SecRule ARGS:q "@contains attack" "id:1103,phase:2,deny"
"#;

/// The operator that panics is there in tests alone: see `fault-injection` in `edge/waf`.
#[tokio::test]
async fn a_panic_lets_the_request_through_until_inspection_is_given_up_and_tried_again() {
    let site = Site::with_rules(RULES, BREAKER).await;
    assert_eq!(site.get("/?q=an+attack").await, 403);
    let asked = site.asked();
    // In the head, in the query, and in a body that pingora carries.
    let head = site
        .node
        .request(Method::GET, "/")
        .header("x-crash", "head");
    assert_eq!(head.send().await.unwrap().status(), 200);
    assert_eq!(site.failed_open("panic").await, 1.0);
    assert_eq!(site.get("/?q=crash").await, 200);
    assert_eq!(site.failed_open("panic").await, 2.0);
    assert_eq!(site.node.metric("mcsp_edge_waf_given_up", &[]).await, 0.0);
    assert_eq!(site.post("/", "q=crash").await, 200);
    assert_eq!(site.failed_open("panic").await, 3.0);
    assert_eq!(site.node.metric("mcsp_edge_waf_given_up", &[]).await, 1.0);
    assert_eq!(
        site.asked(),
        asked + 3,
        "all of them were answered by the origin"
    );
    let log = site.node.log();
    let alert = log
        .lines()
        .find(|line| line.contains("\"alert\":\"waf-fail-open\""));
    let alert = alert.expect("an alert");
    for wanted in [
        "\"level\":\"ERROR\"",
        "\"kind\":\"panic\"",
        "a fault that a rule asks for",
    ] {
        assert!(alert.contains(wanted), "{alert}");
    }
    is_given_up_and_comes_back(&site).await;
}

/// All requests of a test have one address.
#[tokio::test]
async fn one_client_whose_requests_fail_does_not_switch_inspection_off() {
    let site = Site::with_rules(RULES, "[waf.breaker]\nfailures_max = 3").await;
    for nth in 1..=10 {
        assert_eq!(site.get("/?q=crash").await, 200);
        assert_eq!(site.failed_open("panic").await, f64::from(nth));
    }
    assert_eq!(site.get("/?q=an+attack").await, 403);
    assert_eq!(site.node.metric("mcsp_edge_waf_given_up", &[]).await, 0.0);
    assert!(!site.node.log().contains("waf-given-up"));
}

/// To the rule it is no match, and somebody may have meant it to be none.
#[tokio::test]
async fn a_rule_that_gives_up_on_a_value_is_counted_and_told() {
    let rules = "SecRule ARGS:q \"@rx ^(?:(?=a)a+)+$\" \"id:1100,phase:2,deny\"\n";
    let site = Site::with_rules(rules, "").await;
    let node = &site.node;
    let total = || node.metric("mcsp_edge_waf_pattern_limit_total", &[]);
    assert_eq!(site.get("/?q=aaaa").await, 403);
    assert_eq!(total().await, 0.0);
    let stuck = format!("/?q={}!", "a".repeat(40));
    assert_eq!(site.get(&stuck).await, 200);
    assert_eq!(total().await, 1.0);
    let event = site.event(1).await;
    assert_eq!(event["unfinished"], serde_json::json!([1100]));
    wait_for("word of it", || async {
        let log = node.log();
        let mut lines = log.lines();
        lines.any(|line| line.contains("waf-pattern-limit") && line.contains("\"rule\":1100"))
    })
    .await;
}

/// An alert is on the change of a number, which there has to be before.
#[tokio::test]
async fn whatever_may_be_let_through_is_counted_from_the_start() {
    let site = Site::new("").await;
    for kind in ["panic", "overrun", "unloaded", "overload", "lost"] {
        let line = format!("mcsp_edge_waf_failed_open_total{{kind=\"{kind}\"}} 0");
        assert!(site.node.metrics().await.contains(&line), "{line}");
    }
    for outcome in ["inspected", "share", "full", "late", "left", "lost"] {
        let line = format!("mcsp_edge_waf_beside_total{{outcome=\"{outcome}\"}} 0");
        assert!(site.node.metrics().await.contains(&line), "{line}");
    }
}
