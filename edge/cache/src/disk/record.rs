//! What a record on the disk is found by, and its bytes.

use std::hash::{Hash, Hasher};
use std::io::{Read, Write};

use bytes::{Buf, BufMut, Bytes};
use foyer::{Code, ErrorKind};
use twox_hash::XxHash3_64;

/// The longest record: the longest chunk, or the longest head.
pub(super) const RECORD_BYTES_MAX: usize = 1 << 20;

/// Bytes of a key.
pub(super) const KEY_BYTES: usize = 21;
/// A content has a checksum for each so many bytes, so that parts of it can be read by themselves.
pub(super) const SLICE_BYTES: usize = 32 << 10;

/// What a record is found by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordKey {
    /// The record of a slot.
    Slot(u128),
    /// A part of a body.
    Chunk {
        /// Whose part.
        body_id: u128,
        /// Which part, from 0.
        index: u32,
    },
    /// Written and read back to see whether the disk works.
    Probe(u64),
}

impl RecordKey {
    /// The chunk after this one.
    pub(super) fn next(self) -> Option<Self> {
        match self {
            Self::Chunk { body_id, index } => Some(Self::Chunk {
                body_id,
                index: index.checked_add(1)?,
            }),
            Self::Slot(_) | Self::Probe(_) => None,
        }
    }

    /// What the checksums of its content begin with.
    pub(super) fn seed(self) -> u64 {
        XxHash3_64::oneshot(&self.to_bytes())
    }

    fn to_bytes(self) -> [u8; KEY_BYTES] {
        let (kind, name, index) = match self {
            Self::Slot(slot) => (0, slot, 0),
            Self::Chunk { body_id, index } => (1, body_id, index),
            Self::Probe(number) => (2, u128::from(number), 0),
        };
        let mut bytes = [0; KEY_BYTES];
        let mut out = bytes.as_mut_slice();
        out.put_u8(kind);
        out.put_u128(name);
        out.put_u32(index);
        bytes
    }

    fn from_bytes(bytes: [u8; KEY_BYTES]) -> Option<Self> {
        let mut rest = bytes.as_slice();
        let kind = rest.get_u8();
        let name = rest.get_u128();
        let index = rest.get_u32();
        match kind {
            0 => Some(Self::Slot(name)),
            1 => Some(Self::Chunk {
                body_id: name,
                index,
            }),
            2 => u64::try_from(name).ok().map(Self::Probe),
            _ => None,
        }
    }
}

impl Hash for RecordKey {
    /// The index is rebuilt from hashes on the disk, so they must not depend on the compiler.
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(&self.to_bytes());
    }
}

impl Code for RecordKey {
    fn encode(&self, writer: &mut impl Write) -> foyer::Result<()> {
        writer
            .write_all(&self.to_bytes())
            .map_err(foyer::Error::io_error)
    }

    fn decode(reader: &mut impl Read) -> foyer::Result<Self> {
        let mut bytes = [0; KEY_BYTES];
        reader
            .read_exact(&mut bytes)
            .map_err(|_| damaged("a key that ends early"))?;
        Self::from_bytes(bytes).ok_or_else(|| damaged("a key of no known kind"))
    }

    fn estimated_size(&self) -> usize {
        KEY_BYTES
    }
}

/// The checksum of a slice of the content of the key with this seed.
pub(super) fn slice_sum(seed: u64, slice: &[u8]) -> u64 {
    XxHash3_64::oneshot_with_seed(seed, slice)
}

/// Tells a content from others under the same key, by the checksums of its slices.
pub(super) fn print_of(sums: impl Iterator<Item = u64>) -> u64 {
    sums.fold(0, |print, sum| print.rotate_left(7) ^ sum)
}

/// The bytes of a record, which are written with a checksum of each slice. Unlike `Bytes` itself it does not believe a length
/// that it reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Content {
    pub(super) bytes: Bytes,
    /// Of its key. Whatever it is of one that was read: the engine has its own checksum for that.
    seed: u64,
}

impl Content {
    /// What is to be written under `key`.
    pub(super) fn new(key: RecordKey, bytes: Bytes) -> Self {
        Self {
            seed: key.seed(),
            bytes,
        }
    }

    /// Tells it from others under the same key.
    pub(super) fn print(&self) -> u64 {
        print_of(self.sums())
    }

    fn sums(&self) -> impl Iterator<Item = u64> {
        let slices = self.bytes.chunks(SLICE_BYTES);
        slices.map(|slice| slice_sum(self.seed, slice))
    }
}

impl Code for Content {
    fn encode(&self, writer: &mut impl Write) -> foyer::Result<()> {
        let bytes = u32::try_from(self.bytes.len()).map_err(|_| damaged("a record too long"))?;
        let mut put = |bytes: &[u8]| writer.write_all(bytes).map_err(foyer::Error::io_error);
        put(&bytes.to_be_bytes())?;
        for sum in self.sums() {
            put(&sum.to_be_bytes())?;
        }
        put(&self.bytes)
    }

    fn decode(reader: &mut impl Read) -> foyer::Result<Self> {
        let mut length = [0; 4];
        reader
            .read_exact(&mut length)
            .map_err(|_| damaged("a record without a length"))?;
        let bytes = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
        if bytes > RECORD_BYTES_MAX {
            return Err(damaged("a record too long"));
        }
        for _ in 0..bytes.div_ceil(SLICE_BYTES) {
            reader
                .read_exact(&mut [0; 8])
                .map_err(|_| damaged("a record without its checksums"))?;
        }
        let mut content = Vec::with_capacity(bytes);
        let read = reader
            .take(bytes as u64)
            .read_to_end(&mut content)
            .map_err(|_| damaged("a record that cannot be read"))?;
        if read != bytes {
            return Err(damaged("a record that ends early"));
        }
        Ok(Self {
            bytes: Bytes::from(content),
            seed: 0,
        })
    }

    fn estimated_size(&self) -> usize {
        4 + 8 * self.bytes.len().div_ceil(SLICE_BYTES) + self.bytes.len()
    }
}

fn damaged(what: &'static str) -> foyer::Error {
    foyer::Error::new(ErrorKind::Parse, what)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_bytes_are_a_record_or_damaged(bytes: Vec<u8>) {
            let _ = Content::decode(&mut bytes.as_slice());
            let _ = RecordKey::decode(&mut bytes.as_slice());
        }

        #[test]
        fn keys_and_contents_come_back_as_they_went(
            kind in 0_u8..3,
            name: u128,
            index: u32,
            content: Vec<u8>,
        ) {
            let key = match kind {
                0 => RecordKey::Slot(name),
                1 => RecordKey::Chunk { body_id: name, index },
                _ => RecordKey::Probe(name as u64),
            };
            let content = Content::new(key, Bytes::from(content));
            let mut bytes = Vec::new();
            content.encode(&mut bytes).unwrap();
            key.encode(&mut bytes).unwrap();
            let mut rest = bytes.as_slice();
            prop_assert_eq!(Content::decode(&mut rest).unwrap().bytes, content.bytes);
            prop_assert_eq!(RecordKey::decode(&mut rest).unwrap(), key);
        }
    }
}
