//! HTTP/1.1 (RFC 9112) and HTTP/2 (RFC 9113) as one simulated user speaks them.
//!
//! A [`Client`] belongs to one user: it has the user's source address and link, and keeps its connections. It is made for tens of
//! thousands in one process: bodies pass through one buffer of the thread and are not kept, and an idle connection over HTTP/1.1
//! has no buffers of its own. Each exchange tells when its connection and TLS were there, its first and its last byte
//! ([`Times`]). An answer that is not whole by its own framing is an error, never an answer. Redirects are answers: who follows
//! them has their target held against the allow list anew, as every target is.

mod chunked;
mod client;
mod clock;
mod connect;
mod failure;
mod h1;
mod h1_head;
mod h2;
mod link;
mod network;
mod request;
mod timer;
mod tls;

pub use client::Client;
pub use clock::RunClock;
pub use connect::{BoxedIo, Connect, Io, Tcp};
pub use failure::{Failure, FailureKind, NetworkError};
pub use link::Link;
pub use network::{Limits, Network};
pub use request::{Answer, Body, Framing, Request, Times, Upload};
pub use timer::Timer;
