//! The stages over a real log, a real object store behind its S3 endpoint, and a real database; with an encoder that
//! invents samples, and once with the real one.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod crash;
mod crashing;
mod failures;
mod fake;
mod flow;
mod real;
mod world;
