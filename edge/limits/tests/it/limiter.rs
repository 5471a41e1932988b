//! Who is let through.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use mcsp_edge_limits::{Class, Fingerprint, Holder, Limiter, LimitsConfig, Scope, Verdict};
use mcsp_runtime::{Clock, SeededEntropy};
use prometheus::Registry;

use crate::support::{address, config, node, outcome};

const BY_ADDRESS: [(Class, Scope, &str); 1] = [(Class::ApiRead, Scope::Address, "10/s burst 20")];

#[test]
fn a_burst_and_then_the_rate() {
    let node = node(&config(&BY_ADDRESS));
    assert_eq!(node.burst(Class::ApiRead, "192.0.2.1"), 20);
    for _ in 0..10 {
        assert_eq!(node.after(100).burst(Class::ApiRead, "192.0.2.1"), 1);
    }
    assert_eq!(node.after(500).burst(Class::ApiRead, "192.0.2.1"), 5);
    assert_eq!(node.after(60_000).burst(Class::ApiRead, "192.0.2.1"), 20);
    // Others, and other classes, are not touched by it.
    assert_eq!(node.burst(Class::ApiRead, "192.0.2.2"), 20);
    assert!(node.client(Class::ApiWrite, "192.0.2.1").is_ok());
}

#[test]
fn a_client_is_told_how_it_stands() {
    let node = node(&config(&BY_ADDRESS));
    let standing = node.client(Class::ApiRead, "192.0.2.1").unwrap().unwrap();
    assert_eq!((standing.quota, standing.window_s), (20, 2));
    assert_eq!((standing.remaining, standing.reset_s), (19, 1));
    for remaining in (0..19).rev() {
        let standing = node.client(Class::ApiRead, "192.0.2.1").unwrap().unwrap();
        assert_eq!(standing.remaining, remaining);
    }
    let refusal = node.client(Class::ApiRead, "192.0.2.1").unwrap_err();
    assert_eq!(
        (refusal.standing.remaining, refusal.retry_after_s()),
        (0, 1)
    );
    assert_eq!(refusal.reason(), "rate-address");
    assert_eq!(
        refusal.standing.rate_limit(),
        "\"api_read-address\";r=0;t=1"
    );
    assert_eq!(node.metric("mcsp_edge_limits_refused_total"), 1.0);
}

#[test]
fn the_tightest_limit_is_the_one_that_is_told() {
    let node = node(&config(&[
        (Class::ApiWrite, Scope::User, "10/s burst 100"),
        (Class::ApiWrite, Scope::Pop, "10/s burst 50"),
    ]));
    let user = |name: &str| Holder {
        user: Some(Fingerprint::of(name.as_bytes())),
        token: None,
    };
    let told = |name| node.holder(Class::ApiWrite, &user(name)).unwrap().unwrap();
    assert_eq!(told("ada").scope, Scope::Pop);
    for _ in 0..49 {
        told("ada");
    }
    let refusal = node.holder(Class::ApiWrite, &user("obi")).unwrap_err();
    assert_eq!(refusal.standing.scope, Scope::Pop);
    assert_eq!(
        node.after(100)
            .holder(Class::ApiWrite, &user("obi"))
            .unwrap()
            .unwrap()
            .remaining,
        0
    );
    // What the cache serves is the same for all, so it tells nobody.
    assert_eq!(node.client(Class::Segment, "192.0.2.1"), Ok(None));
}

