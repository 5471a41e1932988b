//! One request's lifecycle at the edge as a list of named stages.
//!
//! | stage | does | where |
//! | --- | --- | --- |
//! | `client` | address from the socket, country | [`REQUEST_STAGES`] |
//! | `normalize` | strips what only our own nodes may say, begins the trace | [`REQUEST_STAGES`] |
//! | `classify` | media, API, storage or web; all else is 404 | [`REQUEST_STAGES`] |
//! | `limits` | rates and requests at once, by the client's address | [`REQUEST_STAGES`] |
//! | `waf` | the firewall's rules on the head; on the body and the answer of what is routed; beside the workers what is long | [`REQUEST_STAGES`], `waf`, `lifecycle` |
//! | `residency` | `NG` bytes stay in Nigeria | [`REQUEST_STAGES`] |
//! | `token` | media signature, access token, presigned request | [`REQUEST_STAGES`] |
//! | `revocation` | ended media sessions | [`REQUEST_STAGES`] |
//! | `quota` | rates by user, stream and PoP; new streams when there is too much to do | [`REQUEST_STAGES`] |
//! | `region` | whose origin is asked | [`REQUEST_STAGES`] |
//! | `cache` | key without the token, lookup, collapsing, fill | `lifecycle` |
//! | `upstream` | least-loaded healthy address, mTLS, retries | `lifecycle`, `upstream` |
//! | `response` | `Cache-Status`, CORS, HSTS | `lifecycle`, `response` |
//! | `log` | access log, RED | `lifecycle`, `access_log` |
//!
//! What another node of ours asks (`shield`) passes a list of its own instead of the first ten.
//!
//! The first ten are functions over the shared state, the request's head and the request's context; the first that
//! answers ends the list. Availability may fail open; signatures, entitlements and residency fail closed.

mod access_log;
mod answer;
mod config;
mod context;
mod edge;
mod feed_position;
mod feed_state;
mod lifecycle;
mod media_token;
mod metrics;
mod outage;
mod plain;
mod public_calls;
mod response;
mod route;
mod serve;
mod shield;
mod stage;
mod target;
mod upstream;
mod visitor;
mod waf;

pub use access_log::AccessLog;
pub use config::{
    LimitsConfig, ProxyConfig, ProxyConfigError, RegionUpstream, TrustConfig, UpstreamConfig,
};
pub use edge::{Edge, EdgeError, EdgeParts, HomeParts};
pub use feed_position::FeedPosition;
pub use feed_state::FeedState;
pub use lifecycle::EdgeProxy;
pub use outage::{UpstreamAddressState, UpstreamState};
pub use plain::{QueryConfig, QueryWord, RouteConfig};
pub use serve::{Door, DoorConfig, selecting};
pub use shield::{
    FeedPositionState, ParentConfig, ParentState, ShieldConfig, ShieldDoor, ShieldListenerConfig,
    ShieldState,
};
pub use stage::{REQUEST_STAGES, Stage};
pub use visitor::Networks;
pub use waf::{Firewall, FirewallError, FirewallState};
