//! Header compression (RFC 7541).

mod codes;
mod decoder;
mod encoder;
mod field;
mod huffman;
mod integer;
mod names;
mod statics;

pub use decoder::{Decoded, Decoder, HpackError};
pub use encoder::{Block, Encoder};
pub use field::{Field, Name, Pseudo, Value};

/// What each side's table may take without having said so, and the most that either takes here, bytes.
pub const TABLE_BYTES: usize = 4096;

/// What an entry takes beside its name and value (section 4.1).
pub const ENTRY_BYTES: usize = 32;
