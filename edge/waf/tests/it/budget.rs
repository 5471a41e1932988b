//! The time budget: rules that take too long let the request through and say so.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use mcsp_edge_waf::{
    Collections, Environment, Limits, Loader, Outcome, RuleSet, Ticks, Transaction,
};

use crate::support::{client, rules};

/// Every look at the clock takes a while, unless it stands still.
#[derive(Debug)]
struct SlowTicks {
    look_us: u64,
    looks: AtomicU64,
}

impl SlowTicks {
    fn by(look_us: u64) -> Arc<Self> {
        Arc::new(Self {
            look_us,
            looks: AtomicU64::new(0),
        })
    }

    fn looks(&self) -> u64 {
        self.looks.load(Ordering::SeqCst)
    }
}

impl Ticks for SlowTicks {
    fn now_us(&self) -> u64 {
        self.looks.fetch_add(1, Ordering::SeqCst) * self.look_us
    }
}

/// A hundred rules that do nothing, and then one that refuses.
fn many_rules(phase: u8) -> Arc<RuleSet> {
    let text: String = (1..100)
        .map(|id| format!("SecAction \"id:{id},phase:{phase},pass,nolog\"\n"))
        .collect();
    rules(&format!("{text}SecAction \"id:500,phase:{phase},deny\"\n"))
}

fn environment_of(
    limits: Limits,
    ticks: &Arc<SlowTicks>,
    effort: &Arc<SlowTicks>,
) -> Arc<Environment> {
    Arc::new(Environment {
        limits,
        ticks: ticks.clone(),
        effort: effort.clone(),
        collections: Collections::new(1),
    })
}

#[test]
fn an_overrun_ends_inspection_and_is_told() {
    let limits = Limits {
        budget_us: 1000,
        ..Limits::default()
    };
    let environment = environment_of(limits, &SlowTicks::by(300), &SlowTicks::by(1_000));
    let mut transaction = Transaction::new(&many_rules(1), &environment, client());
    assert_eq!(transaction.request_head_done(), Outcome::Overrun);
    assert_eq!(transaction.request_body_done(), Outcome::Overrun);
    assert!(!transaction.wants_request_body());
    let event = transaction.finish().unwrap();
    assert!(event.overrun && event.block.is_none());
}

#[test]
fn a_refusal_in_time_is_not_undone_by_what_it_took() {
    let limits = Limits {
        budget_us: 1000,
        ..Limits::default()
    };
    let late = SlowTicks::by(2_000);
    let environment = environment_of(limits, &late, &late);
    let set = rules("SecAction \"id:1,phase:1,deny\"");
    let mut transaction = Transaction::new(&set, &environment, client());
    let outcome = transaction.request_head_done();
    assert!(matches!(outcome, Outcome::Block(block) if block.rule == 1));
}

/// What was found in time, summed up behind a hundred rules for which there was none.
fn summed_up(text: &str, detection_only: bool) -> Arc<RuleSet> {
    let fill: String = (100..200)
        .map(|id| format!("SecRule REQUEST_URI \"@contains nothing\" \"id:{id},phase:1,deny\"\n"))
        .collect();
    let engine = if detection_only {
        "DetectionOnly"
    } else {
        "On"
    };
    rules(&format!(
        "SecRuleEngine {engine}\n\
         SecRule REQUEST_URI \"@contains attack\" \"id:1,phase:1,pass,setvar:tx.found=+5\"\n{fill}{text}"
    ))
}

/// Whoever is to be refused for what was found does not get through by bringing more than there is time for.
#[test]
fn what_was_found_in_time_decides_also_when_time_is_over() {
    let sum = "SecAction \"id:900,phase:2,pass,nolog,setvar:tx.sum=0\"\n\
        SecRule TX:level \"@eq 9\" \"id:901,phase:2,pass,nolog,skipAfter:END\"\n\
        SecRule REQUEST_URI \"@rx .\" \"id:902,phase:2,deny,msg:'this is for who has time'\"\n\
        SecRule TX:found \"@ge 1\" \"id:903,phase:2,pass,nolog,setvar:tx.sum=+%{tx.found}\"\n\
        SecRule TX:sum \"@ge 5\" \"id:904,phase:2,deny,status:403\"\n\
        SecMarker END\n";
    let limits = Limits {
        budget_us: 1000,
        ..Limits::default()
    };
    let slow = || environment_of(limits.clone(), &SlowTicks::by(300), &SlowTicks::by(1_000));
    let ask = |set: &Arc<RuleSet>, target: &[u8]| {
        let mut transaction = Transaction::new(set, &slow(), client());
        transaction.request_line(b"GET", target, b"HTTP/1.1");
        let outcome = transaction.request_head_done();
        (outcome, transaction.finish())
    };
    let set = summed_up(sum, false);
    let (outcome, event) = ask(&set, b"/attack");
    assert!(
        matches!(&outcome, Outcome::Block(block) if block.rule == 904),
        "{outcome:?}"
    );
    assert!(event.unwrap().overrun);
    assert_eq!(ask(&set, b"/ordinary").0, Outcome::Overrun);
    // It is a part of the phase that was cut off, and no more than that is refused where nothing is.
    let (outcome, event) = ask(&summed_up(sum, true), b"/attack");
    assert_eq!(outcome, Outcome::Overrun);
    assert!(event.unwrap().matches.iter().any(|found| found.id == 904));
    let skips = format!("SecAction \"id:899,phase:1,pass,nolog,setvar:tx.level=9\"\n{sum}");
    assert_eq!(
        ask(&summed_up(&skips, false), b"/attack").0,
        Outcome::Overrun
    );
    let alone =
        "SecRule TX:found \"@ge 5\" \"id:905,phase:2,deny,chain\"\nSecRule REQUEST_URI \"@rx .\"\n";
    assert_eq!(
        ask(&summed_up(alone, false), b"/attack").0,
        Outcome::Overrun
    );
}

