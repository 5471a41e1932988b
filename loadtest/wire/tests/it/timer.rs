//! Waits by the kernel's timer.

use std::sync::Arc;
use std::time::Duration;

use mcsp_loadtest_wire::{RunClock, Timer};
use tokio::time::{Instant, timeout};

/// What a busy machine may add.
const PATIENCE: Duration = Duration::from_secs(60);

fn clock() -> RunClock {
    let timer = Timer::new().expect("a timer");
    let clock = RunClock::starting_now().by(Arc::clone(&timer));
    tokio::spawn(async move { timer.run().await });
    clock
}

#[tokio::test]
async fn many_waits_end_in_their_order_and_none_before_its_time() {
    let clock = clock();
    let mut waits = tokio::task::JoinSet::new();
    // The latest first, so that the kernel's timer is set anew each time.
    for number in (0..200_u64).rev() {
        let clock = clock.clone();
        waits.spawn(async move {
            let at_us = 20_000 + number * 150;
            clock.until(at_us).await;
            (clock.now_us(), at_us)
        });
    }
    let mut last_us = 0;
    while let Some(ended) = timeout(PATIENCE, waits.join_next()).await.expect("in time") {
        let (now_us, at_us) = ended.expect("no panic");
        assert!(now_us >= at_us, "{now_us} before {at_us}");
        last_us = last_us.max(at_us);
    }
    assert_eq!(last_us, 20_000 + 199 * 150);
}

#[tokio::test]
async fn a_wait_that_is_given_up_holds_nobody_up() {
    let clock = clock();
    let far_us = 3_600_000_000;
    let given_up = timeout(Duration::from_millis(5), clock.until(far_us)).await;
    assert!(given_up.is_err());
    let begun = Instant::now();
    timeout(PATIENCE, clock.until(clock.now_us() + 2_000))
        .await
        .expect("in time");
    assert!(begun.elapsed() >= Duration::from_micros(2_000));
    // What is over is not waited for.
    timeout(PATIENCE, clock.until(0)).await.expect("in time");
}
