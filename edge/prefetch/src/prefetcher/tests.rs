use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use mcsp_runtime::ShutdownTrigger;
use tokio::sync::Semaphore;

use super::*;

/// Work that runs as far as the test lets it.
struct Bench {
    held: Mutex<HashSet<u32>>,
    done: Mutex<Vec<u32>>,
    has_room: AtomicBool,
    running: AtomicUsize,
    running_most: AtomicUsize,
    /// One for each object that may finish.
    leave: Semaphore,
}

impl Work for Arc<Bench> {
    type Job = u32;

    fn wants(&self, job: &u32) -> bool {
        !self.held.lock().contains(job)
    }

    fn may_run(&self) -> bool {
        self.has_room.load(Ordering::SeqCst)
    }

    async fn run(&self, job: u32) -> Outcome {
        assert_ne!(job, 666, "work that panics");
        let running = self.running.fetch_add(1, Ordering::SeqCst) + 1;
        self.running_most.fetch_max(running, Ordering::SeqCst);
        self.leave.acquire().await.unwrap().forget();
        self.running.fetch_sub(1, Ordering::SeqCst);
        self.held.lock().insert(job);
        self.done.lock().push(job);
        Outcome::Stored(10)
    }
}

struct World {
    bench: Arc<Bench>,
    prefetcher: Arc<Prefetcher<Arc<Bench>>>,
    _stop: ShutdownTrigger,
}

impl World {
    fn new(config: PrefetchConfig) -> Self {
        let bench = Arc::new(Bench {
            held: Mutex::default(),
            done: Mutex::default(),
            has_room: AtomicBool::new(true),
            running: AtomicUsize::new(0),
            running_most: AtomicUsize::new(0),
            leave: Semaphore::new(0),
        });
        let prefetcher = Prefetcher::new(Arc::clone(&bench), config, &Registry::new()).unwrap();
        let (trigger, stop) = ShutdownTrigger::new();
        tokio::spawn(Arc::clone(&prefetcher).run(stop));
        Self {
            bench,
            prefetcher,
            _stop: trigger,
        }
    }

    fn offer(&self, jobs: impl IntoIterator<Item = u32>) {
        for job in jobs {
            assert_eq!(self.prefetcher.offer(job), Offered::Queued);
        }
    }

    fn done(&self) -> Vec<u32> {
        self.bench.done.lock().clone()
    }

    fn counted(&self, outcome: &str) -> u64 {
        self.prefetcher.metrics.done_so_far(outcome)
    }
}

