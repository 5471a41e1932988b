//! A run's summary for a terminal.

use mcsp_loadtest_report::text_summary;
use proptest::prelude::*;
use unicode_width::UnicodeWidthStr;

use crate::any::any_recorded;
use crate::made::{Story, recorded};

#[test]
fn a_summary_says_the_verdict_first_then_why() {
    let run = recorded(Story {
        has_chaos: true,
        has_faults: true,
        seed: 1,
        ..Story::default()
    });
    let text = text_summary(&run, 80, false);
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("✕ FAIL  prime-time"));
    assert_eq!(
        lines.next(),
        Some("  Segments are cut short (3 times), manifests are out of date (1 time), what had")
    );
    for line in [
        "✕  quick-start         3.11 s  at most 2 s     1.11 s too much",
        "✓  hits                93.9 %  at least 90 %   3.89 points to spare",
        "✕  Segments are cut short, 3 times",
        "     0:31 /media/ng/c_ng_0042/v720/31.m4s: 118,204 bytes of 262,144 came",
        "   kill edge-1 at 0:50 for 15 s",
    ] {
        assert!(text.lines().any(|own| own == line), "{line}\n{text}");
    }
    assert!(text_summary(&run, 120, false).contains("quick-start: start-up time, p95"));
}

#[test]
fn colours_are_there_when_asked_for() {
    let run = recorded(Story::default());
    assert!(!text_summary(&run, 80, false).contains('\u{1b}'));
    assert!(text_summary(&run, 80, true).starts_with("\u{1b}[32m✓ PASS\u{1b}[0m"));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn any_summary_fits_and_cannot_steer_the_terminal(recorded in any_recorded(), width in 0..140_usize) {
        let text = text_summary(&recorded, width, false);
        for line in text.lines() {
            prop_assert!(line.width() <= width.max(20), "{line:?}");
            prop_assert!(!line.chars().any(char::is_control), "{line:?}");
        }
    }
}
