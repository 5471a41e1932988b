//! RFC 9110 section 14.

use http::HeaderValue;
use mcsp_edge_policy::multipart::{Multipart, Piece};
use mcsp_edge_policy::range::{
    ByteRange, ContentRange, Fitted, RANGES_MAX, RangeRequest, RangeSpec, range_value,
};
use proptest::prelude::*;

use crate::headers;

fn span(first: u64, last: u64) -> ByteRange {
    ByteRange { first, last }
}

fn request(value: &str) -> RangeRequest {
    RangeRequest::of(&headers(&[&format!("Range: {value}")]))
}

#[test]
fn ranges_of_a_thousand_bytes() {
    use Fitted::{Many, None, One, Whole};
    let rows: &[(&str, &str, Fitted)] = &[
        ("14.1.2", "bytes=0-499", One(span(0, 499))),
        ("14.1.2: one byte", "bytes=0-0", One(span(0, 0))),
        ("14.1.2: to the end", "bytes=500-", One(span(500, 999))),
        ("14.1.2: the last", "bytes=-1", One(span(999, 999))),
        (
            "14.1.2: more than there is",
            "bytes=-5000",
            One(span(0, 999)),
        ),
        (
            "14.1.2: beyond the end",
            "bytes=900-5000",
            One(span(900, 999)),
        ),
        (
            "14.1.2: far beyond the end",
            "bytes=900-99999999999999999999999",
            One(span(900, 999)),
        ),
        ("14.1: units in any case", "Bytes=0-1", One(span(0, 1))),
        (
            "5.6.1: space and empty members",
            "bytes= ,0-1, ",
            One(span(0, 1)),
        ),
        ("15.5.17: after the end", "bytes=1000-", None),
        ("15.5.17: after the end", "bytes=1000-2000", None),
        ("15.5.17: none of the last", "bytes=-0", None),
        ("14.2: another unit", "lines=0-1", Whole),
        ("14.2: no unit", "0-1", Whole),
        ("14.1.2: backwards", "bytes=5-1", Whole),
        ("14.1.2: nothing", "bytes=", Whole),
        ("14.1.2: no numbers", "bytes=-", Whole),
        ("14.1.2: no number", "bytes=a-b", Whole),
        ("14.1.2: a sign", "bytes=+1-2", Whole),
        ("14.1.2: a space", "bytes=1 -2", Whole),
        ("14.1.2: one of them broken", "bytes=0-1,5-1", Whole),
        (
            "15.3.7.2",
            "bytes=0-1,5-6",
            Many(vec![span(0, 1), span(5, 6)]),
        ),
        (
            "15.3.7.2: in the order asked for",
            "bytes=-1,0-1",
            Many(vec![span(999, 999), span(0, 1)]),
        ),
        (
            "15.3.7.2: those that overlap",
            "bytes=0-10,5-20",
            One(span(0, 20)),
        ),
        (
            "15.3.7.2: those that touch",
            "bytes=0-10,11-20",
            One(span(0, 20)),
        ),
        (
            "15.3.7.2: joined by a third",
            "bytes=0-10,20-30,50-60,9-20",
            Many(vec![span(0, 30), span(50, 60)]),
        ),
        (
            "15.3.7.2: the whole in parts",
            "bytes=500-,0-499",
            One(span(0, 999)),
        ),
        (
            "14.1.2: those out of reach go",
            "bytes=0-1,2000-",
            One(span(0, 1)),
        ),
    ];
    for (rule, value, expected) in rows {
        assert_eq!(request(value).fit(1_000), *expected, "{rule}: {value}");
    }
    assert_eq!(
        RangeRequest::of(&headers(&[])),
        RangeRequest::Whole,
        "absent"
    );
    assert_eq!(
        RangeRequest::of(&headers(&["Range: bytes=0-1", "Range: bytes=2-3"])),
        RangeRequest::Whole,
        "two lines"
    );
    assert_eq!(request("bytes=0-").fit(0), None, "15.5.17: of nothing");
}

#[test]
fn ranges_by_the_thousand_are_refused() {
    let many = |count: usize| format!("bytes={}", vec!["0-"; count].join(","));
    assert_eq!(request(&many(RANGES_MAX)).fit(10), Fitted::One(span(0, 9)));
    assert_eq!(request(&many(RANGES_MAX + 1)), RangeRequest::TooMany);
    assert_eq!(request(&many(5_000)).fit(10), Fitted::None);
}

