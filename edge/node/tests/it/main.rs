//! The node as a process, against origins that the tests play over mTLS.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr
)]

mod api;
mod breaking_off;
mod cache;
mod command_line;
mod crowd;
mod disk_troubles;
mod feed;
mod framed;
mod frames;
mod freshness;
mod grants;
mod harness;
mod herd;
mod issuers;
mod leaving;
mod lifecycle;
mod limits;
mod loops;
mod odd_requests;
mod partners;
mod parts;
mod passing_on;
mod plain;
mod prefetch;
mod proxied;
mod purging;
mod refusals;
mod renewal;
mod residency;
mod restarting;
mod room;
mod scored;
mod seeking;
mod sharing;
mod shield;
mod shield_order;
mod shield_refusals;
mod signals;
mod silent_origin;
mod slow;
mod standing_in;
mod storage;
mod telling;
mod tls;
mod tokens;
mod traffic;
mod waf;
mod waf_beside;
mod waf_faults;
mod waf_refused;
