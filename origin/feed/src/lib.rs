//! The edge feed: purges, revocations and keys, in order, to every edge and to the peer region.
//!
//! Entries are records of the log's topic `edge.feed`; an entry's sequence number is its offset and one. The feed's
//! epoch is the log's identity: a subscriber of another epoch, or one whose entries are no longer held, is sent a
//! reset, the state that still matters (key sets, media keys, live revocations), and then what follows. [`FeedSources`]
//! turns domain events into entries, [`Mirror`] brings over the peer region's own. What a subscriber does is
//! [`mcsp_api::feed::FeedCursor`]. Each says how far it got; [`Feed::progress`] tells who has what, over restarts where
//! a [`NodeTable`] keeps it. [`Purges`] is how operators purge, and ask who has it in every region.

mod entry;
mod error;
mod feed;
mod grpc;
mod metrics;
mod mirror;
mod node_table;
mod nodes;
mod progress;
mod purges;
mod refresh;
mod sources;
mod state;
mod subscription;

pub use entry::{TOPIC, TOPIC_EPOCH};
pub use error::FeedError;
pub use feed::{Feed, FeedOptions, SigningPops};
pub use grpc::{EdgeFeedService, grpc_service};
pub use mcsp_api::proto::feed::feed_entry::Change;
pub use mirror::Mirror;
pub use node_table::NodeTable;
pub use nodes::Subscriber;
pub use progress::{HomePops, WAIT_MAX, is_complete};
pub use purges::{Purges, PurgesParts, key_of_url};
pub use sources::{FeedSources, GROUP};
