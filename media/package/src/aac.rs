//! AAC-LC: the decoder's configuration (ISO/IEC 14496-3 section 1.6.2.1) and the `esds` box that carries it.

use crate::PackageError;
use crate::boxes::{full_boxed, put_u16, put_u32};

/// The `codecs` parameter of AAC-LC (RFC 6381 section 3.3).
pub(crate) const CODEC: &str = "mp4a.40.2";
/// PCM samples a frame and channel.
pub(crate) const FRAME_SAMPLES: u32 = 1024;

const RATES_HZ: [u32; 13] = [
    96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000,
    7_350,
];

/// Object type 2 (AAC-LC), the rate's index, the channel configuration; no extensions.
fn audio_specific_config(rate_hz: u32, channels: u16) -> Result<[u8; 2], PackageError> {
    let index = RATES_HZ
        .iter()
        .position(|known| *known == rate_hz)
        .and_then(|index| u16::try_from(index).ok())
        .ok_or_else(|| PackageError::Bitstream(format!("AAC has no index for {rate_hz} Hz")))?;
    if !(1..=2).contains(&channels) {
        return Err(PackageError::Bitstream(format!(
            "{channels} channels; the ladder has mono and stereo"
        )));
    }
    Ok(((2 << 11) | (index << 7) | (channels << 3)).to_be_bytes())
}

/// Appends the `esds` box (ISO/IEC 14496-14 section 5.6).
pub(crate) fn put_esds(
    out: &mut Vec<u8>,
    rate_hz: u32,
    channels: u16,
    bitrate_bps: u32,
) -> Result<(), PackageError> {
    const ES_DESCRIPTOR: u8 = 3;
    const DECODER_CONFIG: u8 = 4;
    const DECODER_SPECIFIC: u8 = 5;
    const SL_CONFIG: u8 = 6;
    let config = audio_specific_config(rate_hz, channels)?;
    full_boxed(out, b"esds", 0, 0, |out| {
        // Sizes: decoder specific 2, decoder config 13 + (2 + 2), SL config 1, ES 3 + (2 + 17) + (2 + 1).
        out.extend_from_slice(&[ES_DESCRIPTOR, 25]);
        put_u16(out, 0);
        out.push(0);
        out.extend_from_slice(&[DECODER_CONFIG, 17, 0x40, 0x15, 0, 0, 0]);
        put_u32(out, bitrate_bps);
        put_u32(out, bitrate_bps);
        out.extend_from_slice(&[DECODER_SPECIFIC, 2]);
        out.extend_from_slice(&config);
        out.extend_from_slice(&[SL_CONFIG, 1, 2]);
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_is_the_one_encoders_write() {
        assert_eq!(audio_specific_config(44_100, 2).unwrap(), [0x12, 0x10]);
        assert_eq!(audio_specific_config(48_000, 2).unwrap(), [0x11, 0x90]);
        assert_eq!(audio_specific_config(48_000, 1).unwrap(), [0x11, 0x88]);
        assert!(audio_specific_config(44_000, 2).is_err());
        assert!(audio_specific_config(48_000, 6).is_err());
    }
}
