//! Variants (RFC 9111 §4.1).

use super::storing::cc;
use super::{Row, Step};
use crate::origin::Answer;

const S: &str = "RFC 9111 §4.1";

fn varied(on: &str) -> Answer {
    cc("max-age=60").with("Vary", on)
}

/// Stored for a request with the first value; asked for with the second.
fn pair(name: &str, on: &str, field: &'static str, values: (&str, &str), is_hit: bool) -> Row {
    let second = Step::get().asking(field, values.1);
    Row::steps(
        S,
        name,
        vec![
            Step::get()
                .asking(field, values.0)
                .answer(varied(on))
                .forwarded(),
            if is_hit {
                second.hit().number(1)
            } else {
                second.forwarded().number(2)
            },
        ],
    )
}

pub(super) fn rows() -> Vec<Row> {
    vec![
        Row::steps(
            S,
            "a name of 20 000 characters in Vary is passed on, and nothing is stored",
            vec![
                Step::get()
                    .answer(varied(&"x".repeat(20_000)))
                    .status(200)
                    .forwarded(),
                Step::get().status(200).forwarded().number(2),
            ],
        ),
        pair("the same value is a hit", "Foo", "Foo", ("1", "1"), true),
        pair(
            "another value is forwarded",
            "Foo",
            "Foo",
            ("1", "2"),
            false,
        ),
        pair("names in Vary have no case", "fOO", "Foo", ("1", "1"), true),
        pair(
            "names in Vary have no case when values differ",
            "fOO",
            "Foo",
            ("1", "2"),
            false,
        ),
        pair(
            "white space in a list means nothing",
            "Foo",
            "Foo",
            ("1,2", "1, 2"),
            true,
        ),
        pair(
            "the order of Accept-Encoding means nothing",
            "Accept-Encoding",
            "Accept-Encoding",
            ("gzip, br", "br, gzip"),
            true,
        ),
        pair(
            "the case of a language means nothing",
            "Accept-Language",
            "Accept-Language",
            ("en-GB", "en-gb"),
            true,
        ),
        pair(
            "a value not in Vary means nothing",
            "Foo",
            "Bar",
            ("1", "2"),
            true,
        ),
        Row::steps(
            S,
            "a missing field is not an empty one",
            vec![
                Step::get().answer(varied("Foo")).forwarded(),
                Step::get().asking("Foo", "1").forwarded(),
                Step::get().hit().number(1),
            ],
        ),
        Row::steps(
            S,
            "lines of one field are one list",
            vec![
                Step::get()
                    .asking("Foo", "1")
                    .asking("Foo", "2")
                    .answer(varied("Foo"))
                    .forwarded(),
                Step::get().asking("Foo", "1, 2").hit().number(1),
            ],
        ),
        Row::steps(
            S,
            "several variants are held at once",
            vec![
                Step::get()
                    .asking("Foo", "1")
                    .answer(varied("Foo"))
                    .forwarded(),
                Step::get().asking("Foo", "2").forwarded(),
                Step::get().asking("Foo", "3").forwarded(),
                Step::get().asking("Foo", "1").hit().number(1),
                Step::get().asking("Foo", "2").hit().number(2),
                Step::get().asking("Foo", "3").hit().number(3),
            ],
        ),
        Row::steps(
            S,
            "Vary in several lines is one list",
            vec![
                Step::get()
                    .asking("Foo", "1")
                    .asking("Bar", "1")
                    .answer(varied("Foo").with("Vary", "Bar"))
                    .forwarded(),
                Step::get()
                    .asking("Foo", "1")
                    .asking("Bar", "2")
                    .forwarded(),
                Step::get()
                    .asking("Foo", "1")
                    .asking("Bar", "1")
                    .hit()
                    .number(1),
            ],
        ),
        Row::steps(
            S,
            "Vary: * is never a hit",
            vec![
                Step::get().answer(varied("*")).forwarded(),
                Step::get().forwarded().number(2),
            ],
        ),
        Row::steps(
            S,
            "Vary: * inside a list is never a hit",
            vec![
                Step::get()
                    .asking("Foo", "1")
                    .answer(varied("Foo, *"))
                    .forwarded(),
                Step::get().asking("Foo", "1").forwarded().number(2),
            ],
        ),
        Row::steps(
            S,
            "a Vary of a thousand names is answered, and costs no thousand variants",
            vec![
                Step::get()
                    .answer(varied(
                        &(0..1000)
                            .map(|n| format!("X-{n}"))
                            .collect::<Vec<_>>()
                            .join(","),
                    ))
                    .forwarded()
                    .status(200),
                Step::get().status(200),
            ],
        ),
    ]
}
