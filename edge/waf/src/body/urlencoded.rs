//! `a=b&c=d`, of queries and bodies.

use super::{BodyError, Fields};
use crate::transform::hex_pair;

/// Decodes pairs. Broken escapes stay as they are, as servers keep them; the answer says whether there were any.
///
/// # Errors
/// More pairs than there is room for.
pub(crate) fn parse(text: &[u8], fields: Fields<'_>) -> Result<bool, BodyError> {
    let mut broken = false;
    let mut name = Vec::new();
    let mut value = Vec::new();
    for pair in text.split(|b| *b == b'&').filter(|pair| !pair.is_empty()) {
        let (left, right) = match memchr::memchr(b'=', pair) {
            Some(at) => (&pair[..at], &pair[at + 1..]),
            None => (pair, &pair[..0]),
        };
        broken |= decode(left, &mut name);
        broken |= decode(right, &mut value);
        if !fields(&name, &value) {
            return Err(BodyError {
                processor: "Urlencoded",
                message: "too many arguments",
                is_bound: true,
            });
        }
    }
    Ok(broken)
}

/// Replaces the content of `out`; `true` if an escape was broken.
fn decode(text: &[u8], out: &mut Vec<u8>) -> bool {
    out.clear();
    let mut broken = false;
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        at += 1;
        match byte {
            b'+' => out.push(b' '),
            b'%' => match hex_pair(text, at) {
                Some(decoded) => {
                    out.push(decoded);
                    at += 2;
                }
                None => {
                    broken = true;
                    out.push(b'%');
                }
            },
            byte => out.push(byte),
        }
    }
    broken
}
