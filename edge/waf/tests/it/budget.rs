//! The time budget: rules that take too long let the request through and say so.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use mcsp_edge_waf::{Collections, Environment, Limits, Loader, Outcome, Ticks, Transaction};

use crate::support::client;

/// Every look at the clock takes a while.
#[derive(Debug, Default)]
struct SlowTicks(AtomicU64);

impl Ticks for SlowTicks {
    fn now_us(&self) -> u64 {
        self.0.fetch_add(300, Ordering::SeqCst)
    }
}

#[test]
fn an_overrun_ends_inspection_and_is_told() {
    let mut text: String = (1..100)
        .map(|id| format!("SecAction \"id:{id},phase:1,pass,nolog\"\n"))
        .collect();
    text.push_str("SecAction \"id:500,phase:1,deny\"\n");
    let mut loader = Loader::new();
    loader.text("t", text.as_bytes(), Path::new(".")).unwrap();
    let set = loader.compile().unwrap();
    let limits = Limits {
        budget_us: 1000,
        ..Limits::default()
    };
    let environment = Arc::new(Environment {
        limits,
        ticks: Arc::new(SlowTicks::default()),
        collections: Collections::new(1),
    });
    let mut transaction = Transaction::new(&set, &environment, client());
    assert_eq!(transaction.request_head_done(), Outcome::Overrun);
    assert_eq!(transaction.request_body_done(), Outcome::Overrun);
    assert!(!transaction.wants_request_body());
    let event = transaction.finish().unwrap();
    assert!(event.overrun && event.block.is_none());
}

/// Whoever could bring one about by length could have the rules given up.
#[test]
fn what_is_long_has_its_time() {
    let text: String = (1..100)
        .map(|id| format!("SecAction \"id:{id},phase:2,pass,nolog\"\n"))
        .collect();
    let mut loader = Loader::new();
    loader.text("t", text.as_bytes(), Path::new(".")).unwrap();
    let set = loader.compile().unwrap();
    let asked = |budget_us_per_kib, body: &[u8]| {
        let environment = Arc::new(Environment {
            limits: Limits {
                budget_us: 1000,
                budget_us_per_kib,
                ..Limits::default()
            },
            ticks: Arc::new(SlowTicks::default()),
            collections: Collections::new(1),
        });
        let mut transaction = Transaction::new(&set, &environment, client());
        transaction.request_header(b"Content-Type", b"text/plain");
        assert_eq!(transaction.request_head_done(), Outcome::Pass);
        transaction.request_body(body);
        transaction.request_body_done()
    };
    assert_eq!(asked(1000, &[b'a'; 64]), Outcome::Overrun);
    assert_eq!(asked(0, &[b'a'; 8 << 10]), Outcome::Overrun);
    assert_eq!(asked(1000, &[b'a'; 8 << 10]), Outcome::Pass);
}

#[test]
fn what_transformations_wrote_is_given_back_and_made_anew() {
    let set = crate::support::rules(
        r#"SecRule ARGS "@contains 6161" "id:1,phase:1,pass,t:hexEncode"
        SecRule ARGS "@contains 6161" "id:2,phase:2,pass,t:hexEncode"
        SecRule ARGS:a "@rx ^a+$" "id:3,phase:2,pass""#,
    );
    let environment = crate::support::environment(Limits {
        budget_us: 1_000_000,
        ..Limits::default()
    });
    let mut transaction = Transaction::new(&set, &environment, client());
    let target = format!("/?a={}&b=aa", "a".repeat(60_000));
    transaction.request_line(b"GET", target.as_bytes(), b"HTTP/1.1");
    assert_eq!(transaction.request_head_done(), Outcome::Pass);
    assert_eq!(transaction.request_body_done(), Outcome::Pass);
    let event = transaction.finish().unwrap();
    let ids: Vec<u64> = event.matches.iter().map(|found| found.id).collect();
    assert_eq!(ids, [1, 2, 3]);
}

#[test]
fn too_much_text_is_an_overrun_too() {
    let mut loader = Loader::new();
    loader
        .text(
            "t",
            br#"SecRule ARGS "@rx x" "id:1,phase:1,pass,t:hexEncode,t:hexEncode""#,
            Path::new("."),
        )
        .unwrap();
    let set = loader.compile().unwrap();
    let limits = Limits {
        scratch_bytes_max: 1 << 16,
        budget_us: 1_000_000,
        ..Limits::default()
    };
    let environment = crate::support::environment(limits);
    let mut transaction = Transaction::new(&set, &environment, client());
    transaction.request_line(
        b"GET",
        format!("/?a={}", "b".repeat(40_000)).as_bytes(),
        b"HTTP/1.1",
    );
    assert_eq!(transaction.request_head_done(), Outcome::Overrun);
}
