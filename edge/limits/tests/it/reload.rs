//! Other limits while requests come: what is owed stays owed, and what cannot be used changes nothing.

use std::sync::Arc;

use mcsp_edge_limits::{Class, Holder, Level, Limits, LimitsConfig, Pressure, Rate, Scope, Turned};
use mcsp_runtime::{ManualClock, SeededEntropy, SharedClock, SharedEntropy};
use prometheus::Registry;

use crate::support::address;

fn limits(config: &LimitsConfig) -> Arc<Limits> {
    let clock = ManualClock::new(1_800_000_000_000);
    let (shared, entropy): (SharedClock, SharedEntropy) = (clock, SeededEntropy::new(5));
    Limits::new(config, &shared, &entropy, &Registry::new()).unwrap()
}

fn with(scope: Scope, rate: &str) -> LimitsConfig {
    let mut config = LimitsConfig::default();
    config
        .rate
        .set(Class::ApiRead, scope, rate.parse::<Rate>().unwrap());
    config
}

/// How many of a hundred requests are let in.
fn admitted(limits: &Limits) -> usize {
    let ask = |_: &u32| {
        let asked = limits.request(Class::ApiRead, address("192.0.2.1"));
        let asked = asked.and_then(|_| limits.holder(Class::ApiRead, &Holder::default()));
        asked.is_ok()
    };
    (0..100).take_while(ask).count()
}

#[test]
fn what_is_owed_under_old_limits_is_owed_under_new_ones() {
    for scope in [Scope::Address, Scope::Pop] {
        let few = with(scope, "1/min burst 3");
        let limits = limits(&few);
        assert_eq!(admitted(&limits), 3, "{scope}");
        limits.reload(&few).unwrap();
        assert_eq!(admitted(&limits), 0, "{scope}");
        limits.reload(&with(scope, "1/min burst 5")).unwrap();
        assert_eq!(admitted(&limits), 2, "{scope}");
        limits.reload(&few).unwrap();
        assert_eq!(admitted(&limits), 0, "{scope}");
    }
    // Who is exempt owes nothing for as long as he is.
    let few = with(Scope::Address, "1/min burst 3");
    let limits = limits(&few);
    assert_eq!(admitted(&limits), 3);
    let mut exempt = few.clone();
    exempt.exempt.push("192.0.2.0/24".parse().unwrap());
    limits.reload(&exempt).unwrap();
    assert_eq!(admitted(&limits), 100);
    limits.reload(&few).unwrap();
    assert_eq!(admitted(&limits), 0);
}

#[test]
fn what_cannot_be_used_leaves_everything_as_it_was() {
    let limits = limits(&with(Scope::Address, "1/min burst 3"));
    let mut wrong = with(Scope::Address, "1/min burst 50");
    wrong.shed.cpu_share = 2.0;
    let error = limits.reload(&wrong).unwrap_err().to_string();
    assert!(error.contains("limits.shed.cpu_share = 2"), "{error}");
    assert_eq!(admitted(&limits), 3);
}

#[test]
fn bounds_and_thresholds_change_and_what_is_under_way_stays() {
    let mut config = LimitsConfig::default();
    config.concurrency.connections_address_max = 1;
    let limits = limits(&config);
    let from = address("192.0.2.1");
    let first = limits.connection(from).unwrap();
    assert!(limits.connection(from).is_err());
    config.concurrency.connections_address_max = 2;
    limits.reload(&config).unwrap();
    let second = limits.connection(from).unwrap();
    assert!(limits.connection(from).is_err());
    config.concurrency.connections_address_max = 1;
    limits.reload(&config).unwrap();
    drop(first);
    assert!(limits.connection(from).is_err(), "one is still open");
    drop(second);
    assert!(limits.connection(from).is_ok());

    let late = Pressure {
        lag_ms: 2_000.0,
        ..Pressure::default()
    };
    assert_eq!(limits.shedder.observe(&late, 1), Level::OtherStreams);
    assert!(matches!(
        limits.request(Class::Play, from),
        Err(Turned::Shed { .. })
    ));
    config.shed.enabled = false;
    limits.reload(&config).unwrap();
    assert!(limits.request(Class::Play, from).is_ok());
    assert_eq!(limits.shedder.observe(&late, 2), Level::None);
}

#[test]
fn what_takes_a_restart_is_told_until_it_is_done() {
    let limits = limits(&LimitsConfig::default());
    let mut config = LimitsConfig::default();
    assert_eq!(limits.reload(&config).unwrap(), Vec::<&str>::new());
    config.account_keys_max = 2_048;
    config.shed.running_ms = 5_000;
    config.frames.pending_resets_max = 1;
    config.exchange.interval_ms = 50;
    let wanted = [
        "account_keys_max",
        "shed.running_ms",
        "frames.pending_resets_max",
        "exchange",
    ];
    for _ in 0..2 {
        assert_eq!(limits.reload(&config).unwrap(), wanted);
    }
}