/// Waits for a state; time is paused, so a minute of it takes none.
async fn until(is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !is_so() {
        assert!(Instant::now() < deadline, "it never was so");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn few_run_at_once_in_order_and_none_twice() {
    let world = World::new(PrefetchConfig {
        running_max: 2,
        ..PrefetchConfig::default()
    });
    world.offer(0..6);
    assert_eq!(world.prefetcher.offer(5), Offered::Known);
    until(|| world.bench.running.load(Ordering::SeqCst) == 2).await;
    assert_eq!(world.prefetcher.offer(0), Offered::Known, "it runs");
    world.bench.leave.add_permits(6);
    until(|| world.done().len() == 6).await;
    assert_eq!(world.done(), [0, 1, 2, 3, 4, 5]);
    assert_eq!(world.bench.running_most.load(Ordering::SeqCst), 2);
    assert_eq!(world.prefetcher.offer(3), Offered::Unwanted, "it is held");
    until(|| world.counted("stored") == 6).await;
    assert_eq!(world.prefetcher.metrics.bytes.get(), 60);
    assert_eq!(world.prefetcher.metrics.running.get(), 0);
    assert!(world.prefetcher.queue.lock().known.is_empty());
}

#[tokio::test(start_paused = true)]
async fn viewers_come_first() {
    let world = World::new(PrefetchConfig::default());
    world.bench.leave.add_permits(10);
    world.bench.has_room.store(false, Ordering::SeqCst);
    world.offer([1]);
    tokio::time::sleep(Duration::from_millis(1_000)).await;
    assert!(world.done().is_empty());
    world.bench.has_room.store(true, Ordering::SeqCst);
    until(|| world.done() == [1]).await;
}

#[tokio::test(start_paused = true)]
async fn what_waited_too_long_is_not_fetched() {
    let world = World::new(PrefetchConfig {
        wait_ms_max: 500,
        ..PrefetchConfig::default()
    });
    world.bench.leave.add_permits(10);
    world.bench.has_room.store(false, Ordering::SeqCst);
    world.offer([1]);
    tokio::time::sleep(Duration::from_millis(501)).await;
    world.offer([2]);
    world.bench.has_room.store(true, Ordering::SeqCst);
    until(|| world.done() == [2]).await;
    assert_eq!(world.counted("late"), 1);
    assert_eq!(
        world.prefetcher.offer(1),
        Offered::Queued,
        "it may be offered again"
    );
}

#[tokio::test(start_paused = true)]
async fn the_queue_is_bounded_and_the_newest_are_kept() {
    let world = World::new(PrefetchConfig {
        waiting_max: 3,
        ..PrefetchConfig::default()
    });
    world.bench.has_room.store(false, Ordering::SeqCst);
    world.offer(0..5);
    assert_eq!(world.counted("displaced"), 2);
    world.bench.has_room.store(true, Ordering::SeqCst);
    world.bench.leave.add_permits(10);
    until(|| world.done().len() == 3).await;
    assert_eq!(world.done(), [2, 3, 4]);
    assert_eq!(world.prefetcher.offer(0), Offered::Queued);
}

#[tokio::test(start_paused = true)]
async fn what_was_filled_or_purged_meanwhile_is_left_alone() {
    let world = World::new(PrefetchConfig::default());
    world.bench.has_room.store(false, Ordering::SeqCst);
    world.offer([1, 2, 3]);
    world.bench.held.lock().insert(1);
    world.prefetcher.forget(|job| *job == 2);
    world.bench.has_room.store(true, Ordering::SeqCst);
    world.bench.leave.add_permits(10);
    until(|| world.done() == [3]).await;
    assert_eq!(
        (world.counted("unwanted"), world.counted("forgotten")),
        (1, 1)
    );
}

#[tokio::test(start_paused = true)]
async fn what_hangs_or_panics_gives_its_place_back() {
    let world = World::new(PrefetchConfig {
        running_max: 1,
        run_timeout_ms: 200,
        wait_ms_max: 60_000,
        ..PrefetchConfig::default()
    });
    world.offer([666, 1]);
    until(|| world.counted("timeout") == 1).await;
    world.bench.leave.add_permits(10);
    world.offer([2]);
    until(|| world.done() == [2]).await;
    assert_eq!(world.prefetcher.offer(666), Offered::Queued);
}

#[tokio::test(start_paused = true)]
async fn a_stop_ends_it_and_what_it_does() {
    let bench = World::new(PrefetchConfig::default()).bench;
    let (trigger, stop) = ShutdownTrigger::new();
    let prefetcher = Prefetcher::new(bench, PrefetchConfig::default(), &Registry::new()).unwrap();
    let ends = tokio::spawn(Arc::clone(&prefetcher).run(stop));
    assert_eq!(prefetcher.offer(1), Offered::Queued);
    until(|| prefetcher.metrics.running.get() == 1).await;
    trigger.trigger();
    ends.await.unwrap();
    assert_eq!(prefetcher.metrics.running.get(), 0);
}

#[tokio::test]
async fn it_can_be_switched_off() {
    let world = World::new(PrefetchConfig {
        enabled: false,
        ..PrefetchConfig::default()
    });
    assert_eq!(world.prefetcher.offer(1), Offered::Disabled);
}
