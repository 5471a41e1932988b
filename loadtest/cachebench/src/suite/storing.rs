//! What may be stored (RFC 9111 §3, RFC 9213), and for what it is looked up (§2).

use super::{Row, Step};
use crate::origin::Answer;

/// A day ago: what heuristics need.
pub(super) const LAST_MODIFIED: (&str, &str) = ("Last-Modified", "{date:-864000}");

/// The second request is a hit.
pub(super) fn kept(section: &'static str, name: &str, answer: Answer) -> Row {
    Row::steps(
        section,
        name,
        vec![
            Step::get().answer(answer).forwarded(),
            Step::get().hit().number(1),
        ],
    )
}

/// The second request is forwarded.
pub(super) fn not_kept(section: &'static str, name: &str, answer: Answer) -> Row {
    Row::steps(
        section,
        name,
        vec![
            Step::get().answer(answer).forwarded(),
            Step::get().forwarded().number(2),
        ],
    )
}

pub(super) fn ok(fields: &[(&str, &str)]) -> Answer {
    Answer::new(200).with_all(fields)
}

/// 200 with this `Cache-Control`.
pub(super) fn cc(value: &str) -> Answer {
    ok(&[("Cache-Control", value)])
}

pub(super) fn rows() -> Vec<Row> {
    let mut rows = directives();
    rows.extend(authorization());
    rows.extend(statuses());
    rows.extend(methods_and_keys());
    rows.extend(targeted());
    rows
}

fn directives() -> Vec<Row> {
    const S3: &str = "RFC 9111 §3";
    vec![
        kept(S3, "max-age is stored", cc("max-age=60")),
        kept(S3, "Expires is stored", ok(&[("Expires", "{date:60}")])),
        not_kept(
            S3,
            "nothing explicit and no Last-Modified is not stored",
            ok(&[]),
        ),
        not_kept(
            "RFC 9111 §5.2.2.5",
            "no-store is not stored",
            cc("no-store, max-age=60"),
        ),
        not_kept(
            "RFC 9111 §5.2.2.5",
            "no-store in any case is not stored",
            cc("max-age=60, No-StOrE"),
        ),
        not_kept(
            "RFC 9111 §5.2.2.7",
            "private is not stored",
            cc("private, max-age=60"),
        ),
        Row::steps(
            "RFC 9111 §5.2.2.7",
            "a field that private names is not stored",
            vec![
                Step::get().answer(cc("private=\"x-mine\", max-age=60").with("X-Mine", "1")),
                Step::get().answer(cc("max-age=60")).absent("x-mine"),
            ],
        ),
        Row::steps(
            "RFC 9111 §5.2.2.4",
            "a field that no-cache names is not sent without validation",
            vec![
                Step::get().answer(cc("no-cache=\"x-mine\", max-age=60").with("X-Mine", "1")),
                Step::get().answer(cc("max-age=60")).absent("x-mine"),
            ],
        ),
        not_kept(
            "RFC 9111 §5.2.2.4",
            "no-cache is not served without validation",
            cc("no-cache, max-age=60"),
        ),
        kept(
            "RFC 9111 §5.2.2.3",
            "must-understand with an understood status overrides no-store",
            cc("must-understand, no-store, max-age=60"),
        ),
        Row::steps(
            "RFC 9111 §5.2.2.3",
            "must-understand with an unknown status is not stored",
            vec![
                Step::get()
                    .answer(Answer::new(299).with("Cache-Control", "must-understand, max-age=60"))
                    .forwarded(),
                Step::get().forwarded(),
            ],
        ),
        kept(
            "RFC 9111 §5.2.3",
            "unknown directives are ignored",
            cc("foo, max-age=60, bar=\"baz, no-store\""),
        ),
        kept(
            "RFC 9111 §5.2",
            "Cache-Control in several lines is one list",
            ok(&[("Cache-Control", "foo"), ("Cache-Control", "max-age=60")]),
        ),
        not_kept(
            "RFC 9111 §5.2",
            "no-store in a second line counts",
            ok(&[
                ("Cache-Control", "max-age=60"),
                ("Cache-Control", "no-store"),
            ]),
        ),
        not_kept(
            "RFC 9111 §5.4",
            "Pragma alone makes nothing cacheable",
            ok(&[("Pragma", "max-age=60")]),
        ),
    ]
}

fn authorization() -> Vec<Row> {
    const S: &str = "RFC 9111 §3.5";
    let with = |name: &str, control: &str, is_kept: bool| {
        let second = Step::get().asking("Authorization", "Basic eDp5");
        Row::steps(
            S,
            name,
            vec![
                Step::get()
                    .asking("Authorization", "Basic eDp5")
                    .answer(cc(control))
                    .forwarded(),
                if is_kept {
                    second.hit().number(1)
                } else {
                    second.forwarded().number(2)
                },
            ],
        )
    };
    vec![
        with("an authorised answer is not stored", "max-age=60", false),
        with("unless it is public", "public, max-age=60", true),
        with("unless it has s-maxage", "s-maxage=60", true),
        with(
            "unless it has must-revalidate",
            "must-revalidate, max-age=60",
            true,
        ),
        Row::steps(
            S,
            "an authorised answer is not given to others",
            vec![
                Step::get()
                    .asking("Authorization", "Basic eDp5")
                    .answer(cc("max-age=60"))
                    .forwarded(),
                Step::get().forwarded().number(2),
            ],
        ),
    ]
}

