//! HTTP/2 towards viewers (RFC 9113): streams and windows here, frames and header compression in `h2-wire`.
//!
//! [`serve_connection`] drives one connection and hands each request to a [`Handler`] as an [`Exchange`]. A handler is run
//! where its request arrives: one that has its answer at hand is done before the connection is polled again, so that head
//! and body leave in one write and no task was made. One that has to wait becomes a task of its own.
//!
//! Priorities are read and not followed (section 5.3.2): streams that have data get a frame each in turn.
//!
//! Requests that are not for this lane are lent to pingora's proxy as a [`Lent`] session, one stream each.
//!
//! Bounds: [`Limits`] for streams, times and fields; handlers under way no more than streams may be,
//! however many of them the client has reset (CVE-2023-44487); requests that are taken back before anybody looked, streams
//! whose frames are wrong, `CONTINUATION`s and empty frames by budgets; malformed requests by [`MALFORMED_MAX`]; what a
//! client may send of bodies before they are read by 256 KiB a stream and 1 MiB in all; what waits of all answers of a
//! connection, however many of its streams are slow, by 2 MiB beside small answers. Of a client that does not read, nothing
//! is read once 256 KiB wait.

mod connection;
mod error;
mod exchange;
mod farewell;
mod fields;
mod handler;
mod lent;
mod limits;
mod metrics;
mod pace;
mod request;
mod state;
mod watch;
mod wire;

pub use connection::{CloseReason, Closed, MALFORMED_MAX, serve_connection};
pub use error::SendError;
pub use exchange::{Exchange, Peer};
pub use fields::{AnswerFields, Fields};
pub use handler::Handler;
pub use lent::Lent;
pub use limits::Limits;
pub use metrics::H2Metrics;
pub use request::Refusal;
