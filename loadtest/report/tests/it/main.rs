//! Reports, comparisons and live views of made-up runs.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod made;
mod samples;

#[test]
fn reports_can_be_made() {
    let run = made::recorded(made::Story::default());
    assert_eq!(run.exit_status(), 0, "{:?}", run.results.verdict);
}
