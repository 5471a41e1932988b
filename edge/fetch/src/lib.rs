//! Upstreams of the edge: where they are, how they do, and how an answer is taken from one.
//!
//! Connections are pingora's (TCP, TLS, pooling); what is said on them is read by this crate, because a cache must know
//! for certain where an answer ends and that it is the answer to what was asked. Where RFC 9112 leaves a choice between
//! repairing what an upstream says of its lengths and refusing it, it is refused: a repaired answer is stored and given
//! to everybody. The body of an answer is complete, or its end is an error, or it is flagged as one of which that cannot
//! be told ([`BodyLength::UntilClose`]).
//!
//! [`Parents`] are other nodes of ours before an origin. What they say beside HTTP is in [`ParentWord`]; what becomes of a
//! request that none of them answers is the caller's business.

mod addresses;
mod asking;
mod chunked;
mod config;
mod connection;
mod error;
mod exchange;
mod fetcher;
mod gate;
mod head;
mod http2;
mod metrics;
mod parent_word;
mod parents;
mod peer;
mod pool;
mod request;
mod response;
mod shield;
mod target;

pub use config::{FetchConfig, FetchConfigError};
pub use connection::OnInterim;
pub use error::{Fault, FetchError, FetchErrorKind};
pub use fetcher::{Fetcher, FetcherError};
pub use head::BodyLength;
pub use parent_word::{FEED_POSITION, FETCHED_AHEAD, PARENT, ParentWord};
pub use parents::{FromParents, ParentAddress, ParentPolicy, ParentRequest, ParentTry, Parents};
pub use peer::{PeerIdentity, PeerIdentityError, PeerTimeouts, plain_peer};
pub use pool::{AddressState, Lease, Pool, PoolPolicy, ResolveError};
pub use request::FetchRequest;
pub use response::Response;
pub use shield::{Sharding, shard_hash};
pub use target::{Patience, Target};
