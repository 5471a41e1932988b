//! From blocks to fields.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use thiserror::Error;

use super::field::{Field, Name, Value};
use super::{ENTRY_BYTES, TABLE_BYTES, huffman, integer, statics};

/// The memory of a block that is longer than this is not kept for the next one: a connection that waits would hold it.
const KEPT_BLOCK_BYTES: usize = 2 << 10;

/// Why a block cannot be decoded. The table is of no use afterwards, and with it the connection (RFC 9113 section 4.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum HpackError {
    /// The block ends in the middle of something.
    #[error("the block is cut")]
    Cut,
    /// An integer is larger than anything here.
    #[error("an integer that is too large")]
    Integer,
    /// A string is no code, or is not ended as the code demands.
    #[error("a string that is no Huffman code")]
    Huffman,
    /// There is no entry with this index.
    #[error("an index that no entry has")]
    Index,
    /// The table would be larger than was agreed, or its size changes after a field.
    #[error("a size that the table may not have, or not there")]
    Size,
}

/// What became of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decoded {
    /// What its fields take, as RFC 9113 section 6.5.2 counts.
    pub bytes: usize,
    /// That is more than they may: not all of them were given.
    pub is_too_large: bool,
}

struct Entry {
    field: Field,
    name_bytes: usize,
    bytes: usize,
}

