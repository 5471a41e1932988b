//! RFC 9111 sections 4.2 and 5.2.1, RFC 5861.

use http::StatusCode;
use mcsp_edge_policy::age::{Exchange, age_field_s, initial_age_ms};
use mcsp_edge_policy::cache_control::RequestDirectives;
use mcsp_edge_policy::freshness::{Basis, Failure, Freshness, Reuse, Why};
use proptest::prelude::*;

use crate::{NOW_MS, dated, headers};

const AT_ONCE: Exchange = Exchange {
    request_ms: NOW_MS,
    response_ms: NOW_MS,
};

/// Fresh for 100 s.
const PLAIN: Freshness = Freshness {
    born_ms: NOW_MS,
    lifetime_ms: 100_000,
    basis: Basis::MaxAge,
    stale_while_revalidate_ms: 0,
    stale_if_error_ms: 0,
    always_validate: false,
    never_stale: false,
};
const ASKS_NOTHING: RequestDirectives = RequestDirectives {
    no_store: false,
    no_cache: false,
    only_if_cached: false,
    no_transform: false,
    max_age_s: None,
    min_fresh_s: None,
    max_stale_s: None,
};

#[test]
fn the_age_field() {
    let rows: &[(&str, &[&str], Option<u32>)] = &[
        ("5.1", &["Age: 7200"], Some(7_200)),
        ("5.1: the first member", &["Age: 0, 7200"], Some(0)),
        ("5.1: the first member", &["Age: 7200, 0"], Some(7_200)),
        ("5.1: the first line", &["Age: 7200", "Age: 0"], Some(7_200)),
        ("5.1: not a number is absence", &["Age: abc"], None),
        ("5.1: negative is absence", &["Age: -7200"], None),
        ("5.1: a fraction is absence", &["Age: 7200.0"], None),
        (
            "5.1: a parameter is no part of it",
            &["Age: 7200;foo=bar"],
            None,
        ),
        ("1.2.2", &["Age: 2147483649"], Some(1 << 31)),
        ("absent", &[], None),
    ];
    for (rule, lines, expected) in rows {
        assert_eq!(age_field_s(&headers(lines)), *expected, "{rule}");
    }
}

#[test]
fn the_initial_age() {
    let slow = Exchange {
        request_ms: NOW_MS - 4_000,
        response_ms: NOW_MS,
    };
    let rows = [
        ("4.2.3: new", vec![dated("Date", 0)], AT_ONCE, 0),
        (
            "4.2.3: apparent age",
            vec![dated("Date", -30)],
            AT_ONCE,
            30_000,
        ),
        (
            "4.2.3: a clock ahead of ours",
            vec![dated("Date", 30)],
            AT_ONCE,
            0,
        ),
        (
            "4.2.3: the field",
            vec![dated("Date", 0), "Age: 25".into()],
            AT_ONCE,
            25_000,
        ),
        (
            "4.2.3: the greater",
            vec![dated("Date", -30), "Age: 25".into()],
            AT_ONCE,
            30_000,
        ),
        (
            "4.2.3: the delay counts with the field",
            vec![dated("Date", 0), "Age: 25".into()],
            slow,
            29_000,
        ),
        (
            "4.2.3: the delay counts alone",
            vec![dated("Date", 0)],
            slow,
            4_000,
        ),
        ("RFC 9110 6.6.1: no date", vec![], AT_ONCE, 0),
        (
            "RFC 9110 6.6.1: a bad date",
            vec!["Date: foo".into()],
            AT_ONCE,
            0,
        ),
    ];
    for (rule, lines, exchange, expected) in rows {
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        assert_eq!(
            initial_age_ms(&headers(&lines), exchange),
            expected,
            "{rule}"
        );
    }
}

