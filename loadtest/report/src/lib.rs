//! Shows what a load test saw, to people and to machines.
//!
//! A run's results are kept as one JSON file ([`Recorded`]); everything else is made from it, at any later time: one
//! self-contained HTML file ([`html()`]), a terminal's summary ([`text_summary`]), JUnit ([`junit`]), a comparison with another
//! run ([`compare`]). While a run lasts, [`LiveView`] draws a [`LiveFrame`] on a terminal, and [`PlainView`] writes a line now
//! and then where there is none. Nothing here reads a clock, opens a file or a connection.

mod compare;
mod document;
mod html;
mod live;
mod number;
mod recorded;
mod steps;
mod svg;
mod terminal;
mod text;
mod words;

pub use compare::{CompareOptions, Comparison, IncomparableError, Judged, Judgement, compare};
pub use document::json;
pub use html::html;
pub use live::{
    ChaosState, LiveAction, LiveChaos, LiveFinding, LiveFrame, LiveView, LiveWorker, PlainView,
    Stage, draw,
};
pub use recorded::{RECORDED_SCHEMA, Recorded, RecordedError, junit};
pub use text::text_summary;
