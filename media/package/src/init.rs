//! The init segment: `ftyp` and a `moov` without samples (ISO/IEC 14496-12 section 8, ISO/IEC 23000-19 section 7.3.1).

use crate::boxes::{boxed, full_boxed, put_u16, put_u32};
use crate::fragment::SAMPLE_SYNC;
use crate::h264::ParameterSets;
use crate::{PackageError, TrackConfig, TrackKind, aac};

/// The one track of each file.
pub(crate) const TRACK_ID: u32 = 1;
/// `und` packed as ISO 639-2/T in three times five bits.
const LANGUAGE_UNDETERMINED: u16 = 0x55c4;
const UNITY_MATRIX: [u32; 9] = [0x1_0000, 0, 0, 0, 0x1_0000, 0, 0, 0, 0x4000_0000];

/// Serialises the init segment of one track. `sets` are the encoder's parameter sets, unused for sound.
pub(crate) fn init_segment(
    config: &TrackConfig,
    sets: &ParameterSets,
) -> Result<Vec<u8>, PackageError> {
    let TrackConfig {
        track,
        timescale,
        reorder_ticks,
        ..
    } = config;
    let timescale = *timescale;
    let mut out = Vec::with_capacity(1024);
    boxed(&mut out, b"ftyp", |out| {
        out.extend_from_slice(b"iso6\0\0\0\0iso6cmfcmp41");
        Ok(())
    })?;
    boxed(&mut out, b"moov", |out| {
        put_mvhd(out, timescale)?;
        boxed(out, b"trak", |out| {
            put_tkhd(out, track)?;
            if *reorder_ticks > 0 {
                boxed(out, b"edts", |out| put_elst(out, *reorder_ticks))?;
            }
            boxed(out, b"mdia", |out| put_mdia(out, track, timescale, sets))
        })?;
        boxed(out, b"mvex", |out| {
            full_boxed(out, b"trex", 0, 0, |out| {
                put_u32(out, TRACK_ID);
                // The first sample description; no default duration or size.
                put_u32(out, 1);
                put_u32(out, 0);
                put_u32(out, 0);
                put_u32(
                    out,
                    if matches!(track, TrackKind::Audio { .. }) {
                        SAMPLE_SYNC
                    } else {
                        0
                    },
                );
                Ok(())
            })
        })
    })?;
    Ok(out)
}

fn put_matrix(out: &mut Vec<u8>) {
    for value in UNITY_MATRIX {
        put_u32(out, value);
    }
}

fn put_mvhd(out: &mut Vec<u8>, timescale: u32) -> Result<(), PackageError> {
    full_boxed(out, b"mvhd", 0, 0, |out| {
        // Created and modified: not told, so that the same input gives the same bytes. Duration: in the fragments.
        put_u32(out, 0);
        put_u32(out, 0);
        put_u32(out, timescale);
        put_u32(out, 0);
        put_u32(out, 0x1_0000);
        put_u16(out, 0x100);
        out.extend_from_slice(&[0; 10]);
        put_matrix(out);
        out.extend_from_slice(&[0; 24]);
        put_u32(out, TRACK_ID + 1);
        Ok(())
    })
}

fn put_tkhd(out: &mut Vec<u8>, track: &TrackKind) -> Result<(), PackageError> {
    const ENABLED_IN_MOVIE_AND_PREVIEW: u32 = 7;
    full_boxed(out, b"tkhd", 0, ENABLED_IN_MOVIE_AND_PREVIEW, |out| {
        put_u32(out, 0);
        put_u32(out, 0);
        put_u32(out, TRACK_ID);
        out.extend_from_slice(&[0; 4 + 4 + 8]);
        // Layer and alternate group; volume; reserved.
        out.extend_from_slice(&[0; 4]);
        put_u16(
            out,
            if matches!(track, TrackKind::Audio { .. }) {
                0x100
            } else {
                0
            },
        );
        put_u16(out, 0);
        put_matrix(out);
        let (width, height) = match track {
            TrackKind::Video { width, height, .. } => (*width, *height),
            TrackKind::Audio { .. } => (0, 0),
        };
        put_u32(out, width << 16);
        put_u32(out, height << 16);
        Ok(())
    })
}

