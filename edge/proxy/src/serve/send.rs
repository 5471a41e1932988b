//! Sending what is held: the whole, a 304, one range or several, or a head alone.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{
    CACHE_CONTROL, CONTENT_LOCATION, CONTENT_RANGE, CONTENT_TYPE, DATE, ETAG, EXPIRES,
    LAST_MODIFIED, VARY,
};
use http::{HeaderName, Method, StatusCode};
use mcsp_edge_cache::engine::{Entity, ReadError, StoredHead};
use mcsp_edge_policy::conditional::{self, Precondition};
use mcsp_edge_policy::multipart::{Multipart, Piece};
use mcsp_edge_policy::range::{ByteRange, ContentRange, Fitted, RangeRequest};

use super::asking::Asking;
use super::client::{ClientStream, HeadLines, Length, SendFault, unless_gone};
use super::prefetching;
use super::prepared::{self, Prepared};
use super::report::Report;
use super::seeking::Reached;
use super::slices::{self, Brought, Missing};
use super::stretch::Opening;
use crate::context::RequestContext;
use crate::edge::Edge;

/// What a 304 tells again (RFC 9110 section 15.4.5).
const OF_NOT_MODIFIED: [HeaderName; 7] = [
    CACHE_CONTROL,
    CONTENT_LOCATION,
    DATE,
    ETAG,
    EXPIRES,
    LAST_MODIFIED,
    VARY,
];
/// Was there an answer?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sent {
    Answered,
    /// No: what is missing of the entity cannot be had. Nothing was said to the client.
    Missing,
    /// No: it was being brought, and failed before its first byte. Nothing was said to the client.
    Failed(ReadError),
    /// No: what is wanted of it is brought, but not soon, and cannot be had beside it. Nothing was said to the client.
    OutOfReach,
}

///// An entity on its way to a client.
pub(crate) struct Sending<'a> {
    pub(crate) edge: &'a Arc<Edge>,
    pub(crate) asking: &'a Asking<'a>,
    pub(crate) entity: &'a Arc<Entity>,
    pub(crate) report: Report,
    pub(crate) now_ms: i64,
    /// What the origin sent when it was asked for the client's very range: that is what the client gets.
    pub(crate) part: Option<ByteRange>,
}

