//! Connections from the client's side, by the `h2` crate's own client.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod answers;
mod bounds;
mod conformance;
mod deaf;
mod ends;
mod farewell;
mod floods;
mod noise;
mod site;
mod uploads;