/// One edit: all of the track (duration 0 in fragmented files), from the composition time of the first picture.
fn put_elst(out: &mut Vec<u8>, media_time: u32) -> Result<(), PackageError> {
    full_boxed(out, b"elst", 0, 0, |out| {
        put_u32(out, 1);
        put_u32(out, 0);
        put_u32(out, media_time);
        put_u32(out, 0x1_0000);
        Ok(())
    })
}

fn put_mdia(
    out: &mut Vec<u8>,
    track: &TrackKind,
    timescale: u32,
    sets: &ParameterSets,
) -> Result<(), PackageError> {
    full_boxed(out, b"mdhd", 0, 0, |out| {
        put_u32(out, 0);
        put_u32(out, 0);
        put_u32(out, timescale);
        put_u32(out, 0);
        put_u16(out, LANGUAGE_UNDETERMINED);
        put_u16(out, 0);
        Ok(())
    })?;
    let is_video = matches!(track, TrackKind::Video { .. });
    full_boxed(out, b"hdlr", 0, 0, |out| {
        put_u32(out, 0);
        out.extend_from_slice(if is_video { b"vide" } else { b"soun" });
        out.extend_from_slice(&[0; 12]);
        out.push(0);
        Ok(())
    })?;
    boxed(out, b"minf", |out| {
        if is_video {
            full_boxed(out, b"vmhd", 0, 1, |out| {
                out.extend_from_slice(&[0; 8]);
                Ok(())
            })?;
        } else {
            full_boxed(out, b"smhd", 0, 0, |out| {
                out.extend_from_slice(&[0; 4]);
                Ok(())
            })?;
        }
        boxed(out, b"dinf", |out| {
            full_boxed(out, b"dref", 0, 0, |out| {
                put_u32(out, 1);
                // Flag 1: the media are in this file.
                full_boxed(out, b"url ", 0, 1, |_| Ok(()))
            })
        })?;
        boxed(out, b"stbl", |out| {
            full_boxed(out, b"stsd", 0, 0, |out| {
                put_u32(out, 1);
                put_sample_entry(out, track, sets)
            })?;
            for empty in [b"stts", b"stsc", b"stco"] {
                full_boxed(out, empty, 0, 0, |out| {
                    put_u32(out, 0);
                    Ok(())
                })?;
            }
            full_boxed(out, b"stsz", 0, 0, |out| {
                put_u32(out, 0);
                put_u32(out, 0);
                Ok(())
            })
        })
    })
}

fn put_sample_entry(
    out: &mut Vec<u8>,
    track: &TrackKind,
    sets: &ParameterSets,
) -> Result<(), PackageError> {
    let out_of_range =
        |_| PackageError::Bitstream("a size or rate that the format cannot say".into());
    match track {
        TrackKind::Video { width, height, .. } => boxed(out, b"avc1", |out| {
            put_entry_head(out);
            out.extend_from_slice(&[0; 16]);
            put_u16(out, u16::try_from(*width).map_err(out_of_range)?);
            put_u16(out, u16::try_from(*height).map_err(out_of_range)?);
            // 72 dpi, one frame a sample, no compressor's name, 24 bits of colour, no colour table.
            put_u32(out, 0x0048_0000);
            put_u32(out, 0x0048_0000);
            put_u32(out, 0);
            put_u16(out, 1);
            out.extend_from_slice(&[0; 32]);
            put_u16(out, 0x18);
            put_u16(out, 0xffff);
            sets.put_avcc(out)?;
            boxed(out, b"pasp", |out| {
                put_u32(out, 1);
                put_u32(out, 1);
                Ok(())
            })
        }),
        TrackKind::Audio {
            rate_hz,
            channels,
            bitrate_bps,
        } => boxed(out, b"mp4a", |out| {
            put_entry_head(out);
            out.extend_from_slice(&[0; 8]);
            put_u16(out, *channels);
            put_u16(out, 16);
            put_u32(out, 0);
            put_u32(
                out,
                u32::from(u16::try_from(*rate_hz).map_err(out_of_range)?) << 16,
            );
            aac::put_esds(out, *rate_hz, *channels, *bitrate_bps)
        }),
    }
}

/// Reserved bytes, then the index of the data reference.
fn put_entry_head(out: &mut Vec<u8>) {
    out.extend_from_slice(&[0; 6]);
    put_u16(out, 1);
}
