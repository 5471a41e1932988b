//! A run as one HTML file.

use crate::recorded::Recorded;

/// The run as one HTML file that asks for nothing else and has no script.
#[must_use]
pub fn html(recorded: &Recorded) -> String {
    format!(
        "<!DOCTYPE html><title>{}</title>",
        recorded.results.verdict.kind.name()
    )
}
