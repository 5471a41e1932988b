//! Tests of fingerprints through the public interface.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod hellos;
mod ja4;
mod networks;
mod peeking;
mod proxied;
