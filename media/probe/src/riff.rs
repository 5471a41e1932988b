//! Is an AVI or WAV file whole? Its outermost chunks say how long they are; an AVI file of more than a gigabyte has
//! several (OpenDML). FFmpeg plays what there is of a file that was cut short, and takes that for all of it.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Outermost chunks; each but the last has about a gigabyte.
const CHUNKS_MAX: u32 = 1000;
/// `RIFF`, how many bytes follow, what they are.
const HEADER_BYTES: u64 = 12;
/// Some writers count the header, or padding that they do not write.
const FORGIVEN_BYTES: u64 = 64;
/// What recorders write that cannot come back to the header, or something near it: no length at all.
const PLACEHOLDER_MIN: u32 = 0x7fff_f000;

/// How many bytes are missing at the end; 0 when the file is whole, does not tell, or is of another kind.
pub(crate) fn missing_bytes(path: &Path) -> io::Result<u64> {
    let file = File::open(path)?;
    let file_bytes = file.metadata()?.len();
    let mut at = 0_u64;
    for _ in 0..CHUNKS_MAX {
        if at + HEADER_BYTES > file_bytes {
            break;
        }
        let mut header = [0; HEADER_BYTES as usize];
        file.read_exact_at(&mut header, at)?;
        let [r, i, f0, f1, s0, s1, s2, s3, form @ ..] = header;
        let size = u32::from_le_bytes([s0, s1, s2, s3]);
        let is_ours = matches!(&form, b"AVI " | b"AVIX" | b"WAVE");
        if &[r, i, f0, f1] != b"RIFF" || !is_ours || size == 0 || size >= PLACEHOLDER_MIN {
            break;
        }
        let end = at + 8 + u64::from(size);
        if end > file_bytes + FORGIVEN_BYTES {
            return Ok(end - file_bytes);
        }
        at = end.next_multiple_of(2);
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(form: &[u8; 4], said: u32, content: usize) -> Vec<u8> {
        let mut bytes = b"RIFF".to_vec();
        bytes.extend_from_slice(&said.to_le_bytes());
        bytes.extend_from_slice(form);
        bytes.resize(12 + content, 7);
        bytes
    }

    fn missing(bytes: &[u8]) -> u64 {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        missing_bytes(file.path()).unwrap()
    }

    #[test]
    fn what_is_missing_is_counted_in_any_chunk() {
        let avi = chunk(b"AVI ", 1004, 1000);
        assert_eq!(missing(&avi), 0);
        assert_eq!(missing(&avi[..500]), 512);
        let two = [avi, chunk(b"AVIX", 1004, 1000)].concat();
        assert_eq!(missing(&two), 0);
        assert_eq!(missing(&two[..1500]), 524);
        assert_eq!(missing(&chunk(b"WAVE", 5000, 996)), 4000);
    }

    #[test]
    fn what_does_not_tell_is_taken_for_whole() {
        assert_eq!(missing(b"RIFF"), 0);
        for said in [0, u32::MAX, 0x7fff_ffff] {
            assert_eq!(missing(&chunk(b"WAVE", said, 100)), 0);
        }
        assert_eq!(missing(&chunk(b"WEBP", 5000, 100)), 0);
        assert_eq!(
            missing(&chunk(b"WAVE", 112, 100)),
            0,
            "the header was counted"
        );
    }
}
