//! What the edge answers by itself on cached routes.

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, DATE, SERVER};
use http::{HeaderValue, StatusCode};
use mcsp_api::{Problem, ProblemKind};
use mcsp_edge_cache::engine::{FailureKind, ReadError};
use mcsp_edge_fetch::FetchError;
use mcsp_edge_policy::cache_status::{CACHE_STATUS, CacheStatus};
use mcsp_edge_policy::date::http_date_value;

use super::client::{ClientStream, HeadLines, Length, SendFault};
use super::failing::kind_of;
use super::report::put_common;
use crate::answer::Answer;
use crate::context::RequestContext;
use crate::edge::Edge;
use crate::response::{CROSS_ORIGIN, SERVER_NAME};
use crate::shield::Child;

/// There is no way to the origin.
pub(super) fn no_origin() -> Answer {
    let text = "the origin cannot be reached; try again";
    Answer::problem(ProblemKind::Unavailable, "no-origin", text)
}

/// RFC 9111 section 5.2.1.7.
pub(super) fn not_cached() -> Answer {
    let text = "nothing that may be used is held, and the request asks for no more";
    Answer::problem(ProblemKind::Timeout, "only-if-cached", text)
}

/// Another of our nodes asks for what none of its viewers waits for, and those of this node leave no room.
pub(super) fn later() -> Answer {
    let text = "there is no room for what no viewer waits for";
    Answer::problem(ProblemKind::Unavailable, "later", text)
}

pub(super) fn internal() -> Answer {
    let text = "something went wrong here";
    Answer::problem(ProblemKind::Internal, "internal", text)
}

/// What a client is told when an origin failed.
pub(super) fn of_failure(error: &FetchError) -> Answer {
    of_kind(kind_of(error))
}

/// The same, of what those know who waited for another's fetch.
pub(super) fn of_kind(kind: FailureKind) -> Answer {
    match kind {
        FailureKind::Unreachable => no_origin(),
        FailureKind::Overloaded => {
            let text = "the origin has more to do than it can; try again";
            Answer::problem(ProblemKind::Unavailable, "origin-overloaded", text)
        }
        FailureKind::TimedOut => {
            let text = "the origin did not answer in time";
            Answer::problem(ProblemKind::Timeout, "origin-timeout", text)
        }
        FailureKind::Unusable => {
            let text = "the origin gave no usable answer";
            Answer::problem(ProblemKind::BadGateway, "bad-origin", text)
        }
        FailureKind::LeftAlone => {
            let text = "the origin has failed several times just now; try again";
            Answer::problem(ProblemKind::Unavailable, "origin-left-alone", text)
        }
    }
}

/// What a client is told when a body that was being stored failed before its first byte.
pub(super) fn of_body(error: ReadError) -> Answer {
    if let ReadError::Stalled { .. } = error {
        let text = "the origin did not answer in time";
        return Answer::problem(ProblemKind::Timeout, "origin-timeout", text);
    }
    let text = "the origin's answer broke off";
    Answer::problem(ProblemKind::BadGateway, "body-broke-off", text)
}

/// Sends an answer, dressed as every other.
pub(super) async fn send<C: ClientStream>(
    edge: &Edge,
    client: &mut C,
    context: &mut RequestContext,
    mut answer: Answer,
    is_head: bool,
) -> Result<(), SendFault> {
    context.status = answer.status.as_u16();
    if context.ends_connection {
        client.end_connection();
    }
    let word = Child::word_of(&answer);
    let mut head = client.head(answer.status);
    head.field(&DATE, &http_date_value(edge.clock.now_ms()));
    head.field(&SERVER, &HeaderValue::from_static(SERVER_NAME));
    for (name, value) in answer.headers.drain(..) {
        head.field_fmt(&name, format_args!("{value}"));
    }
    let body = match answer.problem.take() {
        Some(problem) => {
            head.field(
                &CONTENT_TYPE,
                &HeaderValue::from_static(Problem::MEDIA_TYPE),
            );
            head.field(&CACHE_CONTROL, &HeaderValue::from_static("no-store"));
            problem.trace_id(context.trace.trace_id_hex()).to_json()
        }
        None => Vec::new(),
    };
    if context.is_cross_origin() {
        for (name, value) in &CROSS_ORIGIN {
            head.field(name, value);
        }
    }
    if context.route.is_some() {
        let status = CacheStatus {
            cache: edge.cache_name(context),
            detail: Some(answer.detail),
            ..CacheStatus::default()
        }
        .to_string();
        head.field_fmt(&CACHE_STATUS, format_args!("{status}"));
        context.cache_status = Some(status);
    }
    if context.child.is_some() {
        Child::put_word(edge, word, &mut head);
    }
    put_common(edge, context, &mut head);
    let length = body.len() as u64;
    if answer.status == StatusCode::NO_CONTENT {
        client.begin(head, Length::None)?;
    } else if is_head {
        client.begin(head, Length::Known(length))?;
    } else {
        return client.send_full(head, &[Bytes::from(body)]).await;
    }
    client.finish().await
}
