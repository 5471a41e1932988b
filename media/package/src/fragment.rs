//! A media segment: `styp`, `moof`, `mdat` (ISO/IEC 14496-12 section 8.8, ISO/IEC 23000-19 section 7.3).

use crate::PackageError;
use crate::boxes::{boxed, full_boxed, put_u32, put_u64};
use crate::init::TRACK_ID;
use crate::timeline::TimedSample;

const TFHD_DEFAULT_FLAGS: u32 = 0x20;
const TFHD_DEFAULT_BASE_IS_MOOF: u32 = 0x02_0000;
const TRUN_DATA_OFFSET: u32 = 0x1;
const TRUN_DURATION: u32 = 0x100;
const TRUN_SIZE: u32 = 0x200;
const TRUN_FLAGS: u32 = 0x400;
const TRUN_OFFSET: u32 = 0x800;
/// Depends on no other sample; a sync sample.
pub(crate) const SAMPLE_SYNC: u32 = 0x0200_0000;
/// Depends on others; not a sync sample.
const SAMPLE_DEPENDENT: u32 = 0x0101_0000;

/// Serialises one segment whose samples are in decode order and follow each other without a gap.
pub(crate) fn segment(sequence: u32, samples: &[TimedSample]) -> Result<Vec<u8>, PackageError> {
    let first = samples
        .first()
        .ok_or_else(|| PackageError::Timeline("a segment without samples".into()))?;
    let payload: usize = samples.iter().map(|sample| sample.data.len()).sum();
    let mut out = Vec::with_capacity(payload + 200 + samples.len() * 16);
    boxed(&mut out, b"styp", |out| {
        out.extend_from_slice(b"cmfs\0\0\0\0cmfsmsdh");
        Ok(())
    })?;
    let moof_at = out.len();
    // Audio and all-intra tracks need neither offsets nor a flag a sample.
    let plain = samples
        .iter()
        .all(|sample| sample.is_sync && sample.offset_ticks == 0);
    let mut data_offset_at = 0;
    boxed(&mut out, b"moof", |out| {
        full_boxed(out, b"mfhd", 0, 0, |out| {
            put_u32(out, sequence);
            Ok(())
        })?;
        boxed(out, b"traf", |out| {
            full_boxed(
                out,
                b"tfhd",
                0,
                TFHD_DEFAULT_BASE_IS_MOOF | TFHD_DEFAULT_FLAGS,
                |out| {
                    put_u32(out, TRACK_ID);
                    put_u32(out, if plain { SAMPLE_SYNC } else { SAMPLE_DEPENDENT });
                    Ok(())
                },
            )?;
            full_boxed(out, b"tfdt", 1, 0, |out| {
                put_u64(out, first.decode_ticks);
                Ok(())
            })?;
            put_run(out, samples, plain, &mut data_offset_at)
        })
    })?;
    let too_large = |_| PackageError::Bitstream("a segment is too large".into());
    let data_offset = i32::try_from(out.len() - moof_at + 8).map_err(too_large)?;
    if let Some(field) = out.get_mut(data_offset_at..data_offset_at + 4) {
        field.copy_from_slice(&data_offset.to_be_bytes());
    }
    boxed(&mut out, b"mdat", |out| {
        for sample in samples {
            out.extend_from_slice(&sample.data);
        }
        Ok(())
    })?;
    Ok(out)
}

fn put_run(
    out: &mut Vec<u8>,
    samples: &[TimedSample],
    plain: bool,
    data_offset_at: &mut usize,
) -> Result<(), PackageError> {
    let mut fields = TRUN_DATA_OFFSET | TRUN_DURATION | TRUN_SIZE;
    if !plain {
        fields |= TRUN_FLAGS | TRUN_OFFSET;
    }
    let too_large = |_| PackageError::Bitstream("a sample or a run is too large".into());
    full_boxed(out, b"trun", 1, fields, |out| {
        put_u32(out, u32::try_from(samples.len()).map_err(too_large)?);
        *data_offset_at = out.len();
        put_u32(out, 0);
        for sample in samples {
            put_u32(out, sample.duration_ticks);
            put_u32(out, u32::try_from(sample.data.len()).map_err(too_large)?);
            if !plain {
                put_u32(
                    out,
                    if sample.is_sync {
                        SAMPLE_SYNC
                    } else {
                        SAMPLE_DEPENDENT
                    },
                );
                out.extend_from_slice(&sample.offset_ticks.to_be_bytes());
            }
        }
        Ok(())
    })
}