/// Decodes one connection's blocks, whole ones, in their order.
pub struct Decoder {
    /// The newest first.
    entries: VecDeque<Entry>,
    bytes: usize,
    bytes_max: usize,
    /// Strings of blocks: one allocation for many.
    arena: BytesMut,
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Decoder {
    /// With a table of up to [`TABLE_BYTES`].
    #[must_use]
    pub fn new() -> Self {
        Self {
            entries: VecDeque::new(),
            bytes: 0,
            bytes_max: TABLE_BYTES,
            arena: BytesMut::new(),
        }
    }

    /// What the table takes now, bytes.
    #[must_use]
    pub const fn table_bytes(&self) -> usize {
        self.bytes
    }

    /// Gives the block's fields, in their order, to `sink` for as long as they take no more than `list_bytes_max` together.
    ///
    /// # Errors
    /// The block is none. The connection is to be ended.
    pub fn decode(
        &mut self,
        mut block: &[u8],
        list_bytes_max: usize,
        mut sink: impl FnMut(Field),
    ) -> Result<Decoded, HpackError> {
        let mut decoded = Decoded {
            bytes: 0,
            is_too_large: false,
        };
        let mut is_before_fields = true;
        let is_long = block.len() > KEPT_BLOCK_BYTES;
        while let Some(&first) = block.first() {
            if first & 0xe0 == 0x20 {
                if !is_before_fields {
                    return Err(HpackError::Size);
                }
                let bytes = integer::take(&mut block, 5)?;
                self.resize(bytes)?;
                continue;
            }
            is_before_fields = false;
            let (field, bytes) = self.field(first, &mut block, decoded.is_too_large)?;
            decoded.bytes += bytes;
            decoded.is_too_large |= decoded.bytes > list_bytes_max;
            if let Some(field) = field.filter(|_| !decoded.is_too_large) {
                sink(field);
            }
        }
        if is_long {
            self.arena = BytesMut::new();
        }
        Ok(decoded)
    }

    /// The next field, if it is not only passed over, and what it takes.
    fn field(
        &mut self,
        first: u8,
        block: &mut &[u8],
        is_passed_over: bool,
    ) -> Result<(Option<Field>, usize), HpackError> {
        if first & 0x80 != 0 {
            let index = integer::take(block, 7)?;
            return self.indexed(index, is_passed_over);
        }
        let is_kept = first & 0x40 != 0;
        let index = integer::take(block, if is_kept { 6 } else { 4 })?;
        let (name, name_bytes) = if index == 0 {
            let text = self.string(block)?;
            (Name::of(&text), text.len())
        } else {
            self.name(index)?
        };
        let text = self.string(block)?;
        let bytes = name_bytes + text.len() + ENTRY_BYTES;
        if is_kept {
            // A copy, so that it does not keep a whole block alive.
            let value = Value::of(&name, Bytes::copy_from_slice(&text));
            let field = Field { name, value };
            self.insert(Entry {
                field: field.clone(),
                name_bytes,
                bytes,
            });
            return Ok((Some(field), bytes));
        }
        let mut value = Value::of(&name, text);
        if first & 0x10 != 0 {
            value.never_index();
        }
        Ok((Some(Field { name, value }), bytes))
    }

    fn indexed(
        &self,
        index: usize,
        is_passed_over: bool,
    ) -> Result<(Option<Field>, usize), HpackError> {
        if index <= statics::COUNT {
            let (field, bytes) = statics::field(index).ok_or(HpackError::Index)?;
            return Ok((Some(field), bytes + ENTRY_BYTES));
        }
        let entry = self.entry(index)?;
        Ok(((!is_passed_over).then(|| entry.field.clone()), entry.bytes))
    }

    fn name(&self, index: usize) -> Result<(Name, usize), HpackError> {
        if index <= statics::COUNT {
            return statics::name(index).ok_or(HpackError::Index);
        }
        let entry = self.entry(index)?;
        Ok((entry.field.name.clone(), entry.name_bytes))
    }

    fn entry(&self, index: usize) -> Result<&Entry, HpackError> {
        let at = index.checked_sub(statics::COUNT + 1);
        at.and_then(|at| self.entries.get(at))
            .ok_or(HpackError::Index)
    }

    /// A string (section 5.2).
    fn string(&mut self, block: &mut &[u8]) -> Result<Bytes, HpackError> {
        let is_coded = block.first().is_some_and(|first| first & 0x80 != 0);
        let length = integer::take(block, 7)?;
        // Room for all strings of the block, so that they share one allocation.
        if self.arena.capacity() < huffman::decoded_bytes_max(length) {
            self.arena.reserve(huffman::decoded_bytes_max(block.len()));
        }
        let (text, rest) = block.split_at_checked(length).ok_or(HpackError::Cut)?;
        *block = rest;
        if is_coded {
            if let Err(error) = huffman::decode(text, &mut self.arena) {
                self.arena.clear();
                return Err(error);
            }
        } else {
            self.arena.extend_from_slice(text);
        }
        Ok(self.arena.split().freeze())
    }

    /// Section 6.3.
    fn resize(&mut self, bytes: usize) -> Result<(), HpackError> {
        if bytes > TABLE_BYTES {
            return Err(HpackError::Size);
        }
        self.bytes_max = bytes;
        self.evict(0);
        Ok(())
    }

    /// Section 4.4: one that is larger than the table empties it.
    fn insert(&mut self, entry: Entry) {
        self.evict(entry.bytes);
        if entry.bytes <= self.bytes_max {
            self.bytes += entry.bytes;
            self.entries.push_front(entry);
        }
    }

    fn evict(&mut self, bytes: usize) {
        while self.bytes + bytes > self.bytes_max {
            let Some(entry) = self.entries.pop_back() else {
                return;
            };
            self.bytes -= entry.bytes;
        }
    }
}

impl std::fmt::Debug for Decoder {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Decoder")
            .field("entries", &self.entries.len())
            .field("bytes", &self.bytes)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_of_a_long_block_is_not_kept() {
        // A literal that is not indexed, of 20 000 bytes.
        let mut block = b"\x00\x01a\x7f\xa1\x9b\x01".to_vec();
        block.resize(block.len() + 20_000, b'x');
        let mut decoder = Decoder::new();
        let decoded = decoder.decode(&block, usize::MAX, drop).unwrap();
        assert_eq!(decoded.bytes, 1 + 20_000 + ENTRY_BYTES);
        assert_eq!(decoder.arena.capacity(), 0);
    }
}
