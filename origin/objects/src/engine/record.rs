//! The form of a stored file: bytes, then a record of what they are, then a fixed end that says how long the record is
//! and proves it whole.
//!
//! One file holds both, so one rename publishes both, and a crash leaves no bytes without a record.
//!
//! ```text
//! data … | record (JSON) | first 8 bytes of SHA-256 of the record | length of the record, u32 LE | "MCSPOBJ1"
//! ```

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use mcsp_runtime::hex_lower;
use serde::{Deserialize, Serialize};

use crate::{ObjectMeta, PartMeta};

const MAGIC: &[u8; 8] = b"MCSPOBJ1";
const END_BYTES: usize = 20;
/// 10 000 parts take less than 1 MiB.
const RECORD_BYTES_MAX: usize = 4 << 20;
/// Most records are shorter, and are read with the end in one go.
const FIRST_READ_BYTES: usize = 4096;

/// What is known of an object, a part or an upload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Record {
    /// The bucket, so that a file in the wrong place is found out.
    pub(crate) bucket: String,
    /// The key.
    pub(crate) key: String,
    /// The media type.
    pub(crate) content_type: String,
    /// Bytes of the object.
    pub(crate) size_bytes: u64,
    /// Without quotes: MD5 in hexadecimal, or the multipart form `{hash}-{parts}`.
    pub(crate) etag: String,
    /// Unix milliseconds.
    pub(crate) modified_ms: i64,
    /// For an object that came in parts: where they are. The file then holds no data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) parts: Option<PartList>,
}

/// The parts of an object, which stay where they were uploaded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PartList {
    /// The upload whose folder holds them.
    pub(crate) upload_id: String,
    /// Number, bytes and MD5 of each, in order.
    pub(crate) parts: Vec<(u32, u64, String)>,
}

impl Record {
    pub(crate) fn meta(&self) -> ObjectMeta {
        ObjectMeta {
            key: self.key.clone(),
            size_bytes: self.size_bytes,
            etag: quoted(&self.etag),
            modified_ms: self.modified_ms,
            content_type: self.content_type.clone(),
        }
    }

    pub(crate) fn part_meta(&self, part_number: u32) -> PartMeta {
        PartMeta {
            part_number,
            etag: quoted(&self.etag),
            size_bytes: self.size_bytes,
        }
    }

    /// Is this the object that `upload_id` made?
    pub(crate) fn is_of_upload(&self, upload_id: &str) -> bool {
        self.parts
            .as_ref()
            .is_some_and(|parts| parts.upload_id == upload_id)
    }

    /// What follows the data in the file.
    pub(crate) fn to_trailer(&self) -> io::Result<Vec<u8>> {
        let mut trailer = serde_json::to_vec(self)?;
        if trailer.len() > RECORD_BYTES_MAX {
            return Err(io::Error::other("the record is too long"));
        }
        let length = u32::try_from(trailer.len()).map_err(io::Error::other)?;
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &trailer);
        trailer.extend_from_slice(digest.as_ref().get(..8).unwrap_or_default());
        trailer.extend_from_slice(&length.to_le_bytes());
        trailer.extend_from_slice(MAGIC);
        Ok(trailer)
    }

    /// Reads the record of a file, and checks that the data before it has the recorded length.
    pub(crate) fn read(file: &File) -> io::Result<Self> {
        let file_bytes = file.metadata()?.len();
        let first_bytes = usize::try_from(file_bytes)
            .unwrap_or(usize::MAX)
            .min(FIRST_READ_BYTES);
        let mut tail = read_end(file, file_bytes, first_bytes)?;
        let json_bytes = json_length(&tail).ok_or_else(|| torn("its end is missing"))?;
        let trailer_bytes = json_bytes + END_BYTES;
        if trailer_bytes > tail.len() {
            if u64::try_from(trailer_bytes).unwrap_or(u64::MAX) > file_bytes {
                return Err(torn("its record is cut off"));
            }
            tail = read_end(file, file_bytes, trailer_bytes)?;
        }
        let start = tail.len() - trailer_bytes;
        let (json, end) = tail
            .get(start..)
            .and_then(|trailer| trailer.split_at_checked(json_bytes))
            .ok_or_else(|| torn("its record is cut off"))?;
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, json);
        if end.get(..8) != digest.as_ref().get(..8) {
            return Err(torn("its record was altered"));
        }
        let record: Self = serde_json::from_slice(json)?;
        let data_bytes = file_bytes - u64::try_from(trailer_bytes).unwrap_or(u64::MAX);
        let expected = if record.parts.is_some() {
            0
        } else {
            record.size_bytes
        };
        if data_bytes != expected {
            return Err(torn("its data has another length than its record says"));
        }
        Ok(record)
    }
}

