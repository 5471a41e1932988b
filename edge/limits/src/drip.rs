//! Clients whose bytes come singly: what they send gathers before it is read on.
//!
//! A slow loris sends a byte a second on each of thousands of connections, often in step; read as they come, each would cost a
//! wakeup, a system call and a look at what has come so far, and viewers would wait behind all of them. A client that drips is
//! left alone for about as long as its last drops took, so that it costs at most one look in that time, at a moment of its own.

use std::future::Future as _;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

/// A read of less than this is a drip, bytes.
const DRIP_BYTES: usize = 64;

/// Drips in a row that are taken as they come: something that was sent in a few pieces is not held up.
const DRIPS_FREE: u32 = 2;

/// How long it gathers, least and most: as long as the last drops took, and up to half as long again.
const GATHER_LEAST: Duration = Duration::from_millis(20);
const GATHER_MOST: Duration = Duration::from_secs(2);

/// How one client's bytes come, of something that is read as a whole: a head, a hello, a body.
#[derive(Debug)]
pub struct Drip {
    drips: u32,
    last: Instant,
    /// Differs from client to client.
    seed: u32,
    gathering: Option<Pin<Box<Sleep>>>,
}

impl Drip {
    /// Nothing has come yet. `seed` spreads the moments of different clients: a port does.
    #[must_use]
    pub fn new(seed: u16) -> Self {
        Self {
            drips: 0,
            last: Instant::now(),
            seed: u32::from(seed),
            gathering: None,
        }
    }

    /// Something else begins `now`. What gathers is not waited for.
    pub fn restart(&mut self, now: Instant) {
        self.drips = 0;
        self.last = now;
        self.gathering = None;
    }

    /// Something gathers that may not have to be waited for any more.
    #[must_use]
    pub fn is_gathering(&self) -> bool {
        self.gathering.is_some()
    }

    /// Ready when it is time to read, which is at once while nothing gathers.
    pub fn poll_gathered(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if let Some(gathering) = &mut self.gathering {
            ready!(gathering.as_mut().poll(context));
            self.gathering = None;
        }
        Poll::Ready(())
    }

    /// A read gave so many bytes `now`, and more have to come. If they drip, what follows gathers for `most` at the longest: less
    /// than half of what the client has for it, or waiting would make it late.
    pub fn took(&mut self, bytes: usize, most: Duration, now: Instant) {
        let since = now - self.last;
        self.last = now;
        if bytes >= DRIP_BYTES {
            // Some large pieces do not pay for many small ones.
            self.drips /= 2;
            return;
        }
        self.drips = self.drips.saturating_add(1);
        if self.drips > DRIPS_FREE {
            self.gathering = Some(Box::pin(tokio::time::sleep(self.gather(since, most))));
        }
    }

    fn gather(&self, since: Duration, most: Duration) -> Duration {
        let mixed = (self.seed << 16 | self.drips & 0xffff).wrapping_mul(0x9E37_79B9);
        // From 1 to 1.5 in parts of 256.
        let factor = 256 + (mixed >> 25);
        let wanted = since.saturating_mul(factor) / 256;
        // At the bounds too clients differ.
        let spread = |bound: Duration| bound.saturating_mul(factor) / 384;
        let longest = spread(most.min(GATHER_MOST));
        wanted.max(spread(GATHER_LEAST)).min(longest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: Duration = Duration::from_secs(5);

    async fn waited(drip: &mut Drip) -> Duration {
        let since = Instant::now();
        std::future::poll_fn(|context| drip.poll_gathered(context)).await;
        since.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn a_few_pieces_are_not_held_up() {
        let mut drip = Drip::new(1);
        for bytes in [1, 63, 4096, 1, 64, 1] {
            assert_eq!(waited(&mut drip).await, Duration::ZERO);
            drip.took(bytes, MOST, Instant::now());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_drips_is_left_alone_for_about_as_long_as_the_last_drops_took() {
        for (pace_ms, least_ms, most_ms) in [(1, 13, 20), (100, 100, 150), (1_000, 1_000, 1_500)] {
            let mut drip = Drip::new(7);
            for _ in 0..2 {
                tokio::time::sleep(Duration::from_millis(pace_ms)).await;
                drip.took(1, MOST, Instant::now());
                assert_eq!(waited(&mut drip).await, Duration::ZERO);
            }
            tokio::time::sleep(Duration::from_millis(pace_ms)).await;
            drip.took(1, MOST, Instant::now());
            let waited = waited(&mut drip).await.as_millis();
            let wanted = least_ms..=most_ms + 2;
            assert!(wanted.contains(&waited), "{pace_ms}: {waited}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn it_never_gathers_for_longer_than_it_may() {
        let mut drip = Drip::new(9);
        for _ in 0..20 {
            tokio::time::sleep(Duration::from_secs(1)).await;
            drip.took(1, Duration::from_millis(30), Instant::now());
            assert!(waited(&mut drip).await <= Duration::from_millis(32));
        }
        drip.took(1, MOST, Instant::now());
        drip.restart(Instant::now());
        assert_eq!(waited(&mut drip).await, Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn clients_in_step_fall_out_of_it() {
        let mut moments = std::collections::BTreeSet::new();
        for port in 0..200 {
            let mut drip = Drip::new(40_000 + port);
            drip.drips = 5;
            drip.last = Instant::now() - Duration::from_secs(1);
            moments.insert(drip.gather(Duration::from_secs(1), MOST).as_millis());
        }
        assert!(moments.len() > 50, "{}", moments.len());
    }
}
