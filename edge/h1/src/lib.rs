//! Strict HTTP/1.1 towards viewers (RFC 9110, RFC 9112).
//!
//! [`serve_connection`] reads heads, hands each request to a [`Handler`] as an [`Exchange`], and writes what the handler
//! answers: head and body in one write, from memory that the connection keeps. What is ambiguous is refused, with a
//! [`Refusal`] that names its section. Requests that are not for this lane are lent out with the stream
//! ([`Delegation`]), which shows the borrower one request and no byte more.
//!
//! Invariants:
//! - A request's extent is decided here and nowhere else. Where a strict reader sees one request, no handler and no
//!   borrower sees two.
//! - Every wait has a deadline, every buffer a bound: [`Limits`].
//! - An answer is complete only by [`Exchange::finish`]; any other way out of a handler cuts it visibly.

mod alarm;
mod answer;
mod body;
mod closed;
mod connection;
mod delegated;
mod error;
mod exchange;
mod handler;
mod limits;
mod metrics;
mod output;
mod pace;
mod parse;
mod refusal;
mod spare;
mod stop;
mod wire;

pub use answer::date::imf_fixdate;
pub use answer::head::Head;
pub use answer::lines::{FieldLines, belongs_to_connection};
pub use body::Framing;
pub use closed::{CloseReason, Closed};
pub use connection::serve_connection;
pub use error::{BodyError, SendError};
pub use exchange::{BodyLength, Exchange, Peer};
pub use handler::{Delegation, Handler, Next};
pub use limits::{Limits, LimitsError};
pub use metrics::H1Metrics;
pub use parse::{HeadInfo, Oddity, ParsedHead, SentLine, is_authority, parse_head};
pub use refusal::Refusal;
pub use stop::Stop;
