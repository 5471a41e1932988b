//! A run while it lasts.

mod draw;
mod frame;
mod lists;
mod numbers;
mod plain;
mod screen;

pub use draw::draw;
pub use frame::{ChaosState, LiveChaos, LiveFinding, LiveFrame, LiveWorker, Stage};
pub use plain::PlainView;
pub use screen::{LiveAction, LiveView};
