//! Blocks there and back, and blocks that are none.

use bytes::BytesMut;
use http::{HeaderName, HeaderValue, StatusCode};
use mcsp_edge_h2_wire::hpack::{Decoder, Encoder, HpackError, TABLE_BYTES, Value};
use proptest::prelude::*;

use crate::{given, texts};

type Fields = Vec<(HeaderName, HeaderValue)>;

fn name() -> impl Strategy<Value = HeaderName> {
    let known = prop_oneof![
        Just("date"),
        Just("server"),
        Just("set-cookie"),
        Just("cache-status"),
        Just("traceparent"),
        Just("content-type"),
        Just("cache-control"),
        Just("x-of-nobody"),
    ];
    prop_oneof![
        known.prop_map(HeaderName::from_static),
        "[a-z0-9!#$%&'*+.^_`|~-]{1,40}".prop_map(|name| name.parse().unwrap()),
    ]
}

fn value() -> impl Strategy<Value = HeaderValue> {
    let text = prop_oneof![
        Just(Vec::new()),
        "[!-~]{1,3}".prop_map(String::into_bytes),
        "[!-~]([ -~]{0,300}[!-~])?".prop_map(String::into_bytes),
        prop::collection::vec(0x80..=0xff_u8, 1..20),
        Just(vec![b'x'; 1_500]),
    ];
    (text, any::<bool>()).prop_map(|(text, is_sensitive)| {
        let mut value = HeaderValue::from_bytes(&text).unwrap();
        value.set_sensitive(is_sensitive);
        value
    })
}

/// Answers of one connection, and tables that the client wants before each.
fn answers() -> impl Strategy<Value = Vec<(Fields, Vec<u32>)>> {
    let fields = prop::collection::vec((name(), value()), 0..12);
    let sizes = prop::collection::vec(
        prop_oneof![0..6_000_u32, Just(0), Just(4_096), Just(u32::MAX)],
        0..3,
    );
    prop::collection::vec((fields, sizes), 1..12)
}

fn wanted(status: &str, fields: &Fields) -> Vec<(String, String)> {
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let fields = fields
        .iter()
        .map(|(name, value)| (name.as_str().to_owned(), text(value)));
    std::iter::once((":status".to_owned(), status.to_owned()))
        .chain(fields)
        .collect()
}

fn encoded(encoder: &mut Encoder, status: u16, fields: &Fields) -> BytesMut {
    let mut out = BytesMut::new();
    let mut block = encoder.block(&mut out);
    block.status(StatusCode::from_u16(status).unwrap());
    for (name, value) in fields {
        block.field(name, value);
    }
    out
}

fn field(name: &'static str, value: &'static str) -> (HeaderName, HeaderValue) {
    (
        HeaderName::from_static(name),
        HeaderValue::from_static(value),
    )
}

proptest! {
    #[test]
    fn what_is_encoded_comes_back(answers in answers(), status in 200..600_u16) {
        let (mut encoder, mut decoder) = (Encoder::new(), Decoder::new());
        for (fields, sizes) in answers {
            for size in sizes {
                encoder.set_table_bytes_max(size);
            }
            let block = encoded(&mut encoder, status, &fields);
            let decoded = texts(&mut decoder, &block).unwrap();
            prop_assert_eq!(decoded, wanted(&status.to_string(), &fields));
            prop_assert_eq!(decoder.table_bytes(), encoder.table_bytes());
            prop_assert!(encoder.table_bytes() <= TABLE_BYTES);
        }
    }

    /// A block that is cut has a beginning of the fields or is an error, and never more.
    #[test]
    fn blocks_that_are_cut_give_nothing_else(answers in answers(), at in any::<prop::sample::Index>()) {
        let mut encoder = Encoder::new();
        let (fields, _) = &answers[0];
        let block = encoded(&mut encoder, 200, fields);
        let cut = &block[..at.index(block.len())];
        if let Ok(decoded) = texts(&mut Decoder::new(), cut) {
            prop_assert_eq!(&wanted("200", fields)[..decoded.len()], decoded);
        }
    }
}

#[test]
fn what_repeats_is_one_octet_and_what_changes_stays_out_of_the_table() {
    let mut encoder = Encoder::new();
    let head = |date, trace| {
        vec![
            field("server", "mcsp"),
            field("content-type", "video/mp4"),
            field("strict-transport-security", "max-age=63072000"),
            field("date", date),
            field("traceparent", trace),
            field("etag", date),
        ]
    };
    encoded(&mut encoder, 200, &head("first", "one"));
    let table_bytes = encoder.table_bytes();
    let block = encoded(&mut encoder, 200, &head("second", "two"));
    assert_eq!(encoder.table_bytes(), table_bytes);
    // The status, three repeated, two with a name in the static table (above 14: two octets), one in ours.
    let changing = 2 * (2 + 1 + "second".len()) + (2 + 1 + "two".len());
    assert_eq!(block.len(), 1 + 3 + changing, "{block:?}");
}

#[test]
fn secrets_are_marked_and_never_kept() {
    let mut encoder = Encoder::new();
    let fields = vec![field("set-cookie", "a=b")];
    for _ in 0..2 {
        let block = encoded(&mut encoder, 200, &fields);
        // Never indexed (RFC 7541 section 6.2.3), name 55.
        assert_eq!(&block[..], b"\x88\x1f\x28\x03a=b");
        assert_eq!(encoder.table_bytes(), 0);
    }
    let mut secret = HeaderValue::from_static("c");
    secret.set_sensitive(true);
    let fields = vec![(HeaderName::from_static("x-mine"), secret)];
    assert_eq!(
        &encoded(&mut encoder, 200, &fields)[..],
        b"\x88\x10\x06x-mine\x01c"
    );
    assert_eq!(encoder.table_bytes(), 0);
}

