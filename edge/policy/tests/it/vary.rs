//! RFC 9111 section 4.1.

use http::HeaderName;
use mcsp_edge_policy::vary::{
    VARY_FIELDS_MAX, VARY_NAME_BYTES_MAX, Vary, VaryFault, language, normal_value,
};

use crate::headers;

#[test]
fn the_fields_named() {
    let rows: &[(&str, &[&str], Result<&[&str], VaryFault>)] = &[
        ("absent", &[], Ok(&[])),
        ("empty", &["Vary: ,"], Ok(&[])),
        ("one", &["Vary: Foo"], Ok(&["foo"])),
        (
            "sorted, each once",
            &["Vary: Foo, bar", "Vary: BAR, Baz"],
            Ok(&["bar", "baz", "foo"]),
        ),
        ("*", &["Vary: *"], Err(VaryFault::Star)),
        ("* among others", &["Vary: Foo, *"], Err(VaryFault::Star)),
        ("* before others", &["Vary: *, Foo"], Err(VaryFault::Star)),
        ("* twice", &["Vary: *, *"], Err(VaryFault::Star)),
        (
            "* after an empty member",
            &["Vary: , *"],
            Err(VaryFault::Star),
        ),
        (
            "* on a later line",
            &["Vary:", "Vary: *"],
            Err(VaryFault::Star),
        ),
        ("no field name", &["Vary: foo bar"], Err(VaryFault::Absurd)),
        (
            "* wins over what is no name",
            &["Vary: foo bar, *"],
            Err(VaryFault::Star),
        ),
    ];
    for (rule, lines, expected) in rows {
        let found = Vary::of(&headers(lines));
        let found = found.as_ref().map(|vary| {
            vary.names()
                .iter()
                .map(HeaderName::as_str)
                .collect::<Vec<_>>()
        });
        assert_eq!(
            found.map_err(|fault| *fault),
            expected.map(<[&str]>::to_vec),
            "{rule}"
        );
    }
}

#[test]
fn as_many_fields_as_the_bound_and_no_more() {
    let line = |count: usize| {
        let names: Vec<String> = (0..count).map(|number| format!("x-{number}")).collect();
        format!("Vary: {}, x-0", names.join(", "))
    };
    assert_eq!(
        Vary::of(&headers(&[&line(VARY_FIELDS_MAX)]))
            .unwrap()
            .names()
            .len(),
        VARY_FIELDS_MAX
    );
    assert_eq!(
        Vary::of(&headers(&[&line(VARY_FIELDS_MAX + 1)])),
        Err(VaryFault::Absurd)
    );
    assert_eq!(Vary::of(&headers(&[&line(10_000)])), Err(VaryFault::Absurd));
    let long = |bytes: usize| Vary::of(&headers(&[&format!("Vary: {}", "x".repeat(bytes))]));
    assert_eq!(long(VARY_NAME_BYTES_MAX).unwrap().names().len(), 1);
    assert_eq!(long(VARY_NAME_BYTES_MAX + 1), Err(VaryFault::Absurd));
    assert_eq!(long(20_000), Err(VaryFault::Absurd));
}

