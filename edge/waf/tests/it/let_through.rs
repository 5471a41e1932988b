//! What is let through without its rules has an event that says why, and so have rules that gave up; what nobody waits for ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use mcsp_edge_waf::{
    BreakerState, Exclusions, FailureKind, Guard, Mode, RoutePolicyConfig, TurnedAway, Verdict,
};

use crate::guard::{Bench, head, passes, reason, tells};
use crate::support::client;

#[test]
fn what_is_let_through_has_an_event_that_says_why() {
    let bench = Bench::loaded();
    bench.engine.step_us.store(30_000, Ordering::SeqCst);
    let (_, event) = tells(&bench.guard, "api", "/?q=bad");
    let event = event.expect("an event");
    assert!(event.overrun && event.target == "/?q=bad" && event.host == "example.org");
    assert_eq!(reason(Some(event)), Some(("overrun".to_owned(), 0)));
    bench.engine.step_us.store(0, Ordering::SeqCst);
    // One that panics, at each place of the engine.
    for look in 1..=8 {
        let bench = Bench::loaded();
        bench.engine.looks_left.store(look, Ordering::SeqCst);
        let (_, event) = tells(&bench.guard, "api", "/?q=good");
        let event = event.expect("an event");
        assert_eq!(
            (event.client.as_str(), event.id.as_str()),
            ("192.0.2.1", "id")
        );
        let let_through = event.let_through.expect("a reason");
        assert_eq!(let_through.detail, "a fault that was put in", "look {look}");
    }
    let lost = |guard: &Arc<Guard>| {
        let mut guarded = guard.begin("api", client());
        head(&mut guarded, "/?q=bad");
        guarded.let_through(TurnedAway::Lost);
        guarded.finish()
    };
    assert_eq!(reason(lost(&bench.guard)), Some(("lost".to_owned(), 0)));
    assert_eq!(bench.failures()[1], FailureKind::Lost);
    let unloaded = Bench::new(Vec::new());
    let (_, event) = tells(&unloaded.guard, "api", "/?q=bad");
    let event = event.expect("an event");
    assert_eq!((event.method.as_str(), event.time_ms), ("GET", 1_000));
    assert_eq!(reason(Some(event)), Some(("unloaded".to_owned(), 0)));
    // A route without inspection lets nothing through that was to be inspected.
    let off = Bench::new(vec![RoutePolicyConfig {
        name: "off".to_owned(),
        mode: Some(Mode::Off),
        exclude: Exclusions::default(),
    }]);
    off.guard.load().unwrap();
    assert!(tells(&off.guard, "off", "/?q=bad").1.is_none());
}

#[test]
fn what_passes_while_inspection_is_given_up_has_events_but_no_flood_of_them() {
    let bench = Bench::loaded();
    bench.engine.step_us.store(30_000, Ordering::SeqCst);
    for _ in 0..3 {
        assert!(passes(&bench.guard, "api", "/"));
    }
    let told = || {
        let (is_passed, event) = tells(&bench.guard, "api", "/?q=bad");
        assert!(is_passed);
        event
    };
    let first = told().expect("an event");
    assert_eq!(
        (
            first.method.as_str(),
            first.target.as_str(),
            first.host.as_str()
        ),
        ("GET", "/?q=bad", "example.org")
    );
    let events = (0..999).filter(|_| told().is_some()).count();
    assert_eq!(
        (events, bench.told.bypassed.load(Ordering::SeqCst)),
        (9, 1_000)
    );
    // A second later, of which a try that fails takes the first request.
    bench.pass_ms(1_000);
    assert_eq!(reason(told()), Some(("overrun".to_owned(), 0)));
    assert_eq!(reason(told()), Some(("bypassed".to_owned(), 990)));
}

/// It is told however many others there are.
#[test]
fn what_rules_had_found_is_told_of_each_request_that_is_let_through() {
    let bench = Bench::loaded();
    std::fs::write(
        bench.rules(),
        "SecRule REQUEST_HEADERS:Host \"@rx .\" \"id:1000,phase:1,pass,log,msg:'Odd'\"",
    )
    .unwrap();
    bench.guard.load().unwrap();
    for _ in 0..20 {
        let mut guarded = bench.guard.begin("api", client());
        head(&mut guarded, "/?q=bad");
        guarded.let_through(TurnedAway::Full);
        let event = guarded.finish().expect("an event");
        assert_eq!(event.matches[0].id, 1000);
        assert_eq!(reason(Some(event)), Some(("overload".to_owned(), 0)));
    }
}

#[test]
fn a_rule_that_gives_up_on_a_value_is_told_and_others_may_refuse_the_request() {
    let bench = Bench::loaded();
    let rules = r#"SecRule ARGS "@rx ^(?:(?=a)a+)+$" "id:1000,phase:2,deny"
        SecRule ARGS "@rx ^(?:(?=a)a+)+$" "id:1001,phase:2,deny""#;
    let stuck = format!("/?q={}!&r={}!", "a".repeat(40), "a".repeat(41));
    std::fs::write(bench.rules(), rules).unwrap();
    bench.guard.load().unwrap();
    let (is_passed, event) = tells(&bench.guard, "api", "/?q=b");
    assert!(is_passed && event.is_none() && bench.told.unfinished.lock().is_empty());
    let (is_passed, event) = tells(&bench.guard, "api", &stuck);
    assert!(is_passed);
    assert_eq!(event.expect("an event").unfinished, [1000, 1001]);
    // Once for each rule, however many values there are.
    assert_eq!(*bench.told.unfinished.lock(), [1000, 1001]);
    // As ModSecurity's recommended configuration has it.
    let strict = r#"SecRule TX:/^MSC_/ "!@streq 0" "id:200005,phase:2,t:none,deny,status:400""#;
    std::fs::write(bench.rules(), format!("{rules}\n{strict}")).unwrap();
    bench.guard.load().unwrap();
    assert!(!passes(&bench.guard, "api", &stuck) && passes(&bench.guard, "api", "/?q=b"));
    assert_eq!(bench.failures(), Vec::new());
}

/// And what was tried for them is no try.
#[test]
fn rules_end_early_once_nobody_waits_for_them() {
    let bench = Bench::loaded();
    let fillers: String = (1000..1100)
        .map(|id| format!("SecAction \"id:{id},phase:2,pass,log\"\n"))
        .collect();
    std::fs::write(bench.rules(), fillers).unwrap();
    bench.guard.load().unwrap();
    let asked = |is_left: bool| {
        let left = Arc::new(AtomicBool::new(is_left));
        let mut guarded = bench.guard.begin("api", client());
        head(&mut guarded, "/");
        guarded.heed(Some(left.clone()));
        assert_eq!(guarded.request_body_done(), Verdict::Pass);
        guarded.heed(None);
        // Nor do any come after.
        left.store(true, Ordering::SeqCst);
        guarded.response_head(200, b"HTTP/1.1", []);
        assert_eq!(guarded.has_ended_early(), is_left);
        guarded.finish().map_or(0, |event| event.matches.len())
    };
    assert_eq!(asked(false), 100);
    let found = asked(true);
    assert!(found < 20, "{found}");
    assert_eq!(bench.failures(), Vec::new());
    assert_eq!(bench.guard.breaker(), BreakerState::Closed);
}
