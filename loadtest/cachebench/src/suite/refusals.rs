//! What is refused: smuggling forms, malformed heads, absurd sizes (RFC 9112 §2, §5, §6). Nothing of it reaches the
//! origin, and nothing of it is stored.

use futures::FutureExt as _;
use futures::future::BoxFuture;

use super::storing::cc;
use super::{Row, Stage, ensure};
use crate::client;

/// A request that must be refused, `{path}` for the row's path; and the statuses that say so.
struct Refused {
    section: &'static str,
    name: &'static str,
    head: &'static str,
    statuses: &'static [u16],
}

const BAD: &[u16] = &[400];

const REFUSED: &[Refused] = &[
    Refused {
        section: "RFC 9112 §6.3",
        name: "Content-Length and Transfer-Encoding (CL.TE)",
        head: "POST {path} HTTP/1.1\r\nHost: h\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nG",
        statuses: BAD,
    },
    Refused {
        section: "RFC 9112 §6.3",
        name: "Transfer-Encoding and Content-Length (TE.CL)",
        head: "POST {path} HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n8\r\nSMUGGLED\r\n0\r\n\r\n",
        statuses: BAD,
    },
    Refused {
        section: "RFC 9112 §6.3",
        name: "Content-Length and Transfer-Encoding on a GET",
        head: "GET {path} HTTP/1.1\r\nHost: h\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nG",
        statuses: BAD,
    },
    Refused {
        section: "RFC 9112 §6.3",
        name: "two lengths that differ",
        head: "POST {path} HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        statuses: BAD,
    },
    Refused {
        section: "RFC 9112 §6.3",
        name: "a list of lengths that differ",
        head: "POST {path} HTTP/1.1\r\nHost: h\r\nContent-Length: 1, 2\r\n\r\nab",
        statuses: BAD,
    },
    Refused {
        section: "RFC 9112 §6.3",
        name: "a length with a sign",
        head: "POST {path} HTTP/1.1\r\nHost: h\r\nContent-Length: +2\r\n\r\nab",
        statuses: BAD,
    },
    Refused {
        section: "RFC 9112 §6.3",
        name: "a negative length",
        head: "POST {path} HTTP/1.1\r\nHost: h\r\nContent-Length: -2\r\n\r\nab",
        statuses: BAD,
    },
    Refused {
        section: "RFC 9112 §6.3",
        name: "a length that is no number",
        head: "POST {path} HTTP/1.1\r\nHost: h\r\nContent-Length: 0x2\r\n\r\nab",
        statuses: BAD,
    },
    Refused {
        section: "RFC 9112 §6.3",
        name: "a length beyond all bounds",
        head: "POST {path} HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999999999999999999\r\n\r\nab",
        statuses: &[400, 413],
    },
    Refused {
        section: "RFC 9112 §6.1",
        name: "a transfer coding that is not known",
        head: "POST {path} HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        statuses: &[400, 501],
    },
    Refused {
        section: "RFC 9112 §6.1",
        name: "chunked that is not the last coding",
        head: "POST {path} HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        statuses: &[400, 501],
    },
    Refused {
        section: "RFC 9112 §6.1",
        name: "chunked twice",
        head: "POST {path} HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        statuses: &[400, 501],
    },
    Refused {
        section: "RFC 9112 §6.1",
        name: "Transfer-Encoding in HTTP/1.0",
        head: "POST {path} HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        statuses: BAD,
    },
    Refused {
        section: "RFC 9112 §7.1",
        name: "a chunk size that is no number",
        head: "POST {path} HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0x1\r\na\r\n0\r\n\r\n",
        statuses: &[400, 502],
    },
    Refused {
        section: "RFC 9112 §5.2",
        name: "a folded line (obs-fold)",
        head: "GET {path} HTTP/1.1\r\nHost: h\r\nX-A: 1\r\n b\r\n\r\n",
        statuses: BAD,
    },
    Refused {
        section: "RFC 9112 §5.2",
        name: "a folded Transfer-Encoding",
        head: "POST {path} HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
        statuses: BAD,
    },
    Refused {
        section: "RFC 9112 §5.1",
        name: "white space before the colon",
        head: "GET {path} HTTP/1.1\r\nHost: h\r\nX-A : 1\r\n\r\n",
        statuses: BAD,
    },
    Refused {
        section: "RFC 9112 §5.1",
        name: "white space before Transfer-Encoding's colon",
        head: "POST {path} HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        statuses: BAD,
    },
    Refused {
        section: "RFC 9112 §2.2",
        name: "white space before the first field",
        head: "GET {path} HTTP/1.1\r\n Host: h\r\nHost: h\r\n\r\n",
        statuses: BAD,
    },
    Refused {
        section: "RFC 9112 §2.2",
        name: "a bare LF",
        head: "GET {path} HTTP/1.1\r\nHost: h\r\nX-A: 1\nX-B: 2\r\n\r\n",
        statuses: BAD,
    },
    Refused {
        section: "RFC 9112 §2.2",
        name: "a bare CR",
        head: "GET {path} HTTP/1.1\r\nHost: h\r\nX-A: 1\rX-B: 2\r\n\r\n",
        statuses: BAD,
    },
    Refused {
        section: "RFC 9110 §5.5",
        name: "a NUL in a value",
        head: "GET {path} HTTP/1.1\r\nHost: h\r\nX-A: 1\x002\r\n\r\n",
        statuses: BAD,
    },
    Refused {
        section: "RFC 9110 §5.1",
        name: "a field without a name",
        head: "GET {path} HTTP/1.1\r\nHost: h\r\n: 1\r\n\r\n",
        statuses: BAD,
    },
    Refused {
        section: "RFC 9112 §5",
        name: "a line that is no field",
        head: "GET {path} HTTP/1.1\r\nHost: h\r\nnonsense\r\n\r\n",
        statuses: BAD,
    },
    Refused {
        section: "RFC 9112 §3.2",
        name: "no Host",
        head: "GET {path} HTTP/1.1\r\nX-A: 1\r\n\r\n",
        statuses: BAD,
    },
    Refused {
        section: "RFC 9112 §3.2",
        name: "two Hosts",
        head: "GET {path} HTTP/1.1\r\nHost: h\r\nHost: i\r\n\r\n",
        statuses: BAD,
    },
    Refused {
        section: "RFC 9112 §3.2",
        name: "a Host that is none",
        head: "GET {path} HTTP/1.1\r\nHost: h h\r\n\r\n",
        statuses: BAD,
    },
    Refused {
        section: "RFC 9112 §3",
        name: "a target with a space",
        head: "GET {path} x HTTP/1.1\r\nHost: h\r\n\r\n",
        statuses: BAD,
    },
    Refused {
        section: "RFC 9110 §9.1",
        name: "a method that is no token",
        head: "G(T {path} HTTP/1.1\r\nHost: h\r\n\r\n",
        statuses: BAD,
    },
    Refused {
        section: "RFC 9112 §2.3",
        name: "a version that is not ours",
        head: "GET {path} HTTP/3.7\r\nHost: h\r\n\r\n",
        statuses: &[400, 505],
    },
    Refused {
        section: "RFC 9112 §2.3",
        name: "a version that is none",
        head: "GET {path} HTP/1.1\r\nHost: h\r\n\r\n",
        statuses: BAD,
    },
];

