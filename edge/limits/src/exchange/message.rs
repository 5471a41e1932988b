//! The form of a message, version 1:
//!
//! ```text
//! "ML" version:u8 epoch:u64 sequence:u64 node_length:u8 node entries:u16 (key:u128 cells:varint)*
//! ```
//!
//! Numbers are big-endian; `varint` is LEB128 of at most five bytes. A key says in its first byte which limit it is of.

use super::ExchangeError;
use crate::key::Key;

const MAGIC: &[u8; 2] = b"ML";
const VERSION: u8 = 1;
/// Keys in one message.
pub(super) const ENTRIES_MAX: usize = 4_096;
const NODE_BYTES_MAX: usize = 64;
const VARINT_BYTES_MAX: usize = 5;
const HEAD_BYTES: usize = MAGIC.len() + 1 + 8 + 8 + 1 + 2;

/// The largest message, bytes.
pub const MESSAGE_BYTES_MAX: usize =
    HEAD_BYTES + NODE_BYTES_MAX + ENTRIES_MAX * (16 + VARINT_BYTES_MAX);

/// A message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Message<'a> {
    pub(super) node: &'a str,
    pub(super) epoch: u64,
    pub(super) sequence: u64,
    pub(super) entries: Vec<(Key, u32)>,
}

impl<'a> Message<'a> {
    /// A name that is too long is cut; entries beyond the bound are left out.
    pub(super) fn encode(&self) -> Vec<u8> {
        let entries = &self.entries[..self.entries.len().min(ENTRIES_MAX)];
        let node = &self.node.as_bytes()[..self.node.len().min(NODE_BYTES_MAX)];
        let mut out = Vec::with_capacity(HEAD_BYTES + node.len() + entries.len() * 18);
        out.extend_from_slice(MAGIC);
        out.push(VERSION);
        out.extend_from_slice(&self.epoch.to_be_bytes());
        out.extend_from_slice(&self.sequence.to_be_bytes());
        out.push(u8::try_from(node.len()).unwrap_or(0));
        out.extend_from_slice(node);
        out.extend_from_slice(&u16::try_from(entries.len()).unwrap_or(0).to_be_bytes());
        for (key, cells) in entries {
            out.extend_from_slice(&key.0.to_be_bytes());
            put_varint(*cells, &mut out);
        }
        out
    }

    pub(super) fn decode(bytes: &'a [u8]) -> Result<Self, ExchangeError> {
        if bytes.len() > MESSAGE_BYTES_MAX {
            return Err(ExchangeError::Malformed("too long"));
        }
        let mut left = Left(bytes);
        if left.take::<2>()? != *MAGIC {
            return Err(ExchangeError::Malformed("of something else"));
        }
        let [version] = left.take()?;
        if version != VERSION {
            return Err(ExchangeError::Version(version));
        }
        let epoch = u64::from_be_bytes(left.take()?);
        let sequence = u64::from_be_bytes(left.take()?);
        let [node_length] = left.take()?;
        let node = left.slice(usize::from(node_length))?;
        let node = std::str::from_utf8(node).ok();
        let node = node.filter(|node| (1..=NODE_BYTES_MAX).contains(&node.len()));
        let node = node.ok_or(ExchangeError::Malformed("the node's name"))?;
        let count = usize::from(u16::from_be_bytes(left.take()?));
        if count > ENTRIES_MAX {
            return Err(ExchangeError::Malformed("too many entries"));
        }
        let mut entries = Vec::with_capacity(count);
        for _ in 0..count {
            let key = Key(u128::from_be_bytes(left.take()?));
            entries.push((key, left.varint()?));
        }
        if !left.0.is_empty() {
            return Err(ExchangeError::Malformed("something after its end"));
        }
        Ok(Self {
            node,
            epoch,
            sequence,
            entries,
        })
    }
}

fn put_varint(mut number: u32, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// What is not read yet.
struct Left<'a>(&'a [u8]);

impl<'a> Left<'a> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], ExchangeError> {
        let (taken, left) = self.0.split_first_chunk().ok_or(CUT)?;
        self.0 = left;
        Ok(*taken)
    }

    fn slice(&mut self, length: usize) -> Result<&'a [u8], ExchangeError> {
        let (taken, left) = self.0.split_at_checked(length).ok_or(CUT)?;
        self.0 = left;
        Ok(taken)
    }

    fn varint(&mut self) -> Result<u32, ExchangeError> {
        let mut number = 0_u64;
        for place in 0..VARINT_BYTES_MAX {
            let [byte] = self.take()?;
            number |= u64::from(byte & 0x7f) << (7 * place);
            if byte & 0x80 == 0 {
                return u32::try_from(number).map_err(|_| ExchangeError::Malformed("a number"));
            }
        }
        Err(ExchangeError::Malformed("a number"))
    }
}

const CUT: ExchangeError = ExchangeError::Malformed("cut short");

#[cfg(test)]
mod tests {
    use super::*;

    fn message(entries: Vec<(Key, u32)>) -> Message<'static> {
        Message {
            node: "los1-a",
            epoch: 7,
            sequence: u64::MAX,
            entries,
        }
    }

    #[test]
    fn what_is_too_much_is_refused() {
        let mut bytes = message(vec![(Key(5), 300)]).encode();
        assert_eq!(Message::decode(&bytes).unwrap().entries, [(Key(5), 300)]);
        for length in 0..bytes.len() {
            assert!(Message::decode(&bytes[..length]).is_err(), "{length}");
        }
        bytes.push(0);
        assert_eq!(
            Message::decode(&bytes),
            Err(ExchangeError::Malformed("something after its end"))
        );
        bytes[2] = 2;
        assert_eq!(Message::decode(&bytes), Err(ExchangeError::Version(2)));
        let long = vec![0; MESSAGE_BYTES_MAX + 1];
        assert_eq!(
            Message::decode(&long),
            Err(ExchangeError::Malformed("too long"))
        );
        let full = message(vec![(Key(u128::MAX), u32::MAX); ENTRIES_MAX + 9]);
        let bytes = full.encode();
        assert!(bytes.len() <= MESSAGE_BYTES_MAX);
        assert_eq!(Message::decode(&bytes).unwrap().entries.len(), ENTRIES_MAX);
        let overlong = [0xff, 0xff, 0xff, 0xff, 0x7f];
        assert!(Left(&overlong).varint().is_err());
        assert!(Left(&[0x80; 6]).varint().is_err());
    }

    proptest::proptest! {
        #[test]
        fn what_is_sent_is_what_comes(
            entries in proptest::collection::vec((0..u128::MAX, 0..u32::MAX), 0..50),
        ) {
            let message = message(entries.into_iter().map(|(key, cells)| (Key(key), cells)).collect());
            let bytes = message.encode();
            proptest::prop_assert_eq!(Message::decode(&bytes), Ok(message));
        }

        #[test]
        fn no_bytes_panic(mut bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200), is_headed: bool) {
            if is_headed {
                bytes.splice(..3.min(bytes.len()), *b"ML\x01");
            }
            let _ = Message::decode(&bytes);
        }
    }
}
