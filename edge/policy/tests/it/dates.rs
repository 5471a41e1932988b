//! RFC 9110 section 5.6.7.

use mcsp_edge_policy::date::{format_http_date, parse_http_date};
use proptest::prelude::*;

use crate::NOW_MS;

const NOV_1994: i64 = 784_111_777_000;
const AUG_2050: i64 = 2_544_400_878_000;

#[test]
fn the_three_forms_and_nothing_else() {
    let rows: &[(&str, Option<i64>)] = &[
        ("Sun, 06 Nov 1994 08:49:37 GMT", Some(NOV_1994)),
        ("Sunday, 06-Nov-94 08:49:37 GMT", Some(NOV_1994)),
        ("Sun Nov  6 08:49:37 1994", Some(NOV_1994)),
        ("Sun Nov 06 08:49:37 1994", Some(NOV_1994)),
        ("  Sun, 06 Nov 1994 08:49:37 GMT ", Some(NOV_1994)),
        // Case does not matter.
        ("THU, 18 AUG 2050 02:01:18 gmt", Some(AUG_2050)),
        // A two-digit year at most 50 years ahead is ahead.
        ("Thursday, 18-Aug-50 02:01:18 GMT", Some(AUG_2050)),
        ("Thu Aug 18 02:01:18 2050", Some(AUG_2050)),
        // A leap second.
        ("Sat, 31 Dec 2016 23:59:60 GMT", Some(1_483_228_800_000)),
        ("Thu, 29 Feb 2024 00:00:00 GMT", Some(1_709_164_800_000)),
        ("Sun, 21 Nov 2286 04:46:39 GMT", Some(10_000_039_599_000)),
        ("Tue, 29 Feb 2023 00:00:00 GMT", None),
        ("Thu, 18 Aug 2050 02:01:18 UTC", None),
        ("Thu, 18 Aug 2050 02:01:18 AEST", None),
        ("Thu, 18 Aug 2050 02:01:18 +0000", None),
        ("Thu, 18 Aug 50 02:01:18 GMT", None),
        ("Thu 18 Aug 2050 02:01:18 GMT", None),
        ("Thu, 18  Aug  2050 02:01:18 GMT", None),
        ("Thu, 18-Aug-2050 02:01:18 GMT", None),
        ("Thu, 18 Aug 2050 02.01.18 GMT", None),
        ("Thu, 18 Aug 2050 2:01:18 GMT", None),
        ("Thu, 18 Aug 2050 24:01:18 GMT", None),
        ("Thu, 00 Aug 2050 02:01:18 GMT", None),
        ("Xyz, 18 Aug 2050 02:01:18 GMT", None),
        ("0", None),
        ("-1", None),
        ("", None),
    ];
    for (text, expected) in rows {
        assert_eq!(
            parse_http_date(text.as_bytes(), NOW_MS),
            *expected,
            "{text}"
        );
    }
}

#[test]
fn a_two_digit_year_is_the_nearest_that_is_not_far_ahead() {
    let year = |text: &str, now_ms| {
        let date = parse_http_date(text.as_bytes(), now_ms).unwrap();
        String::from_utf8(format_http_date(date)[12..16].to_vec()).unwrap()
    };
    assert_eq!(year("Sunday, 06-Nov-76 08:49:37 GMT", NOW_MS), "2076");
    assert_eq!(year("Sunday, 06-Nov-77 08:49:37 GMT", NOW_MS), "1977");
    let in_2099 = parse_http_date(b"Sun, 01 Nov 2099 00:00:00 GMT", NOW_MS).unwrap();
    assert_eq!(year("Sunday, 06-Nov-05 08:49:37 GMT", in_2099), "2105");
    assert_eq!(year("Sunday, 06-Nov-98 08:49:37 GMT", in_2099), "2098");
}

#[test]
fn what_is_written_is_the_preferred_form() {
    assert_eq!(
        &format_http_date(NOV_1994),
        b"Sun, 06 Nov 1994 08:49:37 GMT"
    );
    assert_eq!(&format_http_date(0), b"Thu, 01 Jan 1970 00:00:00 GMT");
    assert_eq!(&format_http_date(-1), b"Thu, 01 Jan 1970 00:00:00 GMT");
    assert_eq!(
        &format_http_date(i64::MAX),
        b"Fri, 31 Dec 9999 23:59:59 GMT"
    );
}

proptest! {
    #[test]
    fn what_is_written_reads_back(at_s in 0_i64..253_402_300_800) {
        let date = format_http_date(at_s * 1_000);
        prop_assert_eq!(parse_http_date(&date, NOW_MS), Some(at_s * 1_000));
    }

    #[test]
    fn anything_can_be_looked_at(text in proptest::collection::vec(any::<u8>(), 0..40), now_ms: i64) {
        let _ = parse_http_date(&text, now_ms);
    }

    #[test]
    fn a_damaged_date_is_another_date_or_none(at in 0_usize..29, byte: u8) {
        let mut date = *b"Sun, 06 Nov 1994 08:49:37 GMT";
        date[at] = byte;
        if let Some(read) = parse_http_date(&date, NOW_MS) {
            prop_assert!(date[25..].eq_ignore_ascii_case(b" GMT"));
            prop_assert!(read % 1_000 == 0);
        }
    }
}
