//! A share of a thread's time for what can wait: new connections and what costs much, while others are served.

use std::collections::hash_map::RandomState;
use std::future::{Future, poll_fn};
use std::hash::BuildHasher as _;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicI64, Ordering};
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, SemaphorePermit};

use crate::key::Network;

/// Of the time that everything else takes, one part in so many.
const ONE_IN: i64 = 4;

/// What is paid in time for work that can wait. Whoever finds none left steps behind everything that is ready to run, and all
/// who wait are given a quarter of the time that this takes, together: so a flood keeps nobody waiting for more than a moment, and
/// a node that has much to do for others still takes up somebody new.
#[derive(Debug)]
struct Share {
    /// Threads that do such work.
    threads: i64,
    credit_ns: AtomicI64,
    began: Instant,
    /// When time was given last, since `began`.
    given_ns: AtomicI64,
}

impl Share {
    fn new(threads: usize) -> Self {
        Self {
            threads: i64::try_from(threads).unwrap_or(i64::MAX),
            credit_ns: AtomicI64::new(0),
            began: Instant::now(),
            given_ns: AtomicI64::new(0),
        }
    }

    /// Returns when there is time for some work.
    async fn turn(&self) {
        if self.credit_ns.load(Ordering::Relaxed) > 0 {
            return;
        }
        let began = Instant::now();
        tokio::task::yield_now().await;
        self.grant(began.elapsed(), self.began.elapsed());
    }

    /// Takes what work has cost.
    fn spent(&self, cost: Duration) {
        self.credit_ns.fetch_sub(ns(cost), Ordering::Relaxed);
    }

    /// `now` counts from the share's beginning. What was not used before is gone: nobody saves up for a flood. And of the time
    /// that all who wait saw pass, only the first is given a quarter, or several kinds of such work would let each other grow; the
    /// others do one piece each.
    fn grant(&self, others_took: Duration, now: Duration) {
        let since_ns = ns(now) - self.given_ns.swap(ns(now), Ordering::Relaxed);
        let seen_ns = ns(others_took).min(since_ns).max(0);
        let credit_ns = seen_ns.saturating_mul(self.threads) / ONE_IN;
        self.credit_ns
            .store(credit_ns.max(ONE_PIECE_NS), Ordering::Relaxed);
    }
}

/// Clients' lines. Those of one line wait for each other first, so that a client that wants many turns has few places among
/// those who wait for a processor. It is about those places alone: where nobody else waits, one client may have all processors.
const LINES: usize = 64;
/// An IPv6 network of 64 bits has one line, as an IPv4 address has. All that are in one of 48 bits, which may be one customer's, have
/// so many together.
const AGGREGATE_LINES: u64 = 8;
const CLIENT_PREFIX: u8 = 64;
const AGGREGATE_PREFIX: u8 = 48;

/// Less than any work takes: one piece is done each time.
const ONE_PIECE_NS: i64 = 1;

/// Work that can wait, for those who come and those who go, and what calculates for long beside how long a hit takes: of all that
/// could go on, one piece for each processor does, and all together as a share of the threads' time. Those who are served already wait for one piece and no more, however much comes at once; and
/// one client's pieces wait for one another before they wait for other clients' ones.
#[derive(Debug)]
pub struct Turns {
    share: Share,
    all: Semaphore,
    lines: [Semaphore; LINES],
    /// Nobody outside knows who is in whose line.
    seed: RandomState,
}

/// The right to calculate.
struct Turn<'t> {
    _one: Option<SemaphorePermit<'t>>,
}

impl Turns {
    /// For so many processors.
    #[must_use]
    pub fn new(processors: usize) -> Self {
        let processors = processors.max(1);
        let half = processors.div_ceil(2);
        Self {
            share: Share::new(processors),
            all: Semaphore::new(processors),
            lines: std::array::from_fn(|_| Semaphore::new(half)),
            seed: RandomState::new(),
        }
    }