fn statuses() -> Vec<Row> {
    const S: &str = "RFC 9110 §15.1";
    let mut rows = Vec::new();
    let row = |name: String, answer: Answer, status: u16, is_kept: bool| {
        let second = Step::get().status(status);
        Row::steps(
            S,
            name,
            vec![
                Step::get().answer(answer).forwarded().status(status),
                if is_kept {
                    second.hit()
                } else {
                    second.forwarded()
                },
            ],
        )
    };
    for status in [200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501] {
        rows.push(row(
            format!("{status} is stored by heuristics"),
            Answer::new(status).with(LAST_MODIFIED.0, LAST_MODIFIED.1),
            status,
            true,
        ));
    }
    for status in [201, 202, 302, 303, 307, 400, 403, 500, 502, 503, 504] {
        rows.push(row(
            format!("{status} is not stored by heuristics"),
            Answer::new(status).with(LAST_MODIFIED.0, LAST_MODIFIED.1),
            status,
            false,
        ));
    }
    for status in [302, 307, 404, 410, 500, 503] {
        rows.push(row(
            format!("{status} with max-age is stored: negative answers have lives too"),
            Answer::new(status).with("Cache-Control", "max-age=60"),
            status,
            true,
        ));
    }
    rows
}

fn methods_and_keys() -> Vec<Row> {
    let life = || cc("max-age=60");
    vec![
        Row::steps(
            "RFC 9111 §2",
            "queries are part of the key",
            vec![
                Step::get().of("?a=1").answer(life()).forwarded(),
                Step::get().of("?a=2").forwarded(),
                Step::get().of("?a=1").hit(),
            ],
        ),
        Row::steps(
            "RFC 9111 §2",
            "hosts are part of the key",
            vec![
                Step::get()
                    .asking("Host", "a.example")
                    .answer(life())
                    .forwarded(),
                Step::get().asking("Host", "b.example").forwarded(),
                Step::get().asking("Host", "a.example").hit(),
            ],
        ),
        Row::steps(
            "RFC 9110 §4.2.3",
            "hosts are compared without case",
            vec![
                Step::get()
                    .asking("Host", "Case.Example")
                    .answer(life())
                    .forwarded(),
                Step::get().asking("Host", "case.example").hit(),
            ],
        ),
        Row::steps(
            "RFC 9110 §9.3.2",
            "HEAD is answered by a stored GET, with its length and no body",
            vec![
                Step::get().answer(life().body("12345")).forwarded(),
                Step::method("HEAD")
                    .hit()
                    .status(200)
                    .field("content-length", "5"),
            ],
        ),
        Row::steps(
            "RFC 9110 §9.3.2",
            "a HEAD's answer is not a GET's",
            vec![
                Step::method("HEAD")
                    .answer(life().body("12345"))
                    .status(200),
                Step::get().body("12345"),
            ],
        ),
        Row::steps(
            "RFC 9110 §9.3.3",
            "POST is written through",
            vec![
                Step::method("POST").answer(life()).forwarded(),
                Step::method("POST").forwarded(),
            ],
        ),
        Row::steps(
            "RFC 9111 §4",
            "an unknown method is written through",
            vec![
                Step::method("FROB").answer(life()).forwarded(),
                Step::method("FROB").forwarded(),
            ],
        ),
        Row::steps(
            "RFC 9111 §5.2.1.7",
            "only-if-cached is 504 where nothing is held",
            vec![
                Step::get()
                    .asking("Cache-Control", "only-if-cached")
                    .answer(life())
                    .hit()
                    .status(504),
            ],
        ),
        Row::steps(
            "RFC 9111 §5.2.1.7",
            "only-if-cached is served where it is held",
            vec![
                Step::get().answer(life()).forwarded(),
                Step::get()
                    .asking("Cache-Control", "only-if-cached")
                    .hit()
                    .status(200)
                    .number(1),
            ],
        ),
    ]
}

fn targeted() -> Vec<Row> {
    const S: &str = "RFC 9213 §2.2";
    let both = |targeted: &str, general: &str| {
        ok(&[("CDN-Cache-Control", targeted), ("Cache-Control", general)])
    };
    vec![
        kept(
            S,
            "CDN-Cache-Control overrides no-store",
            both("max-age=60", "no-store"),
        ),
        not_kept(
            S,
            "CDN-Cache-Control: no-store overrides max-age",
            both("no-store", "max-age=60"),
        ),
        not_kept(
            S,
            "CDN-Cache-Control: private overrides max-age",
            both("private", "max-age=60"),
        ),
        not_kept(
            S,
            "CDN-Cache-Control: max-age=0 overrides max-age",
            both("max-age=0", "max-age=60"),
        ),
        not_kept(
            S,
            "CDN-Cache-Control overrides Expires",
            ok(&[("CDN-Cache-Control", "max-age=0"), ("Expires", "{date:60}")]),
        ),
        kept(
            "RFC 9213 §2.1",
            "an invalid CDN-Cache-Control is ignored",
            both("max-age=0, &&&", "max-age=60"),
        ),
        not_kept(
            "RFC 9213 §2.1",
            "an invalid CDN-Cache-Control does not store",
            both("max-age=60, &&&", "no-store"),
        ),
        kept(
            "RFC 9213 §2",
            "MCSP-Cache-Control overrides CDN-Cache-Control",
            both("no-store", "no-store").with("MCSP-Cache-Control", "max-age=60"),
        ),
        not_kept(
            "RFC 9213 §2",
            "MCSP-Cache-Control: no-store overrides CDN-Cache-Control",
            both("max-age=60", "max-age=60").with("MCSP-Cache-Control", "no-store"),
        ),
        kept(
            "RFC 9213 §2",
            "an unknown target's field is not ours",
            cc("max-age=60").with("Other-Cache-Control", "no-store"),
        ),
    ]
}