#[test]
fn what_may_be_done_with_it() {
    let must = Freshness {
        never_stale: true,
        stale_while_revalidate_ms: 60_000,
        stale_if_error_ms: 60_000,
        ..PLAIN
    };
    let kind = Freshness {
        stale_while_revalidate_ms: 60_000,
        ..PLAIN
    };
    let no_cache = Freshness {
        always_validate: true,
        stale_while_revalidate_ms: 60_000,
        ..PLAIN
    };
    let ask = |change: fn(&mut RequestDirectives)| {
        let mut request = ASKS_NOTHING;
        change(&mut request);
        request
    };
    let (stale, by_request, no) = (
        Reuse::Validate(Why::Stale),
        Reuse::Validate(Why::Request),
        Reuse::Validate(Why::NoCache),
    );
    let rows = [
        ("4.2: fresh", PLAIN, 99_999, ASKS_NOTHING, Reuse::Fresh),
        (
            "4.2: the lifetime must exceed the age",
            PLAIN,
            100_000,
            ASKS_NOTHING,
            stale,
        ),
        ("5.2.2.4: no-cache", no_cache, 0, ASKS_NOTHING, no),
        (
            "5.2.2.4: no-cache and max-stale",
            no_cache,
            110_000,
            ask(|r| r.max_stale_s = Some(u32::MAX)),
            no,
        ),
        (
            "RFC 5861 3",
            kind,
            100_000,
            ASKS_NOTHING,
            Reuse::StaleWhileRevalidate,
        ),
        (
            "RFC 5861 3: within",
            kind,
            159_999,
            ASKS_NOTHING,
            Reuse::StaleWhileRevalidate,
        ),
        ("RFC 5861 3: after", kind, 160_000, ASKS_NOTHING, stale),
        ("4.2.4: must-revalidate", must, 100_000, ASKS_NOTHING, stale),
        (
            "4.2.4: must-revalidate and max-stale",
            must,
            100_000,
            ask(|r| r.max_stale_s = Some(u32::MAX)),
            stale,
        ),
        (
            "5.2.1.1",
            PLAIN,
            50_000,
            ask(|r| r.max_age_s = Some(51)),
            Reuse::Fresh,
        ),
        (
            "5.2.1.1: too old",
            PLAIN,
            50_000,
            ask(|r| r.max_age_s = Some(49)),
            by_request,
        ),
        (
            "5.2.1.1: max-age=0",
            PLAIN,
            0,
            ask(|r| r.max_age_s = Some(0)),
            by_request,
        ),
        (
            "5.2.1.1: with max-stale",
            PLAIN,
            50_000,
            ask(|r| {
                r.max_age_s = Some(49);
                r.max_stale_s = Some(1);
            }),
            Reuse::Fresh,
        ),
        (
            "5.2.1.1: too old to be served stale",
            kind,
            120_000,
            ask(|r| r.max_age_s = Some(49)),
            by_request,
        ),
        (
            "5.2.1.2",
            PLAIN,
            110_000,
            ask(|r| r.max_stale_s = Some(10)),
            Reuse::StaleByRequest,
        ),
        (
            "5.2.1.2: too stale",
            PLAIN,
            110_001,
            ask(|r| r.max_stale_s = Some(10)),
            stale,
        ),
        (
            "5.2.1.2: however stale",
            PLAIN,
            900_000,
            ask(|r| r.max_stale_s = Some(u32::MAX)),
            Reuse::StaleByRequest,
        ),
        (
            "5.2.1.3",
            PLAIN,
            90_000,
            ask(|r| r.min_fresh_s = Some(10)),
            Reuse::Fresh,
        ),
        (
            "5.2.1.3: not fresh enough",
            PLAIN,
            90_001,
            ask(|r| r.min_fresh_s = Some(10)),
            by_request,
        ),
        ("5.2.1.4", PLAIN, 0, ask(|r| r.no_cache = true), by_request),
    ];
    for (rule, freshness, age_ms, request, expected) in rows {
        assert_eq!(
            freshness.judge(NOW_MS + age_ms, &request),
            expected,
            "{rule}"
        );
        assert_eq!(
            expected.is_servable(),
            !matches!(expected, Reuse::Validate(_))
        );
    }
}

