//! The shield tier: a node asks its region's parents before it asks an origin, so that a region fetches an object once.
//!
//! ```text
//! viewer → child: stages, look, join, lead ─▶ Way ─▶ parent that the object prefers ─▶ origin
//!                                             ├ away, slow, behind, busy ▶ the next, `tries_max` in all
//!                                             └ nobody, or its origin failed ▶ origin
//! child → parent: caller, loop, path, residency, feed ─▶ the same look, join, lead ─▶ origin, never a parent
//! ```
//!
//! A parent is another cache in front of the origin, and holds to what the child may believe of an origin: what was purged
//! up to where the child is with the feed does not come back ([`crate::feed_position`]), nothing stale passes for fresh,
//! and `ng/` stays in Nigeria, whoever asks. Viewers' tokens are verified by the child and go no further.

mod admission;
mod child;
mod config;
mod door;
mod fields;
#[cfg(test)]
mod interleavings;
mod metrics;
mod parents;
mod state;
mod way;

pub(crate) use admission::admit;
pub(crate) use child::Child;
pub use config::{ParentConfig, ShieldConfig, ShieldListenerConfig};
pub use door::ShieldDoor;
pub(crate) use fields::fields_for_child;
pub(crate) use metrics::ShieldMetrics;
pub(crate) use parents::AllParents;
pub use state::{FeedPositionState, ParentState, ShieldState};
pub(crate) use way::{Way, detail_of, is_stand_in, told_by_parent};
