//! Bytes of any kind: nothing panics, and nothing grows beyond its bound.

use mcsp_edge_h2_wire::frame::{FRAME_BYTES, Frame, HEAD_BYTES, Parsed, parse};
use mcsp_edge_h2_wire::hpack::{Decoder, TABLE_BYTES};
use proptest::prelude::*;

use crate::frames::frame;
use crate::given;

/// Octets that mean much in blocks, more often than others.
fn block() -> impl Strategy<Value = Vec<u8>> {
    let octet = prop_oneof![
        any::<u8>(),
        Just(0x40),
        Just(0x00),
        Just(0xbe),
        Just(0x20),
        Just(0x7f),
        Just(0xff),
        Just(0x82),
        1..8_u8,
    ];
    prop::collection::vec(octet, 0..200)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn blocks(blocks in prop::collection::vec(block(), 1..6), list_bytes_max in 0..3_000_usize) {
        let mut decoder = Decoder::new();
        for block in blocks {
            let Ok((fields, decoded)) = given(&mut decoder, &block, list_bytes_max) else {
                break;
            };
            let taken: usize = fields.len() * 32;
            prop_assert!(taken <= list_bytes_max || fields.is_empty());
            prop_assert_eq!(decoded.is_too_large, decoded.bytes > list_bytes_max);
            prop_assert!(decoder.table_bytes() <= TABLE_BYTES);
        }
    }

    #[test]
    fn frames(
        heads in prop::collection::vec(
            (0..18_u8, any::<u8>(), 0..4_u32, prop::collection::vec(any::<u8>(), 0..24)), 1..8),
        tail in prop::collection::vec(any::<u8>(), 0..12),
    ) {
        let mut bytes: Vec<u8> = heads
            .iter()
            .flat_map(|(kind, flags, stream, payload)| frame(*kind, *flags, *stream, payload))
            .collect();
        bytes.extend(tail);
        let mut rest = bytes.as_slice();
        while let Ok(Parsed::Frame { length, frame }) = parse(rest, FRAME_BYTES) {
            prop_assert!((HEAD_BYTES..=rest.len()).contains(&length));
            match frame {
                Ok(Frame::Data { data, flow_bytes, .. }) => {
                    prop_assert!(data.len() <= flow_bytes && flow_bytes == length - HEAD_BYTES);
                }
                Ok(Frame::Settings(settings)) => {
                    prop_assert!(settings.into_iter().count() <= length / 6);
                }
                Ok(Frame::WindowUpdate { bytes, .. }) => prop_assert!(bytes > 0),
                _ => {}
            }
            rest = &rest[length..];
        }
    }
}
