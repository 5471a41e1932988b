//! Bodies that break off are never taken for whole ones (RFC 9112 §8, RFC 9111 §3.3).

use futures::FutureExt as _;

use super::ranges::large;
use super::storing::cc;
use super::{Row, Stage, Step, ensure};
use crate::origin::{Answer, Told};

const S: &str = "RFC 9112 §8";

pub(super) fn rows() -> Vec<Row> {
    let then_whole = |name: &str, told: Told| {
        Row::steps(
            "RFC 9111 §3.3",
            name,
            vec![
                Step::get().answer(cc("max-age=60").body("0123456789").told(told)),
                Step::get()
                    .answer(cc("max-age=60").body("0123456789"))
                    .forwarded()
                    .status(200)
                    .body("0123456789"),
            ],
        )
    };
    vec![
        Row::code(
            S,
            "a body shorter than Content-Length is not ended as if it were whole",
            |stage| broken(stage, Told::Cut(1000)).boxed(),
        ),
        Row::code(
            S,
            "a chunked body without its last chunk is not ended as if it were whole",
            |stage| broken(stage, Told::ChunkedCut).boxed(),
        ),
        then_whole(
            "a body shorter than Content-Length is not stored",
            Told::Cut(4),
        ),
        then_whole(
            "a chunked body without its last chunk is not stored",
            Told::ChunkedCut,
        ),
        Row::steps(
            "RFC 9112 §6.3",
            "a body that the connection's end ends is passed on whole",
            vec![
                Step::get()
                    .answer(cc("max-age=60").body("0123456789").told(Told::Close))
                    .status(200)
                    .body("0123456789"),
                Step::get().status(200).body("0123456789"),
            ],
        ),
        Row::steps(
            "RFC 9112 §6.1",
            "a body in a transfer coding that is not known is not given on, nor stored",
            vec![
                Step::get()
                    .answer(
                        cc("max-age=60")
                            .with("Transfer-Encoding", "xchunked")
                            .body("a\r\n0123456789\r\n0\r\n\r\n")
                            .told(Told::Close),
                    )
                    .status(502),
                Step::get()
                    .answer(cc("max-age=60").body("0123456789"))
                    .forwarded()
                    .status(200)
                    .body("0123456789"),
            ],
        ),
        Row::steps(
            "RFC 9112 §7.1",
            "a chunked body is stored whole",
            vec![
                Step::get()
                    .answer(cc("max-age=60").body("0123456789").told(Told::Chunked))
                    .body("0123456789"),
                Step::get().hit().body("0123456789"),
            ],
        ),
        Row::steps(
            "RFC 9110 §8.6",
            "an empty body is stored",
            vec![
                Step::get().answer(cc("max-age=60").body("")).body(""),
                Step::get().hit().status(200).body(""),
            ],
        ),
        Row::code(
            "RFC 9110 §14.2",
            "a body that breaks off is taken up where it broke, or ends in an error",
            |stage| resumed(stage).boxed(),
        ),
        Row::code(
            "RFC 9110 §14.2",
            "a body that breaks off is never taken up with another version",
            |stage| not_resumed(stage).boxed(),
        ),
        Row::code(
            "RFC 9112 §8",
            "twenty readers of a body that breaks off: none takes it for whole",
            |stage| all_broken(stage).boxed(),
        ),
    ]
}

async fn broken(stage: Stage, told: Told) -> Result<(), String> {
    let answer = cc("max-age=60").body(vec![b'x'; 300_000]).told(told);
    stage.answer(answer);
    // No answer at all is an error too.
    let Ok(answer) = stage.get().await else {
        return Ok(());
    };
    let looks_whole = answer.status == 200 && answer.is_complete;
    ensure(!looks_whole, || {
        format!("answered 200 with {} bytes, as if whole", answer.body.len())
    })
}

fn tagged(tag: &str) -> Answer {
    cc("max-age=60").with("ETag", tag)
}

async fn resumed(stage: Stage) -> Result<(), String> {
    let body = large();
    let whole = tagged("\"one\"").body(body.clone()).ranging();
    let cut = whole.clone().told(Told::Cut(1_500_000));
    stage.origin.answers(&stage.path, vec![cut, whole]);
    let Ok(answer) = stage.get().await else {
        return Ok(());
    };
    let looks_whole = answer.status == 200 && answer.is_complete;
    ensure(!looks_whole || answer.body == body, || {
        format!("answered 200 with {} wrong bytes", answer.body.len())
    })?;
    let again = stage.get().await?;
    ensure(again.body == body && again.is_complete, || {
        "what was stored is not the object".to_owned()
    })
}

async fn not_resumed(stage: Stage) -> Result<(), String> {
    let one = tagged("\"one\"").body(vec![b'1'; 2_000_000]).ranging();
    let two = tagged("\"two\"").body(vec![b'2'; 2_000_000]).ranging();
    let answers = vec![one.told(Told::Cut(1_000_000)), two];
    stage.origin.answers(&stage.path, answers);
    if let Ok(answer) = stage.get().await {
        let is_mixed = answer.body.contains(&b'1') && answer.body.contains(&b'2');
        ensure(!is_mixed, || "two versions in one body".to_owned())?;
        let looks_whole = answer.status == 200 && answer.is_complete;
        ensure(!looks_whole || answer.body.len() == 2_000_000, || {
            "a part looks whole".to_owned()
        })?;
    }
    let again = stage.get().await?;
    ensure(again.body == vec![b'2'; 2_000_000], || {
        "what was stored is not the new version".to_owned()
    })
}

async fn all_broken(stage: Stage) -> Result<(), String> {
    let cut = cc("max-age=60")
        .body(vec![b'x'; 400_000])
        .told(Told::Cut(200_000))
        .dripped_ms(400);
    stage.answer(cut);
    let readers = (0..20).map(|_| stage.get());
    for answer in futures::future::join_all(readers)
        .await
        .into_iter()
        .flatten()
    {
        let looks_whole = answer.status == 200 && answer.is_complete;
        ensure(!looks_whole, || {
            format!("a reader took {} bytes for the whole", answer.body.len())
        })?;
    }
    Ok(())
}
