//! RFC 9111 section 4.1.

use http::HeaderName;
use mcsp_edge_policy::vary::{VARY_FIELDS_MAX, Vary, VaryFault, language, normal_value};

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

/// What was asked for, in what it came, what is asked for now, and whether the second name finds it.
#[test]
fn a_response_in_the_language_that_is_wanted_most() {
    let rows: &[(&str, &[&str], &[&str], bool)] = &[
        (
            "by weight",
            &["Vary: Accept-Language", "Content-Language: de"],
            &["Accept-Language: fr;q=0.5, DE;q=1.0"],
            true,
        ),
        (
            "the only one",
            &["Vary: Accept-Language", "Content-Language: de"],
            &["Accept-Language: de"],
            true,
        ),
        (
            "two weigh the same",
            &["Vary: Accept-Language", "Content-Language: de"],
            &["Accept-Language: de, fr"],
            false,
        ),
        (
            "another weighs more",
            &["Vary: Accept-Language", "Content-Language: de"],
            &["Accept-Language: de;q=0.1, fr"],
            false,
        ),
        (
            "refused",
            &["Vary: Accept-Language", "Content-Language: de"],
            &["Accept-Language: de;q=0"],
            false,
        ),
        (
            "any",
            &["Vary: Accept-Language", "Content-Language: de"],
            &["Accept-Language: *"],
            false,
        ),
        (
            "two languages in it",
            &["Vary: Accept-Language", "Content-Language: de, en"],
            &["Accept-Language: de"],
            false,
        ),
        (
            "not selected by language",
            &["Vary: Foo", "Content-Language: de"],
            &["Accept-Language: de"],
            false,
        ),
        (
            "in no language",
            &["Vary: Accept-Language"],
            &["Accept-Language: de"],
            false,
        ),
    ];
    for (rule, response, request, expected) in rows {
        let (response, request) = (headers(response), headers(request));
        let stored = language::of_response(&Vary::of(&response).unwrap(), &response);
        let wanted = language::of_request(&request);
        assert_eq!(stored.is_some() && stored == wanted, *expected, "{rule}");
        assert_ne!(
            wanted,
            normal_value(&request, &http::header::ACCEPT_LANGUAGE).map(Into::into),
            "{rule}: two names"
        );
    }
}
