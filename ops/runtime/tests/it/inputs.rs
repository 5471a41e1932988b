//! Time and randomness that tests hand in.

use std::time::Duration;

use mcsp_runtime::{Clock, Entropy, ManualClock, SeededEntropy, SystemEntropy, hex_lower};

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
