//! Tests of geography and residency through the public interface.

mod database;
mod residency;
mod steering;
