//! The commands beside `run` and `worker`: they look at files, and touch no network.

mod check;
mod compare;
mod plan;
mod scenarios;

pub(crate) use check::check;
pub(crate) use compare::{compare, report};
pub(crate) use plan::plan;
pub(crate) use scenarios::scenarios;
