//! RFC 9110 section 15.1, RFC 9111 section 3: statuses.

use http::StatusCode;
use mcsp_edge_policy::store::{Refusal, is_heuristically_cacheable, is_understood};

use crate::dated;
use crate::storing::Case;

const MODIFIED_A_DAY_AGO: i64 = -86_400;

fn of(status: u16, lines: &[&str]) -> Result<bool, Refusal> {
    let case = Case::answered(lines).status(status);
    case.decide()
        .map(|plan| plan.freshness.is_fresh(crate::NOW_MS))
}

#[test]
fn a_stated_lifetime_makes_any_final_status_cacheable() {
    for status in [
        200, 201, 203, 204, 299, 301, 302, 303, 307, 308, 400, 403, 404, 410, 499, 500, 502, 503,
        504, 599,
    ] {
        assert_eq!(
            of(status, &["Cache-Control: max-age=60"]),
            Ok(true),
            "3: {status}"
        );
    }
}

#[test]
fn some_statuses_are_never_stored() {
    for status in [100, 102, 103, 304, 412, 416] {
        assert_eq!(
            of(status, &["Cache-Control: max-age=60, public"]),
            Err(Refusal::Status),
            "3: {status}"
        );
    }
}

#[test]
fn the_heuristic_is_for_some_statuses() {
    let modified = dated("Last-Modified", MODIFIED_A_DAY_AGO);
    let date = dated("Date", 0);
    for status in [200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501] {
        assert_eq!(
            of(status, &[&modified, &date]),
            Ok(true),
            "RFC 9110 15.1: {status}"
        );
    }
    for status in [201, 202, 302, 303, 307, 400, 403, 500, 502, 503, 504, 599] {
        assert_eq!(
            of(status, &[&modified, &date]),
            Ok(false),
            "RFC 9110 15.1: {status}"
        );
        assert_eq!(
            of(status, &[&modified, &date, "Cache-Control: public"]),
            Ok(true),
            "5.2.2.9: {status}"
        );
    }
}

#[test]
fn must_understand() {
    let rows = [
        (200, "max-age=60, must-understand", Ok(true)),
        (200, "max-age=60, no-store, must-understand", Ok(true)),
        (404, "max-age=60, no-store, must-understand", Ok(true)),
        (200, "max-age=60, no-store", Err(Refusal::NoStore)),
        (599, "max-age=60, must-understand", Err(Refusal::Status)),
        (
            599,
            "max-age=60, no-store, must-understand",
            Err(Refusal::Status),
        ),
    ];
    for (status, directives, expected) in rows {
        assert_eq!(
            of(status, &[&format!("Cache-Control: {directives}")]),
            expected,
            "5.2.2.3: {status} {directives}"
        );
    }
}

#[test]
fn parts() {
    let rows: [(&str, &[&str], Result<bool, Refusal>); 5] = [
        ("3.3", &["Content-Range: bytes 0-4/10"], Ok(true)),
        (
            "RFC 9110 14.4: length not known",
            &["Content-Range: bytes 0-4/*"],
            Ok(true),
        ),
        (
            "RFC 9110 14.4: invalid",
            &["Content-Range: bytes 4-0/10"],
            Err(Refusal::ContentRange),
        ),
        (
            "RFC 9110 15.3.7.2: several parts",
            &["Content-Type: multipart/byteranges; boundary=x"],
            Err(Refusal::ContentRange),
        ),
        (
            "RFC 9110 14.4: no part",
            &["Content-Range: bytes */10"],
            Err(Refusal::ContentRange),
        ),
    ];
    for (rule, lines, expected) in rows {
        let lines = [lines, &["Cache-Control: max-age=60"]].concat();
        assert_eq!(of(206, &lines), expected, "{rule}");
    }
    let odd = ["Content-Range: nonsense", "Cache-Control: max-age=60"];
    assert_eq!(
        of(200, &odd),
        Ok(true),
        "RFC 9110 14.4: says nothing in a 200"
    );
}

#[test]
fn what_may_be_guessed_is_understood() {
    for code in 100..600 {
        let status = StatusCode::from_u16(code).unwrap();
        assert!(
            !is_heuristically_cacheable(status) || is_understood(status),
            "{code}"
        );
    }
}
