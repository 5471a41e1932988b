//! Is an MP4 or QuickTime file whole? Its outermost boxes (ISO/IEC 14496-12 section 4.2) tell without decoding: each
//! says how long it is, and without the index (`moov`, or `moof` for each fragment) nothing can be played.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

/// Boxes at the outermost level; a fragmented file of 12 hours has some 30 000.
const BOXES_MAX: u32 = 1_000_000;

/// What the outermost boxes say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Not of this family.
    Other,
    /// Every box ends in the file and there is an index.
    Whole,
    /// The last box ends this many bytes after the file does.
    CutShort { missing_bytes: u64 },
    /// Media data and no index.
    NoIndex,
}

pub(crate) fn shape_of(path: &Path) -> io::Result<Shape> {
    let mut file = File::open(path)?;
    let file_bytes = file.seek(SeekFrom::End(0))?;
    let (mut at, mut has_index, mut is_first) = (0_u64, false, true);
    for _ in 0..BOXES_MAX {
        if at >= file_bytes {
            break;
        }
        let Some((kind, size)) = read_header(&mut file, at, file_bytes)? else {
            // Less than a header: a stump of one when it follows real boxes.
            return Ok(if is_first {
                Shape::Other
            } else {
                Shape::CutShort { missing_bytes: 1 }
            });
        };
        if is_first
            && !matches!(
                &kind,
                b"ftyp" | b"moov" | b"mdat" | b"free" | b"skip" | b"wide" | b"pnot" | b"styp"
            )
        {
            return Ok(Shape::Other);
        }
        if !kind
            .iter()
            .all(|byte| byte.is_ascii_graphic() || matches!(byte, b' ' | 0xa9))
        {
            // Padding after the last box, as some cameras leave it.
            break;
        }
        is_first = false;
        has_index |= matches!(&kind, b"moov" | b"moof");
        let end = at.saturating_add(size);
        if end > file_bytes {
            return Ok(Shape::CutShort {
                missing_bytes: end - file_bytes,
            });
        }
        at = end;
    }
    Ok(if is_first {
        Shape::Other
    } else if has_index {
        Shape::Whole
    } else {
        Shape::NoIndex
    })
}

/// Type and size of the box at `at`; none when no whole header is there or its size makes no sense.
fn read_header(file: &mut File, at: u64, file_bytes: u64) -> io::Result<Option<([u8; 4], u64)>> {
    file.seek(SeekFrom::Start(at))?;
    let mut header = [0; 16];
    let mut have = 0;
    while have < header.len() {
        match file.read(header.get_mut(have..).unwrap_or_default())? {
            0 => break,
            read => have += read,
        }
    }
    if have < 8 {
        return Ok(None);
    }
    let [s0, s1, s2, s3, k0, k1, k2, k3, large @ ..] = header;
    let (size, least) = match u32::from_be_bytes([s0, s1, s2, s3]) {
        // To the end of the file.
        0 => (file_bytes - at, 8),
        1 if have == 16 => (u64::from_be_bytes(large), 16),
        size => (u64::from(size), 8),
    };
    Ok((size >= least).then_some(([k0, k1, k2, k3], size)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(bytes: &[u8]) -> Shape {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        shape_of(file.path()).unwrap()
    }

    fn boxed(kind: &[u8; 4], content: usize) -> Vec<u8> {
        let mut bytes = u32::try_from(content + 8).unwrap().to_be_bytes().to_vec();
        bytes.extend_from_slice(kind);
        bytes.resize(content + 8, 7);
        bytes
    }

    #[test]
    fn whole_cut_and_without_index() {
        let whole = [
            boxed(b"ftyp", 16),
            boxed(b"mdat", 1000),
            boxed(b"moov", 300),
        ]
        .concat();
        assert_eq!(shape(&whole), Shape::Whole);
        assert_eq!(
            shape(&whole[..500]),
            Shape::CutShort {
                missing_bytes: 24 + 1008 - 500
            }
        );
        assert_eq!(shape(&whole[..24 + 1008]), Shape::NoIndex);
        assert_eq!(
            shape(&whole[..24 + 1008 + 5]),
            Shape::CutShort { missing_bytes: 1 }
        );
        assert_eq!(shape(&[whole, vec![0; 32]].concat()), Shape::Whole);
    }

    #[test]
    fn a_box_with_a_64_bit_size() {
        let mut large = vec![0, 0, 0, 1];
        large.extend_from_slice(b"mdat");
        large.extend_from_slice(&32_u64.to_be_bytes());
        large.extend_from_slice(&[0; 16]);
        assert_eq!(
            shape(&[boxed(b"moov", 9), large.clone()].concat()),
            Shape::Whole
        );
        assert_eq!(
            shape(&[boxed(b"moov", 9), large[..20].to_vec()].concat()),
            Shape::CutShort { missing_bytes: 12 }
        );
    }

    #[test]
    fn others_are_others() {
        assert_eq!(shape(b""), Shape::Other);
        assert_eq!(shape(b"This is a text, however it is named."), Shape::Other);
        assert_eq!(shape(b"RIFF\x24\0\0\0WAVEfmt "), Shape::Other);
    }
}
