//! Calls as services make them: the same in one process and over sockets.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod bounds;
mod calls;
mod remote;
mod serving;
mod support;
