//! One run on many machines: a coordinator that tells workers their shares and adds up what they saw.
//!
//! Both prove to each other by HMAC that they know the same secret, which itself is never sent; the connection is not encrypted,
//! so it belongs into a network that is trusted with the scenario (its accounts' password is in it).

mod coordinator;
mod crew;
mod frame;
mod message;
mod token;
mod worker;

pub(crate) use coordinator::Coordinator;
pub(crate) use worker::work;