    /// Does all of `work` in turns of `client`. What it waits for itself is nobody's turn.
    pub async fn all_of<F: Future>(&self, client: Option<IpAddr>, work: F) -> F::Output {
        let mut work = pin!(work);
        loop {
            if let Poll::Ready(output) = self.step(client, work.as_mut()).await {
                return output;
            }
            woken().await;
        }
    }

    /// Returns when there is time to take up somebody new, of whom nothing is known yet.
    pub async fn newcomer(&self) {
        self.share.turn().await;
    }

    /// Takes what a newcomer has cost.
    pub fn spent(&self, cost: Duration) {
        self.share.spent(cost);
    }

    async fn step<F: Future>(
        &self,
        client: Option<IpAddr>,
        mut work: Pin<&mut F>,
    ) -> Poll<F::Output> {
        let _turn = self.turn(client).await;
        let began = Instant::now();
        let polled = poll_fn(|context| Poll::Ready(work.as_mut().poll(context))).await;
        self.share.spent(began.elapsed());
        polled
    }

    /// The number of a client's line.
    fn line_of(&self, client: Option<IpAddr>) -> usize {
        let network = client.map(|client| Network::of(client, CLIENT_PREFIX));
        let own = self.seed.hash_one(network);
        let aggregate = network.and_then(|network| network.aggregate(AGGREGATE_PREFIX));
        let number = match aggregate {
            Some(wider) => self
                .seed
                .hash_one(wider)
                .wrapping_add(own % AGGREGATE_LINES),
            None => own,
        };
        number as usize % LINES
    }

    async fn turn(&self, client: Option<IpAddr>) -> Turn<'_> {
        let line = self.lines.get(self.line_of(client));
        // They are never closed.
        let line = match line {
            Some(line) => line.acquire().await.ok(),
            None => None,
        };
        let one = self.all.acquire().await.ok();
        // Its place is the next one's.
        drop(line);
        self.share.turn().await;
        Turn { _one: one }
    }
}

