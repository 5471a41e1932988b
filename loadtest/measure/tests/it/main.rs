//! Tests of what is measured and judged.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod compare;
mod findings;
mod made;
mod merge;
mod quantiles;
mod verdicts;
