//! All of it, as a request meets it.

use std::sync::Arc;

use mcsp_edge_limits::{
    Busy, Class, Fingerprint, Flood, FrameKind, Holder, Level, Limits, LimitsConfig, Pressure,
    Scope, Turned,
};
use mcsp_runtime::{ManualClock, SeededEntropy, SharedClock, SharedEntropy};
use prometheus::Registry;

use crate::support::{address, config};

fn limits(config: &LimitsConfig) -> (Arc<Limits>, Arc<ManualClock>) {
    let clock = ManualClock::new(1_800_000_000_000);
    let (shared, entropy): (SharedClock, SharedEntropy) = (clock.clone(), SeededEntropy::new(5));
    let limits = Limits::new(config, &shared, &entropy, &Registry::new()).unwrap();
    (limits, clock)
}

fn session(name: &str) -> Holder {
    Holder {
        user: None,
        token: Some(Fingerprint::of(name.as_bytes())),
    }
}

fn overload(limits: &Limits, level: Level) {
    let late = Pressure {
        lag_ms: 100.0,
        ..Pressure::default()
    };
    let mut now_ms = 0;
    while limits.shedder.level() < level {
        now_ms += 100;
        limits.shedder.observe(&late, now_ms);
    }
}

#[test]
fn an_overloaded_node_keeps_its_streams_and_refuses_new_ones() {
    let (limits, clock) = limits(&config(&[]));
    let from = address("192.0.2.1");
    let segment = |name: &str| {
        let (_guard, _) = limits.request(Class::Segment, from)?;
        limits.holder(Class::Segment, &session(name))
    };
    let old = address("192.0.2.7");
    assert_eq!(segment("running"), Ok(None));
    overload(&limits, Level::NewSessions);
    let turned = limits.request(Class::Play, from).unwrap_err();
    assert_eq!((turned.reason(), turned.is_clients()), ("shed", false));
    assert!((5..=15).contains(&turned.retry_after_s()));
    assert!(limits.request(Class::ApiRead, from).is_ok());
    assert!(segment("new").is_ok(), "who was let in to play may");
    assert!(limits.request(Class::Plain, old).is_ok());
    overload(&limits, Level::OtherStreams);
    assert!(limits.request(Class::Plain, old).is_ok());
    assert!(matches!(segment("newer"), Err(Turned::Shed { .. })));
    clock.advance(std::time::Duration::from_secs(20));
    for _ in 0..10 {
        assert_eq!(segment("running"), Ok(None));
        clock.advance(std::time::Duration::from_secs(20));
    }
    assert!(segment("new").is_err(), "it does not run any more");
    assert!(limits.request(Class::Renewal, from).is_ok());
    assert!(limits.request(Class::Plain, from).is_err());
    assert!(limits.connection(from).is_ok());
}

#[test]
fn refused_requests_are_not_under_way() {
    let mut config = config(&[(Class::Web, Scope::Address, "1/s burst 2")]);
    config.concurrency.requests_address_max = 2;
    let (limits, _clock) = limits(&config);
    let from = address("192.0.2.1");
    let first = limits.request(Class::Web, from).unwrap();
    drop(limits.request(Class::Web, from).unwrap());
    let turned = limits.request(Class::Web, from).unwrap_err();
    assert_eq!(
        (turned.reason(), turned.is_clients()),
        ("rate-address", true)
    );
    assert_eq!(limits.occupancy.requests(), 1);
    let second = limits.request(Class::Art, from).unwrap();
    let turned = limits.request(Class::Art, from).unwrap_err();
    assert_eq!(turned, Turned::Busy(Busy::Address));
    assert_eq!((turned.retry_after_s(), turned.is_clients()), (2, true));
    drop((first, second));
    assert_eq!(limits.occupancy.clients(), 0);
}

#[test]
fn who_connects_too_often_is_turned_away() {
    let (limits, _clock) = limits(&config(&[(
        Class::Connection,
        Scope::Address,
        "1/s burst 5",
    )]));
    let from = address("192.0.2.1");
    let connected = (0..9).filter(|_| limits.connection(from).is_ok()).count();
    assert_eq!(connected, 5);
    assert!(limits.connection(address("192.0.2.2")).is_ok());
}

#[test]
fn signing_in_has_a_limit_of_its_own() {
    let (limits, _clock) = limits(&LimitsConfig::default());
    let from = |host: u32| address(&format!("198.51.{}.{}", host / 250, host % 250));
    // From a new address each time.
    let tries = (0..100).take_while(|host| {
        limits.request(Class::Login, from(*host)).is_ok()
            && limits
                .account(Fingerprint::of_account("ada@example.ng"))
                .is_ok()
    });
    assert_eq!(tries.count(), 10);
    let turned = limits.account(Fingerprint::of_account("ada@example.ng"));
    assert_eq!(turned.unwrap_err().reason(), "rate-account");
}

#[test]
fn who_floods_pays_with_its_next_connections_and_never_more_than_there_are() {
    let mut config = config(&[(Class::Connection, Scope::Address, "10/s burst 100")]);
    config.frames.connections = 30;
    config.exempt = vec!["198.51.100.0/24".parse().unwrap()];
    let (limits, clock) = limits(&config);
    let flood = Flood(FrameKind::Reset);
    let let_in = |from: &str, tries: usize| {
        let open = (0..tries).filter(|_| limits.connection(address(from)).is_ok());
        open.count()
    };
    let (one, other, mapped) = ("192.0.2.1", "192.0.2.2", "::ffff:192.0.2.1");
    limits.flooded(flood, address(one));
    limits.flooded(flood, address(mapped));
    assert_eq!(let_in(one, 200), 40);
    for _ in 0..50 {
        limits.flooded(flood, address(one));
    }
    assert_eq!(let_in(other, 200), 100, "nobody else pays");
    clock.advance(std::time::Duration::from_secs(1));
    assert_eq!(
        let_in(one, 20),
        10,
        "what it owes is what it would have had"
    );
    limits.flooded(flood, address("198.51.100.7"));
    limits.flooded(flood, None);
    assert_eq!(let_in("198.51.100.7", 200), 200);
    // An IPv6 client pays with its prefix, whichever of its addresses it comes back from.
    limits.flooded(flood, address("2001:db8::1"));
    assert_eq!(let_in("2001:db8::ffff:2", 200), 70);
}

/// One customer has more addresses than there are places to remember clients in.
#[test]
fn one_customers_many_addresses_push_nobodys_stream_out() {
    let mut config = config(&[]);
    config.shed.running_max = 1_024;
    let (limits, _clock) = limits(&config);
    let old = address("192.0.2.7");
    assert!(limits.request(Class::Plain, old).is_ok());
    for host in 0..20_000 {
        let from = address(&format!("2001:db8:1:2::{host:x}"));
        assert!(limits.request(Class::Plain, from).is_ok());
    }
    overload(&limits, Level::OtherStreams);
    assert!(limits.request(Class::Plain, old).is_ok(), "it runs");
    let sibling = address("2001:db8:1:2:ffff::1");
    assert!(limits.request(Class::Plain, sibling).is_ok(), "so does it");
    let other = address("2001:db8:1:3::1");
    assert!(limits.request(Class::Plain, other).is_err());
}