#[test]
fn content_range() {
    let rows: &[(&str, &str, Option<ContentRange>)] = &[
        (
            "14.4",
            "bytes 0-4/10",
            Some(ContentRange {
                range: Some(span(0, 4)),
                total: Some(10),
            }),
        ),
        (
            "14.4: length not known",
            "bytes 0-4/*",
            Some(ContentRange {
                range: Some(span(0, 4)),
                total: None,
            }),
        ),
        (
            "14.4: not satisfied",
            "bytes */10",
            Some(ContentRange {
                range: None,
                total: Some(10),
            }),
        ),
        ("14.4: nothing known", "bytes */*", None),
        ("14.4: backwards", "bytes 4-0/10", None),
        ("14.4: beyond the length", "bytes 0-10/10", None),
        ("14.4: another unit", "lines 0-4/10", None),
        ("14.4: open", "bytes 5-/10", None),
        ("14.4: no length", "bytes 0-4", None),
        ("beyond 64 bits", "bytes 0-99999999999999999999/*", None),
    ];
    for (rule, value, expected) in rows {
        let found = ContentRange::of(&headers(&[&format!("Content-Range: {value}")]));
        assert_eq!(found, *expected, "{rule}");
        if let Some(found) = found {
            assert_eq!(found.value().to_str().unwrap(), *value, "{rule}");
        }
    }
    let twice = headers(&["Content-Range: bytes 0-4/10", "Content-Range: bytes 0-4/10"]);
    assert_eq!(ContentRange::of(&twice), None, "there twice");
    let five = ContentRange {
        range: Some(span(4, 8)),
        total: Some(10),
    };
    assert!(
        five.agrees_with(5) && !five.agrees_with(6),
        "the body must be what it says"
    );
}

#[test]
fn what_an_origin_is_asked_for() {
    assert_eq!(range_value(5, None), "bytes=5-");
    assert_eq!(range_value(5, Some(9)), "bytes=5-9");
}

#[test]
fn several_parts_in_one_body() {
    let content_type = HeaderValue::from_static("text/plain");
    let multipart = Multipart::of(&[span(0, 1), span(8, 9)], 10, Some(&content_type), 0xfeed);
    let boundary = "0000000000000000000000000000feed";
    assert_eq!(
        multipart.content_type,
        format!("multipart/byteranges; boundary={boundary}")
    );
    let body: Vec<u8> = multipart
        .pieces
        .iter()
        .flat_map(|piece| match piece {
            Piece::Framing(bytes) => bytes.to_vec(),
            Piece::Content(range) => {
                b"0123456789"[range.first as usize..=range.last as usize].to_vec()
            }
        })
        .collect();
    let expected = format!(
        "\r\n--{boundary}\r\nContent-Type: text/plain\r\nContent-Range: bytes 0-1/10\r\n\r\n01\
         \r\n--{boundary}\r\nContent-Type: text/plain\r\nContent-Range: bytes 8-9/10\r\n\r\n89\
         \r\n--{boundary}--\r\n"
    );
    assert_eq!(String::from_utf8(body.clone()).unwrap(), expected, "14.6");
    assert_eq!(
        multipart.length,
        body.len() as u64,
        "the length is known beforehand"
    );
}

fn any_spec() -> impl Strategy<Value = RangeSpec> {
    prop_oneof![
        (0_u64..60, 0_u64..60).prop_map(|(one, other)| RangeSpec::Span {
            first: one.min(other),
            last: one.max(other)
        }),
        (0_u64..60).prop_map(RangeSpec::From),
        (0_u64..60).prop_map(RangeSpec::Suffix),
    ]
}

proptest! {
    /// Fitted ranges hold exactly the bytes asked for, each once.
    #[test]
    fn each_byte_once(specs in proptest::collection::vec(any_spec(), 2..RANGES_MAX), total in 0_u64..50) {
        let wanted = |at: u64| specs.iter().any(|spec| match *spec {
            RangeSpec::Span { first, last } => (first..=last).contains(&at),
            RangeSpec::From(first) => at >= first,
            RangeSpec::Suffix(length) => at + length >= total,
        });
        let ranges = match RangeRequest::Several(specs.clone()).fit(total) {
            Fitted::One(range) => vec![range],
            Fitted::Many(ranges) => ranges,
            Fitted::None => vec![],
            Fitted::Whole => unreachable!(),
        };
        for at in 0..total {
            let count = ranges.iter().filter(|range| (range.first..=range.last).contains(&at)).count();
            prop_assert_eq!(count, usize::from(wanted(at)), "byte {}", at);
        }
        for (index, one) in ranges.iter().enumerate() {
            prop_assert!(one.first <= one.last && one.last < total);
            for other in &ranges[index + 1..] {
                prop_assert!(one.last + 1 < other.first || other.last + 1 < one.first, "they neither overlap nor touch");
            }
        }
    }
}