#[test]
fn ipv6_is_counted_by_prefix_and_by_a_wider_one() {
    let mut config = config(&BY_ADDRESS);
    config.ipv6_aggregate_factor = 3;
    let node = node(&config);
    assert_eq!(node.burst(Class::ApiRead, "2001:db8:1:1::1"), 20);
    assert_eq!(node.burst(Class::ApiRead, "2001:db8:1:1:ffff::1"), 0);
    assert_eq!(node.burst(Class::ApiRead, "2001:db8:1:2::1"), 20);
    // The third prefix of the /48 has what the /48 has left: refusals of its first two took nothing from it.
    assert_eq!(node.burst(Class::ApiRead, "2001:db8:1:3::1"), 20);
    let refusal = node.client(Class::ApiRead, "2001:db8:1:4::1").unwrap_err();
    assert_eq!(refusal.standing.scope, Scope::Aggregate);
    assert_eq!(node.burst(Class::ApiRead, "2001:db8:2:1::1"), 20);
    // IPv4 has none.
    assert_eq!(node.burst(Class::ApiRead, "192.0.2.1"), 20);
    assert_eq!(node.burst(Class::ApiRead, "::ffff:192.0.2.1"), 0);
}

/// A /32 is 65536 /48s and 2^32 /64s.
#[test]
fn who_owns_a_32_is_stopped_by_what_the_pop_bears_and_frees_nobody() {
    let node = node(&config(&[
        (Class::Login, Scope::Address, "1/s burst 5"),
        (Class::Login, Scope::Pop, "100/s burst 300"),
    ]));
    let offenders: Vec<_> = (1..=50).map(|host| format!("198.51.100.{host}")).collect();
    for offender in &offenders {
        assert_eq!(node.burst(Class::Login, offender), 5);
    }
    let mut admitted = 0;
    for at in 0..50_000_u32 {
        let from = format!("2001:db8:{:x}:{:x}::1", at % 60_000, at / 7);
        let is_let_in = node.client(Class::Login, &from).is_ok()
            && node.holder(Class::Login, &Holder::default()).is_ok();
        admitted += usize::from(is_let_in);
    }
    assert_eq!(admitted, 300);
    let still_refused = |from: &&String| node.client(Class::Login, from).is_err();
    assert!(offenders.iter().filter(still_refused).count() >= 49);
    node.limiter.tell_metrics();
    assert!(node.metric("mcsp_edge_limits_keys") <= 1_024.0);
    assert!(node.metric("mcsp_edge_limits_forgotten_total") > 40_000.0);
}

#[test]
fn logins_are_counted_by_the_account_from_wherever_they_come() {
    let node = node(&LimitsConfig::default());
    let attempts = |name: &str| {
        let account = Fingerprint::of_account(name);
        let attempt = |_: &i32| outcome(node.limiter.check_account(account)).is_ok();
        (0..100).take_while(attempt).count()
    };
    assert_eq!(attempts("ada@example.ng"), 10);
    assert_eq!(attempts(" ADA@example.ng"), 0);
    assert_eq!(attempts("obi@example.ng"), 10);
    node.after(5_000);
    assert_eq!(attempts("ada@example.ng"), 1);
}

#[test]
fn exempt_networks_are_not_counted_but_their_users_are() {
    let mut config = config(&[
        (Class::ApiRead, Scope::Address, "1/s burst 1"),
        (Class::ApiRead, Scope::User, "1/s burst 2"),
    ]);
    config.exempt = vec!["10.0.0.0/8".parse().unwrap()];
    let node = node(&config);
    assert_eq!(node.burst(Class::ApiRead, "10.1.2.3"), 100_000);
    assert_eq!(node.burst(Class::ApiRead, "11.1.2.3"), 1);
    let holder = Holder {
        user: Some(Fingerprint::of(b"u")),
        token: None,
    };
    let requests = (0..9).filter(|_| node.holder(Class::ApiRead, &holder).is_ok());
    assert_eq!(requests.count(), 2);
}

