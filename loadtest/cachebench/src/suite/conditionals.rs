//! Clients' conditions on what is stored (RFC 9110 §13, RFC 9111 §4.3.2).

use super::storing::cc;
use super::{Row, Step};
use crate::origin::Answer;

const MODIFIED: &str = "Mon, 02 Nov 2026 10:00:00 GMT";

fn held() -> Answer {
    cc("max-age=60")
        .with("ETag", "\"one\"")
        .with("Last-Modified", MODIFIED)
        .with("X-Other", "1")
}

/// A stored answer, and a request with this condition.
fn row(section: &'static str, name: &str, condition: (&'static str, &str), status: u16) -> Row {
    let second = Step::get()
        .asking(condition.0, condition.1)
        .hit()
        .status(status);
    Row::steps(
        section,
        name,
        vec![
            Step::get().answer(held()).forwarded(),
            match status {
                304 => second.body("").field("etag", "\"one\""),
                _ => second.number(1),
            },
        ],
    )
}

pub(super) fn rows() -> Vec<Row> {
    const NONE: &str = "RFC 9110 §13.1.2";
    const SINCE: &str = "RFC 9110 §13.1.3";
    let match_on = |name, value, status| row(NONE, name, ("If-None-Match", value), status);
    let since = |name, value, status| row(SINCE, name, ("If-Modified-Since", value), status);
    let mut rows = vec![
        match_on("the stored tag is 304", "\"one\"", 304),
        match_on("another tag is 200", "\"two\"", 200),
        match_on(
            "a list with the stored tag is 304",
            "\"zero\", \"one\" , \"two\"",
            304,
        ),
        match_on("tags are compared weakly", "W/\"one\"", 304),
        match_on("* is 304", "*", 304),
        since("the stored date is 304", MODIFIED, 304),
        since("a later date is 304", "Tue, 03 Nov 2026 10:00:00 GMT", 304),
        since(
            "an earlier date is 200",
            "Sun, 01 Nov 2026 10:00:00 GMT",
            200,
        ),
        since("what is no date is ignored", "yesterday", 200),
    ];
    rows.push(Row::steps(
        "RFC 9110 §13.2.2",
        "If-None-Match goes before If-Modified-Since",
        vec![
            Step::get().answer(held()).forwarded(),
            Step::get()
                .asking("If-None-Match", "\"two\"")
                .asking("If-Modified-Since", MODIFIED)
                .hit()
                .status(200)
                .number(1),
        ],
    ));
    rows.push(Row::steps(
        "RFC 9110 §15.4.5",
        "a 304 has the fields that a 200 would have had, and no length of its own",
        vec![
            Step::get().answer(held()).forwarded(),
            Step::get()
                .asking("If-None-Match", "\"one\"")
                .hit()
                .status(304)
                .field("cache-control", "max-age=60")
                .field("etag", "\"one\"")
                .absent("content-range"),
        ],
    ));
    rows.push(Row::steps(
        "RFC 9110 §13.1.2",
        "a HEAD has conditions too",
        vec![
            Step::get().answer(held()).forwarded(),
            Step::method("HEAD")
                .asking("If-None-Match", "\"one\"")
                .hit()
                .status(304),
        ],
    ));
    rows.push(Row::steps(
        "RFC 9111 §4.3.2",
        "a condition on a stored error is no condition",
        vec![
            Step::get()
                .answer(
                    Answer::new(404)
                        .with("Cache-Control", "max-age=60")
                        .with("ETag", "\"one\""),
                )
                .forwarded(),
            Step::get()
                .asking("If-None-Match", "\"one\"")
                .hit()
                .status(404),
        ],
    ));
    rows.push(Row::steps(
        "RFC 9111 §4.3.2",
        "after a validation the client's own tag is answered 304",
        vec![
            Step::get()
                .answer(cc("max-age=0").with("ETag", "\"one\"").validating())
                .forwarded(),
            Step::get()
                .asking("If-None-Match", "\"one\"")
                .forwarded()
                .status(304),
        ],
    ));
    for (name, since, status) in [
        (
            "without Last-Modified, Date at the date asked about is 304",
            MODIFIED,
            304,
        ),
        (
            "without Last-Modified, Date before the date asked about is 304",
            "Tue, 03 Nov 2026 10:00:00 GMT",
            304,
        ),
        (
            "without Last-Modified, Date after the date asked about is 200",
            "Sun, 01 Nov 2026 10:00:00 GMT",
            200,
        ),
    ] {
        rows.push(Row::steps(
            "RFC 9111 §4.3.2",
            name,
            vec![
                // Fresh however long ago that date is.
                Step::get()
                    .answer(cc("max-age=2000000000").with("Date", MODIFIED))
                    .forwarded(),
                Step::get()
                    .asking("If-Modified-Since", since)
                    .hit()
                    .status(status),
            ],
        ));
    }
    rows
}
