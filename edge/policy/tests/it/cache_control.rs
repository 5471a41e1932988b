//! RFC 9111 section 5.2.

use mcsp_edge_policy::cache_control::{RequestDirectives, ResponseDirectives, Scope};

use crate::headers;

pub(crate) fn response(change: impl FnOnce(&mut ResponseDirectives)) -> ResponseDirectives {
    let mut directives = ResponseDirectives::default();
    change(&mut directives);
    directives
}

pub(crate) fn fields(names: &[&'static str]) -> Scope {
    Scope::Fields(
        names
            .iter()
            .map(|name| http::HeaderName::from_static(name))
            .collect(),
    )
}

#[test]
fn response_directives() {
    let rows: Vec<(&str, &[&str], ResponseDirectives)> = vec![
        (
            "5.2.2.1",
            &["max-age=3600"],
            response(|d| d.max_age_s = Some(3_600)),
        ),
        (
            "5.2: names in any case",
            &["MaX-aGe=3600"],
            response(|d| d.max_age_s = Some(3_600)),
        ),
        (
            "5.2: an argument may be quoted",
            &[r#"max-age="3600""#],
            response(|d| d.max_age_s = Some(3_600)),
        ),
        (
            "5.2.3: extensions are ignored",
            &["foobar, max-age=1, x=y"],
            response(|d| d.max_age_s = Some(1)),
        ),
        (
            "5.6.4: quoted text is no directive",
            &[r#"ext="max-age=3600, no-store", max-age=1"#],
            response(|d| d.max_age_s = Some(1)),
        ),
        (
            "4.2.1: the first of two",
            &["max-age=1800, max-age=1"],
            response(|d| d.max_age_s = Some(1_800)),
        ),
        (
            "4.2.1: the first of two lines",
            &["max-age=1", "max-age=1800"],
            response(|d| d.max_age_s = Some(1)),
        ),
        (
            "4.2.1: not a number is stale",
            &["max-age=a3600"],
            response(|d| d.max_age_s = Some(0)),
        ),
        (
            "4.2.1: not only a number is stale",
            &["max-age=3600a"],
            response(|d| d.max_age_s = Some(0)),
        ),
        (
            "4.2.1: negative is stale",
            &["max-age=-3600"],
            response(|d| d.max_age_s = Some(0)),
        ),
        (
            "4.2.1: a fraction is stale",
            &["max-age=3600.0"],
            response(|d| d.max_age_s = Some(0)),
        ),
        (
            "4.2.1: single quotes are none",
            &["max-age='3600'"],
            response(|d| d.max_age_s = Some(0)),
        ),
        (
            "5.2: no space before =",
            &["max-age =3600"],
            response(|d| d.max_age_s = Some(0)),
        ),
        (
            "5.2: no space after =",
            &["max-age= 3600"],
            response(|d| d.max_age_s = Some(0)),
        ),
        (
            "4.2.1: no argument is stale",
            &["max-age"],
            response(|d| d.max_age_s = Some(0)),
        ),
        (
            "1.2.2",
            &["max-age=99999999999"],
            response(|d| d.max_age_s = Some(1 << 31)),
        ),
        (
            "5.2.2.10",
            &["s-maxage=5, max-age=9"],
            response(|d| {
                d.s_maxage_s = Some(5);
                d.max_age_s = Some(9);
            }),
        ),
        (
            "5.2.2.2",
            &["must-revalidate"],
            response(|d| d.must_revalidate = true),
        ),
        (
            "5.2.2.3",
            &["must-understand, no-store"],
            response(|d| {
                d.must_understand = true;
                d.no_store = true;
            }),
        ),
        (
            "5.2.2.4",
            &["no-cache"],
            response(|d| d.no_cache = Scope::Whole),
        ),
        (
            "5.2.2.4: fields",
            &[r#"no-cache="A, b""#],
            response(|d| d.no_cache = fields(&["a", "b"])),
        ),
        (
            "5.2.2.4: a field without quotes",
            &["no-cache=a"],
            response(|d| d.no_cache = fields(&["a"])),
        ),
        (
            "5.2.2.4: no fields",
            &[r#"no-cache="""#],
            response(|d| d.no_cache = Scope::Whole),
        ),
        (
            "5.2.2.4: no field name",
            &[r#"no-cache="a b""#],
            response(|d| d.no_cache = Scope::Whole),
        ),
        (
            "5.2.2.4: both forms",
            &[r#"no-cache="a""#, "no-cache"],
            response(|d| d.no_cache = Scope::Whole),
        ),
        (
            "5.2.2.4: twice",
            &[r#"no-cache="a", no-cache="b""#],
            response(|d| d.no_cache = fields(&["a", "b"])),
        ),
        ("5.2.2.5", &["No-StOrE"], response(|d| d.no_store = true)),
        (
            "5.2.2.5: badly written, still a restriction",
            &["no-store =x"],
            response(|d| d.no_store = true),
        ),
        (
            "5.2.2.6",
            &["no-transform"],
            response(|d| d.no_transform = true),
        ),
        (
            "5.2.2.7",
            &["private"],
            response(|d| d.private = Scope::Whole),
        ),
        (
            "5.2.2.7: fields",
            &[r#"private="set-cookie""#],
            response(|d| d.private = fields(&["set-cookie"])),
        ),
        (
            "5.2.2.8",
            &["proxy-revalidate"],
            response(|d| d.proxy_revalidate = true),
        ),
        ("5.2.2.9", &["public"], response(|d| d.public = true)),
        ("RFC 8246", &["immutable"], response(|d| d.immutable = true)),
        (
            "RFC 5861 3",
            &["stale-while-revalidate=30"],
            response(|d| d.stale_while_revalidate_s = Some(30)),
        ),
        (
            "RFC 5861 4",
            &["stale-if-error=60"],
            response(|d| d.stale_if_error_s = Some(60)),
        ),
        (
            "RFC 5861: not a number is none",
            &["stale-if-error=x, stale-while-revalidate"],
            response(|_| {}),
        ),
        ("empty members", &[", ,", ""], response(|_| {})),
    ];
    for (rule, lines, expected) in rows {
        let lines: Vec<String> = lines
            .iter()
            .map(|line| format!("Cache-Control: {line}"))
            .collect();
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        assert_eq!(
            ResponseDirectives::parse(&headers(&lines)),
            expected,
            "{rule}"
        );
    }
}

#[test]
fn request_directives() {
    let none = RequestDirectives::default();
    let rows = [
        ("absent", "nothing-to-see-here", none),
        (
            "5.2.1.1",
            "max-age=0",
            RequestDirectives {
                max_age_s: Some(0),
                ..none
            },
        ),
        ("5.2.1.1: not a number is none", "max-age=x", none),
        (
            "5.2.1.2",
            "max-stale=10",
            RequestDirectives {
                max_stale_s: Some(10),
                ..none
            },
        ),
        (
            "5.2.1.2: without argument",
            "max-stale",
            RequestDirectives {
                max_stale_s: Some(u32::MAX),
                ..none
            },
        ),
        ("5.2.1.2: not a number is none", "max-stale=x", none),
        (
            "5.2.1.3",
            "min-fresh=20",
            RequestDirectives {
                min_fresh_s: Some(20),
                ..none
            },
        ),
        (
            "5.2.1.4",
            "no-cache",
            RequestDirectives {
                no_cache: true,
                ..none
            },
        ),
        (
            "5.2.1.5",
            "NO-STORE",
            RequestDirectives {
                no_store: true,
                ..none
            },
        ),
        (
            "5.2.1.6",
            "no-transform",
            RequestDirectives {
                no_transform: true,
                ..none
            },
        ),
        (
            "5.2.1.7",
            "only-if-cached",
            RequestDirectives {
                only_if_cached: true,
                ..none
            },
        ),
    ];
    for (rule, line, expected) in rows {
        assert_eq!(
            RequestDirectives::parse(&headers(&[&format!("Cache-Control: {line}")])),
            expected,
            "{rule}"
        );
    }
    assert_eq!(
        RequestDirectives::parse(&headers(&["Pragma: no-cache"])),
        none,
        "5.4"
    );
}
