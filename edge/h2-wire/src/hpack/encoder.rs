//! From fields to blocks, for a server's answers.
//!
//! What repeats from answer to answer is one octet; what does not is written as it is, which costs less time than to
//! compress it. Nothing is allocated but for entries of the table and the buffer's growth.

use std::collections::VecDeque;

use bytes::{BufMut as _, BytesMut};
use http::{HeaderName, HeaderValue, StatusCode};

use super::names::{self, KNOWN, Policy};
use super::{ENTRY_BYTES, TABLE_BYTES, huffman, integer, statics};

/// A field that takes more than this is not worth the entries that it would drive out.
const INDEXED_BYTES_MAX: usize = TABLE_BYTES / 4;

const INDEXED: u8 = 0x80;
const INSERTED: u8 = 0x40;
const RESIZED: u8 = 0x20;
const NEVER_INDEXED: u8 = 0x10;
const NOT_INDEXED: u8 = 0;

struct Entry {
    name: HeaderName,
    value: HeaderValue,
    bytes: usize,
}

/// Encodes one connection's blocks.
pub struct Encoder {
    /// The newest first, as in `entries`: looked through for each field.
    hashes: VecDeque<u32>,
    entries: VecDeque<Entry>,
    bytes: usize,
    bytes_max: usize,
    /// How many entries there have been.
    inserted: u64,
    /// The number of the newest entry that has each known name; 0: there was none.
    named: [u64; names::COUNT],
    /// The smallest size that the table has had to have since the last block, if it has changed.
    smallest: Option<usize>,
}

impl Default for Encoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Encoder {
    /// With a table of [`TABLE_BYTES`], which a decoder has unless it says otherwise.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            hashes: VecDeque::new(),
            entries: VecDeque::new(),
            bytes: 0,
            bytes_max: TABLE_BYTES,
            inserted: 0,
            named: [0; names::COUNT],
            smallest: None,
        }
    }

    /// What the table takes now, bytes.
    #[must_use]
    pub const fn table_bytes(&self) -> usize {
        self.bytes
    }

    /// The decoder's table takes no more than `bytes` (`SETTINGS_HEADER_TABLE_SIZE`); never more than [`TABLE_BYTES`] are
    /// used.
    pub fn set_table_bytes_max(&mut self, bytes: u32) {
        let bytes = usize::try_from(bytes).map_or(TABLE_BYTES, |bytes| bytes.min(TABLE_BYTES));
        if bytes == self.bytes_max && self.smallest.is_none() {
            return;
        }
        self.smallest = Some(self.smallest.map_or(bytes, |least| least.min(bytes)));
        self.bytes_max = bytes;
        self.evict(0);
    }

    /// Begins a block, which is appended to `out`.
    pub fn block<'e>(&'e mut self, out: &'e mut BytesMut) -> Block<'e> {
        if let Some(smallest) = self.smallest.take() {
            // Section 4.2: the smallest in between too, so that the decoder drops what was dropped here.
            if smallest < self.bytes_max {
                integer::put(out, RESIZED, 5, smallest);
            }
            integer::put(out, RESIZED, 5, self.bytes_max);
        }
        Block { encoder: self, out }
    }

    fn find(&self, hash: u32, name: &HeaderName, value: &HeaderValue) -> Option<usize> {
        let (front, back) = self.hashes.as_slices();
        let places = front.iter().chain(back).enumerate();
        places
            .filter(|(_, other)| **other == hash)
            .map(|(at, _)| at)
            .find(|at| {
                self.entries
                    .get(*at)
                    .is_some_and(|entry| entry.value == *value && entry.name == *name)
            })
    }

    /// The index of an entry with a known name.
    fn index_of(&self, known: usize) -> Option<usize> {
        let number = self.named.get(known).copied().filter(|at| *at != 0)?;
        let at = usize::try_from(self.inserted.checked_sub(number)?).ok()?;
        (at < self.entries.len()).then_some(statics::COUNT + 1 + at)
    }

    fn insert(&mut self, hash: u32, known: Option<usize>, name: &HeaderName, value: &HeaderValue) {
        let bytes = entry_bytes(name, value.as_bytes());
        self.evict(bytes);
        self.bytes += bytes;
        self.inserted += 1;
        if let Some(number) = known.and_then(|known| self.named.get_mut(known)) {
            *number = self.inserted;
        }
        self.hashes.push_front(hash);
        self.entries.push_front(Entry {
            name: name.clone(),
            value: value.clone(),
            bytes,
        });
    }

    fn evict(&mut self, bytes: usize) {
        while self.bytes + bytes > self.bytes_max {
            let Some(entry) = self.entries.pop_back() else {
                return;
            };
            self.hashes.pop_back();
            self.bytes -= entry.bytes;
        }
    }

    fn fits(&self, bytes: usize) -> bool {
        bytes <= self.bytes_max.min(INDEXED_BYTES_MAX)
    }
}

fn entry_bytes(name: &HeaderName, value: &[u8]) -> usize {
    name.as_str().len() + value.len() + ENTRY_BYTES
}

/// One block under construction.
pub struct Block<'e> {
    encoder: &'e mut Encoder,
    out: &'e mut BytesMut,
}

