//! A platform in this process that is as slow and as broken as it is told to be, so that it is known what a load test should see.

mod platform;

pub use platform::{Delays, Item, Options, Plant, Platform, Rung};
