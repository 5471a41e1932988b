//! RFC 9111 sections 3.2, 4.3.4 and 4.3.5.

use http::HeaderMap;
use mcsp_edge_policy::conditional::Validators;
use mcsp_edge_policy::update::{HeadEffect, head_effect, merge, selects};

use crate::{NOW_MS, dated, headers};

#[test]
fn which_stored_response_a_304_is_about() {
    let rows: &[(&str, &[&str], &[&str], bool)] = &[
        ("4.3.4: strong", &[r#"ETag: "a""#], &[r#"ETag: "a""#], true),
        (
            "4.3.4: another",
            &[r#"ETag: "a""#],
            &[r#"ETag: "b""#],
            false,
        ),
        (
            "4.3.4: strong does not name weak",
            &[r#"ETag: W/"a""#],
            &[r#"ETag: "a""#],
            false,
        ),
        (
            "4.3.4: weak",
            &[r#"ETag: W/"a""#],
            &[r#"ETag: W/"a""#],
            true,
        ),
        ("4.3.4: none held", &[], &[r#"ETag: "a""#], false),
        (
            "4.3.4: date",
            &["Last-Modified: Sun, 22 Nov 2026 00:00:00 GMT"],
            &["Last-Modified: Sun, 22 Nov 2026 00:00:00 GMT"],
            true,
        ),
        (
            "4.3.4: another date",
            &["Last-Modified: Sun, 22 Nov 2026 00:00:00 GMT"],
            &["Last-Modified: Sun, 22 Nov 2026 00:00:01 GMT"],
            false,
        ),
        ("4.3.4: no validator", &[r#"ETag: "a""#], &[], true),
    ];
    for (rule, held, answer, expected) in rows {
        let held = Validators::of(&headers(held), NOW_MS);
        assert_eq!(
            selects(&held, &headers(answer), NOW_MS),
            *expected,
            "{rule}"
        );
    }
}

fn merged(stored: &[&str], newer: &[&str], also: &[http::HeaderName]) -> HeaderMap {
    let mut merged = merge(&headers(stored), &headers(newer), also, NOW_MS);
    merged.remove("date");
    merged
}

#[test]
fn what_a_304_changes() {
    let rows: &[(&str, &[&str], &[&str], &[&str])] = &[
        ("3.2: a field it has", &["A: 1"], &["A: 2"], &["A: 2"]),
        ("3.2: a field it lacks stays", &["A: 1"], &[], &["A: 1"]),
        ("3.2: a field that is new", &[], &["A: 2"], &["A: 2"]),
        (
            "3.2: all lines of it",
            &["A: 1", "A: 2", "A: 3"],
            &["A: 4", "A: 5"],
            &["A: 4", "A: 5"],
        ),
        (
            "3.2: Set-Cookie",
            &["Set-Cookie: a=b"],
            &["Set-Cookie: a=c"],
            &["Set-Cookie: a=c"],
        ),
        (
            "3.2: Content-Type",
            &["Content-Type: text/plain"],
            &["Content-Type: text/html"],
            &["Content-Type: text/html"],
        ),
        (
            "3.2: ETag is the body's and stays",
            &[r#"ETag: "1""#],
            &[r#"ETag: "2""#],
            &[r#"ETag: "1""#],
        ),
        (
            "3.2: Content-Encoding is the body's and stays",
            &["Content-Encoding: gzip"],
            &["Content-Encoding: br"],
            &["Content-Encoding: gzip"],
        ),
        (
            "3.2: Content-Length stays",
            &["Content-Length: 5"],
            &["Content-Length: 10"],
            &["Content-Length: 5"],
        ),
        (
            "3.2: Content-Length does not come",
            &[],
            &["Content-Length: 0"],
            &[],
        ),
        (
            "3.1: hop-by-hop",
            &["A: 1"],
            &[
                "Connection: A",
                "A: 2",
                "Keep-Alive: x",
                "Upgrade: y",
                "TE: z",
            ],
            &["A: 1"],
        ),
        (
            "3.1: of a proxy",
            &[],
            &["Proxy-Authenticate: x", "Proxy-Authentication-Info: y"],
            &[],
        ),
        ("4.2.3: the old Age goes", &["Age: 900"], &[], &[]),
        (
            "4.2.3: a new one comes",
            &["Age: 900"],
            &["Age: 3"],
            &["Age: 3"],
        ),
    ];
    for (rule, stored, newer, expected) in rows {
        assert_eq!(merged(stored, newer, &[]), headers(expected), "{rule}");
    }
    let secret = http::HeaderName::from_static("secret");
    assert_eq!(
        merged(&["B: 1"], &["Secret: 2"], &[secret]),
        headers(&["B: 1"]),
        "5.2.2.4"
    );
}

#[test]
fn the_date_is_that_of_the_validation() {
    let (old, new) = (dated("Date", -900), dated("Date", -2));
    let date = |newer: &[&str]| {
        merge(&headers(&[&old]), &headers(newer), &[], NOW_MS)
            .get("date")
            .cloned()
    };
    assert_eq!(date(&[&new]), headers(&[&new]).get("date").cloned());
    assert_eq!(
        date(&[]),
        headers(&[&dated("Date", 0)]).get("date").cloned(),
        "RFC 9110 6.6.1"
    );
}

#[test]
fn a_200_to_head() {
    let rows: &[(&str, &[&str], HeadEffect)] = &[
        ("4.3.5: nothing to compare", &[], HeadEffect::Update),
        (
            "4.3.5: the same",
            &["ETag: \"a\"", "Content-Length: 5"],
            HeadEffect::Update,
        ),
        (
            "4.3.5: another length",
            &["Content-Length: 6"],
            HeadEffect::Expire,
        ),
        ("4.3.5: another tag", &["ETag: \"b\""], HeadEffect::Expire),
        (
            "4.3.5: a date it did not have",
            &["Last-Modified: x"],
            HeadEffect::Expire,
        ),
    ];
    let stored = headers(&["ETag: \"a\"", "Content-Length: 5"]);
    for (rule, head, expected) in rows {
        assert_eq!(head_effect(&stored, &headers(head)), *expected, "{rule}");
    }
}
