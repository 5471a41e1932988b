//! Many who ask for one object are one fetch (RFC 9111 §4), and what one may see no other gets.

use std::time::Duration;

use futures::FutureExt as _;
use futures::future::join_all;

use super::storing::cc;
use super::{Row, Stage, ensure};
use crate::origin::Answer;

const S: &str = "RFC 9111 §4";
const CLIENTS: usize = 20;
/// How often they may ask an origin that fails: once, and once or twice more, since it may lie with a request.
const FAILING_MAX: usize = 3;
/// Longest from the origin's first byte to a client's. A build for tests shares its processors with others: there it says that
/// nobody waits for the body's end, which is two seconds away.
const FIRST_BYTE_LIMIT: Duration =
    Duration::from_millis(if cfg!(debug_assertions) { 1_000 } else { 5 });
/// A machine that does something else at the moment gets so many tries.
const FIRST_BYTE_TRIES: usize = 5;

pub(super) fn rows() -> Vec<Row> {
    vec![
        Row::code(S, "20 clients of a cold object: one fetch", |stage| one_fetch(stage).boxed()),
        Row::code(
            S,
            &format!(
                "20 clients of a cold object dripped over 2 s: one fetch, first byte within {} ms of the origin's",
                FIRST_BYTE_LIMIT.as_millis()
            ),
            |stage| dripped(stage).boxed(),
        )
        .alone(),
        Row::code(
            S,
            "a client that comes in the middle of a fetch reads from its beginning",
            |stage| late(stage).boxed(),
        ),
        Row::code(S, "what is private is fetched by each, and given to no other", |stage| {
            private(stage).boxed()
        }),
        Row::code(S, "a client that goes away does not end the others' fetch", |stage| {
            gone(stage).boxed()
        }),
        Row::code(S, "20 clients of an origin that hangs up are all answered", |stage| {
            hung_up(stage).boxed()
        }),
        Row::code(
            "RFC 9110 §15.6.4",
            "20 clients of an origin that answers 503: a few ask it, and all are told",
            |stage| failing(stage).boxed(),
        ),
        Row::code("RFC 9111 §4.1", "clients with other selecting fields get their own variants", |stage| {
            variants(stage).boxed()
        }),
    ]
}

async fn one_fetch(stage: Stage) -> Result<(), String> {
    stage.answer(cc("max-age=60").after_ms(500));
    let answers = join_all((0..CLIENTS).map(|_| stage.get())).await;
    for answer in answers {
        let answer = answer?;
        ensure(answer.text().ends_with("answer 1"), || {
            format!("a client got {} {:?}", answer.status, answer.text())
        })?;
    }
    ensure(stage.seen().len() == 1, || {
        format!("the origin was asked {} times", stage.seen().len())
    })
}

async fn dripped(stage: Stage) -> Result<(), String> {
    let mut last = String::new();
    for turn in 0..FIRST_BYTE_TRIES {
        let stage = Stage {
            path: format!("{}/{turn}", stage.path),
            ..stage.clone()
        };
        match dripped_once(&stage).await {
            Ok(()) => return Ok(()),
            Err((fault, is_final)) if is_final => return Err(fault),
            Err((fault, _)) => last = fault,
        }
    }
    Err(last)
}

/// The flag: another try would say the same.
async fn dripped_once(stage: &Stage) -> Result<(), (String, bool)> {
    let body = vec![b'x'; 1 << 20];
    stage.answer(
        cc("max-age=60")
            .body(body.clone())
            .after_ms(300)
            .dripped_ms(2000),
    );
    let answers = join_all((0..CLIENTS).map(|_| stage.get())).await;
    let seen = stage.seen();
    ensure(seen.len() == 1, || {
        format!("the origin was asked {} times", seen.len())
    })
    .map_err(|fault| (fault, true))?;
    let origin = seen[0]
        .first_byte
        .ok_or(("the origin sent nothing".to_owned(), true))?;
    let mut slowest = Duration::ZERO;
    for answer in answers {
        let answer = answer.map_err(|fault| (fault, true))?;
        ensure(answer.body == body, || "a body is another".to_owned())
            .map_err(|fault| (fault, true))?;
        let first = answer
            .first_byte
            .ok_or(("no first byte".to_owned(), true))?;
        slowest = slowest.max(first.saturating_duration_since(origin));
    }
    ensure(slowest <= FIRST_BYTE_LIMIT, || {
        format!(
            "the slowest first byte came {} ms after the origin's",
            slowest.as_millis()
        )
    })
    .map_err(|fault| (fault, false))
}

