//! Identities as processes use them: files on disk, handshakes over sockets.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod authority;
mod handshake;
mod names;
mod reload;
mod support;
