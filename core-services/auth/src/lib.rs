//! The user and auth service: accounts, login sessions, access tokens and the keys that sign them.
//!
//! A login opens a session. The session has a chain of refresh tokens, each good for one use; a spent one that comes back
//! ends the session, because somebody has a copy. Access tokens live a quarter of an hour and are verified at the edge by
//! the published key set; the end of a session reaches edges as an event.
//!
//! An account has one home region, which alone issues its tokens. A login that this region cannot decide is carried to the
//! others ([`AuthService::login`]); everything after it is brought home by the edge, which reads the region from the
//! token.

mod account;
mod config;
mod error;
mod events;
mod grpc;
mod home_login;
mod homes;
mod http;
mod key_store;
mod keys;
mod lockout;
mod maintenance;
mod passwords;
mod secrets;
mod service;
mod sessions;
mod store;
mod transaction;

pub use config::{AuthConfig, ConfigFault};
pub use error::AuthError;
pub use grpc::{AuthGrpc, grpc};
pub use home_login::{HomeLoginGrpc, home_login};
pub use http::{openapi, router};
pub use service::{AuthParts, AuthService, SERVICE, SignedIn};
