//! Harm is done as asked, and undone whatever happens.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod conductor;
mod harm;
mod proxy_tcp;
mod proxy_udp;