async fn late(stage: Stage) -> Result<(), String> {
    let body: Vec<u8> = (0..200_000_u32).flat_map(u32::to_be_bytes).collect();
    stage.answer(cc("max-age=60").body(body.clone()).dripped_ms(1000));
    let late = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        stage.get().await
    };
    let (first, second) = tokio::join!(stage.get(), late);
    ensure(first?.body == body && second?.body == body, || {
        "a body is another".to_owned()
    })?;
    ensure(stage.seen().len() == 1, || {
        format!("the origin was asked {} times", stage.seen().len())
    })
}

async fn private(stage: Stage) -> Result<(), String> {
    stage.answer(cc("private").after_ms(300));
    let answers = join_all((0..CLIENTS).map(|_| stage.get())).await;
    let mut bodies = Vec::new();
    for answer in answers {
        bodies.push(answer?.text());
    }
    bodies.sort();
    bodies.dedup();
    ensure(bodies.len() == CLIENTS, || {
        format!("{CLIENTS} clients got {} answers", bodies.len())
    })
}

async fn gone(stage: Stage) -> Result<(), String> {
    let body = vec![b'x'; 400_000];
    stage.answer(cc("max-age=60").body(body.clone()).dripped_ms(1000));
    let first = {
        let stage = stage.clone();
        tokio::spawn(async move { stage.get().await })
    };
    tokio::time::sleep(Duration::from_millis(200)).await;
    let second = {
        let stage = stage.clone();
        tokio::spawn(async move { stage.get().await })
    };
    tokio::time::sleep(Duration::from_millis(200)).await;
    first.abort();
    let answer = second.await.map_err(|error| error.to_string())??;
    ensure(answer.body == body && answer.is_complete, || {
        "the other's body broke off".to_owned()
    })?;
    ensure(stage.seen().len() == 1, || {
        format!("the origin was asked {} times", stage.seen().len())
    })
}

async fn hung_up(stage: Stage) -> Result<(), String> {
    stage.answer(Answer::hang_up().after_ms(200));
    for answer in join_all((0..CLIENTS).map(|_| stage.get())).await {
        let answer = answer?;
        ensure((502..=504).contains(&answer.status), || {
            format!("a client got {}", answer.status)
        })?;
    }
    Ok(())
}

async fn failing(stage: Stage) -> Result<(), String> {
    stage.answer(Answer::new(503).after_ms(500));
    for answer in join_all((0..CLIENTS).map(|_| stage.get())).await {
        let answer = answer?;
        ensure(answer.status == 503, || {
            format!("a client got {}", answer.status)
        })?;
    }
    ensure(stage.seen().len() <= FAILING_MAX, || {
        format!("the origin was asked {} times", stage.seen().len())
    })
}

async fn variants(stage: Stage) -> Result<(), String> {
    stage.answer(cc("max-age=60").with("Vary", "Foo").after_ms(200));
    let requests: Vec<_> = (0..4)
        .map(|n| stage.request().with("Foo", &format!("{}", n % 2)))
        .collect();
    let answers = join_all(requests.iter().map(|request| stage.send(request))).await;
    let mut bodies = Vec::new();
    for answer in answers {
        bodies.push(answer?.text());
    }
    ensure(bodies[0] == bodies[2] || bodies[0] != bodies[1], || {
        format!("the bodies are {bodies:?}")
    })?;
    ensure(bodies[0] != bodies[1] && bodies[2] != bodies[3], || {
        format!("one got the other's variant: {bodies:?}")
    })
}
