//! H.264: from an encoder's byte stream (ITU-T H.264 annex B) to samples with lengths and an `avcC` box
//! (ISO/IEC 14496-15 section 5.3).

use crate::PackageError;
use crate::boxes::{boxed, put_u16, put_u32};

const NAL_SPS: u8 = 7;
const NAL_PPS: u8 = 8;
const NAL_AUD: u8 = 9;
/// The parameter sets of one encoder: far more than any has.
const PARAMETER_SETS_MAX: usize = 31;

/// The parameter sets of one encoder run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ParameterSets {
    sps: Vec<Vec<u8>>,
    pps: Vec<Vec<u8>>,
}

impl ParameterSets {
    /// True when a decoder could start with these.
    pub(crate) fn is_complete(&self) -> bool {
        self.first_sps().is_some() && !self.pps.is_empty()
    }

    fn first_sps(&self) -> Option<&[u8]> {
        self.sps
            .first()
            .map(Vec::as_slice)
            .filter(|sps| sps.len() >= 4)
    }

    /// Profile, constraint flags and level: the three bytes after the NAL header of the first SPS.
    fn profile_level(&self) -> Result<[u8; 3], PackageError> {
        match self.first_sps() {
            Some([_, profile, compatibility, level, ..]) => Ok([*profile, *compatibility, *level]),
            _ => Err(PackageError::Bitstream("no sequence parameter set".into())),
        }
    }

    /// The `codecs` parameter (RFC 6381 section 3.3), such as `avc1.64001f`.
    pub(crate) fn codec(&self) -> Result<String, PackageError> {
        let [profile, compatibility, level] = self.profile_level()?;
        Ok(format!("avc1.{profile:02x}{compatibility:02x}{level:02x}"))
    }

    /// Appends the `avcC` box.
    pub(crate) fn put_avcc(&self, out: &mut Vec<u8>) -> Result<(), PackageError> {
        let [profile, compatibility, level] = self.profile_level()?;
        boxed(out, b"avcC", |out| {
            // Four-byte lengths; the upper bits of both counts are reserved ones.
            out.extend_from_slice(&[1, profile, compatibility, level, 0xff]);
            put_sets(out, 0xe0, &self.sps)?;
            put_sets(out, 0x00, &self.pps)?;
            if matches!(profile, 100 | 110 | 122 | 144) {
                // 4:2:0, 8 bits of luma and chroma: what the ladder encodes. No SPS extension.
                out.extend_from_slice(&[0xfd, 0xf8, 0xf8, 0]);
            }
            Ok(())
        })
    }

    fn keep(sets: &mut Vec<Vec<u8>>, nal: &[u8]) -> Result<bool, PackageError> {
        if sets.iter().any(|known| known == nal) {
            return Ok(false);
        }
        if sets.len() == PARAMETER_SETS_MAX {
            return Err(PackageError::Bitstream("too many parameter sets".into()));
        }
        sets.push(nal.to_vec());
        Ok(true)
    }
}

fn put_sets(out: &mut Vec<u8>, reserved: u8, sets: &[Vec<u8>]) -> Result<(), PackageError> {
    let too_large = |_| PackageError::Bitstream("a parameter set is too large".into());
    out.push(reserved | u8::try_from(sets.len()).map_err(too_large)?);
    for set in sets {
        put_u16(out, u16::try_from(set.len()).map_err(too_large)?);
        out.extend_from_slice(set);
    }
    Ok(())
}

/// Turns one access unit from annex B into NAL units with four-byte lengths. Parameter sets move into `sets`, access
/// unit delimiters are dropped, as `avc1` wants it. Returns the sample and whether a set was new.
pub(crate) fn to_sample(
    annex_b: &[u8],
    sets: &mut ParameterSets,
) -> Result<(Vec<u8>, bool), PackageError> {
    let mut sample = Vec::with_capacity(annex_b.len() + 16);
    let mut new_set = false;
    for nal in nal_units(annex_b) {
        match nal.first().map(|header| header & 0x1f) {
            None | Some(NAL_AUD) => {}
            Some(NAL_SPS) => new_set |= ParameterSets::keep(&mut sets.sps, nal)?,
            Some(NAL_PPS) => new_set |= ParameterSets::keep(&mut sets.pps, nal)?,
            Some(_) => {
                let bytes = u32::try_from(nal.len())
                    .map_err(|_| PackageError::Bitstream("a NAL unit is too large".into()))?;
                put_u32(&mut sample, bytes);
                sample.extend_from_slice(nal);
            }
        }
    }
    if sample.is_empty() {
        return Err(PackageError::Bitstream(
            "an access unit without a picture".into(),
        ));
    }
    Ok((sample, new_set))
}

/// The NAL units between start codes, without trailing zero bytes.
fn nal_units(annex_b: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = after_start_code(annex_b);
    std::iter::from_fn(move || {
        let current = rest?;
        let (nal, next) = match find_start_code(current) {
            Some(at) => (current.get(..at).unwrap_or_default(), current.get(at + 3..)),
            None => (current, None),
        };
        rest = next;
        let end = nal
            .iter()
            .rposition(|byte| *byte != 0)
            .map_or(0, |last| last + 1);
        Some(nal.get(..end).unwrap_or_default())
    })
}

fn after_start_code(bytes: &[u8]) -> Option<&[u8]> {
    find_start_code(bytes).and_then(|at| bytes.get(at + 3..))
}

/// Where the next `00 00 01` begins. Only every third byte is looked at where none can be, which is nearly everywhere.
fn find_start_code(bytes: &[u8]) -> Option<usize> {
    let mut last = 2;
    while let Some(byte) = bytes.get(last) {
        match byte {
            0 => last += 1,
            1 if bytes.get(last - 2..last) == Some(&[0, 0]) => return Some(last - 2),
            _ => last += 3,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_access_unit_becomes_a_sample_and_parameter_sets() {
        let unit = [
            &[0, 0, 0, 1, 9, 0x10][..],
            &[0, 0, 0, 1, 0x67, 0x64, 0, 0x1f, 0xac],
            &[0, 0, 0, 1, 0x68, 0xee],
            &[0, 0, 1, 0x65, 1, 0, 0, 3, 0, 9],
            &[0, 0, 1, 0x65, 7, 7, 0, 0],
        ]
        .concat();
        let mut sets = ParameterSets::default();
        let (sample, new_set) = to_sample(&unit, &mut sets).unwrap();
        assert_eq!(
            sample,
            [0, 0, 0, 7, 0x65, 1, 0, 0, 3, 0, 9, 0, 0, 0, 3, 0x65, 7, 7]
        );
        assert!(new_set && sets.is_complete());
        assert_eq!(sets.codec().unwrap(), "avc1.64001f");
        let (_, again) = to_sample(&unit, &mut sets).unwrap();
        assert!(!again, "the same sets are not new");
    }

    #[test]
    fn a_unit_without_a_picture_is_refused() {
        let mut sets = ParameterSets::default();
        assert!(to_sample(&[0, 0, 0, 1, 9, 0x10], &mut sets).is_err());
        assert!(to_sample(&[], &mut sets).is_err());
    }

    proptest::proptest! {
        #[test]
        fn start_codes_are_found_where_they_are(bytes in proptest::collection::vec(0u8..3, 0..60)) {
            let slow = bytes.windows(3).position(|window| window == [0, 0, 1]);
            proptest::prop_assert_eq!(find_start_code(&bytes), slow);
        }

        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(0u8..4, 0..200)) {
            let _ = to_sample(&bytes, &mut ParameterSets::default());
        }
    }
}
