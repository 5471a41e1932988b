//! Stale answers: in the background (RFC 5861 §3), instead of errors (§4), and where never (RFC 9111 §4.2.4).

use std::time::Duration;

use futures::FutureExt as _;

use super::storing::cc;
use super::{Row, Stage, Step, ensure};
use crate::origin::Answer;

pub(super) fn rows() -> Vec<Row> {
    let mut rows = in_the_background();
    rows.extend(instead_of_errors());
    rows.extend(never());
    rows
}

fn in_the_background() -> Vec<Row> {
    const S: &str = "RFC 5861 §3";
    vec![
        Row::code(
            S,
            "stale is served at once and fetched anew behind it",
            |stage| background(stage).boxed(),
        ),
        Row::steps(
            S,
            "not beyond its window",
            vec![
                Step::get()
                    .answer(cc("max-age=1, stale-while-revalidate=1"))
                    .forwarded(),
                Step::get().after_ms(3200).forwarded().number(2),
            ],
        ),
        Row::code(S, "many readers of stale are one fetch", |stage| {
            one_background_fetch(stage).boxed()
        }),
    ]
}

async fn background(stage: Stage) -> Result<(), String> {
    stage.answer(cc("max-age=1, stale-while-revalidate=60"));
    stage.get().await?;
    tokio::time::sleep(Duration::from_millis(2100)).await;
    stage.answer(cc("max-age=60").after_ms(500));
    let second = stage.get().await?;
    let wanted = format!("{} answer 1", stage.path);
    ensure(second.text() == wanted, || {
        format!("the stale answer was not served: {:?}", second.text())
    })?;
    let wanted = format!("{} answer 2", stage.path);
    for _ in 0..40 {
        tokio::time::sleep(Duration::from_millis(50)).await;
        if stage.get().await?.text() == wanted {
            return ensure(stage.seen().len() == 2, || {
                format!("the origin was asked {} times, not 2", stage.seen().len())
            });
        }
    }
    Err("what was fetched behind it never came".to_owned())
}

async fn one_background_fetch(stage: Stage) -> Result<(), String> {
    stage.answer(cc("max-age=1, stale-while-revalidate=60"));
    stage.get().await?;
    tokio::time::sleep(Duration::from_millis(2100)).await;
    stage.answer(cc("max-age=60").after_ms(300));
    let readers = (0..20).map(|_| stage.get());
    for answer in futures::future::join_all(readers).await {
        let answer = answer?;
        ensure(answer.text().ends_with("answer 1"), || {
            format!("a reader waited and got {:?}", answer.text())
        })?;
    }
    tokio::time::sleep(Duration::from_millis(600)).await;
    ensure(stage.seen().len() == 2, || {
        format!("the origin was asked {} times, not 2", stage.seen().len())
    })
}

fn instead_of_errors() -> Vec<Row> {
    const S: &str = "RFC 5861 §4";
    let row = |name: String, life: &str, error: Answer, status: u16| {
        let second = Step::get().after_ms(2100).answer(error).status(status);
        Row::steps(
            S,
            name,
            vec![
                Step::get().answer(cc(life)).forwarded(),
                match status {
                    200 => second.number(1),
                    _ => second,
                },
            ],
        )
    };
    const LIFE: &str = "max-age=1, stale-if-error=60";
    let mut rows = Vec::new();
    for status in [500, 502, 503, 504] {
        rows.push(row(
            format!("stale instead of {status}"),
            LIFE,
            Answer::new(status),
            200,
        ));
    }
    rows.push(row(
        "stale instead of a connection that breaks".to_owned(),
        LIFE,
        Answer::hang_up(),
        200,
    ));
    rows.push(row(
        "stale instead of what is no HTTP".to_owned(),
        LIFE,
        Answer::raw(b"nonsense\r\n\r\n"),
        200,
    ));
    for status in [404, 403, 410, 501] {
        rows.push(row(
            format!("not instead of {status}"),
            LIFE,
            Answer::new(status),
            status,
        ));
    }
    rows.push(row(
        "not beyond its window".to_owned(),
        "max-age=1, stale-if-error=0",
        Answer::new(503),
        503,
    ));
    rows
}

fn never() -> Vec<Row> {
    const S: &str = "RFC 9111 §4.2.4";
    let row = |section: &'static str, control: &str| {
        Row::steps(
            section,
            format!("{control}: never stale"),
            vec![
                Step::get()
                    .answer(cc(&format!(
                        "{control}, stale-if-error=60, stale-while-revalidate=60"
                    )))
                    .forwarded(),
                Step::get()
                    .after_ms(2100)
                    .answer(Answer::hang_up())
                    .status_of(&[502, 503, 504]),
            ],
        )
    };
    vec![
        row("RFC 9111 §5.2.2.2", "max-age=1, must-revalidate"),
        row("RFC 9111 §5.2.2.8", "max-age=1, proxy-revalidate"),
        row("RFC 9111 §5.2.2.10", "s-maxage=1"),
        row("RFC 9111 §5.2.2.4", "no-cache, max-age=1"),
        Row::steps(
            S,
            "a broken connection and nothing said of stale: an error or the stale answer, and never half of it",
            vec![
                Step::get().answer(cc("max-age=1")).forwarded(),
                Step::get()
                    .after_ms(2100)
                    .answer(Answer::hang_up())
                    .status_of(&[200, 502, 503, 504]),
            ],
        ),
    ]
}
