//! What tells of a client before it has said anything: the fingerprint of its TLS ClientHello, whose network it comes from, and
//! what a load balancer says of it. Signals for rules and metrics, never proof: a client can say hello as it likes.
//!
//! Pure functions over bytes. Opens no connection, knows no request.

mod hello;
mod ja4;
mod networks;
mod proxied;
mod signals;

pub use hello::{ClientHello, HELLO_BYTES_MAX, HelloError, PEEK_BYTES_MAX, Peeked, peek};
pub use ja4::{Ja4, Transport};
pub use networks::{ENTRIES_MAX, NetworkKind, NetworkList, NetworkListError};
pub use proxied::{PROXIED_BYTES_MAX, Proxied, ProxiedError, ProxiedStep, proxied};
pub use signals::Signals;
