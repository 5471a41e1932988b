//! What coordinator and workers tell each other.

use mcsp_loadtest_measure::Partial;
use serde::{Deserialize, Serialize};

/// What both have to speak; a change that the other would misread gets another number.
pub(super) const PROTOCOL: u32 = 1;

/// In the order in which it is said.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum FromCoordinator {
    /// At once.
    Challenge {
        /// [`PROTOCOL`].
        protocol: u32,
        /// 32 random bytes in base64.
        nonce: String,
    },
    /// Instead of what would come next.
    Refused { why: String },
    /// That it knows the secret, too; and the worker's share.
    Assign {
        /// An HMAC in base64.
        proof: String,
        /// TOML.
        scenario: String,
        /// How many workers there are.
        workers: u32,
    },
    /// To be answered at once: how long a message takes is measured.
    Ping { number: u32 },
    /// The run starts in so many µs.
    Start { in_us: u64 },
    /// It ends now.
    Stop,
}

/// In the order in which it is said.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum FromWorker {
    /// Who it is, and that it knows the secret.
    Hello {
        /// [`PROTOCOL`].
        protocol: u32,
        /// Which worker it is, from 0.
        index: u32,
        /// 32 random bytes in base64.
        nonce: String,
        /// An HMAC in base64.
        proof: String,
    },
    /// It can run its share.
    Ready,
    /// It cannot, and why.
    Unable { why: String },
    /// The answer to a ping.
    Pong { number: u32 },
    /// What was seen since it last said so; about once a second, even if it was nothing.
    Seen { partial: Box<Partial> },
    /// A part of it is gone, and how.
    Lost { why: String },
    /// All its users are gone.
    Done,
}
