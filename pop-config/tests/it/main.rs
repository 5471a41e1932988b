//! Tests of PoP configuration through its public interface.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod faults;
mod set;
