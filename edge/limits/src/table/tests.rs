use std::time::Duration;

use mcsp_runtime::{ManualClock, SeededEntropy};

use super::*;

const PERIOD_NS: u64 = 10_000_000;
const BURST: u64 = 100;

struct Fixture {
    wall: Arc<ManualClock>,
    clock: Arc<SteadyClock>,
    view: TableView,
}

fn fixture(keys_max: usize) -> Fixture {
    let wall = ManualClock::new(1);
    let clock = SteadyClock::new(wall.clone());
    clock.start();
    let table = Table::new(keys_max, &clock, &*SeededEntropy::new(7));
    Fixture {
        view: TableView {
            table: Arc::new(table),
            tell_from_ns: BURST / 8 * PERIOD_NS,
        },
        clock,
        wall,
    }
}

impl Fixture {
    /// Counted in all of the table.
    fn live(&self) -> usize {
        let counts = (0..SHARDS / COUNTED_AT_ONCE).map(|_| self.view.table.live());
        counts.fold(0, |_, live| live)
    }

    /// GCRA with a burst of [`BURST`].
    fn admit(&self, key: u128) -> bool {
        let now_ns = self.clock.now_ms() * 1_000_000;
        let judge = |whole_at: Option<Nanos>| {
            let whole_at_ns = whole_at.map_or(now_ns, Nanos::as_u64);
            let earliest_ns = whole_at_ns.saturating_sub((BURST - 1) * PERIOD_NS);
            let next = Nanos::new(whole_at_ns.max(now_ns) + PERIOD_NS);
            (now_ns >= earliest_ns).then_some(((), next)).ok_or(())
        };
        self.view.measure_and_replace(&Key(key), judge).is_ok()
    }

    fn spend(&self, key: u128) {
        while self.admit(key) {}
    }
}

/// An attacker with a /32 of IPv6 has 2^32 prefixes of 64 bits. Memory stays as it is, and who has spent his burst stays
/// refused, however many come.
#[test]
fn a_flood_of_addresses_neither_grows_the_table_nor_frees_who_is_refused() {
    let fixture = fixture(4_096);
    let capacity = fixture.view.table.capacity();
    let offenders: Vec<u128> = (1..=1_000).collect();
    for offender in &offenders {
        fixture.spend(*offender);
    }
    for newcomer in 0..200_000_u128 {
        assert!(fixture.admit(1 << 64 | newcomer), "a newcomer is served");
    }
    let refused = offenders.iter().filter(|key| !fixture.admit(**key)).count();
    // A few share their bucket with eight others.
    assert!(refused >= 995, "{refused} of 1000 are still refused");
    assert_eq!(fixture.view.table.capacity(), capacity);
    assert!((1_000..=capacity).contains(&fixture.live()));
    assert!(fixture.view.table.forgotten() > 100_000);
}

#[test]
fn keys_that_owe_something_are_counted_within_eight_looks() {
    let fixture = fixture(4_096);
    for key in 0..800_u128 {
        assert!(fixture.admit(1 << 90 | key));
    }
    let looks: Vec<usize> = (0..8).map(|_| fixture.view.table.live()).collect();
    assert!(looks.is_sorted() && looks[0] < 400, "{looks:?}");
    // A few buckets may have had more than they have places.
    assert!((790..=800).contains(&looks[7]), "{looks:?}");
    fixture.wall.advance(Duration::from_millis(11));
    fixture.clock.now_ms();
    assert_eq!(fixture.live(), 0);
}

#[test]
fn a_state_that_says_nothing_any_more_leaves_its_place() {
    let fixture = fixture(512);
    for round in 0..50_u128 {
        for key in 0..200_u128 {
            assert!(fixture.admit(1 << 100 | round << 64 | key));
        }
        fixture.wall.advance(Duration::from_millis(11));
        fixture.clock.now_ms();
        assert_eq!(fixture.live(), 0);
    }
    assert!(
        fixture.view.table.forgotten() < 50,
        "{}",
        fixture.view.table.forgotten()
    );
}

#[test]
fn only_who_owes_much_is_told_of_and_each_request_once() {
    let fixture = fixture(512);
    let taken = || {
        let mut out = Vec::new();
        fixture.view.table.take_untold(100, &mut out);
        out.sort_by_key(|(key, _)| key.0);
        out
    };
    for _ in 0..5 {
        fixture.admit(1);
    }
    for _ in 0..20 {
        fixture.admit(2);
    }
    assert_eq!(taken(), [(Key(2), 20)]);
    assert_eq!(taken(), []);
    fixture.admit(2);
    for _ in 0..8 {
        fixture.admit(1);
    }
    assert_eq!(taken(), [(Key(1), 13), (Key(2), 1)]);
    // What was back before the next request is nobody's concern.
    fixture.admit(2);
    fixture.wall.advance(Duration::from_secs(10));
    for _ in 0..13 {
        fixture.admit(2);
    }
    assert_eq!(taken(), [(Key(2), 13)]);
}

#[test]
fn what_is_taken_at_once_is_bounded_and_comes_again() {
    let fixture = fixture(4_096);
    for key in 1..=600_u128 {
        fixture.spend(key);
    }
    let mut all = Vec::new();
    for _ in 0..7 {
        let before = all.len();
        fixture.view.table.take_untold(100, &mut all);
        assert!(all.len() - before <= 100);
    }
    all.sort_by_key(|(key, _)| key.0);
    all.dedup_by_key(|(key, _)| key.0);
    assert!(all.len() >= 595, "{}", all.len());
}

#[test]
fn a_debit_is_bounded_and_never_forgives() {
    assert_eq!(debited(0, 100, 3, 10, 1_000), 130);
    assert_eq!(debited(200, 100, 3, 10, 1_000), 230);
    assert_eq!(debited(200, 100, u32::MAX, 10, 1_000), 1_100);
    assert_eq!(debited(5_000, 100, 3, 10, 1_000), 5_000);
    assert_eq!(
        debited(u64::MAX, u64::MAX, u32::MAX, u64::MAX, u64::MAX),
        u64::MAX
    );
    let fixture = fixture(512);
    fixture.view.table.debit(
        Key(9),
        u32::try_from(BURST).unwrap(),
        PERIOD_NS,
        BURST * PERIOD_NS * 4,
    );
    assert!(!fixture.admit(9));
    fixture.wall.advance(Duration::from_millis(10));
    assert!(fixture.admit(9) && !fixture.admit(9));
}

#[test]
fn many_threads_take_no_more_than_there_is() {
    let fixture = fixture(512);
    let admitted: usize = std::thread::scope(|scope| {
        let take = || (0..100).filter(|_| fixture.admit(3)).count();
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(take)).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .sum()
    });
    assert_eq!(admitted as u64, BURST);
}