#[test]
fn a_connection_that_does_not_hear_is_unwelcome_for_a_while_and_no_other_of_its_address() {
    let node = node(&config(&[(Class::Refused, Scope::Address, "5/s burst 50")]));
    let limiter = &node.limiter;
    let [connection, other] = ["192.0.2.1:5", "192.0.2.1:6"].map(|text| text.parse().unwrap());
    for _ in 0..50 {
        assert!(!limiter.is_unwelcome(connection));
        assert!(!limiter.is_refused_too_often(connection));
    }
    assert!(limiter.is_refused_too_often(connection));
    assert!(limiter.is_unwelcome(connection));
    assert!(!limiter.is_unwelcome(other) && !limiter.is_refused_too_often(other));
    node.after(1_000);
    assert!(!limiter.is_refused_too_often(other));
    assert!(!limiter.is_unwelcome(connection));
    let forgiven = (0..9).take_while(|_| !limiter.is_refused_too_often(connection));
    assert_eq!(forgiven.count(), 5);
    assert!(limiter.is_unwelcome(connection));
}

#[test]
fn without_limits_everything_goes() {
    let config = LimitsConfig {
        enabled: false,
        ..LimitsConfig::default()
    };
    let node = node(&config);
    for class in Class::ALL {
        assert_eq!(node.burst(class, "192.0.2.1"), 100_000);
    }
}

#[derive(Debug)]
struct BrokenClock(AtomicBool);

impl Clock for BrokenClock {
    fn now_ms(&self) -> i64 {
        assert!(!self.0.load(Ordering::Relaxed), "broken for a test");
        5
    }
}

#[test]
fn a_limiter_that_breaks_lets_everybody_through_and_says_so() {
    let clock = Arc::new(BrokenClock(AtomicBool::new(false)));
    let registry = Registry::new();
    let entropy = SeededEntropy::new(1);
    let config = config(&[(Class::Login, Scope::Address, "1/s burst 1")]);
    let limiter = Limiter::new(&config, clock.clone(), &*entropy, &registry).unwrap();
    let check = || limiter.check_client(Class::Login, address("192.0.2.1"));
    assert_eq!(outcome(check()).unwrap().unwrap().remaining, 0);
    assert!(matches!(check(), Verdict::Refused(_)));
    clock.0.store(true, Ordering::Relaxed);
    for _ in 0..3 {
        assert_eq!(check(), Verdict::Admitted(None));
    }
    clock.0.store(false, Ordering::Relaxed);
    assert!(matches!(check(), Verdict::Refused(_)));
    let failed = registry.gather();
    let failed = failed
        .iter()
        .find(|family| family.name() == "mcsp_edge_limits_failed_open_total");
    assert_eq!(
        failed.unwrap().get_metric()[0].get_counter().get_value(),
        3.0
    );
    // Somebody without an address is somebody who is not counted by it.
    assert!(matches!(
        limiter.check_client(Class::Login, None),
        Verdict::Admitted(_)
    ));
}

proptest::proptest! {
    /// However requests come, a client gets no more than the burst and what the rate brought; and one that asks less
    /// than its rate is never refused.
    #[test]
    fn no_more_than_the_rate_and_no_less(
        waits_ms in proptest::collection::vec(0_u64..300, 1..400),
        rate in 1_u32..100,
        burst in 1_u32..50,
    ) {
        let rate_text = format!("{rate}/s burst {}", burst.max(rate / 100 + 1));
        let burst = u64::from(burst.max(rate / 100 + 1));
        let node = node(&config(&[(Class::Web, Scope::Address, rate_text.as_str())]));
        let (mut elapsed_ms, mut admitted) = (0, 0);
        let mut owed_ms = 0_f64;
        for wait_ms in waits_ms {
            node.after(wait_ms);
            elapsed_ms += wait_ms;
            owed_ms = (owed_ms - wait_ms as f64).max(0.0);
            let period_ms = 1_000.0 / f64::from(rate);
            let is_let_in = node.client(Class::Web, "192.0.2.1").is_ok();
            if owed_ms + period_ms <= burst as f64 * period_ms - 0.01 {
                proptest::prop_assert!(is_let_in);
            }
            if is_let_in {
                admitted += 1;
                owed_ms += period_ms;
            }
            proptest::prop_assert!(admitted <= burst + elapsed_ms * u64::from(rate) / 1_000 + 1);
        }
    }
}
