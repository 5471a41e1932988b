//! How much a client may ask for, how much is served at once, and who is turned away first.
//!
//! - [`Limiter`]: rates, by client address, user, token, account and for the whole PoP, for each [`Class`] of request. GCRA by
//!   `governor`, over tables that hold a fixed number of keys.
//! - [`Exchange`]: nodes of a PoP tell each other what they admitted; each goes on alone when the others are gone.
//! - [`Occupancy`]: connections and requests at once.
//! - [`Shedder`] and [`RunningSessions`]: what is refused first when the node has too much to do.
//! - [`FrameMeter`]: HTTP/2 frames that cost a client nothing.
//! - [`Drip`]: bytes that come singly.
//! - [`Turns`]: work that must not keep waiting who is served already.
//!
//! [`Limits`] is all of them in the order in which a request meets them; [`Gossip`] carries what nodes tell each other, and
//! [`Probe`] watches how the node is.
//!
//! A failure of the limiter itself lets the request through and is counted.

mod class;
mod clock;
mod concurrency;
mod config;
mod drip;
mod exchange;
mod fields;
mod frames;
mod gossip;
mod key;
mod limiter;
mod limits;
mod metrics;
mod probe;
mod rate;
mod rule;
mod running;
mod share;
mod shed;
mod standing;
mod table;

pub use class::{Class, Scope};
pub use concurrency::{Busy, ConnectionGuard, Occupancy, RequestGuard};
pub use config::{
    ConcurrencyConfig, ExchangeConfig, FramesConfig, LimitsConfig, LimitsConfigError, Rates,
    ShedConfig,
};
pub use drip::Drip;
pub use exchange::{Applied, Exchange, ExchangeError, MESSAGE_BYTES_MAX};
pub use fields::{RATE_LIMIT, RATE_LIMIT_POLICY};
pub use frames::{Flood, FrameKind, FrameMeter, FrameRules};
pub use gossip::{Gossip, GossipError};
pub use key::Fingerprint;
pub use limiter::{Holder, Limiter, LimiterError, Verdict};
pub use limits::{Limits, Turned};
pub use probe::Probe;
pub use rate::{Rate, RateError};
pub use running::RunningSessions;
pub use share::Turns;
pub use shed::{Level, Pressure, Shedder};
pub use standing::{Refusal, Standing};
