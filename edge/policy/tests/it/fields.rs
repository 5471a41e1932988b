//! RFC 9110 section 5.6, RFC 9111 section 1.2.2.

use mcsp_edge_policy::fields::{DELTA_SECONDS_MAX, Members, delta_seconds};

#[test]
fn lists_split_at_commas_outside_quotes() {
    let rows: &[(&str, &[&str])] = &[
        ("a, b ,c", &["a", "b", "c"]),
        (", ,a,, b,", &["a", "b"]),
        ("\t", &[]),
        ("", &[]),
        (r#"a="b, c", d"#, &[r#"a="b, c""#, "d"]),
        (r#"a="b\", c", d"#, &[r#"a="b\", c""#, "d"]),
        (r#"a="never closed, d"#, &[r#"a="never closed, d"#]),
        (r#"W\"a", b"#, &[r#"W\"a""#, "b"]),
    ];
    for (line, expected) in rows {
        let members: Vec<&str> = Members::of(line.as_bytes())
            .map(|member| std::str::from_utf8(member).unwrap())
            .collect();
        assert_eq!(members, *expected, "{line}");
    }
}

#[test]
fn delta_seconds_are_digits_and_saturate() {
    let rows: &[(&str, Option<u32>)] = &[
        ("0", Some(0)),
        ("003600", Some(3_600)),
        ("2147483647", Some(DELTA_SECONDS_MAX - 1)),
        ("2147483648", Some(DELTA_SECONDS_MAX)),
        ("2147483649", Some(DELTA_SECONDS_MAX)),
        ("99999999999999999999999999", Some(DELTA_SECONDS_MAX)),
        ("", None),
        ("-1", None),
        ("+1", None),
        ("1.0", None),
        ("1s", None),
        ("'1'", None),
    ];
    for (text, expected) in rows {
        assert_eq!(delta_seconds(text.as_bytes()), *expected, "{text}");
    }
}
