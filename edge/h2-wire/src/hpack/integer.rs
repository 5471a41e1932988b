//! Integers (RFC 7541 section 5.1).

use bytes::{BufMut as _, BytesMut};

use super::decoder::HpackError;

/// Far above every length and index that there can be; the sum of five octets stays within.
const MAX: u32 = 1 << 28;

/// Takes an integer from the front of `bytes`, of whose first octet the lower `prefix` bits (1 to 8) are its.
pub(super) fn take(bytes: &mut &[u8], prefix: u8) -> Result<usize, HpackError> {
    let (first, mut rest) = bytes.split_first().ok_or(HpackError::Cut)?;
    let mask = u32::from(u8::MAX >> (8 - prefix));
    let mut value = u32::from(*first) & mask;
    if value == mask {
        let mut shift = 0;
        loop {
            let (octet, after) = rest.split_first().ok_or(HpackError::Cut)?;
            rest = after;
            // Octets that add nothing may be many, too.
            if shift > 21 {
                return Err(HpackError::Integer);
            }
            value += u32::from(octet & 0x7f) << shift;
            shift += 7;
            if octet & 0x80 == 0 {
                break;
            }
        }
    }
    if value > MAX {
        return Err(HpackError::Integer);
    }
    *bytes = rest;
    Ok(value as usize)
}

/// Appends an integer; `first` are the bits before it in its first octet.
pub(super) fn put(out: &mut BytesMut, first: u8, prefix: u8, value: usize) {
    let mask = u8::MAX >> (8 - prefix);
    if value < usize::from(mask) {
        out.put_u8(first | value as u8);
        return;
    }
    out.put_u8(first | mask);
    let mut left = value - usize::from(mask);
    while left >= 0x80 {
        out.put_u8(left as u8 | 0x80);
        left >>= 7;
    }
    out.put_u8(left as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(first: u8, prefix: u8, value: usize) -> Vec<u8> {
        let mut out = BytesMut::new();
        put(&mut out, first, prefix, value);
        out.to_vec()
    }

    /// RFC 7541 appendix C.1.
    #[test]
    fn the_standards_examples() {
        assert_eq!(written(0, 5, 10), [10]);
        assert_eq!(written(0, 5, 1337), [31, 154, 10]);
        assert_eq!(written(0, 8, 42), [42]);
        assert_eq!(take(&mut &[31, 154, 10][..], 5), Ok(1337));
        assert_eq!(take(&mut &[42][..], 8), Ok(42));
    }

    #[test]
    fn every_value_comes_back_whatever_its_prefix() {
        let values = (0..600).chain([16_383, 16_384, 70_000, 1 << 20, MAX as usize]);
        for value in values {
            for prefix in 1..=8 {
                let mut bytes = written(0, prefix, value);
                bytes.push(7);
                let mut rest = bytes.as_slice();
                assert_eq!(take(&mut rest, prefix), Ok(value));
                assert_eq!(rest, [7]);
            }
        }
    }

    #[test]
    fn what_is_cut_or_too_large_is_an_error() {
        assert_eq!(take(&mut &[][..], 5), Err(HpackError::Cut));
        assert_eq!(take(&mut &[31, 154][..], 5), Err(HpackError::Cut));
        let large = [31, 255, 255, 255, 255, 15];
        assert_eq!(take(&mut &large[..], 5), Err(HpackError::Integer));
        let padded = [31, 128, 128, 128, 128, 128, 0];
        assert_eq!(take(&mut &padded[..], 5), Err(HpackError::Integer));
    }
}
