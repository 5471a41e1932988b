//! Whole sessions against a node in memory, well and with planted faults; time is paused, so minutes take milliseconds.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod clean;
mod faults;
mod node;
mod uploads;
