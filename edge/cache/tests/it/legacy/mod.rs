//! Tests of the `pingora-cache` storage; they go with it.

mod completeness;
mod harness;
mod interleavings;
mod purges;
mod ranges;