fn read_end(file: &File, file_bytes: u64, bytes: usize) -> io::Result<Vec<u8>> {
    let mut tail = vec![0; bytes];
    let offset = file_bytes.saturating_sub(u64::try_from(bytes).unwrap_or(u64::MAX));
    file.read_exact_at(&mut tail, offset)?;
    Ok(tail)
}

fn json_length(tail: &[u8]) -> Option<usize> {
    let end = tail.last_chunk::<12>()?;
    if tail.len() < END_BYTES || end.get(4..) != Some(MAGIC.as_slice()) {
        return None;
    }
    let length = u32::from_le_bytes(*end.first_chunk::<4>()?);
    usize::try_from(length)
        .ok()
        .filter(|length| *length <= RECORD_BYTES_MAX)
}

fn torn(why: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("a stored file is damaged: {why}"),
    )
}

/// With the quotes that RFC 9110 section 8.8.3 wants.
pub(crate) fn quoted(etag: &str) -> String {
    format!("\"{etag}\"")
}

/// Without them.
pub(crate) fn unquoted(etag: &str) -> &str {
    etag.trim_matches('"')
}

/// S3's validator of an object made of parts: MD5 over their MD5s, a dash, and their count. `None` when a part's
/// validator is not an MD5.
pub(crate) fn multipart_etag<'a>(parts: impl ExactSizeIterator<Item = &'a str>) -> Option<String> {
    use md5::{Digest, Md5};
    let count = parts.len();
    let mut hash = Md5::new();
    for etag in parts {
        let hex = unquoted(etag);
        if hex.len() != 32 {
            return None;
        }
        let mut digest = [0_u8; 16];
        for (index, byte) in digest.iter_mut().enumerate() {
            *byte = u8::from_str_radix(hex.get(index * 2..index * 2 + 2)?, 16).ok()?;
        }
        hash.update(digest);
    }
    Some(format!("{}-{count}", hex_lower(&hash.finalize())))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn record(parts: Option<PartList>) -> Record {
        Record {
            bucket: "mcsp-ng".to_owned(),
            key: "ng/a".to_owned(),
            content_type: "video/mp4".to_owned(),
            size_bytes: 5,
            etag: "5d41402abc4b2a76b9719d911017c592".to_owned(),
            modified_ms: 1,
            parts,
        }
    }

    fn file(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(bytes).expect("bytes");
        file
    }

    #[test]
    fn a_record_reads_back_however_long_it_is() {
        let mut short = b"hello".to_vec();
        short.extend(record(None).to_trailer().expect("a trailer"));
        assert_eq!(Record::read(&file(&short)).expect("a record"), record(None));

        let list = PartList {
            upload_id: "u".to_owned(),
            parts: (1..=500)
                .map(|n| (n, 7, "5d41402abc4b2a76b9719d911017c592".to_owned()))
                .collect(),
        };
        let long = record(Some(list.clone()));
        let read = Record::read(&file(&long.to_trailer().expect("a trailer"))).expect("a record");
        assert_eq!(read.parts, Some(list));
    }

    #[test]
    fn every_cut_and_every_altered_byte_of_the_record_is_noticed() {
        let mut whole = b"hello".to_vec();
        whole.extend(record(None).to_trailer().expect("a trailer"));
        for length in 0..whole.len() {
            assert!(
                Record::read(&file(&whole[..length])).is_err(),
                "cut to {length}"
            );
        }
        for index in 5..whole.len() {
            let mut altered = whole.clone();
            altered[index] ^= 1;
            assert!(Record::read(&file(&altered)).is_err(), "altered at {index}");
        }
    }

    #[test]
    fn the_multipart_etag_is_that_of_s3() {
        // Two parts "hello" and "world", as any S3 computes it.
        let parts = [
            "\"5d41402abc4b2a76b9719d911017c592\"",
            "7d793037a0760186574b0282f2f435e7",
        ];
        let expected = "065947336a2f2a95ba8899f3675c3be6-2";
        assert_eq!(multipart_etag(parts.into_iter()).as_deref(), Some(expected));
        assert_eq!(multipart_etag(["not an md5"].into_iter()), None);
    }
}
