//! What goes out: heads, field lines, dates.

pub(crate) mod date;
pub(crate) mod head;
pub(crate) mod lines;
