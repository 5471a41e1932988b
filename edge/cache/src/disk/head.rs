//! The form of a slot's record on the disk.
//!
//! A magic number, then the fields in order: numbers big-endian, texts and lists after their length (32 bits). Another
//! form gets another magic number, and what has an old one is not found.

use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue};
use thiserror::Error;

use crate::disk_tier::{DiskHead, DiskLifetimes, DiskRecord};

const HEAD_MAGIC: u32 = 0x4d43_4802;
const RULES_MAGIC: u32 = 0x4d43_5202;
/// Fields that there is room for before any was read.
const HEADERS_EXPECTED_MAX: usize = 64;

/// A record that cannot be read.
#[derive(Debug, Clone, Copy, Error, PartialEq, Eq)]
#[error("a stored head is damaged: {0}")]
pub(super) struct HeadDamaged(&'static str);

pub(super) fn encode(record: &DiskRecord) -> Bytes {
    let mut out = BytesMut::with_capacity(1024);
    match record {
        DiskRecord::Head(head) => put_head(&mut out, head),
        DiskRecord::Rules { key, rules, since } => {
            out.put_u32(RULES_MAGIC);
            put_bytes(&mut out, key.as_bytes());
            put_length(&mut out, rules.len());
            for names in rules {
                put_length(&mut out, names.len());
                for name in names {
                    put_bytes(&mut out, name.as_bytes());
                }
            }
            out.put_u64(*since);
        }
    }
    out.freeze()
}

pub(super) fn decode(bytes: &Bytes) -> Result<DiskRecord, HeadDamaged> {
    let mut from = Reader(bytes);
    let record = match from.take(4)?.get_u32() {
        HEAD_MAGIC => DiskRecord::Head(Box::new(read_head(&mut from, bytes)?)),
        RULES_MAGIC => DiskRecord::Rules {
            key: from.text()?,
            rules: from.list(|from| from.list(Reader::text))?,
            since: from.take(8)?.get_u64(),
        },
        _ => return Err(HeadDamaged("another form")),
    };
    if !from.0.is_empty() {
        return Err(HeadDamaged("bytes after its end"));
    }
    Ok(record)
}

fn put_head(out: &mut BytesMut, head: &DiskHead) {
    out.put_u32(HEAD_MAGIC);
    put_bytes(out, head.key.as_bytes());
    put_length(out, head.vary.len());
    for (name, value) in &head.vary {
        put_bytes(out, name.as_bytes());
        out.put_u8(u8::from(value.is_some()));
        put_bytes(out, value.as_deref().unwrap_or_default());
    }
    out.put_u16(head.status);
    put_length(out, head.headers.len());
    for (name, value) in &head.headers {
        put_bytes(out, name.as_str().as_bytes());
        put_bytes(out, value.as_bytes());
    }
    out.put_i64(head.lifetimes.received_ms);
    out.put_i64(head.lifetimes.initial_age_ms);
    out.put_i64(head.lifetimes.fresh_until_ms);
    out.put_i64(head.lifetimes.stale_while_revalidate_until_ms);
    out.put_i64(head.lifetimes.stale_if_error_until_ms);
    out.put_u32(head.lifetimes.flags);
    out.put_u64(head.generation);
    out.put_u64(head.body_generation);
    put_length(out, head.tags.len());
    for tag in head.tags.iter() {
        put_bytes(out, tag.as_bytes());
    }
    out.put_u64(head.total_len);
    out.put_u32(head.chunk_bytes);
    out.put_u128(head.body_id);
    out.put_u8(u8::from(head.body.is_some()));
    if let Some(body) = &head.body {
        put_bytes(out, body);
    }
}

fn read_head(from: &mut Reader<'_>, record: &Bytes) -> Result<DiskHead, HeadDamaged> {
    let mut head = DiskHead {
        key: Arc::from(from.str()?),
        vary: from.list(|from| {
            let name = from.text()?;
            let is_present = from.take(1)?.get_u8() == 1;
            let value = from.bytes()?;
            Ok((name, is_present.then_some(value)))
        })?,
        status: from.take(2)?.get_u16(),
        headers: from.headers(record)?,
        lifetimes: DiskLifetimes {
            received_ms: from.take(8)?.get_i64(),
            initial_age_ms: from.take(8)?.get_i64(),
            fresh_until_ms: from.take(8)?.get_i64(),
            stale_while_revalidate_until_ms: from.take(8)?.get_i64(),
            stale_if_error_until_ms: from.take(8)?.get_i64(),
            flags: from.take(4)?.get_u32(),
        },
        generation: from.take(8)?.get_u64(),
        body_generation: from.take(8)?.get_u64(),
        tags: from.list(|from| from.str().map(Arc::from))?.into(),
        total_len: from.take(8)?.get_u64(),
        chunk_bytes: from.take(4)?.get_u32(),
        body_id: from.take(16)?.get_u128(),
        body: None,
    };
    if from.take(1)?.get_u8() == 1 {
        let length = from.length()?;
        let body = from.take(length)?;
        if body.len() as u64 != head.total_len {
            return Err(HeadDamaged("a body of another length"));
        }
        head.body = Some(record.slice_ref(body));
    }
    if chunk_count(&head).is_none() {
        return Err(HeadDamaged("a body of no possible chunks"));
    }
    Ok(head)
}

/// The number of chunks that the head's body has; nothing when there is no such body.
pub(super) fn chunk_count(head: &DiskHead) -> Option<u32> {
    if head.total_len == 0 || head.body.is_some() {
        return Some(0);
    }
    let chunk_bytes = u64::from(head.chunk_bytes);
    if chunk_bytes == 0 {
        return None;
    }
    u32::try_from(head.total_len.div_ceil(chunk_bytes)).ok()
}

/// The length of chunk `index`; nothing when there is no such chunk.
pub(super) fn chunk_len(head: &DiskHead, index: usize) -> Option<usize> {
    let start = (index as u64).checked_mul(u64::from(head.chunk_bytes))?;
    let rest = head.total_len.checked_sub(start).filter(|rest| *rest > 0)?;
    usize::try_from(rest.min(u64::from(head.chunk_bytes))).ok()
}

fn put_length(out: &mut BytesMut, length: usize) {
    // A record is far shorter: a longer one is refused before it is written.
    out.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
}

fn put_bytes(out: &mut BytesMut, bytes: &[u8]) {
    put_length(out, bytes.len());
    out.put_slice(bytes);
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, bytes: usize) -> Result<&'a [u8], HeadDamaged> {
        let (taken, rest) = self
            .0
            .split_at_checked(bytes)
            .ok_or(HeadDamaged("it ends early"))?;
        self.0 = rest;
        Ok(taken)
    }

    fn length(&mut self) -> Result<usize, HeadDamaged> {
        Ok(usize::try_from(self.take(4)?.get_u32()).unwrap_or(usize::MAX))
    }

    fn slice(&mut self) -> Result<&'a [u8], HeadDamaged> {
        let length = self.length()?;
        self.take(length)
    }

    fn bytes(&mut self) -> Result<Vec<u8>, HeadDamaged> {
        self.slice().map(<[u8]>::to_vec)
    }

    fn str(&mut self) -> Result<&'a str, HeadDamaged> {
        std::str::from_utf8(self.slice()?).map_err(|_| HeadDamaged("text that is none"))
    }

    fn text(&mut self) -> Result<String, HeadDamaged> {
        self.str().map(str::to_owned)
    }

    /// Fields, whose values share the memory of `record`.
    fn headers(&mut self, record: &Bytes) -> Result<HeaderMap, HeadDamaged> {
        const NONE: HeadDamaged = HeadDamaged("a field that is none");
        let length = self.list_length()?;
        let mut headers = HeaderMap::with_capacity(length.min(HEADERS_EXPECTED_MAX));
        for _ in 0..length {
            let name = HeaderName::from_lowercase(self.slice()?).map_err(|_| NONE)?;
            let value = record.slice_ref(self.slice()?);
            let value = HeaderValue::from_maybe_shared(value).map_err(|_| NONE)?;
            headers.try_append(name, value).map_err(|_| NONE)?;
        }
        Ok(headers)
    }

    /// A list whose every item takes at least one byte, so that its length cannot exceed what is left.
    fn list<T>(
        &mut self,
        mut item: impl FnMut(&mut Self) -> Result<T, HeadDamaged>,
    ) -> Result<Vec<T>, HeadDamaged> {
        (0..self.list_length()?).map(|_| item(self)).collect()
    }

    fn list_length(&mut self) -> Result<usize, HeadDamaged> {
        let length = self.length()?;
        if length > self.0.len() {
            return Err(HeadDamaged("a list longer than the record"));
        }
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn head(total_len: u64) -> DiskHead {
        DiskHead {
            key: "/media/global/c_1/1.m4s".into(),
            vary: vec![
                ("accept-encoding".to_owned(), Some(b"gzip".to_vec())),
                ("accept-language".to_owned(), None),
            ],
            status: 200,
            headers: [
                ("etag", &b"\"1\""[..]),
                ("x-name", &[0xff, 0xfe]),
                ("x-name", b"again"),
            ]
            .into_iter()
            .map(|(name, value)| {
                (
                    HeaderName::from_static(name),
                    HeaderValue::from_bytes(value).unwrap(),
                )
            })
            .collect(),
            lifetimes: DiskLifetimes {
                received_ms: 1,
                initial_age_ms: 2,
                fresh_until_ms: 3,
                stale_while_revalidate_until_ms: 4,
                stale_if_error_until_ms: -5,
                flags: 6,
            },
            generation: 9,
            body_generation: 8,
            tags: ["c_1", "all"].map(Arc::from).into(),
            total_len,
            chunk_bytes: 256 << 10,
            body_id: 1 << 100,
            body: None,
        }
    }

    fn with_body(body: &'static [u8]) -> DiskHead {
        DiskHead {
            body: Some(Bytes::from_static(body)),
            ..head(body.len() as u64)
        }
    }

    fn rules() -> DiskRecord {
        DiskRecord::Rules {
            key: "/page".to_owned(),
            rules: vec![vec!["accept".to_owned(), "cookie".to_owned()], Vec::new()],
            since: 7 << 40,
        }
    }

    #[test]
    fn records_come_back_as_they_went_and_cut_ones_are_damaged() {
        for record in [
            DiskRecord::Head(Box::new(head(1 << 30))),
            DiskRecord::Head(Box::new(head(0))),
            DiskRecord::Head(Box::new(with_body(b"short"))),
            rules(),
        ] {
            let bytes = encode(&record);
            assert_eq!(decode(&bytes), Ok(record));
            for end in 0..bytes.len() {
                assert!(decode(&bytes.slice(..end)).is_err(), "{end} bytes");
            }
        }
    }

    #[test]
    fn every_byte_of_a_body_is_in_one_chunk() {
        assert_eq!(chunk_count(&with_body(b"short")), Some(0));
        let head = head((512 << 10) + 1);
        assert_eq!(chunk_count(&head), Some(3));
        let lengths: Vec<_> = (0..4).map(|index| chunk_len(&head, index)).collect();
        assert_eq!(lengths, [Some(256 << 10), Some(256 << 10), Some(1), None]);
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_record_or_damaged(bytes: Vec<u8>, is_head: bool) {
            let magic = if is_head { HEAD_MAGIC } else { RULES_MAGIC };
            let with_magic = [&magic.to_be_bytes(), bytes.as_slice()].concat();
            let _ = decode(&Bytes::from(with_magic));
            let _ = decode(&Bytes::from(bytes));
        }

        #[test]
        fn a_head_with_a_changed_byte_is_no_panic(at: usize, value: u8) {
            for head in [head(1 << 20), with_body(b"short")] {
                let mut bytes = encode(&DiskRecord::Head(Box::new(head))).to_vec();
                let at = at % bytes.len();
                bytes[at] = value;
                let _ = decode(&Bytes::from(bytes));
            }
        }
    }
}
