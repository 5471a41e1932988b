//! Answers for one client alone, on their way through.

use std::ops::ControlFlow;
use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, DATE};
use http::response::Parts;
use http::{HeaderMap, HeaderValue, StatusCode};
use mcsp_edge_fetch::{BodyLength, FetchError, FetchRequest, Response};
use mcsp_edge_policy::age::age_field_s;
use mcsp_edge_policy::cache_status::CACHE_STATUS;
use mcsp_edge_policy::date::http_date_value;
use mcsp_edge_policy::hop_by_hop::strip_for_forwarding;
use tokio::sync::mpsc;

use super::answering;
use super::client::{ClientStream, HeadLines, Length, SendFault, unless_gone, unless_left};
use super::prepared::public_fields;
use super::report::Report;
use crate::answer::Answer;
use crate::context::RequestContext;
use crate::edge::Edge;
use crate::shield::{Way, fields_for_child, told_by_parent};
use crate::stage;

/// Interim answers that wait for the client to take them.
const INTERIM_WAITING_MAX: usize = 16;

/// Waits for an outcome; the client is told of interim answers (1xx) meanwhile.
pub(super) async fn told_interim<C: ClientStream, T>(
    client: &mut C,
    outcome: impl Future<Output = T>,
    mut interim: mpsc::Receiver<Parts>,
) -> Result<T, SendFault> {
    let mut outcome = pin!(outcome);
    loop {
        tokio::select! {
            biased;
            Some(head) = interim.recv() => tell(client, head).await?,
            outcome = &mut outcome => return Ok(outcome),
            () = client.gone() => return Err(SendFault::Gone),
        }
    }
}

async fn tell<C: ClientStream>(client: &mut C, mut head: Parts) -> Result<(), SendFault> {
    // 100 is for whoever sends a body (RFC 9110 section 15.2.1); these requests have none.
    if head.status == StatusCode::CONTINUE {
        return Ok(());
    }
    strip_for_forwarding(&mut head.headers);
    client.interim(head.status, &head.headers).await
}

/// Asks for this client alone.
pub(super) async fn fetch<C: ClientStream>(
    edge: &Edge,
    client: &mut C,
    request: &FetchRequest,
    way: &Way,
) -> Result<Result<Response, FetchError>, SendFault> {
    let (tell_interim, mut interim) = mpsc::channel(INTERIM_WAITING_MAX);
    let mut on_interim = |head: Parts| {
        // A client that does not take them misses some: they are hints.
        let _ = tell_interim.try_send(head);
    };
    let mut fetch = Box::pin(way.fetch(edge, request, &mut on_interim));
    loop {
        tokio::select! {
            biased;
            Some(head) = interim.recv() => tell(client, head).await?,
            fetched = &mut fetch => return Ok(fetched),
            () = client.gone() => return Err(SendFault::Gone),
        }
    }
}

/// Passes an answer on as it comes.
pub(super) async fn pass_on<C: ClientStream>(
    edge: &Arc<Edge>,
    client: &mut C,
    context: &mut RequestContext,
    mut response: Response,
    mut report: Report,
) -> Result<(), SendFault> {
    // Nothing is said before the body begins or turns out to be none: a client learns of a failure by its status.
    let mut piece = match beginning(edge, client, context, &mut response).await? {
        Ok(piece) => piece,
        Err(answer) => {
            context.detail = Some(answer.detail);
            return answering::send(edge, client, context, answer, false).await;
        }
    };
    let status = response.head.status;
    let fields = forwarded_fields(&response, context);
    report.age_s = age_field_s(&response.head.headers);
    context.status = status.as_u16();
    let mut head = client.head(status);
    head.fields(&fields);
    for value in told_by_parent(&response.head) {
        head.field(&CACHE_STATUS, value);
    }
    report.put(edge, context, &mut head);
    client.begin(head, length_of(&response))?;
    while let Some(bytes) = piece {
        client.write(bytes).await?;
        piece = match unless_left(client, response.next_chunk()).await? {
            Ok(piece) => piece,
            Err(error) => return Err(SendFault::Answer(error.to_string())),
        };
    }
    client.finish().await
}

/// The first bytes of an answer's body: those of which rules have seen all that they look at, and found nothing. What the
/// client is told instead, if the origin fails before or they refuse it.
async fn beginning<C: ClientStream>(
    edge: &Edge,
    client: &mut C,
    context: &mut RequestContext,
    response: &mut Response,
) -> Result<Result<Option<Bytes>, Answer>, SendFault> {
    let head = &response.head;
    if let Some(inspection) = &mut context.inspection
        && let ControlFlow::Break(answer) = inspection.response_head(head.status, &head.headers)
    {
        return Ok(Err(stage::answered("waf", edge, context, answer)));
    }
    loop {
        let mut piece = match unless_gone(client, response.next_chunk()).await? {
            Ok(piece) => piece,
            Err(error) => {
                tracing::debug!(%error, "an origin failed before its answer's body");
                return Ok(Err(answering::of_failure(&error)));
            }
        };
        let Some(inspection) = &mut context.inspection else {
            return Ok(Ok(piece));
        };
        let is_end = piece.is_none();
        let judged = unless_gone(client, inspection.response_piece(&mut piece, is_end)).await?;
        if let ControlFlow::Break(answer) = judged {
            return Ok(Err(stage::answered("waf", edge, context, answer)));
        }
        if is_end || piece.is_some() {
            return Ok(Ok(piece.filter(|piece| !piece.is_empty())));
        }
    }
}

fn forwarded_fields(response: &Response, context: &RequestContext) -> HeaderMap {
    let mut fields = response.head.headers.clone();
    strip_for_forwarding(&mut fields);
    // RFC 9110 section 6.6.1.
    if !fields.contains_key(DATE) {
        fields.insert(DATE, http_date_value(response.responded_ms));
    }
    if context.child.is_some() {
        return fields_for_child(&fields);
    }
    public_fields(response.head.status, &fields, context.is_cross_origin())
}

fn length_of(response: &Response) -> Length {
    match response.length() {
        BodyLength::Known(bytes) => Length::Known(bytes),
        BodyLength::Marked | BodyLength::UntilClose => Length::Unknown,
        BodyLength::None => {
            let said = response.head.headers.get(CONTENT_LENGTH);
            let bytes = said
                .map(HeaderValue::to_str)
                .and_then(|text| text.ok()?.parse().ok());
            bytes.map_or(Length::None, Length::Known)
        }
    }
}
