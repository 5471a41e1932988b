//! Frames (RFC 9113 sections 4 and 6).

mod encode;
mod parse;
mod settings;

pub use encode::{
    DATA_HEAD_BYTES_MAX, GoAway, put_data_head, put_go_away, put_headers, put_ping, put_reset,
    put_settings, put_settings_ack, put_window_update,
};
pub use parse::{Parsed, parse};
pub use settings::{Setting, Settings, SettingsIter};

use crate::error::Code;

/// What stands before each frame's payload (section 4.1).
pub const HEAD_BYTES: usize = 9;

/// The largest payload that each side takes without having said so, and the smallest that it may ask for (section 4.2).
pub const FRAME_BYTES: usize = 16_384;

/// The largest payload that a side may ask for.
pub const FRAME_BYTES_MAX: usize = (1 << 24) - 1;

/// The highest number of a stream.
pub const STREAM_MAX: u32 = (1 << 31) - 1;

/// Types of frames (section 6; RFC 9218 section 7.1).
pub(crate) mod kind {
    pub(crate) const DATA: u8 = 0;
    pub(crate) const HEADERS: u8 = 1;
    pub(crate) const PRIORITY: u8 = 2;
    pub(crate) const RST_STREAM: u8 = 3;
    pub(crate) const SETTINGS: u8 = 4;
    pub(crate) const PUSH_PROMISE: u8 = 5;
    pub(crate) const PING: u8 = 6;
    pub(crate) const GOAWAY: u8 = 7;
    pub(crate) const WINDOW_UPDATE: u8 = 8;
    pub(crate) const CONTINUATION: u8 = 9;
    pub(crate) const PRIORITY_UPDATE: u8 = 16;
}

/// Flags of frames.
pub(crate) mod flag {
    pub(crate) const ACK: u8 = 1;
    pub(crate) const END_STREAM: u8 = 1;
    pub(crate) const END_HEADERS: u8 = 4;
    pub(crate) const PADDED: u8 = 8;
    pub(crate) const PRIORITY: u8 = 32;
}

/// A frame that a client has sent, its form being right. Streams have the highest bit cleared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Frame<'b> {
    /// Bytes of a body.
    Data {
        /// Whose.
        stream: u32,
        /// The bytes, without padding.
        data: &'b [u8],
        /// What it takes of the windows, padding included (section 6.1).
        flow_bytes: usize,
        /// They are the last.
        is_end: bool,
    },
    /// A block of fields, or its beginning.
    Headers {
        /// Whose.
        stream: u32,
        /// The block, without padding and priority.
        block: &'b [u8],
        /// Nothing comes after it on this stream.
        is_end: bool,
        /// The block is whole.
        is_whole: bool,
    },
    /// More of a block.
    Continuation {
        /// Whose.
        stream: u32,
        /// The part.
        block: &'b [u8],
        /// The block is whole with it.
        is_whole: bool,
    },
    /// A priority, which nobody follows (section 5.3.2): of `PRIORITY`, or of `PRIORITY_UPDATE`.
    Priority,
    /// The stream is over.
    Reset {
        /// Which.
        stream: u32,
        /// Why.
        code: Code,
    },
    /// What the client wants.
    Settings(Settings<'b>),
    /// The client follows what we wanted.
    SettingsAck,
    /// To be answered with the same bytes.
    Ping([u8; 8]),
    /// The answer to ours.
    Pong([u8; 8]),
    /// The client takes no more streams.
    GoAway {
        /// Why.
        code: Code,
    },
    /// There is more room in a window.
    WindowUpdate {
        /// Whose; 0 for the connection's.
        stream: u32,
        /// How much, 1 to 2^31-1 bytes.
        bytes: u32,
    },
    /// Of a type that is to be ignored (section 4.1).
    Unknown,
}
