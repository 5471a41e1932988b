//! Reports, comparisons and live views of made-up runs.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod any;
mod comparing;
mod live;
mod machines;
mod made;
mod page;
mod samples;
mod terminal;
mod xml;
