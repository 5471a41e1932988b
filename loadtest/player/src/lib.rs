//! Simulated users, who behave as people's software does.
//!
//! | User | What it does |
//! |---|---|
//! | player | opens a media session by the API, reads HLS or DASH, keeps a buffer, chooses quality, follows redirects, tries again as hls.js does, sends CMCD |
//! | creator | uploads in parts by presigned URLs, and resumes what broke off |
//! | API user | signs in, calls, thinks |
//!
//! A user is one future on one thread's runtime; all times are µs of the run's clock. What they see goes to the
//! [`mcsp_loadtest_measure::Recorder`] of their [`World`]: each request, each session, and each thing that is wrong, named.

pub mod abr;
mod accounts;
mod api;
mod api_user;
mod boxes;
mod cache_source;
mod check;
pub mod cmcd;
mod creator;
mod dash;
mod fetch;
mod hls;
pub mod manifest;
pub mod playback;
mod references;
mod retry;
mod session;
mod tracks;
mod under_way;
mod world;

pub use references::{Judgement, Print, References};
pub use world::{World, WorldOptions};