#[test]
fn who_covers_a_failure() {
    let rows = [
        ("fresh", PLAIN, 0, true),
        ("4.2.4: nobody permits it", PLAIN, 100_000, false),
        (
            "RFC 5861 4",
            Freshness {
                stale_if_error_ms: 10_000,
                ..PLAIN
            },
            109_999,
            true,
        ),
        (
            "RFC 5861 4: after",
            Freshness {
                stale_if_error_ms: 10_000,
                ..PLAIN
            },
            110_000,
            false,
        ),
        (
            "4.2.4: must-revalidate",
            Freshness {
                stale_if_error_ms: 10_000,
                never_stale: true,
                ..PLAIN
            },
            100_000,
            false,
        ),
        (
            "4.2.4: must-revalidate, fresh",
            Freshness {
                stale_if_error_ms: 10_000,
                never_stale: true,
                ..PLAIN
            },
            0,
            true,
        ),
        (
            "5.2.2.4: no-cache",
            Freshness {
                stale_if_error_ms: 10_000,
                always_validate: true,
                ..PLAIN
            },
            0,
            false,
        ),
    ];
    for (rule, freshness, age_ms, expected) in rows {
        assert_eq!(
            freshness.may_cover_failure(NOW_MS + age_ms),
            expected,
            "{rule}"
        );
    }
    for status in 100..600_u16 {
        let is_failure = [500, 502, 503, 504].contains(&status);
        let found = Failure::of_status(StatusCode::from_u16(status).unwrap());
        assert_eq!(found.is_some(), is_failure, "RFC 5861 4: {status}");
    }
}

#[test]
fn age_and_ttl_are_whole_seconds() {
    assert_eq!(PLAIN.age_s(NOW_MS + 2_999), 2, "5.1");
    assert_eq!(PLAIN.age_s(NOW_MS - 5_000), 0, "a clock set back");
    assert_eq!(PLAIN.age_s(i64::MAX), 1 << 31, "1.2.2");
    assert_eq!(PLAIN.ttl_s(NOW_MS + 1), 99, "RFC 9211 2.4");
    assert_eq!(
        PLAIN.ttl_s(NOW_MS + 100_001),
        -1,
        "RFC 9211 2.4: stale is negative"
    );
}

#[test]
fn purged_softly() {
    let kind = Freshness {
        stale_while_revalidate_ms: 60_000,
        stale_if_error_ms: 60_000,
        ..PLAIN
    };
    let later_ms = NOW_MS + 10_000;
    let purged = kind.expired(later_ms);
    assert_eq!(
        purged.judge(later_ms, &ASKS_NOTHING),
        Reuse::Validate(Why::Stale)
    );
    assert!(purged.may_cover_failure(later_ms + 59_999));
    assert!(!purged.may_cover_failure(later_ms + 60_000));
    assert_eq!(
        kind.expired(NOW_MS + 500_000).lifetime_ms,
        kind.lifetime_ms,
        "stale before"
    );
}

fn any_freshness() -> impl Strategy<Value = Freshness> {
    (
        any::<i64>(),
        0..i64::MAX,
        0..i64::MAX,
        0..i64::MAX,
        any::<bool>(),
        any::<bool>(),
    )
        .prop_map(
            |(born_ms, lifetime_ms, revalidate_ms, error_ms, always_validate, never_stale)| {
                Freshness {
                    born_ms,
                    lifetime_ms,
                    basis: Basis::Heuristic,
                    stale_while_revalidate_ms: revalidate_ms,
                    stale_if_error_ms: error_ms,
                    always_validate,
                    never_stale,
                }
            },
        )
}

proptest! {
    /// Served stale only where the origin let it, whatever the numbers.
    #[test]
    fn stale_only_by_leave(freshness in any_freshness(), now_ms: i64, max_age_s: Option<u32>, min_fresh_s: Option<u32>, max_stale_s: Option<u32>, no_cache: bool) {
        let request = RequestDirectives { max_age_s, min_fresh_s, max_stale_s, no_cache, ..ASKS_NOTHING };
        let reuse = freshness.judge(now_ms, &request);
        if reuse.is_servable() {
            prop_assert!(!freshness.always_validate && !no_cache);
            prop_assert!(freshness.is_fresh(now_ms) || !freshness.never_stale);
        }
        match reuse {
            Reuse::Fresh => prop_assert!(freshness.is_fresh(now_ms)),
            Reuse::StaleByRequest => prop_assert!(max_stale_s.is_some()),
            Reuse::StaleWhileRevalidate => prop_assert!(freshness.stale_while_revalidate_ms > 0),
            Reuse::Validate(_) => {}
        }
        prop_assert!(freshness.age_ms(now_ms) >= 0);
        let _ = (freshness.ttl_s(now_ms), freshness.may_cover_failure(now_ms));
    }
}