impl Block<'_> {
    /// `:status`, which comes first.
    pub fn status(&mut self, status: StatusCode) {
        let index = match status.as_u16() {
            200 => 8,
            204 => 9,
            206 => 10,
            304 => 11,
            400 => 12,
            404 => 13,
            500 => 14,
            _ => {
                integer::put(self.out, NOT_INDEXED, 4, 8);
                self.out.put_u8(3);
                self.out.extend_from_slice(status.as_str().as_bytes());
                return;
            }
        };
        self.out.put_u8(INDEXED | index);
    }

    /// A field. One that is marked as sensitive goes into no table, here or further on.
    pub fn field(&mut self, name: &HeaderName, value: &HeaderValue) {
        let known = names::find(name.as_str());
        let policy = known.and_then(|known| KNOWN.get(known));
        let index = policy.map_or(0, |known| usize::from(known.index));
        match policy.map(|known| known.policy) {
            _ if value.is_sensitive() => {
                self.literal(NEVER_INDEXED, index, name, value.as_bytes());
            }
            Some(Policy::Never) => self.literal(NEVER_INDEXED, index, name, value.as_bytes()),
            Some(Policy::Vary) => self.varying(known, index, name, value.as_bytes()),
            _ => self.repeating(known, index, name, value),
        }
    }

    /// A field whose value no other answer will have, whatever its name. Of `value`, every octet has to be one that a
    /// field's value may have (RFC 9110 section 5.5).
    pub fn written(&mut self, name: &HeaderName, value: &[u8]) {
        let known = names::find(name.as_str());
        let policy = known.and_then(|known| KNOWN.get(known));
        let index = policy.map_or(0, |known| usize::from(known.index));
        match policy.map(|known| known.policy) {
            Some(Policy::Never) => self.literal(NEVER_INDEXED, index, name, value),
            Some(Policy::Vary) => self.varying(known, index, name, value),
            _ => self.literal(NOT_INDEXED, index, name, value),
        }
    }

    /// A value that changes. A name that is not in the static table goes into ours, with the first of its values.
    fn varying(&mut self, known: Option<usize>, index: usize, name: &HeaderName, value: &[u8]) {
        let index = match index {
            0 => known.and_then(|known| self.encoder.index_of(known)),
            index => Some(index),
        };
        if let Some(index) = index {
            return self.literal(NOT_INDEXED, index, name, value);
        }
        let fits = self.encoder.fits(entry_bytes(name, value));
        match HeaderValue::from_bytes(value) {
            Ok(kept) if fits => {
                self.literal(INSERTED, 0, name, value);
                self.encoder.insert(hash(name, value), known, name, &kept);
            }
            _ => self.literal(NOT_INDEXED, 0, name, value),
        }
    }

    fn repeating(
        &mut self,
        known: Option<usize>,
        index: usize,
        name: &HeaderName,
        value: &HeaderValue,
    ) {
        let hash = hash(name, value.as_bytes());
        if let Some(at) = self.encoder.find(hash, name, value) {
            integer::put(self.out, INDEXED, 7, statics::COUNT + 1 + at);
            return;
        }
        if !self.encoder.fits(entry_bytes(name, value.as_bytes())) {
            return self.literal(NOT_INDEXED, index, name, value.as_bytes());
        }
        self.literal(INSERTED, index, name, value.as_bytes());
        self.encoder.insert(hash, known, name, value);
    }

    fn literal(&mut self, form: u8, index: usize, name: &HeaderName, value: &[u8]) {
        let prefix = if form == INSERTED { 6 } else { 4 };
        integer::put(self.out, form, prefix, index);
        let is_once = form != INSERTED;
        if index == 0 {
            self.string(name.as_str().as_bytes(), is_once);
        }
        self.string(value, is_once);
    }

    /// What is written at each answer is not worth the time to code it.
    fn string(&mut self, text: &[u8], is_as_it_is: bool) {
        if !is_as_it_is {
            let coded = huffman::coded_bytes(text);
            if coded < text.len() {
                integer::put(self.out, 0x80, 7, coded);
                huffman::encode(text, self.out);
                return;
            }
        }
        integer::put(self.out, 0, 7, text.len());
        self.out.extend_from_slice(text);
    }
}

/// Of lengths and ends: what is equal is compared anyway.
fn hash(name: &HeaderName, value: &[u8]) -> u32 {
    let name = name.as_str().as_bytes();
    let ends = |text: &[u8]| {
        let first = text.first_chunk::<8>().map_or_else(
            || {
                text.iter()
                    .fold(0, |sum, octet| sum << 8 | u64::from(*octet))
            },
            |chunk| u64::from_le_bytes(*chunk),
        );
        let last = text
            .last_chunk::<8>()
            .map_or(0, |chunk| u64::from_le_bytes(*chunk));
        first ^ last.rotate_left(23) ^ (text.len() as u64) << 56
    };
    let mixed = (ends(name) ^ ends(value).rotate_left(31)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 32) as u32
}

impl std::fmt::Debug for Encoder {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Encoder")
            .field("entries", &self.entries.len())
            .field("bytes", &self.bytes)
            .field("bytes_max", &self.bytes_max)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Block<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Block").finish_non_exhaustive()
    }
}
