//! RFC 9110 section 13, RFC 9111 section 4.3.

use http::{HeaderMap, Method, StatusCode};
use mcsp_edge_policy::conditional::{
    Precondition, Validators, evaluate, has_conditions, has_origin_conditions, if_range_holds,
};

use crate::{NOW_MS, dated, headers};

fn stored(lines: &[String]) -> Validators {
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    Validators::of(&headers(&lines), NOW_MS)
}

fn tagged(etag: &str) -> Validators {
    stored(&[
        format!("ETag: {etag}"),
        dated("Last-Modified", -5_000),
        dated("Date", 0),
    ])
}

fn judge(method: &Method, request: &HeaderMap, stored: &Validators) -> Precondition {
    evaluate(method, request, StatusCode::OK, stored, NOW_MS)
}

#[test]
fn entity_tags() {
    use Precondition::{Failed, NotModified, Proceed};
    let rows: &[(&str, &str, &str, Precondition)] = &[
        ("13.1.2", r#""abc""#, r#"If-None-Match: "abc""#, NotModified),
        (
            "13.1.2: another",
            r#""abc""#,
            r#"If-None-Match: "abd""#,
            Proceed,
        ),
        (
            "13.1.2: the first of a list",
            r#""abc""#,
            r#"If-None-Match: "abc", "1", "2""#,
            NotModified,
        ),
        (
            "13.1.2: the middle of a list",
            r#""abc""#,
            r#"If-None-Match: "1", "abc", "2""#,
            NotModified,
        ),
        (
            "13.1.2: the last of a list",
            r#""abc""#,
            r#"If-None-Match: "1", "2", "abc""#,
            NotModified,
        ),
        (
            "13.1.2: a comma in a tag",
            r#""a,c""#,
            r#"If-None-Match: "1", "a,c""#,
            NotModified,
        ),
        ("13.1.2: any", r#""abc""#, "If-None-Match: *", NotModified),
        (
            "8.8.3.2: weak comparison",
            r#"W/"abc""#,
            r#"If-None-Match: "abc""#,
            NotModified,
        ),
        (
            "8.8.3.2: weak comparison",
            r#""abc""#,
            r#"If-None-Match: W/"abc""#,
            NotModified,
        ),
        (
            "8.8.3.2: both weak",
            r#"W/"abc""#,
            r#"If-None-Match: W/"abc""#,
            NotModified,
        ),
        (
            "lenient: a small w",
            r#"w/"abc""#,
            r#"If-None-Match: w/"abc""#,
            NotModified,
        ),
        (
            "lenient: the client has no quotes",
            r#""abc""#,
            "If-None-Match: abc",
            NotModified,
        ),
        (
            "lenient: the origin has no quotes",
            "abc",
            r#"If-None-Match: "abc""#,
            NotModified,
        ),
        (
            "lenient: the very same text",
            r#"W\"abc""#,
            r#"If-None-Match: W\"abc""#,
            NotModified,
        ),
        (
            "8.8.3: text beyond ASCII",
            "\"abcd\u{fc}\"",
            "If-None-Match: \"abcd\u{fc}\"",
            NotModified,
        ),
        ("13.1.1", r#""abc""#, r#"If-Match: "1", "abc""#, Proceed),
        ("13.1.1: another", r#""abc""#, r#"If-Match: "abd""#, Failed),
        ("13.1.1: any", r#""abc""#, "If-Match: *", Proceed),
        (
            "13.1.1: without quotes it is not strong",
            "abc",
            "If-Match: abc",
            Failed,
        ),
        (
            "13.1.1: the client's without quotes is not strong",
            r#""abc""#,
            "If-Match: abc",
            Failed,
        ),
        (
            "13.1.1: strong comparison",
            r#"W/"abc""#,
            r#"If-Match: W/"abc""#,
            Failed,
        ),
    ];
    for (rule, etag, line, expected) in rows {
        let request = headers(&[line]);
        assert_eq!(
            judge(&Method::GET, &request, &tagged(etag)),
            *expected,
            "{rule}: {line}"
        );
        assert_eq!(
            judge(&Method::HEAD, &request, &tagged(etag)),
            *expected,
            "{rule}: {line}"
        );
        assert!(has_conditions(&request));
    }
    let known = headers(&[r#"If-None-Match: "abc""#]);
    assert_eq!(
        judge(&Method::PUT, &known, &tagged(r#""abc""#)),
        Failed,
        "13.1.2: other methods"
    );
    assert_eq!(
        judge(&Method::GET, &known, &Validators::default()),
        Proceed,
        "no tag is held"
    );
    let missing = evaluate(
        &Method::GET,
        &known,
        StatusCode::NOT_FOUND,
        &tagged(r#""abc""#),
        NOW_MS,
    );
    assert_eq!(missing, Proceed, "13.2.1: only successes");
}

#[test]
fn dates() {
    use Precondition::{Failed, NotModified, Proceed};
    let modified = [dated("Last-Modified", -3_000), dated("Date", 0)];
    let unknown = [dated("Date", -3_000)];
    let rows: Vec<(&str, &[String], Vec<String>, Precondition)> = vec![
        (
            "13.1.3",
            &modified,
            vec![dated("If-Modified-Since", -3_000)],
            NotModified,
        ),
        (
            "13.1.3: later",
            &modified,
            vec![dated("If-Modified-Since", -2_000)],
            NotModified,
        ),
        (
            "13.1.3: earlier",
            &modified,
            vec![dated("If-Modified-Since", -3_001)],
            Proceed,
        ),
        (
            "13.1.3: no date",
            &modified,
            vec!["If-Modified-Since: yesterday".into()],
            Proceed,
        ),
        (
            "13.1.3: twice",
            &modified,
            vec![dated("If-Modified-Since", 0), dated("If-Modified-Since", 0)],
            Proceed,
        ),
        (
            "5.6.7: RFC 850",
            &modified,
            vec!["If-Modified-Since: Sunday, 22-Nov-26 11:10:00 GMT".into()],
            NotModified,
        ),
        (
            "RFC 9111 4.3.2: Date stands in",
            &unknown,
            vec![dated("If-Modified-Since", -3_000)],
            NotModified,
        ),
        (
            "RFC 9111 4.3.2: Date is later",
            &unknown,
            vec![dated("If-Modified-Since", -3_001)],
            Proceed,
        ),
        (
            "13.2.2: the tag goes first",
            &modified,
            vec!["If-None-Match: \"x\"".into(), dated("If-Modified-Since", 0)],
            Proceed,
        ),
        (
            "13.1.4",
            &modified,
            vec![dated("If-Unmodified-Since", -3_000)],
            Proceed,
        ),
        (
            "13.1.4: modified",
            &modified,
            vec![dated("If-Unmodified-Since", -3_001)],
            Failed,
        ),
        (
            "13.1.4: not known",
            &unknown,
            vec![dated("If-Unmodified-Since", -9_000)],
            Proceed,
        ),
        (
            "13.2.2: If-Match goes first",
            &modified,
            vec!["If-Match: *".into(), dated("If-Unmodified-Since", -9_000)],
            Proceed,
        ),
        ("none", &modified, vec![], Proceed),
    ];
    for (rule, held, lines, expected) in rows {
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        assert_eq!(
            judge(&Method::GET, &headers(&lines), &stored(held)),
            expected,
            "{rule}"
        );
    }
    let since = dated("If-Modified-Since", 0);
    assert_eq!(
        judge(&Method::POST, &headers(&[&since]), &stored(&modified)),
        Proceed,
        "13.1.3: other methods"
    );
    assert!(
        has_origin_conditions(&headers(&["If-Match: *"]))
            && !has_origin_conditions(&headers(&[&since]))
    );
}

#[test]
fn a_range_of_this_very_representation() {
    let strong_date = [dated("Last-Modified", -1), dated("Date", 0)];
    let weak_date = [dated("Last-Modified", 0), dated("Date", 0)];
    let rows: Vec<(&str, Validators, Option<String>, bool)> = vec![
        ("13.1.5: absent", Validators::default(), None, true),
        (
            "13.1.5",
            tagged(r#""a""#),
            Some(r#"If-Range: "a""#.into()),
            true,
        ),
        (
            "13.1.5: another",
            tagged(r#""a""#),
            Some(r#"If-Range: "b""#.into()),
            false,
        ),
        (
            "13.1.5: weak in the request",
            tagged(r#""a""#),
            Some(r#"If-Range: W/"a""#.into()),
            false,
        ),
        (
            "13.1.5: weak in store",
            tagged(r#"W/"a""#),
            Some(r#"If-Range: W/"a""#.into()),
            false,
        ),
        (
            "13.1.5: a date",
            stored(&strong_date),
            Some(dated("If-Range", -1)),
            true,
        ),
        (
            "13.1.5: exactly",
            stored(&strong_date),
            Some(dated("If-Range", 0)),
            false,
        ),
        (
            "8.8.2.2: a weak date",
            stored(&weak_date),
            Some(dated("If-Range", 0)),
            false,
        ),
        (
            "nothing is held",
            Validators::default(),
            Some(r#"If-Range: "a""#.into()),
            false,
        ),
    ];
    for (rule, held, line, expected) in rows {
        let lines: Vec<&str> = line.iter().map(String::as_str).collect();
        assert_eq!(
            if_range_holds(&headers(&lines), &held, NOW_MS),
            expected,
            "{rule}"
        );
    }
}

#[test]
fn what_is_sent_to_validate() {
    let held = tagged(r#"W/"abc""#);
    let mut request = headers(&[
        "If-Match: *",
        "If-None-Match: \"client\"",
        "If-Range: \"x\"",
        "Abc: 123",
    ]);
    held.make_conditional(&mut request);
    let modified = dated("If-Modified-Since", -5_000);
    let expected = headers(&["Abc: 123", r#"If-None-Match: W/"abc""#, &modified]);
    assert_eq!(request, expected, "RFC 9111 4.3.1");
    assert!(
        stored(&["Last-Modified: yesterday".into()]).is_empty(),
        "a validator that cannot be read is none"
    );
    assert!(!held.is_empty());
}

#[test]
fn parts_are_combined_by_a_strong_tag_only() {
    let rows = [
        ("RFC 9110 15.3.7.3", tagged(r#""a""#), r#"ETag: "a""#, true),
        ("another", tagged(r#""a""#), r#"ETag: "b""#, false),
        ("weak", tagged(r#"W/"a""#), r#"ETag: W/"a""#, false),
        ("none held", Validators::default(), r#"ETag: "a""#, false),
        ("none sent", tagged(r#""a""#), "X: y", false),
    ];
    for (rule, held, line, expected) in rows {
        assert_eq!(held.may_combine_with(&headers(&[line])), expected, "{rule}");
    }
}
