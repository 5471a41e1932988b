//! The media origin's routes over a real object engine, and over stores that misbehave.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod broken;
mod serves;
mod stage;
