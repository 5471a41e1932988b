//! Capacity arithmetic: from viewers, bitrates and hit ratio to nodes, disks, links, origin egress and storage.
//!
//! Pure: the same [`Inputs`] give the same [`Plan`]. Every input says where it comes from, every line shows its formula with the
//! numbers in it, so that a reader can do the sum again and disagree with a number instead of with the tool.

mod arithmetic;
mod figure;
mod inputs;
mod measured;
mod pop;
mod scale;
mod table;

pub use arithmetic::{Line, PLAN_SCHEMA, Plan, plan};
pub use figure::{Figure, Source, Unit};
pub use inputs::{Inputs, PlanError, Year};
pub use measured::{MeasuredCosts, MeasuredError};
pub use table::table;
