//! Sums that can be done by hand, and what must hold for all of them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod kubernetes;
mod sums;
