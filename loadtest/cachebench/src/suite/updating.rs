//! Validation with the origin, and what a 304 changes in what is stored (RFC 9111 §4.3, §3.2).

use super::storing::{cc, ok};
use super::{Row, Step};
use crate::origin::Answer;

const MODIFIED: (&str, &str) = ("Last-Modified", "Mon, 02 Nov 2026 10:00:00 GMT");

/// Stale at once, with an entity tag.
fn tagged() -> Answer {
    cc("max-age=0").with("ETag", "\"one\"")
}

pub(super) fn rows() -> Vec<Row> {
    let mut rows = asking();
    rows.extend(merging());
    rows
}

fn asking() -> Vec<Row> {
    const S: &str = "RFC 9111 §4.3.1";
    vec![
        Row::steps(
            S,
            "an entity tag is asked about with If-None-Match",
            vec![
                Step::get().answer(tagged().validating()).forwarded(),
                Step::get()
                    .forwarded()
                    .saw("if-none-match", "\"one\"")
                    .status(200)
                    .number(1),
            ],
        ),
        Row::steps(
            S,
            "a weak entity tag too",
            vec![
                Step::get()
                    .answer(cc("max-age=0").with("ETag", "W/\"one\"").validating())
                    .forwarded(),
                Step::get()
                    .forwarded()
                    .saw("if-none-match", "W/\"one\"")
                    .number(1),
            ],
        ),
        Row::steps(
            S,
            "Last-Modified is asked about with If-Modified-Since",
            vec![
                Step::get()
                    .answer(cc("max-age=0").with(MODIFIED.0, MODIFIED.1).validating())
                    .forwarded(),
                Step::get()
                    .forwarded()
                    .saw("if-modified-since", MODIFIED.1)
                    .number(1),
            ],
        ),
        Row::steps(
            S,
            "no-cache is validated at each use",
            vec![
                Step::get()
                    .answer(cc("no-cache").with("ETag", "\"one\"").validating())
                    .forwarded(),
                Step::get().forwarded_with("if-none-match").number(1),
                Step::get().forwarded_with("if-none-match").number(1),
            ],
        ),
        Row::steps(
            S,
            "the client's own validator is not in the way of ours",
            vec![
                Step::get().answer(tagged().validating()).forwarded(),
                Step::get()
                    .asking("If-None-Match", "\"other\"")
                    .forwarded()
                    .status(200)
                    .number(1),
            ],
        ),
        Row::steps(
            "RFC 9111 §4.3.3",
            "a 200 replaces what was stored",
            vec![
                Step::get().answer(tagged().validating()).forwarded(),
                Step::get()
                    .answer(cc("max-age=60").with("ETag", "\"two\""))
                    .forwarded()
                    .number(2)
                    .field("etag", "\"two\""),
                Step::get().hit().number(2),
            ],
        ),
        Row::steps(
            "RFC 9111 §4.3.3",
            "a 404 is what the client gets, not what was stored",
            vec![
                Step::get().answer(tagged().validating()).forwarded(),
                Step::get().answer(Answer::new(404)).forwarded().status(404),
            ],
        ),
    ]
}

fn merging() -> Vec<Row> {
    const S: &str = "RFC 9111 §3.2";
    let merged = |name: &str, update: (&'static str, &'static str), then: Step| {
        Row::steps(
            S,
            name,
            vec![
                Step::get()
                    .answer(
                        tagged()
                            .with("Content-Type", "text/plain")
                            .with("X-Kept", "1"),
                    )
                    .forwarded(),
                Step::get()
                    .answer(
                        Answer::new(304)
                            .with("ETag", "\"one\"")
                            .with("Cache-Control", "max-age=60")
                            .with(update.0, update.1),
                    )
                    .forwarded()
                    .status(200)
                    .number(1),
                then.hit().status(200).number(1),
            ],
        )
    };
    vec![
        Row::steps(
            "RFC 9111 §4.3.4",
            "a 304 makes what is stored fresh again",
            vec![
                Step::get().answer(tagged()).forwarded(),
                Step::get()
                    .answer(
                        Answer::new(304)
                            .with("ETag", "\"one\"")
                            .with("Cache-Control", "max-age=60"),
                    )
                    .forwarded()
                    .number(1),
                Step::get().hit().number(1),
            ],
        ),
        merged(
            "a 304's new field is stored",
            ("X-New", "1"),
            Step::get().field("x-new", "1"),
        ),
        merged(
            "a 304's changed field replaces the stored one",
            ("X-Kept", "2"),
            Step::get().field("x-kept", "2"),
        ),
        merged(
            "a field that a 304 does not name stays",
            ("X-New", "1"),
            Step::get().field("x-kept", "1"),
        ),
        merged(
            "a 304's Content-Encoding does not change the stored body's",
            ("Content-Encoding", "gzip"),
            Step::get().absent("content-encoding"),
        ),
        merged(
            "a 304's Content-Range does not change the stored body's",
            ("Content-Range", "bytes 0-1/2"),
            Step::get().absent("content-range"),
        ),
        Row::steps(
            "RFC 9111 §4.2.3",
            "after a 304 the age counts from it",
            vec![
                Step::get()
                    .answer(ok(&[
                        ("Cache-Control", "max-age=10"),
                        ("Age", "20"),
                        ("ETag", "\"one\""),
                    ]))
                    .forwarded(),
                Step::get()
                    .answer(
                        Answer::new(304)
                            .with("ETag", "\"one\"")
                            .with("Cache-Control", "max-age=60"),
                    )
                    .forwarded()
                    .number(1),
                Step::get().hit().age(0, 2),
            ],
        ),
    ]
}
