//! HTTP/2 on the wire (RFC 9113) with its header compression (RFC 7541), from the server's side.
//!
//! Pure: bytes in, frames out, and the other way round. Whoever owns a connection feeds [`frame::parse`] from its buffer,
//! [`hpack::Decoder`] from the blocks, and appends what [`frame`]'s and [`hpack::Encoder`]'s functions write to its own.
//! Which frames are in order on which stream is for the owner to say.
//!
//! Bounds: a frame is no longer than the owner says, a table no larger than [`hpack::TABLE_BYTES`], a block's decoded
//! fields no more than the owner says; integers and padding that exceed what they are in are errors.

pub mod error;
pub mod frame;
pub mod hpack;
mod window;

pub use error::{Code, ConnectionError, StreamError};
pub use window::{Overflow, Window};

/// What a client's connection begins with (RFC 9113 section 3.4).
pub const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