/// Returns once this task has been woken, by whatever.
async fn woken() {
    let mut is_asleep = false;
    poll_fn(|_| {
        if std::mem::replace(&mut is_asleep, true) {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
}

fn ns(time: Duration) -> i64 {
    i64::try_from(time.as_nanos()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const US: Duration = Duration::from_micros(1);

    /// How many pieces of work of this cost are done before others have their turn.
    fn pieces(share: &Share, cost: Duration) -> u32 {
        let mut pieces = 0;
        while share.credit_ns.load(Ordering::Relaxed) > 0 {
            share.spent(cost);
            pieces += 1;
        }
        pieces
    }

    #[test]
    fn a_quarter_of_what_others_take_and_never_nothing() {
        let share = Share::new(1);
        let mut now = Duration::ZERO;
        let mut after = |others_took: Duration, cost: Duration| {
            now += others_took;
            share.grant(others_took, now);
            pieces(&share, cost)
        };
        assert_eq!(after(10 * US, 15 * US), 1, "one at least");
        assert_eq!(after(60_000 * US, 15 * US), 1_000);
        assert_eq!(after(Duration::ZERO, 15 * US), 1, "nothing is saved up");
        assert_eq!(after(200 * US, 150 * US), 1);
        assert_eq!(after(6_000 * US, 150 * US), 10);
    }

    #[test]
    fn those_who_wait_at_once_are_given_it_once() {
        let share = Share::new(1);
        let (others_took, now) = (6_000 * US, 10_000 * US);
        let waiting = (0..4).map(|_| {
            share.grant(others_took, now);
            pieces(&share, 150 * US)
        });
        assert_eq!(waiting.collect::<Vec<_>>(), [10, 1, 1, 1]);
        // A quarter of each thread's.
        let of_two = Share::new(2);
        of_two.grant(others_took, now);
        assert_eq!(pieces(&of_two, 150 * US), 20);
    }

    #[tokio::test]
    async fn who_has_nothing_left_lets_others_run() {
        let turns = std::sync::Arc::new(Turns::new(1));
        let order = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
        let mut tasks = Vec::new();
        for name in ["a", "b"] {
            let (turns, order) = (turns.clone(), order.clone());
            tasks.push(tokio::spawn(async move {
                turns.newcomer().await;
                turns.spent(Duration::from_secs(1));
                order.lock().unwrap().push(name);
            }));
        }
        let told = order.clone();
        tasks.push(tokio::spawn(
            async move { told.lock().unwrap().push("ready") },
        ));
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(order.lock().unwrap()[0], "ready");
    }

    fn client(number: u8) -> Option<IpAddr> {
        Some(IpAddr::from([192, 0, 2, number]))
    }

    #[tokio::test]
    async fn one_clients_many_pieces_do_not_stand_before_anothers() {
        let turns = std::sync::Arc::new(Turns::new(1));
        let order = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
        // Somebody who is not in the same line.
        let other =
            (2..=255).find(|number| turns.line_of(client(*number)) != turns.line_of(client(1)));
        let other = other.unwrap();
        let mut tasks = Vec::new();
        for number in [1; 100].into_iter().chain([other]) {
            let (turns, order) = (turns.clone(), order.clone());
            tasks.push(tokio::spawn(async move {
                let work = async { order.lock().unwrap().push(number) };
                turns.all_of(client(number), work).await;
            }));
        }
        for task in tasks {
            task.await.unwrap();
        }
        let order = order.lock().unwrap();
        let place = order.iter().position(|number| *number == other).unwrap();
        assert!(order.len() == 101 && place <= 3, "{place}");
    }

    #[test]
    fn who_has_many_addresses_has_few_lines() {
        let turns = Turns::new(1);
        let lines = |addresses: &dyn Fn(u16) -> String| {
            let line = |at| turns.line_of(Some(addresses(at).parse().unwrap()));
            (0..10_000)
                .map(line)
                .collect::<std::collections::BTreeSet<_>>()
                .len()
        };
        assert_eq!(lines(&|at| format!("2001:db8:1:2::{at:x}")), 1);
        assert_eq!(lines(&|at| format!("2001:db8:1:{at:x}::1")), 8);
        assert_eq!(lines(&|at| format!("2001:db8:{at:x}::1")), LINES);
        let [high, low] = [|at: u16| at >> 8, |at: u16| at & 255];
        assert_eq!(
            lines(&|at| format!("192.0.{}.{}", high(at), low(at))),
            LINES
        );
        let mapped = "::ffff:192.0.2.1".parse().ok();
        assert_eq!(turns.line_of(mapped), turns.line_of(client(1)));
    }

    /// Parts of one upload come by several connections of one client, and a load balancer may be everybody's address.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_client_alone_has_all_processors() {
        use std::sync::atomic::AtomicUsize;
        const BOUND: Duration = Duration::from_secs(60);
        let turns = std::sync::Arc::new(Turns::new(2));
        let at_work = std::sync::Arc::new(AtomicUsize::new(0));
        let pieces = [(); 2].map(|()| {
            let (turns, at_work) = (turns.clone(), at_work.clone());
            tokio::spawn(async move {
                let piece = async {
                    at_work.fetch_add(1, Ordering::SeqCst);
                    let began = Instant::now();
                    while at_work.load(Ordering::SeqCst) < 2 && began.elapsed() < BOUND {
                        std::thread::yield_now();
                    }
                    began.elapsed() < BOUND
                };
                turns.all_of(client(1), piece).await
            })
        });
        for piece in pieces {
            assert!(piece.await.unwrap(), "one waited for the other");
        }
    }

    #[tokio::test]
    async fn who_waits_for_something_has_no_turn_meanwhile() {
        let turns = std::sync::Arc::new(Turns::new(1));
        let (tell, told) = tokio::sync::oneshot::channel();
        let waiting = {
            let turns = turns.clone();
            tokio::spawn(async move { turns.all_of(client(1), told).await })
        };
        tokio::task::yield_now().await;
        turns
            .all_of(client(1), async { tell.send(7).unwrap() })
            .await;
        assert_eq!(waiting.await.unwrap(), Ok(7));
    }
}
