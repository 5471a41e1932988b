//! Ranges on what is stored, on what is being fetched and on what is not there yet (RFC 9110 §14, RFC 9111 §3.3).

use std::time::{Duration, Instant};

use futures::FutureExt as _;

use super::storing::cc;
use super::{Row, Stage, Step, ensure};
use crate::origin::{Answer, Told};

/// The body of most rows.
const LETTERS: &str = "abcdefghijklmnopqrstuvwxyz";
/// The body of rows about large objects, bytes.
const LARGE: usize = 4 << 20;
const MODIFIED: &str = "Mon, 02 Nov 2026 10:00:00 GMT";

/// Bytes that tell their place.
pub(super) fn large() -> Vec<u8> {
    (0..LARGE as u32 / 4).flat_map(u32::to_be_bytes).collect()
}

fn letters() -> Answer {
    cc("max-age=60")
        .with("ETag", "\"one\"")
        .with("Last-Modified", MODIFIED)
        .with("Content-Type", "text/plain")
        .body(LETTERS)
        .ranging()
}

/// A stored answer, and a request for a part of it.
fn row(section: &'static str, name: &str, step: Step) -> Row {
    Row::steps(
        section,
        name,
        vec![Step::get().answer(letters()).forwarded(), step.hit()],
    )
}

fn part(range: &str) -> Step {
    Step::get().asking("Range", range)
}

pub(super) fn rows() -> Vec<Row> {
    const S: &str = "RFC 9110 §14.2";
    let whole = |name, step: Step| row(S, name, step.status(200).body(LETTERS));
    let mut rows = vec![
        row(
            S,
            "a range of what is stored",
            part("bytes=2-4")
                .status(206)
                .body("cde")
                .field("content-range", "bytes 2-4/26")
                .field("content-length", "3"),
        ),
        row(
            S,
            "to the end",
            part("bytes=20-").status(206).body("uvwxyz"),
        ),
        row(S, "from the end", part("bytes=-3").status(206).body("xyz")),
        row(
            S,
            "beyond the end is cut to it",
            part("bytes=20-1000")
                .status(206)
                .body("uvwxyz")
                .field("content-range", "bytes 20-25/26"),
        ),
        row(
            S,
            "more from the end than there is, is all of it",
            part("bytes=-1000").status(206).body(LETTERS),
        ),
        row(
            "RFC 9110 §15.5.17",
            "a range behind the end is 416 and says the length",
            part("bytes=26-30")
                .status(416)
                .field("content-range", "bytes */26"),
        ),
        row(
            "RFC 9110 §15.5.17",
            "no bytes from the end is 416",
            part("bytes=-0").status(416),
        ),
        whole("an unknown unit is ignored", part("letters=1-2")),
        whole(
            "a range that ends before it begins is ignored",
            part("bytes=4-2"),
        ),
        whole("what is no range is ignored", part("bytes=a-b")),
        row(
            S,
            "a HEAD has no ranges",
            Step::method("HEAD")
                .asking("Range", "bytes=2-4")
                .status(200)
                .field("content-length", "26"),
        ),
        row(
            "RFC 9110 §14.3",
            "a stored 200 says that it has ranges",
            part("bytes=0-0")
                .status(206)
                .body("a")
                .field("etag", "\"one\""),
        ),
        Row::code(
            "RFC 9110 §14.6",
            "several ranges are parts with their places",
            |stage| several(stage).boxed(),
        ),
        Row::code(
            "RFC 9110 §14.2",
            "a thousand overlapping ranges cost no more than the object",
            |stage| thousand(stage).boxed(),
        ),
    ];
    rows.extend(if_range());
    rows.extend(not_whole());
    rows.extend(told_wrongly());
    rows
}

fn if_range() -> Vec<Row> {
    const S: &str = "RFC 9110 §13.1.5";
    let asking = |validator: &str| part("bytes=2-4").asking("If-Range", validator);
    vec![
        row(
            S,
            "If-Range with the stored tag is a part",
            asking("\"one\"").status(206).body("cde"),
        ),
        row(
            S,
            "If-Range with another tag is the whole",
            asking("\"two\"").status(200).body(LETTERS),
        ),
        row(
            S,
            "If-Range with a weak tag is the whole",
            asking("W/\"one\"").status(200).body(LETTERS),
        ),
        row(
            S,
            "If-Range with another date is the whole",
            asking("Sun, 01 Nov 2026 10:00:00 GMT")
                .status(200)
                .body(LETTERS),
        ),
    ]
}

