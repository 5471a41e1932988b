//! The content service from the outside: routes, gRPC, events, with real engines.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod access;
mod events;
mod grpc;
mod openapi;
mod routes;
mod stage;
