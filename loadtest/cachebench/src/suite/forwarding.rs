//! What a proxy passes on and what it keeps to itself (RFC 9110 §7.6, §15.2), and what it says of its cache (RFC 9211).

use super::storing::cc;
use super::{Row, Stage, Step, ensure};
use crate::client::Request;
use crate::origin::Answer;
use futures::FutureExt as _;

pub(super) fn rows() -> Vec<Row> {
    let mut rows = hop_by_hop();
    rows.extend(interim());
    rows.extend(cache_status());
    rows
}

fn hop_by_hop() -> Vec<Row> {
    const S: &str = "RFC 9110 §7.6.1";
    let listed = || {
        cc("max-age=60")
            .with("Connection", "x-hop, keep-alive")
            .with("X-Hop", "1")
            .with("X-End", "1")
            .with("Keep-Alive", "timeout=5")
            .with("Proxy-Authentication-Info", "x")
    };
    vec![
        Row::steps(
            S,
            "fields that Connection lists are not passed to the client, nor stored",
            vec![
                Step::get()
                    .answer(listed())
                    .absent("x-hop")
                    .absent("keep-alive")
                    .field("x-end", "1"),
                Step::get().hit().absent("x-hop").field("x-end", "1"),
            ],
        ),
        Row::steps(
            S,
            "fields that Connection lists are not passed to the origin",
            vec![
                Step::get()
                    .asking("Connection", "x-hop")
                    .asking("X-Hop", "1")
                    .asking("X-End", "1")
                    .asking("Keep-Alive", "timeout=5")
                    .answer(cc("no-store"))
                    .did_not_see("x-hop")
                    .did_not_see("keep-alive")
                    .saw("x-end", "1"),
            ],
        ),
        Row::steps(
            S,
            "TE, Proxy-Connection and Upgrade stay on their hop",
            vec![
                Step::get()
                    .asking("TE", "trailers")
                    .asking("Proxy-Connection", "keep-alive")
                    .asking("Upgrade", "foo/1")
                    .asking("Connection", "te, upgrade")
                    .answer(cc("no-store"))
                    .did_not_see("te")
                    .did_not_see("proxy-connection")
                    .did_not_see("upgrade"),
            ],
        ),
        Row::steps(
            "RFC 9110 §7.6.3",
            "the origin is told by Via who asks",
            vec![Step::get().answer(cc("no-store")).forwarded_with("via")],
        ),
        Row::steps(
            "RFC 9111 §3.1",
            "all other fields are stored, unknown ones too",
            vec![
                Step::get()
                    .answer(
                        cc("max-age=60")
                            .with("X-Any", "a, b")
                            .with("Link", "</x>; rel=y"),
                    )
                    .forwarded(),
                Step::get()
                    .hit()
                    .field("x-any", "a, b")
                    .field("link", "</x>; rel=y"),
            ],
        ),
    ]
}

fn interim() -> Vec<Row> {
    const S: &str = "RFC 9110 §15.2";
    vec![
        Row::code(S, "103 is passed on, with its fields", |stage| {
            hints(stage, 1).boxed()
        }),
        Row::code(S, "several are passed on", |stage| hints(stage, 3).boxed()),
        Row::code(S, "1xx is not taken for the answer, nor stored", |stage| {
            not_stored(stage).boxed()
        }),
    ]
}

fn with_hints(count: usize) -> Answer {
    Answer {
        interim: vec![
            (
                103,
                vec![("Link".to_owned(), "</s.css>; rel=preload".to_owned())]
            );
            count
        ],
        ..cc("max-age=60").with("X-Final", "1")
    }
}

async fn hints(stage: Stage, count: usize) -> Result<(), String> {
    stage.answer(with_hints(count));
    let answer = stage.get().await?;
    ensure(answer.status == 200, || {
        format!("answered {}", answer.status)
    })?;
    ensure(answer.interim.len() == count, || {
        format!("{} of {count} came", answer.interim.len())
    })?;
    let link = answer.interim[0].fields.joined("link");
    ensure(link == "</s.css>; rel=preload", || {
        format!("Link is {link:?}")
    })
}

async fn not_stored(stage: Stage) -> Result<(), String> {
    stage.answer(with_hints(1));
    let first = stage.get().await?;
    let second = stage.get().await?;
    ensure(second.status == 200 && second.body == first.body, || {
        format!("the hit is {} {:?}", second.status, second.text())
    })?;
    ensure(second.fields.get("x-final").is_some(), || {
        "X-Final is not there".to_owned()
    })?;
    let head = stage.send(&Request::new("HEAD", &stage.path)).await?;
    ensure(head.status == 200 && stage.seen().len() == 1, || {
        format!("a HEAD got {}", head.status)
    })
}

fn cache_status() -> Vec<Row> {
    const S: &str = "RFC 9211 §2";
    const FIELD: &str = "cache-status";
    let life = || cc("max-age=60");
    vec![
        Row::steps(
            S,
            "a hit says so, and its ttl",
            vec![
                Step::get().answer(life()).forwarded(),
                Step::get()
                    .hit()
                    .contains(FIELD, "; hit")
                    .contains(FIELD, "ttl="),
            ],
        ),
        Row::steps(
            S,
            "what was not there says fwd=uri-miss, the status, and that it was stored",
            vec![
                Step::get()
                    .answer(life())
                    .contains(FIELD, "fwd=uri-miss")
                    .contains(FIELD, "stored"),
            ],
        ),
        Row::steps(
            S,
            "what was stale says fwd=stale and fwd-status=304",
            vec![
                Step::get()
                    .answer(cc("max-age=0").with("ETag", "\"one\"").validating())
                    .forwarded(),
                Step::get()
                    .forwarded()
                    .contains(FIELD, "fwd=stale")
                    .contains(FIELD, "fwd-status=304"),
            ],
        ),
        Row::steps(
            S,
            "another variant says fwd=vary-miss",
            vec![
                Step::get()
                    .asking("Foo", "1")
                    .answer(life().with("Vary", "Foo"))
                    .forwarded(),
                Step::get()
                    .asking("Foo", "2")
                    .forwarded()
                    .contains(FIELD, "fwd=vary-miss"),
            ],
        ),
        Row::steps(
            S,
            "what caches before us said stays in front",
            vec![
                Step::get()
                    .answer(life().with("Cache-Status", "Before; hit"))
                    .contains(FIELD, "Before; hit, "),
            ],
        ),
    ]
}
