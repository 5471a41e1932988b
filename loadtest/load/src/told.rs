//! What those who run users tell whoever gathers it.

use mcsp_loadtest_measure::Partial;

/// What one of those who run users tells.
#[derive(Debug)]
pub(crate) enum Told {
    /// What was seen since it last told.
    Partial(Box<Partial>),
    /// All its users are gone; it tells nothing more.
    Done,
    /// It is gone, and how.
    Lost(String),
}

/// Who tells it, by number, from 0.
pub(crate) type Telling = (usize, Told);

/// How many messages may wait. Who finds no room keeps what it has seen and tells it later, with the next.
pub(crate) const TELLING_MAX: usize = 64;
