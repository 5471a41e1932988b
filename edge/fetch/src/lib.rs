//! Upstreams of the edge: where they are, how they do, and how an answer is taken from one.

mod peer;
mod pool;

pub use peer::{PeerIdentity, PeerIdentityError, PeerTimeouts, plain_peer};
pub use pool::{Lease, Pool, PoolPolicy, ResolveError};
