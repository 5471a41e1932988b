//! The edge feed: purges, revocations and keys, in order, from the PoP's home region.
//!
//! One task holds the stream, applies every entry before it takes the next, and says how far it got once that would
//! outlive a restart. While the stream
//! is away the proxy revalidates what it serves (`FeedState`). What the feed told is kept in the node's folder, so that
//! a restart while the origin is away goes on with it, within the limits of `[proxy.trust]`.

mod apply;
mod client;
mod connect;
mod journal;
mod report;

pub(crate) use client::FeedClient;
pub(crate) use connect::{ConnectError, connect};