/// The machine has other things to do, and the rules are no slower for it.
#[test]
fn time_in_which_the_thread_did_not_run_is_nobodys_overrun() {
    let (ticks, effort) = (SlowTicks::by(1_000_000), SlowTicks::by(10));
    let environment = environment_of(Limits::default(), &ticks, &effort);
    let mut transaction = Transaction::new(&many_rules(1), &environment, client());
    assert!(matches!(
        transaction.request_head_done(),
        Outcome::Block(block) if block.rule == 500
    ));
    assert!(transaction.spent_us() < 1_000, "{}", transaction.spent_us());
    assert!(effort.looks() > 2, "it was asked for");
}

/// It is a system call.
#[test]
fn processor_time_is_asked_for_once_a_phase_while_the_clock_is_within_the_budget() {
    let (ticks, effort) = (SlowTicks::by(1), SlowTicks::by(1_000_000));
    let environment = environment_of(Limits::default(), &ticks, &effort);
    let mut transaction = Transaction::new(&many_rules(2), &environment, client());
    assert_eq!(transaction.request_head_done(), Outcome::Pass);
    assert_eq!(effort.looks(), 1);
    assert!(matches!(transaction.request_body_done(), Outcome::Block(_)));
    assert_eq!(effort.looks(), 2);
    assert!(ticks.looks() > 8);
}

/// Each phase runs on a thread of its own, whose time is no time of the other's.
#[test]
fn phases_on_different_threads_add_up() {
    #[derive(Debug)]
    struct Jumping(AtomicU64);
    impl Ticks for Jumping {
        fn now_us(&self) -> u64 {
            self.0.fetch_add(2_000, Ordering::SeqCst)
        }
    }
    let effort = Arc::new(Jumping(AtomicU64::new(1 << 40)));
    let environment = Arc::new(Environment {
        limits: Limits {
            budget_us: 30_000,
            budget_us_per_kib: 0,
            ..Limits::default()
        },
        ticks: SlowTicks::by(10_000),
        effort: effort.clone(),
        collections: Collections::new(1),
    });
    let set = rules("SecAction \"id:1,phase:1,pass,nolog\"\nSecAction \"id:2,phase:2,pass,nolog\"");
    let mut transaction = Transaction::new(&set, &environment, client());
    assert_eq!(transaction.request_head_done(), Outcome::Pass);
    let first_us = transaction.spent_us();
    // Another thread, which has hardly worked yet.
    effort.0.store(0, Ordering::SeqCst);
    assert_eq!(transaction.request_body_done(), Outcome::Pass);
    let both_us = transaction.spent_us();
    assert!(
        first_us > 0 && both_us > first_us && both_us < 20_000,
        "{first_us}, {both_us}"
    );
}

/// Whoever could bring one about by length could have the rules given up.
#[test]
fn what_is_long_has_its_time() {
    let asked = |budget_us_per_kib, body: &[u8]| {
        let limits = Limits {
            budget_us: 1000,
            budget_us_per_kib,
            ..Limits::default()
        };
        let environment = environment_of(limits, &SlowTicks::by(300), &SlowTicks::by(300));
        let mut transaction = Transaction::new(&many_rules(2), &environment, client());
        transaction.request_header(b"Content-Type", b"text/plain");
        assert_eq!(transaction.request_head_done(), Outcome::Pass);
        transaction.request_body(body);
        transaction.request_body_done()
    };
    assert_eq!(asked(1000, &[b'a'; 64]), Outcome::Overrun);
    assert_eq!(asked(0, &[b'a'; 8 << 10]), Outcome::Overrun);
    assert!(matches!(asked(1000, &[b'a'; 8 << 10]), Outcome::Block(_)));
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
