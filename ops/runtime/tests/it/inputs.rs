//! Time and randomness that tests hand in.

use std::time::Duration;

use mcsp_runtime::{
    Clock, CoarseClock, Entropy, ManualClock, PooledEntropy, SeededEntropy, SystemClock,
    SystemEntropy, hex_lower,
};

#[test]
fn the_coarse_clock_shows_the_machines_time_and_is_never_ahead() {
    const BEHIND_MS_MAX: i64 = 1_000;
    let before_ms = SystemClock.now_ms();
    let coarse_ms = CoarseClock.now_ms();
    let after_ms = SystemClock.now_ms();
    assert!(
        (before_ms - BEHIND_MS_MAX..=after_ms).contains(&coarse_ms),
        "{before_ms} {coarse_ms} {after_ms}"
    );
}

#[test]
fn a_manual_clock_moves_when_told() {
    let clock = ManualClock::new(1_999);
    assert_eq!((clock.now_ms(), clock.now_s()), (1_999, 1));
    clock.advance(Duration::from_millis(1));
    assert_eq!(clock.now_s(), 2);
    clock.set(-1);
    assert_eq!(
        clock.now_s(),
        -1,
        "before the epoch too, seconds round down"
    );
}

#[test]
fn a_seed_decides_and_the_system_does_not_repeat() {
    let draw = |entropy: &dyn Entropy| (entropy.next_u64(), entropy.next_u64());
    assert_eq!(draw(&*SeededEntropy::new(1)), draw(&*SeededEntropy::new(1)));
    assert_ne!(draw(&*SeededEntropy::new(1)), draw(&*SeededEntropy::new(2)));
    let (a, b) = draw(&SystemEntropy);
    assert_ne!(a, b);
}

#[test]
fn every_byte_is_filled() {
    let mut seen = [false; 13];
    let entropy = SeededEntropy::new(3);
    for _ in 0..64 {
        let mut bytes = [0; 13];
        entropy.fill(&mut bytes);
        for (seen, byte) in seen.iter_mut().zip(bytes) {
            *seen |= byte != 0;
        }
    }
    assert_eq!(seen, [true; 13]);
    assert_eq!(hex_lower(&[0, 0x0f, 0xa0, 0xff]), "000fa0ff");
}

#[test]
fn pooled_ids_are_never_given_twice_on_any_thread() {
    let draw_many = || -> Vec<[u8; 24]> {
        (0..2000)
            .map(|_| {
                let mut id = [0; 24];
                PooledEntropy.fill(&mut id);
                id
            })
            .collect()
    };
    let mut all = draw_many();
    for thread in (0..3)
        .map(|_| std::thread::spawn(draw_many))
        .collect::<Vec<_>>()
    {
        all.extend(thread.join().expect("it ends"));
    }
    let count = all.len();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), count);
    assert!(!all.contains(&[0; 24]));
    // More than the pool gives, and more than it holds.
    for length in [65, 5000] {
        let mut long = vec![0; length];
        PooledEntropy.fill(&mut long);
        assert!(long.iter().filter(|byte| **byte == 0).count() < length / 16);
    }
}
