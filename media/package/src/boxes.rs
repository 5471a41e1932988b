//! ISO/IEC 14496-12 boxes: writing nested ones, reading headers.

use crate::PackageError;

/// Appends a box with this type whose content `fill` writes; the size is set when `fill` is done.
///
/// # Errors
/// When `fill` fails or the box reaches 4 GiB, which no header of ours allows.
pub(crate) fn boxed(
    out: &mut Vec<u8>,
    kind: &[u8; 4],
    fill: impl FnOnce(&mut Vec<u8>) -> Result<(), PackageError>,
) -> Result<(), PackageError> {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(kind);
    fill(out)?;
    let size = u32::try_from(out.len() - start)
        .map_err(|_| PackageError::Bitstream("a box would be 4 GiB or larger".into()))?;
    if let Some(header) = out.get_mut(start..start + 4) {
        header.copy_from_slice(&size.to_be_bytes());
    }
    Ok(())
}

/// As [`boxed`], with the version and flags of a full box.
pub(crate) fn full_boxed(
    out: &mut Vec<u8>,
    kind: &[u8; 4],
    version: u8,
    flags: u32,
    fill: impl FnOnce(&mut Vec<u8>) -> Result<(), PackageError>,
) -> Result<(), PackageError> {
    boxed(out, kind, |out| {
        put_u32(out, (u32::from(version) << 24) | (flags & 0x00ff_ffff));
        fill(out)
    })
}

pub(crate) fn put_u16(out: &mut Vec<u8>, value: u16) {
    out.extend_from_slice(&value.to_be_bytes());
}

pub(crate) fn put_u32(out: &mut Vec<u8>, value: u32) {
    out.extend_from_slice(&value.to_be_bytes());
}

pub(crate) fn put_u64(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(&value.to_be_bytes());
}

/// The header of a box: its type, the size of the header and of the whole box, bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BoxHeader {
    pub(crate) kind: [u8; 4],
    pub(crate) size: u64,
}

impl BoxHeader {
    /// Bytes of the compact header; the only form that the writer produces.
    pub(crate) const BYTES: usize = 8;

    /// Parses a compact header; none when the size is a special form (0, 1) or smaller than the header.
    pub(crate) fn parse(bytes: [u8; Self::BYTES]) -> Option<Self> {
        let [s0, s1, s2, s3, k0, k1, k2, k3] = bytes;
        let size = u64::from(u32::from_be_bytes([s0, s1, s2, s3]));
        (size >= Self::BYTES as u64).then_some(Self {
            kind: [k0, k1, k2, k3],
            size,
        })
    }
}
