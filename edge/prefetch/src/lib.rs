//! Fetches what a player will ask for next, when no viewer has to wait for it.
//!
//! What comes next is told by the player ([CTA-5004] `nor`), follows from the names of our own segments, or is listed by
//! a playlist (RFC 8216). It is advice: a bounded number of objects waits for a bounded time, a few are fetched at once,
//! none while viewers' own fills need the room, and none that is held already, is being filled, or was purged.
//!
//! [CTA-5004]: https://cdn.cta.tech/cta/media/media/resources/standards/pdfs/cta-5004-final.pdf

mod config;
mod metrics;
mod next;
mod playlist;
mod prefetcher;
mod reference;

pub use config::{PrefetchConfig, PrefetchConfigError};
pub use next::{NEXT_MAX, NextObject, Reason, next_of_media, next_of_plain};
pub use playlist::{PlaylistIndex, beginning_of_media};
pub use prefetcher::{Offered, Outcome, Prefetcher, Work};
pub use reference::resolve;
