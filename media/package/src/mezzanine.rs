//! Cutting a mezzanine into the files that viewers ask for.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use crate::boxes::BoxHeader;
use crate::{INIT_SEGMENT, PackageError, RenditionInfo, segment_name};

/// One file to cut out of a mezzanine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentPart {
    /// Inside the rendition's folder: `init.mp4` or `{n}.m4s`.
    pub name: String,
    /// Where it begins in the mezzanine, bytes.
    pub offset: u64,
    /// How long it is, bytes.
    pub size_bytes: u64,
}

/// Walks the mezzanine's boxes and says where each part lies.
///
/// # Errors
/// [`PackageError::Corrupt`] when the file is not exactly what `info` describes: a part is missing, short, or of another
/// size.
pub fn mezzanine_parts(
    mezzanine: &mut (impl Read + Seek),
    info: &RenditionInfo,
) -> Result<Vec<SegmentPart>, PackageError> {
    let file_bytes = mezzanine.seek(SeekFrom::End(0))?;
    let mut parts = Vec::with_capacity(info.segments.len() + 1);
    let mut offset = 0;
    let init = read_boxes(mezzanine, offset, file_bytes, [b"ftyp", b"moov"].as_slice())?;
    parts.push(SegmentPart {
        name: INIT_SEGMENT.into(),
        offset,
        size_bytes: init,
    });
    if init != info.init_bytes {
        return Err(PackageError::Corrupt(format!(
            "init segment of {init} bytes, expected {}",
            info.init_bytes
        )));
    }
    offset += init;
    for (number, expected) in (1_u64..).zip(&info.segments) {
        let size_bytes = read_boxes(
            mezzanine,
            offset,
            file_bytes,
            [b"styp", b"moof", b"mdat"].as_slice(),
        )?;
        if size_bytes != expected.size_bytes {
            return Err(PackageError::Corrupt(format!(
                "segment {number} of {size_bytes} bytes, expected {}",
                expected.size_bytes
            )));
        }
        parts.push(SegmentPart {
            name: segment_name(number),
            offset,
            size_bytes,
        });
        offset += size_bytes;
    }
    if offset != file_bytes {
        return Err(PackageError::Corrupt(format!(
            "{} bytes after the last segment",
            file_bytes - offset
        )));
    }
    Ok(parts)
}

/// Cuts the mezzanine at `path` into files in `folder`, which must exist. Files that are there are replaced.
///
/// # Errors
/// As [`mezzanine_parts`], or when a file cannot be read or written.
pub fn split_mezzanine(
    path: &Path,
    info: &RenditionInfo,
    folder: &Path,
) -> Result<Vec<SegmentPart>, PackageError> {
    let mut mezzanine = File::open(path)?;
    let parts = mezzanine_parts(&mut mezzanine, info)?;
    mezzanine.seek(SeekFrom::Start(0))?;
    for part in &parts {
        let mut out = fs::File::create(folder.join(&part.name))?;
        let copied = io::copy(&mut (&mezzanine).take(part.size_bytes), &mut out)?;
        if copied != part.size_bytes {
            return Err(PackageError::Corrupt(format!("{} ended early", part.name)));
        }
    }
    Ok(parts)
}

/// Expects boxes of these kinds one after another from `offset`; returns how many bytes they take.
fn read_boxes(
    file: &mut (impl Read + Seek),
    offset: u64,
    file_bytes: u64,
    kinds: &[&[u8; 4]],
) -> Result<u64, PackageError> {
    let mut at = offset;
    for kind in kinds {
        file.seek(SeekFrom::Start(at))?;
        let mut bytes = [0; BoxHeader::BYTES];
        match file.read_exact(&mut bytes) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Err(PackageError::Corrupt(format!(
                    "ends at {at}, where a box was expected"
                )));
            }
            other => other?,
        }
        let header = BoxHeader::parse(bytes)
            .filter(|header| &header.kind == *kind)
            .ok_or_else(|| {
                PackageError::Corrupt(format!(
                    "no {} box at {at}",
                    String::from_utf8_lossy(kind.as_slice())
                ))
            })?;
        at += header.size;
        if at > file_bytes {
            return Err(PackageError::Corrupt(format!(
                "a box ends at {at}, the file at {file_bytes}"
            )));
        }
    }
    Ok(at - offset)
}