fn not_whole() -> Vec<Row> {
    vec![
        Row::steps(
            "RFC 9111 §3.3",
            "a part that the origin sent is not served as the whole",
            vec![
                part("bytes=2-4").answer(letters()).status(206).body("cde"),
                Step::get().status(200).body(LETTERS),
            ],
        ),
        Row::steps(
            "RFC 9110 §14.2",
            "a range of what is not there yet",
            vec![
                part("bytes=2-4")
                    .answer(letters())
                    .status(206)
                    .body("cde")
                    .field("content-range", "bytes 2-4/26"),
            ],
        ),
        Row::steps(
            "RFC 9110 §14.2",
            "a range from an origin that has none",
            vec![
                part("bytes=2-4")
                    .answer(Answer {
                        ranges: false,
                        ..letters()
                    })
                    .status_of(&[200, 206]),
                Step::get().body(LETTERS),
            ],
        ),
        Row::code(
            "RFC 9110 §14.2",
            "a byte far into a cold object does not wait for those before it",
            |stage| far(stage).boxed(),
        )
        .alone(),
        Row::code(
            "RFC 9110 §14.2",
            "the beginning of an object in flight does not wait for its end",
            |stage| in_flight(stage).boxed(),
        )
        .alone(),
        Row::code(
            "RFC 9111 §3.3",
            "parts of two versions are never put together",
            |stage| two_versions(stage).boxed(),
        ),
    ]
}

/// `Content-Range` where it means nothing, or is not true.
fn told_wrongly() -> Vec<Row> {
    const S: &str = "RFC 9110 §14.4";
    let whole = || letters().with("Content-Range", "bytes 0-1/2");
    let part_of = |range: &str, bytes: &str| {
        Answer::new(206)
            .with("Cache-Control", "max-age=60")
            .with("ETag", "\"one\"")
            .with("Content-Range", range)
            .body(bytes)
    };
    vec![
        Row::steps(
            S,
            "a 200's Content-Range is kept like any other field",
            vec![
                Step::get().answer(whole()).forwarded(),
                Step::get()
                    .hit()
                    .status(200)
                    .body(LETTERS)
                    .field("content-range", "bytes 0-1/2"),
            ],
        ),
        Row::steps(
            S,
            "a stored 200 with Content-Range is not cut",
            vec![
                Step::get().answer(whole()).forwarded(),
                part("bytes=2-4").hit().status(200).body(LETTERS),
            ],
        ),
        Row::steps(
            S,
            "a part that has fewer bytes than its Content-Range is passed on, and not kept",
            vec![
                part("bytes=-5")
                    .answer(part_of("bytes 4-9/10", "01234"))
                    .forwarded()
                    .status(206)
                    .body("01234"),
                part("bytes=-5")
                    .answer(part_of("bytes 5-9/10", "56789"))
                    .forwarded()
                    .body("56789"),
                part("bytes=8-9").hit().status(206).body("89"),
            ],
        ),
    ]
}

async fn several(stage: Stage) -> Result<(), String> {
    stage.answer(letters());
    stage.get().await?;
    let request = stage.request().with("Range", "bytes=0-1, 10-12,-2");
    let answer = stage.send(&request).await?;
    ensure(answer.status == 206 && answer.is_complete, || {
        format!(
            "answered {}, complete: {}",
            answer.status, answer.is_complete
        )
    })?;
    let kind = answer.fields.joined("content-type");
    let boundary = kind
        .split_once("boundary=")
        .map(|(_, boundary)| boundary.trim_matches('"').to_owned())
        .ok_or(format!("Content-Type is {kind:?}"))?;
    let text = answer.text();
    let parts: Vec<&str> = text.split(&format!("--{boundary}")).collect();
    ensure(parts.len() == 5 && parts[4].starts_with("--"), || {
        format!("the body is {text:?}")
    })?;
    let wanted = [
        ("bytes 0-1/26", "ab"),
        ("bytes 10-12/26", "klm"),
        ("bytes 24-25/26", "yz"),
    ];
    for (part, (range, body)) in parts[1..4].iter().zip(wanted) {
        let (head, rest) = part
            .split_once("\r\n\r\n")
            .ok_or(format!("a part is {part:?}"))?;
        ensure(
            head.contains(range) && rest == format!("{body}\r\n"),
            || format!("a part is {part:?}, not {range} with {body:?}"),
        )?;
    }
    ensure(stage.seen().len() == 1, || {
        "the origin was asked again".to_owned()
    })
}