/// Two requests, and whether they select the same variant.
#[test]
fn requests_that_select_the_same() {
    let rows: &[(&str, &str, &[&str], &[&str], bool)] = &[
        ("same", "foo", &["Foo: 1"], &["Foo: 1"], true),
        ("different", "foo", &["Foo: 1"], &["Foo: 2"], false),
        ("one absent", "foo", &["Foo: 1"], &[], false),
        ("both absent", "foo", &["Bar: 1"], &["Bar: 2"], true),
        ("an empty one is there", "foo", &["Foo:"], &[], false),
        (
            "lines joined",
            "foo",
            &["Foo: 1, 2"],
            &["Foo: 1", "Foo: 2"],
            true,
        ),
        (
            "space around commas",
            "foo",
            &["Foo: 1,2"],
            &["Foo:  1 ,\t2 "],
            true,
        ),
        ("space within", "foo", &["Foo: 1 2"], &["Foo: 12"], false),
        (
            "order matters",
            "foo",
            &["Foo: 1, 2"],
            &["Foo: 2, 1"],
            false,
        ),
        ("case matters", "foo", &["Foo: a"], &["Foo: A"], false),
        (
            "quoted commas",
            "foo",
            &[r#"Foo: "1, 2""#],
            &[r#"Foo: "1,2""#],
            false,
        ),
        ("a prefix", "foo", &["Foo: 1"], &["Foo: 1, 2"], false),
        (
            "languages in any order",
            "accept-language",
            &["Accept-Language: en, de"],
            &["Accept-Language: de, en"],
            true,
        ),
        (
            "languages in any case",
            "accept-language",
            &["Accept-Language: en, de"],
            &["Accept-Language: eN, De"],
            true,
        ),
        (
            "languages and space",
            "accept-language",
            &["Accept-Language: en, de"],
            &["Accept-Language:  en ,   de"],
            true,
        ),
        (
            "languages with weights",
            "accept-language",
            &["Accept-Language: en, de;q=0.5"],
            &["Accept-Language: de; q=0.500,en;q=1"],
            true,
        ),
        (
            "other weights",
            "accept-language",
            &["Accept-Language: en, de;q=0.5"],
            &["Accept-Language: en, de;q=0.6"],
            false,
        ),
        (
            "fewer languages",
            "accept-language",
            &["Accept-Language: en, de"],
            &["Accept-Language: en"],
            false,
        ),
        (
            "no weight, as it stands",
            "accept-language",
            &["Accept-Language: en;q=x, de"],
            &["Accept-Language: de, en;q=x"],
            false,
        ),
        (
            "a list that is not understood, written as another's normal form",
            "accept-language",
            &["Accept-Language: en;800,en-gb"],
            &["Accept-Language: en-GB,en;q=0.8"],
            false,
        ),
        (
            "an empty member of what may be no list",
            "origin",
            &["Origin: https://a,"],
            &["Origin: https://a"],
            false,
        ),
        (
            "an empty line of what may be no list",
            "foo",
            &["Foo: 1", "Foo:"],
            &["Foo: 1"],
            false,
        ),
        (
            "an empty member of a list",
            "accept",
            &["Accept: a/b,, c/d,"],
            &["Accept: a/b, c/d"],
            true,
        ),
        (
            "no weight, same text",
            "accept-language",
            &["Accept-Language: en;q=x,de"],
            &["Accept-Language: en;q=x, de"],
            true,
        ),
        (
            "codings in any order",
            "accept-encoding",
            &["Accept-Encoding: gzip, br"],
            &["Accept-Encoding: BR,gzip"],
            true,
        ),
        (
            "codings differ",
            "accept-encoding",
            &["Accept-Encoding: gzip"],
            &["Accept-Encoding: gzip;q=0"],
            false,
        ),
        (
            "codings that are in no use",
            "accept-encoding",
            &["Accept-Encoding: gzip, x-1, deflate;q=0.3, compress;q=nonsense"],
            &["Accept-Encoding: x-gzip;q=0.4, foo"],
            true,
        ),
        (
            "codings by other weights in the same order",
            "accept-encoding",
            &["Accept-Encoding: br;q=0.9, gzip;q=0.85"],
            &["Accept-Encoding: gzip;q=0.001,br"],
            true,
        ),
        (
            "codings in another order",
            "accept-encoding",
            &["Accept-Encoding: br;q=0.9, gzip"],
            &["Accept-Encoding: br, gzip;q=0.9"],
            false,
        ),
        (
            "no coding wanted",
            "accept-encoding",
            &["Accept-Encoding:"],
            &["Accept-Encoding: identity, gzip;q=0"],
            true,
        ),
        (
            "any coding, and one of them",
            "accept-encoding",
            &[],
            &["Accept-Encoding: identity"],
            false,
        ),
        (
            "RFC 9113 8.2.3: cookies in lines",
            "cookie",
            &["Cookie: a=1; b=2"],
            &["Cookie: a=1", "Cookie: b=2"],
            true,
        ),
        (
            "cookies differ",
            "cookie",
            &["Cookie: a=1; b=2"],
            &["Cookie: a=1; b=3"],
            false,
        ),
    ];
    for (rule, name, one, other, expected) in rows {
        let name = HeaderName::from_static(name);
        let (one, other) = (headers(one), headers(other));
        assert_eq!(
            normal_value(&one, &name) == normal_value(&other, &name),
            *expected,
            "{rule}"
        );
    }
}

#[test]
fn a_plain_value_is_not_copied() {
    let request = headers(&["X-Tenant: a-b_c"]);
    let value = normal_value(&request, &HeaderName::from_static("x-tenant")).unwrap();
    assert!(matches!(value, std::borrow::Cow::Borrowed(b"a-b_c")));
}

/// What was asked for and in what it came, what is asked for later, and whether it is found by its language.
#[test]
fn a_response_in_a_language_that_is_wanted_most() {
    let german: &[&str] = &["Vary: Accept-Language", "Content-Language: de"];
    let rows: &[(&str, &str, &[&str], &str, bool)] = &[
        ("by weight", "en, de", german, "fr;q=0.5, DE;q=1.0", true),
        ("the same request", "en, de", german, "en, de", true),
        (
            "one of two that weigh the same",
            "de",
            german,
            "fr, de",
            true,
        ),
        (
            "another weighs more",
            "en, de",
            german,
            "de;q=0.1, fr",
            false,
        ),
        ("refused", "en, de", german, "de;q=0", false),
        ("any", "en, de", german, "*", false),
        (
            "it was not wanted most",
            "en, de;q=0.5",
            german,
            "de",
            false,
        ),
        ("it was not wanted at all", "en", german, "de", false),
        (
            "two languages in it",
            "de",
            &["Vary: Accept-Language", "Content-Language: de, en"],
            "de",
            false,
        ),
        (
            "not selected by language",
            "de",
            &["Vary: Foo", "Content-Language: de"],
            "de",
            false,
        ),
        (
            "in no language",
            "de",
            &["Vary: Accept-Language"],
            "de",
            false,
        ),
    ];
    let asking = |languages: &str| headers(&[&format!("Accept-Language: {languages}")]);
    for (rule, first, response, later, expected) in rows {
        let response = headers(response);
        let vary = Vary::of(&response).unwrap();
        let stored = language::of_response(&vary, &asking(first), &response);
        let later = asking(later);
        let wanted = language::of_request(&later);
        assert_eq!(
            stored.is_some_and(|stored| wanted.contains(&stored)),
            *expected,
            "{rule}"
        );
        let whole = normal_value(&later, &http::header::ACCEPT_LANGUAGE).unwrap();
        assert!(
            wanted.iter().all(|language| language.as_slice() != &*whole),
            "{rule}: no other value"
        );
        assert!(wanted.len() <= language::LANGUAGES_MAX);
    }
}
