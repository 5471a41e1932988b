//! Ids as bytes: `{prefix}_{region}_{26 base-32 digits}` is 2 bytes of region and 130 bits.

use std::str::FromStr;

/// The region's two letters, then 26 digits of 5 bits, then 6 zero bits.
pub(super) const ID_BYTES: usize = 19;
const UNIQUE_CHARS: usize = 26;
const DIGITS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// `id` is the text of a parsed id, so `None` never happens; it is not assumed either.
pub(super) fn pack(id: &str) -> Option<[u8; ID_BYTES]> {
    let (rest, unique) = id.rsplit_once('_')?;
    let (_, region) = rest.rsplit_once('_')?;
    let [first, second] = *region.as_bytes() else {
        return None;
    };
    if unique.len() != UNIQUE_CHARS {
        return None;
    }
    let mut packed = [0; ID_BYTES];
    packed[0] = first;
    packed[1] = second;
    let mut at_bit = 16;
    for digit in unique.bytes() {
        let value = DIGITS.iter().position(|d| *d == digit)?;
        for bit in (0..5).rev() {
            if value >> bit & 1 == 1 {
                packed[at_bit / 8] |= 0x80 >> (at_bit % 8);
            }
            at_bit += 1;
        }
    }
    Some(packed)
}

/// The id with this prefix, if the bytes are what [`pack`] makes of one.
pub(super) fn unpack<T: FromStr>(prefix: &str, packed: &[u8; ID_BYTES]) -> Option<T> {
    if packed[ID_BYTES - 1] & 0x3f != 0 {
        return None;
    }
    let region = std::str::from_utf8(&packed[..2]).ok()?;
    let digit = |index: usize| {
        let value = (0..5).fold(0, |value, bit| {
            let at = 16 + index * 5 + bit;
            value << 1 | usize::from(packed[at / 8] >> (7 - at % 8) & 1)
        });
        char::from(DIGITS[value])
    };
    let unique: String = (0..UNIQUE_CHARS).map(digit).collect();
    format!("{prefix}_{region}_{unique}").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use mcsp_api::MediaSessionId;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn an_id_survives(region in "[a-z]{2}", unique in "[0-9a-hjkmnp-tv-z]{26}") {
            let id: MediaSessionId = format!("ms_{region}_{unique}").parse().expect("an id");
            let packed = pack(id.as_str()).expect("packs");
            prop_assert_eq!(unpack::<MediaSessionId>("ms", &packed), Some(id));
        }

        #[test]
        fn other_bytes_never_panic_and_have_one_form(bytes in any::<[u8; ID_BYTES]>()) {
            if let Some(id) = unpack::<MediaSessionId>("ms", &bytes) {
                prop_assert_eq!(pack(id.as_str()), Some(bytes));
            }
        }
    }
}