pub(super) fn rows() -> Vec<Row> {
    let mut rows: Vec<Row> = (0..REFUSED.len()).map(refused).collect();
    rows.push(Row::code("RFC 6585 §5", "a field of 64 KiB", |stage| {
        too_large(stage, 1, 64 * 1024).boxed()
    }));
    rows.push(Row::code("RFC 6585 §5", "a thousand fields", |stage| {
        too_large(stage, 1000, 100).boxed()
    }));
    rows.push(Row::code("RFC 9112 §3", "a target of 64 KiB", |stage| {
        long_target(stage).boxed()
    }));
    rows.push(Row::code(
        "RFC 9112 §9.3.2",
        "a body's bytes are not the next request",
        |stage| not_a_request(stage).boxed(),
    ));
    rows.push(Row::code(
        "RFC 9112 §9.3.2",
        "pipelined requests are answered in their order",
        |stage| pipelined(stage).boxed(),
    ));
    rows
}

/// A row a form. Rows are plain functions, so the form is found again by the row's place.
fn refused(index: usize) -> Row {
    let form = &REFUSED[index];
    Row {
        section: form.section,
        name: format!("refused: {}", form.name),
        alone: false,
        act: super::Act::Form(index),
    }
}

/// Sends the form: refused with one of its statuses or with a closed connection, and the origin hears nothing.
pub(super) fn run_form(index: usize, stage: Stage) -> BoxFuture<'static, Result<(), String>> {
    let form = &REFUSED[index];
    async move {
        stage.answer(cc("max-age=60"));
        let bytes = form.head.replace("{path}", &stage.path);
        let (answers, is_closed) = client::raw(stage.proxy, bytes.as_bytes()).await?;
        ensure(stage.seen().is_empty(), || {
            format!("the origin was asked {:?}", stage.seen()[0].method)
        })?;
        match answers.first() {
            None => ensure(is_closed, || "neither answered nor closed".to_owned()),
            Some(answer) => ensure(form.statuses.contains(&answer.status), || {
                format!("answered {}", answer.status)
            }),
        }?;
        ensure(answers.len() <= 1, || {
            format!("{} answers to one refused request", answers.len())
        })?;
        ensure(is_closed, || "the connection went on".to_owned())
    }
    .boxed()
}

