//! RFC 9213, and section 2.3 of the Edge Architecture note.

use mcsp_edge_policy::cache_control::{ResponseDirectives, Scope};
use mcsp_edge_policy::targeted::ResponseControl;

use crate::cache_control::{fields, response};
use crate::headers;

/// Which field speaks, and what it says.
#[test]
fn targeted_fields() {
    let no_store = response(|d| d.no_store = true);
    let max_age = |seconds| response(|d| d.max_age_s = Some(seconds));
    let rows: Vec<(&str, &[&str], Option<&str>, ResponseDirectives)> = vec![
        (
            "RFC 9213 2.2: in place of Cache-Control",
            &["CDN-Cache-Control: max-age=9", "Cache-Control: no-store"],
            Some("cdn-cache-control"),
            max_age(9),
        ),
        (
            "RFC 9213 2.2: the most specific first",
            &[
                "CDN-Cache-Control: max-age=9",
                "MCSP-Cache-Control: max-age=5",
            ],
            Some("mcsp-cache-control"),
            max_age(5),
        ),
        (
            "RFC 9213 2.1: several lines are one",
            &[
                "CDN-Cache-Control: max-age=9",
                "CDN-Cache-Control: no-store",
            ],
            Some("cdn-cache-control"),
            response(|d| {
                d.no_store = true;
                d.max_age_s = Some(9);
            }),
        ),
        (
            "RFC 9213 2.1: parameters are ignored",
            &["CDN-Cache-Control: max-age=9;x=1, no-store;y"],
            Some("cdn-cache-control"),
            response(|d| {
                d.no_store = true;
                d.max_age_s = Some(9);
            }),
        ),
        (
            "RFC 9213 2.1: extensions are ignored",
            &["CDN-Cache-Control: foobar, max-age=9"],
            Some("cdn-cache-control"),
            max_age(9),
        ),
        (
            "RFC 9213 2.1: an unknown directive still speaks",
            &["CDN-Cache-Control: foo", "Cache-Control: max-age=9"],
            Some("cdn-cache-control"),
            response(|_| {}),
        ),
        (
            "RFC 9213 2.1: a syntax error is absence",
            &[
                "CDN-Cache-Control: max-age=9, &&&&",
                "Cache-Control: no-store",
            ],
            None,
            no_store.clone(),
        ),
        (
            "RFC 8941 3.2: keys are in lower case",
            &["CDN-Cache-Control: MaX-aGe=9", "Cache-Control: no-store"],
            None,
            no_store.clone(),
        ),
        (
            "RFC 8941 3.2: no space before =",
            &["CDN-Cache-Control: max-age =9", "Cache-Control: max-age=1"],
            None,
            max_age(1),
        ),
        (
            "RFC 8941 3.2: no space after =",
            &["CDN-Cache-Control: max-age= 9", "Cache-Control: max-age=1"],
            None,
            max_age(1),
        ),
        (
            "RFC 9213 2.1: empty is absence",
            &["CDN-Cache-Control:", "Cache-Control: max-age=1"],
            None,
            max_age(1),
        ),
        (
            "RFC 9213 2.1: a lifetime is an integer",
            &[
                r#"CDN-Cache-Control: max-age="9""#,
                "Cache-Control: max-age=1",
            ],
            Some("cdn-cache-control"),
            response(|_| {}),
        ),
        (
            "RFC 9213 2.1: the next field when the first is broken",
            &["MCSP-Cache-Control: =", "CDN-Cache-Control: max-age=9"],
            Some("cdn-cache-control"),
            max_age(9),
        ),
        (
            "RFC 8941 3.2: the last of two",
            &["CDN-Cache-Control: max-age=9, max-age=1"],
            Some("cdn-cache-control"),
            max_age(1),
        ),
        (
            "RFC 9213 2.1: negative is stale",
            &["CDN-Cache-Control: max-age=-9"],
            Some("cdn-cache-control"),
            max_age(0),
        ),
        (
            "RFC 9111 1.2.2",
            &["CDN-Cache-Control: max-age=99999999999"],
            Some("cdn-cache-control"),
            max_age(1 << 31),
        ),
        (
            "RFC 9213 2.1: false is absence",
            &["CDN-Cache-Control: no-store=?0, private=?0"],
            Some("cdn-cache-control"),
            response(|_| {}),
        ),
        (
            "RFC 9213 2.1: private",
            &["CDN-Cache-Control: private"],
            Some("cdn-cache-control"),
            response(|d| d.private = Scope::Whole),
        ),
        (
            "RFC 9213 2.1: fields in a string",
            &[r#"CDN-Cache-Control: private="a, b""#],
            Some("cdn-cache-control"),
            response(|d| d.private = fields(&["a", "b"])),
        ),
        (
            "RFC 9213 2.1: fields in a list",
            &[r#"CDN-Cache-Control: no-cache=("a" b)"#],
            Some("cdn-cache-control"),
            response(|d| d.no_cache = fields(&["a", "b"])),
        ),
        (
            "Edge Architecture 2.3",
            &["Surrogate-Control: max-age=9", "Cache-Control: no-store"],
            Some("surrogate-control"),
            max_age(9),
        ),
        (
            "Edge Architecture 2.3: after the targeted ones",
            &[
                "Surrogate-Control: max-age=9",
                "CDN-Cache-Control: max-age=5",
            ],
            Some("cdn-cache-control"),
            max_age(5),
        ),
        (
            "Edge Architecture 2.3: for another device",
            &[
                "Surrogate-Control: max-age=9;other",
                "Cache-Control: max-age=1",
            ],
            None,
            max_age(1),
        ),
        (
            "Edge Architecture 2.3: for this device",
            &["Surrogate-Control: max-age=1, max-age=9;MCSP-Edge"],
            Some("surrogate-control"),
            max_age(9),
        ),
        (
            "Edge Architecture 2.3: no-store",
            &["Surrogate-Control: No-Store"],
            Some("surrogate-control"),
            no_store,
        ),
        (
            "Edge Architecture 2.3: extra time",
            &["Surrogate-Control: max-age=9+6"],
            Some("surrogate-control"),
            response(|d| {
                d.max_age_s = Some(9);
                d.stale_while_revalidate_s = Some(6);
            }),
        ),
        (
            "Edge Architecture 2.3: nothing known is absence",
            &[
                r#"Surrogate-Control: content="ESI/1.0""#,
                "Cache-Control: max-age=1",
            ],
            None,
            max_age(1),
        ),
        (
            "Edge Architecture 2.3: no number is stale",
            &["Surrogate-Control: max-age= 9"],
            Some("surrogate-control"),
            max_age(0),
        ),
    ];
    for (rule, lines, by, expected) in rows {
        let control = ResponseControl::of(&headers(lines));
        assert_eq!(
            control.targeted_by.map(http::HeaderName::as_str),
            by,
            "{rule}"
        );
        assert_eq!(control.directives, expected, "{rule}");
    }
}
