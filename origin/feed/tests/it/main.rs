//! The edge feed, from outside.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

extern crate mcsp_origin_feed as mcsp_feed;

mod mirror;
mod purges;
mod sources;
mod subscribe;
mod support;