/// RFC 7541 section 4.2: both sizes, if it was smaller in between.
#[test]
fn a_new_size_is_told_before_the_next_block() {
    let mut encoder = Encoder::new();
    let fields = vec![field("server", "mcsp")];
    encoded(&mut encoder, 200, &fields);
    encoder.set_table_bytes_max(0);
    encoder.set_table_bytes_max(100);
    let block = encoded(&mut encoder, 200, &fields);
    assert_eq!(&block[..5], b"\x20\x3f\x45\x88\x76");
    encoder.set_table_bytes_max(0);
    let block = encoded(&mut encoder, 204, &fields);
    assert_eq!(&block[..], b"\x20\x89\x0f\x27\x04mcsp");
}

#[test]
fn blocks_that_are_none_are_errors() {
    use HpackError::{Cut, Huffman, Index, Integer, Size};
    for (block, wanted) in [
        // Index 0 (section 6.1), and one that nobody has.
        (&b"\x80"[..], Index),
        (b"\xbe", Index),
        (b"\xff\x00", Index),
        (b"\x7f\x00\x01a", Index),
        // Sizes above what was agreed (section 6.3), and after a field (section 4.2).
        (b"\x3f\xe2\x1f", Size),
        (b"\x82\x20", Size),
        // Strings that are cut.
        (b"\x40", Cut),
        (b"\x40\x03a", Cut),
        (b"\x40\x01a\x7f", Cut),
        (b"\x40\x01a", Cut),
        (b"\x40\x01a\xff\xff\xff\xff\xff\x0f", Integer),
        // The code's end within a string, and padding that is too long (section 5.2).
        (b"\x40\x01a\x84\xff\xff\xff\xff", Huffman),
        (b"\x40\x01a\x82\x1f\xff", Huffman),
        (b"\x40\x01a\x81\x18", Huffman),
    ] {
        let error = texts(&mut Decoder::new(), block).unwrap_err();
        assert_eq!(error, wanted, "{block:02x?}");
    }
    // The largest size that was agreed is one.
    assert!(texts(&mut Decoder::new(), b"\x3f\xe1\x1f\x82").is_ok());
}

#[test]
fn fields_that_none_may_have_are_told_from_others_and_kept_in_the_table() {
    let mut decoder = Decoder::new();
    for (block, wanted) in [
        (&b"\x40\x02Ab\x01c"[..], ("?", "?")),
        // The same by its index, and its name with another value.
        (b"\xbe", ("?", "?")),
        (b"\x7e\x01d", ("?", "?")),
        (b"\x00\x04:new\x01c", ("?", "?")),
        (b"\x00\x00\x01c", ("?", "?")),
        (b"\x00\x01a\x02 b", ("a", "?")),
        (b"\x00\x01a\x02b\t", ("a", "?")),
        (b"\x00\x01a\x03b\nc", ("a", "?")),
        (b"\x00\x01a\x03b\tc", ("a", "b\tc")),
        (b"\x00\x01a\x00", ("a", "")),
    ] {
        let fields = texts(&mut decoder, block).unwrap();
        let [(name, value)] = fields.as_slice() else {
            panic!("{fields:?}");
        };
        assert_eq!((name.as_str(), value.as_str()), wanted, "{block:02x?}");
    }
}

/// A block of a few octets can say much; the table stays in step all the same.
#[test]
fn no_more_is_given_than_may_be() {
    let mut decoder = Decoder::new();
    let large = [b"\x40\x01a\x7f\xd1\x0e".as_slice(), &[b'v'; 2_000]].concat();
    texts(&mut decoder, &large).unwrap();
    let (fields, decoded) = given(&mut decoder, &[0xbe; 1_000], 10_000).unwrap();
    assert_eq!(fields.len(), 4);
    assert!(decoded.is_too_large);
    assert_eq!(decoded.bytes, 1_000 * 2_033);
    let after = [&[0xbe; 6][..], b"\x40\x01b\x01w"].concat();
    assert!(given(&mut decoder, &after, 10_000).unwrap().1.is_too_large);
    let wanted = vec![("b".to_owned(), "w".to_owned())];
    assert_eq!(texts(&mut decoder, b"\xbe").unwrap(), wanted);
}

/// RFC 7541 section 6.2.3: what came as a literal that is never to be indexed goes on as one, whatever its name.
#[test]
fn what_is_never_indexed_stays_so() {
    // By an index of its name, and with a name of its own; then one that may be indexed, and one that was.
    let block = b"\x1f\x12\x01s\x10\x01n\x01s\x0f\x12\x01p\x40\x01n\x01p";
    let mut marks = Vec::new();
    Decoder::new()
        .decode(block, usize::MAX, |field| {
            if let Value::Plain(value) = field.value {
                marks.push((value.as_bytes().to_vec(), value.is_sensitive()));
            }
        })
        .unwrap();
    let wanted = [(b"s", true), (b"s", true), (b"p", false), (b"p", false)];
    assert_eq!(marks, wanted.map(|(text, mark)| (text.to_vec(), mark)));

    for name in ["x-of-nobody", "location", "cache-status", "content-type"] {
        let name: HeaderName = name.parse().unwrap();
        let mut value = HeaderValue::from_static("secret");
        value.set_sensitive(true);
        let (mut encoder, mut out) = (Encoder::new(), BytesMut::new());
        encoder.block(&mut out).field(&name, &value);
        assert_eq!(out[0] & 0xf0, 0x10, "{name}: {:?}", &out[..]);
        assert_eq!(encoder.table_bytes(), 0, "{name}");
    }
}