impl Sending<'_> {
    /// Answers the request with what is held.
    pub(crate) async fn send<C: ClientStream>(
        &self,
        client: &mut C,
        context: &mut RequestContext,
    ) -> Result<Sent, SendFault> {
        let head = self.entity.head();
        let Some(prepared) = prepared::of(self.entity, &head) else {
            return Err(SendFault::Answer("a head without its lines".to_owned()));
        };
        let prepared = &prepared;
        if head.status.is_success() {
            prefetching::see(
                self.edge,
                self.asking,
                context,
                self.entity,
                prepared,
                self.now_ms,
            );
        }
        let request = &self.asking.request.headers;
        let method = &self.asking.request.method;
        if conditional::has_conditions(request) {
            let validators = prepared.validators();
            match conditional::evaluate(method, request, head.status, validators, self.now_ms) {
                Precondition::Proceed => {}
                Precondition::NotModified => {
                    return self
                        .bare(client, context, StatusCode::NOT_MODIFIED, prepared)
                        .await;
                }
                Precondition::Failed => {
                    return self
                        .bare(client, context, StatusCode::PRECONDITION_FAILED, prepared)
                        .await;
                }
            }
        }
        match self.fit(&head, prepared) {
            Fitted::Whole => {
                let end = self.entity.total_len().unwrap_or(u64::MAX);
                let opening = if self.asking.is_head {
                    Opening::Here
                } else {
                    self.open(client, context, 0..end).await?
                };
                self.whole(client, context, &head, prepared, opening).await
            }
            Fitted::One(range) => {
                let wanted = range.first..range.last.saturating_add(1);
                let opening = self.open(client, context, wanted).await?;
                self.one(client, context, prepared, range, opening).await
            }
            Fitted::Many(ranges) => {
                for range in &ranges {
                    let wanted = range.first..range.last.saturating_add(1);
                    if let Opening::Not(sent) = self.open(client, context, wanted).await? {
                        return Ok(sent);
                    }
                }
                self.many(client, context, prepared, &ranges).await
            }
            Fitted::None => self.unsatisfiable(client, context, prepared).await,
        }
    }

    /// Waits until a stretch's first byte is here; whether the rest can be had is looked at before. What is missing at the
    /// beginning is asked for before anything is said, so that the client learns of a failure by another answer than a cut
    /// one.
    async fn open<C: ClientStream>(
        &self,
        client: &mut C,
        context: &RequestContext,
        range: Range<u64>,
    ) -> Result<Opening, SendFault> {
        if self.entity.is_purged() {
            return Ok(Opening::Not(Sent::Missing));
        }
        if range.is_empty() || self.entity.is_complete() {
            return Ok(Opening::Here);
        }
        if !slices::can_be_had(self.entity, &range) {
            return Ok(Opening::Not(self.without_first()));
        }
        if self
            .entity
            .holds(&(range.start..range.start.saturating_add(1)))
        {
            return Ok(Opening::Here);
        }
        let mut reader = self.entity.reader(range.clone());
        if client.takes_parts() && reader.try_lying().is_some() {
            return Ok(Opening::Here);
        }
        if let Some(piece) = reader.try_next() {
            return Ok(Opening::Came(reader, piece));
        }
        drop(reader);
        Box::pin(unless_gone(client, self.await_first(context, range))).await
    }

    async fn await_first(&self, context: &RequestContext, range: Range<u64>) -> Opening {
        let mut reader = self.entity.reader(range.clone());
        let (mut has_asked, mut has_sought) = (false, false);
        let mut came = match self.reach(&mut reader).await {
            Reached::Next(next) => Some(next),
            Reached::Not => return Opening::Not(Sent::OutOfReach),
            Reached::InTime => None,
        };
        loop {
            let next = if let Some(next) = came.take() {
                Some(next)
            } else if has_sought {
                Some(reader.next().await)
            } else {
                slices::next_soon(&mut reader).await
            };
            match next {
                Some(Ok(Some(piece))) => return Opening::Came(reader, piece),
                Some(Ok(None)) => return Opening::Here,
                None => {
                    has_sought = true;
                    let brought = self.bring(context, range.clone(), Missing::Far).await;
                    if let Brought::Past(..) = brought {
                        return Opening::Not(Sent::Missing);
                    }
                }
                Some(Err(ReadError::Hole { .. })) if !has_asked => {
                    has_asked = true;
                    match self.bring(context, range.clone(), Missing::Hole).await {
                        Brought::Comes => {}
                        Brought::Past(..) => return Opening::Not(Sent::Missing),
                        Brought::Not => return Opening::Not(self.without_first()),
                    }
                }
                Some(Err(error @ ReadError::Stalled { .. })) => {
                    return Opening::Not(Sent::Failed(error));
                }
                Some(Err(ReadError::Hole { .. })) => return Opening::Not(self.without_first()),
                Some(Err(ReadError::Purged | ReadError::NoRoom)) => {
                    return Opening::Not(Sent::Missing);
                }
            }
        }
    }

    /// Of a body that its origin broke off before it began, nobody who waited for it asks once more for himself. One that
    /// failed for want of memory here may well pass through.
    fn without_first(&self) -> Sent {
        if slices::broke_off(self.entity) {
            Sent::Failed(ReadError::Hole { at: 0 })
        } else {
            Sent::Missing
        }
    }

    /// Which of its bytes the client asks for; ranges are for a `GET` that is answered with 200.
    fn fit(&self, head: &StoredHead, prepared: &Prepared<'_>) -> Fitted {
        if let Some(part) = self.part {
            return Fitted::One(part);
        }
        let request = &self.asking.request.headers;
        if self.asking.request.method != Method::GET
            || head.status != StatusCode::OK
            || !request.contains_key(http::header::RANGE)
            // A 200 with one is told as it came: cut, it would have two of them.
            || head.headers.contains_key(CONTENT_RANGE)
            || !conditional::if_range_holds(request, prepared.validators(), self.now_ms)
        {
            return Fitted::Whole;
        }
        match self.entity.total_len() {
            Some(total) => RangeRequest::of(request).fit(total),
            None => Fitted::Whole,
        }
    }

    /// 304 or 412.
    async fn bare<C: ClientStream>(
        &self,
        client: &mut C,
        context: &mut RequestContext,
        status: StatusCode,
        prepared: &Prepared<'_>,
    ) -> Result<Sent, SendFault> {
        context.status = status.as_u16();
        let mut head = client.head(status);
        if context.child.is_some() {
            // It brings what it holds up to date by all of them (RFC 9111 section 3.2).
            head.fields(prepared.fields_for(context));
        } else {
            for name in &OF_NOT_MODIFIED {
                for value in prepared.fields().get_all(name) {
                    head.field(name, value);
                }
            }
            put_cross_origin(prepared, &mut head);
        }
        self.report.put(self.edge, context, &mut head);
        let length = if status == StatusCode::NOT_MODIFIED {
            Length::None
        } else {
            Length::Known(0)
        };
        client.begin(head, length)?;
        client.finish().await?;
        Ok(Sent::Answered)
    }

    async fn unsatisfiable<C: ClientStream>(
        &self,
        client: &mut C,
        context: &mut RequestContext,
        prepared: &Prepared<'_>,
    ) -> Result<Sent, SendFault> {
        let status = StatusCode::RANGE_NOT_SATISFIABLE;
        context.status = status.as_u16();
        let mut head = client.head(status);
        let range = ContentRange {
            range: None,
            total: self.entity.total_len(),
        };
        head.field(&CONTENT_RANGE, &range.value());
        put_cross_origin(prepared, &mut head);
        self.report.put(self.edge, context, &mut head);
        client.begin(head, Length::Known(0))?;
        client.finish().await?;
        Ok(Sent::Answered)
    }

    async fn whole<C: ClientStream>(
        &self,
        client: &mut C,
        context: &mut RequestContext,
        stored: &StoredHead,
        prepared: &Prepared<'_>,
        opening: Opening,
    ) -> Result<Sent, SendFault> {
        if let Opening::Not(sent) = opening {
            return Ok(sent);
        }
        context.status = stored.status.as_u16();
        let mut head = client.head(stored.status);
        put_stored(prepared, context, &mut head);
        self.report.put(self.edge, context, &mut head);
        if let Some(pieces) = self.entity.body_bytes()
            && !self.asking.is_head
            && !self.entity.is_purged()
        {
            client.send_full(head, pieces).await?;
            return Ok(Sent::Answered);
        }
        let length = match self.entity.total_len() {
            Some(bytes) => Length::Known(bytes),
            None => Length::Unknown,
        };
        client.begin(head, length)?;
        if !self.asking.is_head {
            let end = self.entity.total_len().unwrap_or(u64::MAX);
            self.stretch(client, context, 0..end, opening).await?;
        }
        client.finish().await?;
        Ok(Sent::Answered)
    }

    async fn one<C: ClientStream>(
        &self,
        client: &mut C,
        context: &mut RequestContext,
        prepared: &Prepared<'_>,
        range: ByteRange,
        opening: Opening,
    ) -> Result<Sent, SendFault> {
        if let Opening::Not(sent) = opening {
            return Ok(sent);
        }
        let status = StatusCode::PARTIAL_CONTENT;
        context.status = status.as_u16();
        let mut head = client.head(status);
        put_stored(prepared, context, &mut head);
        let content_range = ContentRange {
            range: Some(range),
            total: self.entity.total_len(),
        };
        head.field(&CONTENT_RANGE, &content_range.value());
        self.report.put(self.edge, context, &mut head);
        let wanted = range.first..range.last.saturating_add(1);
        if self.entity.is_complete() {
            client.send_full(head, &self.held(wanted)).await?;
            return Ok(Sent::Answered);
        }
        client.begin(head, Length::Known(range.length()))?;
        self.stretch(client, context, wanted, opening).await?;
        client.finish().await?;
        Ok(Sent::Answered)
    }

    /// The pieces of a stretch that is in memory.
    fn held(&self, range: Range<u64>) -> Vec<Bytes> {
        let mut reader = self.entity.reader(range);
        std::iter::from_fn(|| reader.try_next()).collect()
    }

    async fn many<C: ClientStream>(
        &self,
        client: &mut C,
        context: &mut RequestContext,
        prepared: &Prepared<'_>,
        ranges: &[ByteRange],
    ) -> Result<Sent, SendFault> {
        let status = StatusCode::PARTIAL_CONTENT;
        let total = self.entity.total_len().unwrap_or(0);
        let seed = u128::from(self.edge.entropy.next_u64()) << 64
            | u128::from(self.edge.entropy.next_u64());
        let parts = Multipart::of(ranges, total, prepared.fields().get(CONTENT_TYPE), seed);
        context.status = status.as_u16();
        let mut head = client.head(status);
        for (name, value) in prepared.fields_for(context) {
            if *name != CONTENT_TYPE {
                head.field(name, value);
            }
        }
        head.field(&CONTENT_TYPE, &parts.content_type);
        self.report.put(self.edge, context, &mut head);
        client.begin(head, Length::Known(parts.length))?;
        for piece in parts.pieces {
            match piece {
                Piece::Framing(bytes) => client.write(bytes).await?,
                Piece::Content(range) => {
                    let wanted = range.first..range.last.saturating_add(1);
                    let opening = Opening::Here;
                    self.stretch(client, context, wanted, opening).await?;
                }
            }
        }
        client.finish().await?;
        Ok(Sent::Answered)
    }
}

/// The fields of what is stored.
fn put_stored(prepared: &Prepared<'_>, context: &RequestContext, head: &mut impl HeadLines) {
    if context.child.is_some() {
        head.fields(prepared.fields_for(context));
    } else {
        head.prepared(prepared);
    }
}

/// An answer without the fields of what is stored is for pages of other origins too.
fn put_cross_origin(prepared: &Prepared<'_>, head: &mut impl HeadLines) {
    for name in [
        http::header::ACCESS_CONTROL_ALLOW_ORIGIN,
        http::header::ACCESS_CONTROL_EXPOSE_HEADERS,
        http::header::SERVER,
    ] {
        if let Some(value) = prepared.fields().get(&name) {
            head.field(&name, value);
        }
    }
}