async fn too_large(stage: Stage, count: usize, bytes: usize) -> Result<(), String> {
    stage.answer(cc("max-age=60"));
    let mut request = format!("GET {} HTTP/1.1\r\nHost: h\r\n", stage.path);
    for n in 0..count {
        request.push_str(&format!("X-{n}: {}\r\n", "x".repeat(bytes)));
    }
    request.push_str("\r\n");
    let (answers, is_closed) = client::raw(stage.proxy, request.as_bytes()).await?;
    ensure(stage.seen().is_empty(), || {
        "it reached the origin".to_owned()
    })?;
    match answers.first() {
        None => ensure(is_closed, || "neither answered nor closed".to_owned()),
        Some(answer) => ensure(matches!(answer.status, 400 | 431), || {
            format!("answered {}", answer.status)
        }),
    }
}

async fn long_target(stage: Stage) -> Result<(), String> {
    stage.answer(cc("max-age=60"));
    let request = format!(
        "GET {}?{} HTTP/1.1\r\nHost: h\r\n\r\n",
        stage.path,
        "x".repeat(64 * 1024)
    );
    let (answers, is_closed) = client::raw(stage.proxy, request.as_bytes()).await?;
    ensure(stage.seen().is_empty(), || {
        "it reached the origin".to_owned()
    })?;
    match answers.first() {
        None => ensure(is_closed, || "neither answered nor closed".to_owned()),
        Some(answer) => ensure(matches!(answer.status, 400 | 414 | 431), || {
            format!("answered {}", answer.status)
        }),
    }
}

async fn not_a_request(stage: Stage) -> Result<(), String> {
    stage.answer(cc("no-store"));
    let inner = format!("GET {}/inner HTTP/1.1\r\nHost: h\r\n\r\n", stage.path);
    let request = format!(
        "GET {} HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n{inner}",
        stage.path,
        inner.len()
    );
    client::raw(stage.proxy, request.as_bytes()).await?;
    let inner = stage.origin.seen(&format!("{}/inner", stage.path));
    ensure(inner.is_empty(), || {
        "the body was taken for a request".to_owned()
    })
}

async fn pipelined(stage: Stage) -> Result<(), String> {
    let mut request = String::new();
    for name in ["a", "b", "c"] {
        let path = format!("{}/{name}", stage.path);
        let think_ms = if name == "a" { 300 } else { 0 };
        let answer = cc("max-age=60").body(name).after_ms(think_ms);
        stage.origin.answer(&path, answer);
        request.push_str(&format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n"));
    }
    let (answers, _) = client::raw(stage.proxy, request.as_bytes()).await?;
    let bodies: Vec<String> = answers.iter().map(client::Response::text).collect();
    ensure(bodies == ["a", "b", "c"], || {
        format!("the bodies are {bodies:?}")
    })
}
