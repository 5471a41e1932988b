//! Threads beside the workers: who has a turn, who is told that there is none, and what becomes of what nobody wants any more.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use mcsp_edge_waf::{Beside, BesideConfig, Place, ThreadTicks, Ticks, TurnedAway, Work};

/// Longest wait for another thread; a test that is good waits for none.
const LONG: Duration = Duration::from_secs(60);

#[derive(Debug, PartialEq, Eq)]
enum Told {
    Begun(&'static str),
    TurnedAway(&'static str, TurnedAway),
}

/// Work that says when it begins, and ends when it is let.
struct Held {
    name: &'static str,
    tell: Sender<Told>,
    until: Receiver<()>,
}

impl Work for Held {
    fn run(self: Box<Self>) {
        self.tell.send(Told::Begun(self.name)).unwrap();
        // Dropped or sent, it is let go.
        let _ = self.until.recv_timeout(LONG);
        assert!(self.name != "panics", "a fault that was put in");
    }

    fn turned_away(self: Box<Self>, why: TurnedAway) {
        let told = Told::TurnedAway(self.name, why);
        self.tell.send(told).unwrap();
    }
}

struct Bench {
    beside: Beside,
    tell: Sender<Told>,
    told: Receiver<Told>,
}

impl Bench {
    fn new(config: BesideConfig) -> Self {
        let (tell, told) = channel();
        let beside = Beside::start(&config, Arc::new(ThreadTicks)).unwrap();
        Self {
            beside: beside.unwrap(),
            tell,
            told,
        }
    }

    /// Hands work over; it ends with what is returned second.
    fn enter(&self, client: u8, name: &'static str) -> (Place, Sender<()>) {
        let (let_go, until) = channel();
        let work = Held {
            name,
            tell: self.tell.clone(),
            until,
        };
        let client = IpAddr::from([192, 0, 2, client]);
        (self.beside.enter(client, Box::new(work)), let_go)
    }

    fn next(&self) -> Told {
        self.told.recv_timeout(LONG).unwrap()
    }
}

fn config(threads: usize) -> BesideConfig {
    BesideConfig {
        threads,
        places_max: 3,
        client_places_max: 2,
        ..BesideConfig::default()
    }
}

#[test]
fn others_have_a_thread_however_much_one_client_brings() {
    let bench = Bench::new(config(2));
    let first = bench.enter(1, "a1");
    assert_eq!(bench.next(), Told::Begun("a1"));
    let second = bench.enter(1, "a2");
    let other = bench.enter(2, "b1");
    assert_eq!(bench.next(), Told::Begun("b1"));
    drop(first.1);
    assert_eq!(bench.next(), Told::Begun("a2"));
    drop((second, other));
}

#[test]
fn who_finds_no_place_is_told_at_once() {
    let bench = Bench::new(config(1));
    let held = bench.enter(1, "a1");
    assert_eq!(bench.next(), Told::Begun("a1"));
    let second = bench.enter(1, "a2");
    let third = bench.enter(1, "a3");
    assert_eq!(bench.next(), Told::TurnedAway("a3", TurnedAway::Share));
    let other = bench.enter(2, "b1");
    // For one that has brought less, another goes.
    let further = bench.enter(3, "c1");
    assert_eq!(bench.next(), Told::TurnedAway("a2", TurnedAway::Share));
    let last = bench.enter(4, "d1");
    assert_eq!(bench.next(), Told::TurnedAway("d1", TurnedAway::Full));
    drop((held, second, third));
    assert_eq!(bench.next(), Told::Begun("b1"));
    drop((other, further, last));
}

#[test]
fn a_place_that_is_given_up_is_free() {
    let bench = Bench::new(config(1));
    let held = bench.enter(1, "a1");
    assert_eq!(bench.next(), Told::Begun("a1"));
    let (place, _waits) = bench.enter(1, "a2");
    drop(place);
    assert_eq!(bench.next(), Told::TurnedAway("a2", TurnedAway::Left));
    let (mut late, _waits) = bench.enter(2, "b1");
    late.give_up();
    assert_eq!(bench.next(), Told::TurnedAway("b1", TurnedAway::Late));
    let (mut late, _waits) = bench.enter(1, "a3");
    late.give_up();
    assert_eq!(bench.next(), Told::TurnedAway("a3", TurnedAway::Share));
    // What is under way goes on to its end, wanted or not.
    let (mut place, let_go) = held;
    place.give_up();
    drop(place);
    let next = bench.enter(1, "a4");
    drop(let_go);
    assert_eq!(bench.next(), Told::Begun("a4"));
    drop(next);
}

#[test]
fn what_nobody_waits_for_may_stay() {
    let bench = Bench::new(config(1));
    let held = bench.enter(1, "a1");
    assert_eq!(bench.next(), Told::Begun("a1"));
    let (place, _let_go) = bench.enter(2, "b1");
    place.stay();
    drop(held);
    assert_eq!(bench.next(), Told::Begun("b1"));
}

#[test]
fn work_that_panics_ends_no_thread_and_keeps_no_place() {
    let bench = Bench::new(config(1));
    for _ in 0..5 {
        let (place, let_go) = bench.enter(1, "panics");
        assert_eq!(bench.next(), Told::Begun("panics"));
        drop(let_go);
        drop(place);
    }
    let _good = bench.enter(1, "a1");
    assert_eq!(bench.next(), Told::Begun("a1"));
}

/// It says so where it is asked for the cost of work, which is not part of any work.
#[test]
fn a_thread_that_fails_beside_its_work_serves_on_and_keeps_no_place() {
    #[derive(Debug, Default)]
    struct Failing(AtomicBool);
    impl Ticks for Failing {
        fn now_us(&self) -> u64 {
            assert!(
                !self.0.swap(false, Ordering::SeqCst),
                "a fault that was put in"
            );
            0
        }
    }
    let failing = Arc::new(Failing::default());
    let (tell, told) = channel();
    let beside = Beside::start(&config(1), failing.clone()).unwrap().unwrap();
    let bench = Bench { beside, tell, told };
    for _ in 0..5 {
        failing.0.store(true, Ordering::SeqCst);
        let (_lost, until) = bench.enter(1, "lost");
        // It is dropped, undone, and so is its place.
        assert!(until_is(|| !failing.0.load(Ordering::SeqCst)));
        drop(until);
    }
    let _good = bench.enter(1, "a1");
    assert_eq!(bench.next(), Told::Begun("a1"));
}

fn until_is(is_so: impl Fn() -> bool) -> bool {
    let began = Instant::now();
    while !is_so() && began.elapsed() < LONG {
        std::thread::yield_now();
    }
    is_so()
}

#[test]
fn a_client_knows_whether_its_share_is_taken() {
    let bench = Bench::new(config(1));
    let client = |number| IpAddr::from([192, 0, 2, number]);
    let held = bench.enter(1, "a1");
    assert_eq!(bench.next(), Told::Begun("a1"));
    assert!(bench.beside.has_share_left(client(1)));
    let second = bench.enter(1, "a2");
    assert!(!bench.beside.has_share_left(client(1)));
    assert!(bench.beside.has_share_left(client(2)));
    drop(second);
    assert!(bench.beside.has_share_left(client(1)));
    drop(held);
}

#[test]
fn without_threads_there_is_nobody() {
    let none = Beside::start(&config(0), Arc::new(ThreadTicks)).unwrap();
    assert!(none.is_none());
}

/// Their priority is the system's affair; that of who asked for them is untouched.
#[test]
fn only_these_threads_stand_back() {
    struct Nice(Sender<i32>);
    impl Work for Nice {
        fn run(self: Box<Self>) {
            self.0.send(nice()).unwrap();
        }
        fn turned_away(self: Box<Self>, _why: TurnedAway) {}
    }
    fn nice() -> i32 {
        let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
        let fields = stat.rsplit_once(") ").unwrap().1;
        fields.split(' ').nth(16).unwrap().parse().unwrap()
    }
    let before = nice();
    let bench = Bench::new(config(1));
    let (tell, told) = channel();
    let _place = bench
        .beside
        .enter(IpAddr::from([192, 0, 2, 1]), Box::new(Nice(tell)));
    let beside = told.recv_timeout(LONG).unwrap();
    assert_eq!(nice(), before);
    assert!(beside > before || before >= 10, "{beside} beside {before}");
}
