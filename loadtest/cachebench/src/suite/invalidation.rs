//! Invalidation by unsafe methods (RFC 9111 §4.4).

use super::storing::cc;
use super::{Row, Step};
use crate::origin::Answer;

const S: &str = "RFC 9111 §4.4";

/// A stored answer, an unsafe request, and what the third finds.
fn row(name: String, method: &'static str, answer: Answer, is_gone: bool) -> Row {
    let third = Step::get().answer(cc("max-age=60"));
    Row::steps(
        S,
        name,
        vec![
            Step::get().answer(cc("max-age=60")).forwarded(),
            Step::get().hit(),
            Step::method(method).answer(answer).forwarded(),
            if is_gone {
                third.forwarded()
            } else {
                third.hit().number(1)
            },
        ],
    )
}

/// The same for the folder of the unsafe request's target, when a field of its answer names it.
fn named(name: &str, field: &str, value: &str, is_gone: bool) -> Row {
    let get = || Step::get().of("/").asking("Host", "here.example");
    Row::steps(
        S,
        name,
        vec![
            get().answer(cc("max-age=60")).forwarded(),
            get().hit(),
            Step::method("POST")
                .of("/act")
                .asking("Host", "here.example")
                .answer(Answer::new(201).with(field, value))
                .forwarded(),
            if is_gone {
                get().forwarded()
            } else {
                get().hit().number(1)
            },
        ],
    )
}

pub(super) fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for method in ["POST", "PUT", "DELETE", "PATCH", "FROB"] {
        rows.push(row(
            format!("{method} drops what is stored for its target"),
            method,
            Answer::new(200),
            true,
        ));
    }
    for status in [204, 303] {
        rows.push(row(
            format!("a POST answered {status} does too"),
            "POST",
            Answer::new(status),
            true,
        ));
    }
    for status in [403, 500] {
        rows.push(row(
            format!("a POST answered {status} does not"),
            "POST",
            Answer::new(status),
            false,
        ));
    }
    rows.push(row(
        "OPTIONS is safe and drops nothing".to_owned(),
        "OPTIONS",
        cc("max-age=60").body("x"),
        false,
    ));
    rows.extend([
        named(
            "what a relative Location names is dropped",
            "Location",
            "./",
            true,
        ),
        named(
            "what a Location on the same host names is dropped",
            "Location",
            "http://here.example{folder}",
            true,
        ),
        named(
            "what a Content-Location names is dropped",
            "Content-Location",
            "{folder}",
            true,
        ),
        named(
            "a Location on another host drops nothing",
            "Location",
            "http://there.example{folder}",
            false,
        ),
    ]);
    rows
}
