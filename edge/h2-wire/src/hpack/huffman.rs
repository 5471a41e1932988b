//! The Huffman code of strings (RFC 7541 section 5.2): an automaton that takes four bits at a step, made at compile time.

use bytes::{BufMut as _, BytesMut};

use super::codes::CODES;
use super::decoder::HpackError;

/// The code's end, thirty ones, which no string has.
const EOS: usize = 256;
/// A tree of 257 leaves has as many inner nodes.
const NODES: usize = 256;

/// Where four bits lead from a node.
#[derive(Clone, Copy)]
struct Step {
    next: u8,
    symbol: u8,
    does: Does,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Does {
    Go,
    Emit,
    Fail,
}

struct Automaton {
    steps: [[Step; 16]; NODES],
    /// Whether a string may end here: within less than an octet of ones (section 5.2).
    ends: [bool; NODES],
}

static AUTOMATON: Automaton = automaton();

/// Both children of each node: inner nodes as they are, leaves as `NODES` and their symbol.
const fn tree() -> [[u16; 2]; NODES] {
    const NONE: u16 = u16::MAX;
    let mut tree = [[NONE; 2]; NODES];
    let mut used = 1;
    let mut symbol = 0;
    while symbol <= EOS {
        let (code, bits) = if symbol == EOS {
            (0x3fff_ffff, 30)
        } else {
            CODES[symbol]
        };
        let mut node = 0;
        let mut left = bits;
        while left > 0 {
            left -= 1;
            let bit = (code >> left & 1) as usize;
            if left == 0 {
                tree[node][bit] = (NODES + symbol) as u16;
            } else {
                if tree[node][bit] == NONE {
                    tree[node][bit] = used as u16;
                    used += 1;
                }
                node = tree[node][bit] as usize;
            }
        }
        symbol += 1;
    }
    assert!(used == NODES, "the code is complete");
    tree
}

const fn automaton() -> Automaton {
    let tree = tree();
    let fail = Step {
        next: 0,
        symbol: 0,
        does: Does::Fail,
    };
    let mut steps = [[fail; 16]; NODES];
    let mut node = 0;
    while node < NODES {
        let mut bits = 0;
        while bits < 16 {
            steps[node][bits] = step(&tree, node, bits);
            bits += 1;
        }
        node += 1;
    }
    let mut ends = [false; NODES];
    let (mut node, mut depth) = (0, 0);
    while depth < 8 {
        ends[node] = true;
        node = tree[node][1] as usize;
        depth += 1;
    }
    Automaton { steps, ends }
}

/// No code is shorter than five bits, so four end one at most.
const fn step(tree: &[[u16; 2]; NODES], from: usize, bits: usize) -> Step {
    let mut node = from;
    let mut step = Step {
        next: 0,
        symbol: 0,
        does: Does::Go,
    };
    let mut left = 4;
    while left > 0 {
        left -= 1;
        let child = tree[node][bits >> left & 1] as usize;
        if child == NODES + EOS {
            step.does = Does::Fail;
            return step;
        }
        if child >= NODES {
            step.symbol = (child - NODES) as u8;
            step.does = Does::Emit;
            node = 0;
        } else {
            node = child;
        }
    }
    step.next = node as u8;
    step
}

/// No string is longer once it is decoded.
pub(super) const fn decoded_bytes_max(coded_bytes: usize) -> usize {
    coded_bytes * 8 / 5
}

/// Appends what `coded` says.
pub(super) fn decode(coded: &[u8], out: &mut BytesMut) -> Result<(), HpackError> {
    out.reserve(decoded_bytes_max(coded.len()));
    let mut node = 0;
    for octet in coded {
        for bits in [octet >> 4, octet & 15] {
            // Both are within: a node is an octet, and four bits are less than 16.
            let step = AUTOMATON.steps[usize::from(node)][usize::from(bits)];
            match step.does {
                Does::Go => {}
                Does::Emit => out.put_u8(step.symbol),
                Does::Fail => return Err(HpackError::Huffman),
            }
            node = step.next;
        }
    }
    if AUTOMATON.ends[usize::from(node)] {
        Ok(())
    } else {
        Err(HpackError::Huffman)
    }
}

/// How long `text` is in the code, bytes.
pub(super) fn coded_bytes(text: &[u8]) -> usize {
    let bits: usize = text
        .iter()
        .map(|octet| usize::from(CODES[usize::from(*octet)].1))
        .sum();
    bits.div_ceil(8)
}

/// Appends `text` in the code.
pub(super) fn encode(text: &[u8], out: &mut BytesMut) {
    // The last bits of it wait for their octet.
    let mut waiting: u64 = 0;
    let mut count = 0;
    for octet in text {
        let (code, bits) = CODES[usize::from(*octet)];
        waiting = waiting << bits | u64::from(code);
        count += u32::from(bits);
        while count >= 8 {
            count -= 8;
            out.put_u8((waiting >> count) as u8);
        }
    }
    if count > 0 {
        let padded = waiting << (8 - count) | u64::from(u8::MAX >> count);
        out.put_u8(padded as u8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(coded: &[u8]) -> Result<Vec<u8>, HpackError> {
        let mut out = BytesMut::new();
        decode(coded, &mut out).map(|()| out.to_vec())
    }

    #[test]
    fn every_octet_comes_back_in_every_company() {
        for first in 0..=255 {
            for second in 0..=255 {
                let text = [first, second, first];
                let mut coded = BytesMut::new();
                encode(&text, &mut coded);
                assert_eq!(coded.len(), coded_bytes(&text));
                assert!(decoded_bytes_max(coded.len()) >= text.len());
                assert_eq!(decoded(&coded).unwrap(), text);
            }
        }
    }

    /// Section 5.2: an end in the middle, padding of an octet and more, padding that is not of ones.
    #[test]
    fn ends_are_strict() {
        // "a" is 00011.
        assert_eq!(decoded(&[0b0001_1111]).unwrap(), b"a");
        assert_eq!(decoded(&[0b0001_1111, 0xff]), Err(HpackError::Huffman));
        assert_eq!(decoded(&[0b0001_1110]), Err(HpackError::Huffman));
        assert_eq!(decoded(&[0b0001_1000]), Err(HpackError::Huffman));
        assert_eq!(decoded(&[0xff]), Err(HpackError::Huffman));
        assert_eq!(decoded(&[0xff; 4]), Err(HpackError::Huffman));
        assert_eq!(decoded(&[0xff, 0xff, 0xff, 0xfc]), Err(HpackError::Huffman));
        assert_eq!(decoded(&[]).unwrap(), b"");
        // Seven ones after "&", 11111000.
        assert_eq!(decoded(&[0b1111_1000]).unwrap(), b"&");
    }
}