async fn thousand(stage: Stage) -> Result<(), String> {
    let body = large();
    stage.answer(cc("max-age=60").with("ETag", "\"one\"").body(body.clone()));
    stage.get().await?;
    let list: Vec<String> = (0..1000).map(|_| "0-".to_owned()).collect();
    let request = stage
        .request()
        .with("Range", &format!("bytes={}", list.join(",")));
    let answer = stage.send(&request).await?;
    let is_bounded = answer.body.len() <= body.len() + 4096;
    ensure(
        matches!(answer.status, 200 | 206 | 400 | 416) && is_bounded,
        || {
            format!(
                "answered {} with {} bytes",
                answer.status,
                answer.body.len()
            )
        },
    )
}

async fn far(stage: Stage) -> Result<(), String> {
    let body = large();
    let answer = cc("max-age=60").with("ETag", "\"one\"").body(body.clone());
    // The whole takes 8 s, and every single answer as long: so the part can only be had by asking for a part.
    stage.answer(answer.ranging().dripped_ms(8000));
    let first = 3_000_000;
    let last = first + 99;
    let started = Instant::now();
    let request = stage
        .request()
        .with("Range", &format!("bytes={first}-{last}"));
    let answer = stage.send(&request).await?;
    ensure(
        answer.status == 206 && answer.body == body[first..=last],
        || {
            format!(
                "answered {} with {} bytes",
                answer.status,
                answer.body.len()
            )
        },
    )?;
    // A slice may be larger than the part, and dripped too; but waiting for all before it takes 5.7 s.
    let within = Duration::from_millis(4500);
    ensure(started.elapsed() < within, || {
        format!("the part took {} ms", started.elapsed().as_millis())
    })
}

async fn in_flight(stage: Stage) -> Result<(), String> {
    let body = large();
    let answer = cc("max-age=60").with("ETag", "\"one\"").body(body.clone());
    stage.answer(answer.dripped_ms(3000));
    let first = {
        let stage = stage.clone();
        tokio::spawn(async move { stage.get().await })
    };
    tokio::time::sleep(Duration::from_millis(500)).await;
    let started = Instant::now();
    let request = stage.request().with("Range", "bytes=0-99");
    let answer = stage.send(&request).await?;
    let took = started.elapsed();
    ensure(answer.status == 206 && answer.body == body[..100], || {
        format!(
            "answered {} with {} bytes",
            answer.status,
            answer.body.len()
        )
    })?;
    ensure(took < Duration::from_millis(500), || {
        format!("the part took {} ms", took.as_millis())
    })?;
    ensure(stage.seen().len() == 1, || {
        format!("the origin was asked {} times", stage.seen().len())
    })?;
    let whole = first.await.map_err(|error| error.to_string())??;
    ensure(whole.body == body, || "the whole is another".to_owned())
}

async fn two_versions(stage: Stage) -> Result<(), String> {
    let version = |letter: &str, tag: &str| {
        cc("max-age=60")
            .with("ETag", tag)
            .body(letter.repeat(600_000))
            .ranging()
            .told(Told::Length)
    };
    stage.answer(version("a", "\"a\""));
    stage
        .send(&stage.request().with("Range", "bytes=0-9"))
        .await?;
    stage.answer(version("b", "\"b\""));
    let whole = stage.get().await?;
    let is_one = |letter| whole.body.iter().all(|byte| *byte == letter);
    ensure(
        whole.body.len() == 600_000 && (is_one(b'a') || is_one(b'b')),
        || "the whole is a mixture, or not whole".to_owned(),
    )
}
