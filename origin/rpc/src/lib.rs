//! Calls between services: in one process without sockets, between processes over mutual TLS.
//!
//! A service is called as a gRPC client of its published interface, always. [`RpcChannel`] carries the call: straight
//! into the callee's routes where both live in one process, over TLS 1.3 with certificates on both sides where they do
//! not. [`RpcServer`] is the one listener of a process: gRPC and HTTP, each interface opened to exactly those whom the
//! caller table names. Both run the same gate, so the single machine tests what the cluster runs.

mod answer;
mod breaker;
mod channel;
mod deadline;
mod error;
mod extract;
mod gate;
mod interface;
mod limits;
mod listener;
mod policy;
mod remote;
mod response;
mod server;
mod status;
pub mod testing;

pub use answer::{PrivateJson, traced};
pub use breaker::BreakerState;
pub use channel::RpcChannel;
pub use error::RpcError;
pub use extract::{EdgeContext, OptionalViewer, RequestClock, Viewer};
pub use interface::{HTTP_API, HTTP_MEDIA, HTTP_WEB};
pub use limits::ServerLimits;
pub use listener::PeerListener;
pub use policy::RpcPolicy;
pub use server::{RpcServer, RpcServerBuilder};
pub use status::{problem_from_status, status_from_problem};
