//! The URI that picks an engine.

use mcsp_runtime::{EngineUri, EngineUriError};

#[test]
fn scheme_rest_and_parameters() {
    let uri = EngineUri::parse("sqlite:/var/lib/mcsp/auth.db?mode=rwc&seed=7&flag").unwrap();
    assert_eq!(
        (uri.scheme.as_str(), uri.rest.as_str()),
        ("sqlite", "/var/lib/mcsp/auth.db")
    );
    let params: Vec<_> = uri
        .params
        .iter()
        .map(|(k, v)| (k.as_str(), v.as_str()))
        .collect();
    assert_eq!(params, [("flag", ""), ("mode", "rwc"), ("seed", "7")]);
}

#[test]
fn one_uri_may_wrap_another() {
    let outer = EngineUri::parse("faulty:s3+https://host:9000/b?seed=7").unwrap();
    assert_eq!(outer.scheme, "faulty");
    let inner = EngineUri::parse(&outer.rest).unwrap();
    assert_eq!(
        (inner.scheme.as_str(), inner.rest.as_str()),
        ("s3+https", "//host:9000/b")
    );
}

#[test]
fn what_has_no_scheme_is_refused_with_an_example() {
    for text in ["", "/var/lib/x.db", ":x", "SQLite:/x", "sq lite:/x", "é:/x"] {
        let error = EngineUri::parse(text).expect_err(text);
        assert!(matches!(error, EngineUriError::NoScheme { .. }));
        assert!(error.to_string().contains("sqlite:/"), "{error}");
    }
}

proptest::proptest! {
    #[test]
    fn no_text_panics(text in ".{0,60}") {
        let _ = EngineUri::parse(&text);
    }
}
