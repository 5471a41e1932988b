//! HTTP/2 towards viewers (RFC 9113), on the `h2` crate's frames, streams and header compression.
//!
//! [`serve_connection`] drives one connection and hands each request to a [`Handler`] as an [`Exchange`]. A handler is run
//! where its request arrives: one that has its answer at hand is done before the connection is polled again, so that head
//! and body leave in one write and no task was made. One that has to wait becomes a task of its own.
//!
//! Requests that are not for this lane are lent to pingora's proxy as a [`Lent`] session, one stream each.
//!
//! Bounds: [`Limits`] for streams, times and fields; handlers under way no more than streams may be,
//! however many of them the client has reset (CVE-2023-44487); resets, `CONTINUATION`s and empty frames by the `h2` crate's
//! own budgets; malformed requests by [`MALFORMED_MAX`]; what waits of all answers of a connection, however many of
//! its streams are slow, by 2 MiB beside small answers.

mod backlog;
mod connection;
mod error;
mod exchange;
mod handler;
mod lent;
mod limits;
mod metrics;
mod pace;
mod request;
mod watch;
mod wire;

pub use connection::{CloseReason, Closed, MALFORMED_MAX, serve_connection};
pub use error::SendError;
pub use exchange::{Exchange, Peer};
pub use handler::Handler;
pub use lent::Lent;
pub use limits::Limits;
pub use metrics::H2Metrics;
pub use request::Refusal;
