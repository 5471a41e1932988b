use std::time::Duration;

use mcsp_runtime::ManualClock;

use super::*;

fn pool(clock: &Arc<ManualClock>) -> Arc<Pool> {
    let clock: SharedClock = Arc::clone(clock) as SharedClock;
    let addresses = [
        "127.0.0.1:1".to_owned(),
        "127.0.0.1:2".to_owned(),
        "127.0.0.1:3".to_owned(),
    ];
    Arc::new(Pool::resolve(&addresses, "origin", PoolPolicy::default(), &clock).unwrap())
}

fn port(lease: &Lease) -> u16 {
    lease.socket().port()
}

#[test]
fn load_spreads_and_comes_back() {
    let pool = pool(&ManualClock::new(0));
    let leases: Vec<_> = (0..3).map(|_| pool.lease(&[]).unwrap()).collect();
    assert_eq!(leases.iter().map(port).collect::<Vec<_>>(), [1, 2, 3]);
    drop(leases.into_iter().nth(1));
    // The first and the last were dropped too.
    assert_eq!(port(&pool.lease(&[]).unwrap()), 1);
}

#[test]
fn a_failing_address_is_left_alone_for_a_while() {
    let clock = ManualClock::new(0);
    let pool = pool(&clock);
    for _ in 0..3 {
        let lease = pool.lease(&[1, 2]).unwrap();
        assert_eq!(port(&lease), 1, "not yet, or the only one left");
        lease.failed();
    }
    assert_eq!(port(&pool.lease(&[]).unwrap()), 2);
    clock.advance(Duration::from_millis(2_000));
    let lease = pool.lease(&[]).unwrap();
    assert_eq!(port(&lease), 1, "it is tried again");
    lease.failed();
    drop(lease);
    assert_eq!(
        port(&pool.lease(&[]).unwrap()),
        2,
        "and one failure more is enough"
    );
    clock.advance(Duration::from_millis(2_000));
    let lease = pool.lease(&[]).unwrap();
    lease.succeeded();
    drop(lease);
    assert_eq!(port(&pool.lease(&[]).unwrap()), 1);
}

#[test]
fn when_all_fail_the_one_due_soonest_is_tried() {
    let clock = ManualClock::new(0);
    let pool = pool(&clock);
    for place in [2, 0, 1] {
        let others: Vec<usize> = (0..3).filter(|other| *other != place).collect();
        for _ in 0..3 {
            pool.lease(&others).unwrap().failed();
        }
        clock.advance(Duration::from_millis(10));
    }
    assert_eq!(port(&pool.lease(&[]).unwrap()), 3);
    assert!(pool.lease(&[0, 1, 2]).is_none());
    assert!(pool.has_another(&[0, 1]) && !pool.has_another(&[0, 1, 2]));
}

#[test]
fn an_object_keeps_to_its_address_until_that_is_full_or_fails() {
    let clock = ManualClock::new(0);
    let pool = pool(&clock);
    let sharding = Sharding {
        load_factor: 1.25,
        in_flight_floor: 2,
    };
    let home = pool.lease_for(7, sharding, &[]).unwrap();
    let again = pool.lease_for(7, sharding, &[]).unwrap();
    assert_eq!(home.place(), again.place());
    let overflow = pool.lease_for(7, sharding, &[]).unwrap();
    assert_ne!(overflow.place(), home.place(), "two are its bound");
    drop(again);
    assert_eq!(
        pool.lease_for(7, sharding, &[]).unwrap().place(),
        home.place()
    );
    for _ in 0..3 {
        home.failed();
    }
    let second = pool.lease_for(7, sharding, &[]).unwrap();
    assert_eq!(
        second.place(),
        overflow.place(),
        "the next in the same order"
    );
    let third = pool.lease_for(7, sharding, &[second.place()]).unwrap();
    let tried = [second.place(), third.place()];
    assert!(
        pool.lease_for(7, sharding, &tried).is_none(),
        "it is left alone"
    );
    clock.advance(Duration::from_millis(2_000));
    let probe = pool.lease_for(7, sharding, &[]).unwrap();
    assert_eq!(
        probe.place(),
        home.place(),
        "one finds out whether it is back"
    );
    let meanwhile = pool.lease_for(7, sharding, &[third.place()]);
    assert_ne!(
        meanwhile.unwrap().place(),
        home.place(),
        "and others wait for that"
    );
    probe.succeeded();
    drop((probe, home));
    assert_eq!(pool.states()[0].unhealthy_ms, 0);
}

#[test]
fn an_address_that_fails_again_and_again_is_left_alone_for_longer_up_to_a_bound() {
    let clock = ManualClock::new(0);
    let shared: SharedClock = Arc::clone(&clock) as SharedClock;
    let policy = PoolPolicy {
        failures_max: 2,
        unhealthy_ms: 100,
        unhealthy_ms_max: 350,
        ..PoolPolicy::default()
    };
    let addresses = ["127.0.0.1:1".to_owned()];
    let pool = Arc::new(Pool::resolve(&addresses, "o", policy, &shared).unwrap());
    let sharding = Sharding {
        load_factor: 1.25,
        in_flight_floor: 8,
    };
    let together: Vec<_> = (0..5)
        .map(|_| pool.lease_for(1, sharding, &[]).unwrap())
        .collect();
    for lease in together {
        lease.failed();
    }
    let mut waits = Vec::new();
    for _ in 0..4 {
        waits.push(pool.states()[0].unhealthy_ms);
        assert!(pool.lease_for(1, sharding, &[]).is_none());
        clock.advance(Duration::from_millis(*waits.last().unwrap()));
        pool.lease_for(1, sharding, &[]).unwrap().failed();
    }
    assert_eq!(
        waits,
        [100, 200, 350, 350],
        "five that fail together are one failure"
    );
    clock.advance(Duration::from_millis(350));
    let lease = pool.lease_for(1, sharding, &[]).unwrap();
    lease.succeeded();
    lease.failed();
    lease.failed();
    assert_eq!(pool.states()[0].unhealthy_ms, 100, "it was back");
}

#[tokio::test]
async fn names_are_looked_up_again_when_it_is_time() {
    let clock = ManualClock::new(0);
    let shared: SharedClock = Arc::clone(&clock) as SharedClock;
    let names = ["localhost:1".to_owned()];
    let pool = Pool::resolve(&names, "", PoolPolicy::default(), &shared).unwrap();
    let pool = Arc::new(pool);
    let first = pool.addresses.load_full();
    let due_ms = || pool.lookup_due_ms.load(Ordering::Relaxed);
    pool.look_up_if_due();
    assert_eq!(due_ms(), 10_000);
    clock.advance(Duration::from_millis(10_000));
    pool.look_up_if_due();
    assert_eq!(due_ms(), 20_000);
    let deadline = std::time::Instant::now() + Duration::from_secs(120);
    while Arc::ptr_eq(&first, &pool.addresses.load_full()) {
        assert!(std::time::Instant::now() < deadline, "it never was");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let again = pool.addresses.load_full();
    assert!(
        Arc::ptr_eq(&first[0], &again[0]),
        "what is known of it stays"
    );
}

#[test]
fn an_address_that_is_none_is_named() {
    let clock: SharedClock = ManualClock::new(0);
    let error =
        Pool::resolve(&["nowhere".to_owned()], "o", PoolPolicy::default(), &clock).unwrap_err();
    assert!(
        error.to_string().starts_with("nowhere: expected host:port"),
        "{error}"
    );
}
