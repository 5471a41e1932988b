//! HTTP/2 clients: streams of our own connection loop.

use std::fmt;

use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use mcsp_edge_h1::belongs_to_connection;
use mcsp_edge_h2::{Exchange, Fields, SendError};

use super::client::{ClientStream, HeadLines, Length, SendFault};
use super::prepared::Prepared;

/// Room for the fields of most answers.
const FIELDS: usize = 24;
/// Room for those of their values that no other answer has.
const WRITTEN_BYTES: usize = 320;

impl From<SendError> for SendFault {
    fn from(error: SendError) -> Self {
        if error.is_downstream() {
            Self::Client(error.to_string())
        } else {
            Self::Answer(error.to_string())
        }
    }
}

/// A head and its fields.
#[derive(Debug)]
pub(crate) struct H2Head {
    status: StatusCode,
    fields: Fields,
}

impl HeadLines for H2Head {
    fn prepared(&mut self, prepared: &Prepared<'_>) {
        let Some(pairs) = prepared.pairs() else {
            return prepared.each(|name, value| self.field(name, value));
        };
        for (name, value) in pairs {
            self.fields.put(name, value);
        }
    }

    fn field(&mut self, name: &HeaderName, value: &HeaderValue) {
        if !belongs_to_connection(name) {
            self.fields.put(name, value);
        }
    }

    fn field_fmt(&mut self, name: &HeaderName, value: fmt::Arguments<'_>) {
        if !belongs_to_connection(name) {
            self.fields.put_fmt(name, value);
        }
    }
}

/// One stream.
pub(crate) struct H2Client {
    exchange: Exchange,
    is_head: bool,
    /// Of the body, as the head said.
    left: Option<u64>,
    waiting: Option<(H2Head, bool)>,
}

impl H2Client {
    pub(crate) fn new(exchange: Exchange) -> Self {
        Self {
            is_head: exchange.is_head(),
            exchange,
            left: None,
            waiting: None,
        }
    }

    /// Has the client see that the answer is not whole, unless it is.
    pub(crate) fn cut(&mut self) {
        self.exchange.cut();
    }

    fn send_head(&mut self) -> Result<(), SendFault> {
        if let Some((head, is_end)) = self.waiting.take() {
            self.exchange.respond(head.status, head.fields, is_end)?;
        }
        Ok(())
    }
}

impl ClientStream for H2Client {
    type Head = H2Head;

    fn head(&mut self, status: StatusCode) -> H2Head {
        H2Head {
            status,
            fields: Fields::with_capacity(FIELDS, WRITTEN_BYTES),
        }
    }

    async fn interim(&mut self, status: StatusCode, fields: &HeaderMap) -> Result<(), SendFault> {
        let own = fields
            .iter()
            .filter(|(name, _)| !belongs_to_connection(name));
        let own = own.map(|(name, value)| (name.clone(), value.clone()));
        Ok(self.exchange.inform(status, own.collect())?)
    }

    async fn send_full(&mut self, mut head: H2Head, body: &[Bytes]) -> Result<(), SendFault> {
        let length: u64 = body.iter().map(|piece| piece.len() as u64).sum();
        if self.is_head || is_bodiless(head.status) {
            self.begin(head, Length::Known(length))?;
            return self.finish().await;
        }
        head.fields.put_u64(&CONTENT_LENGTH, length);
        Ok(self.exchange.answer(head.status, head.fields, body).await?)
    }

    fn begin(&mut self, mut head: H2Head, length: Length) -> Result<(), SendFault> {
        if let Length::Known(bytes) = length {
            head.fields.put_u64(&CONTENT_LENGTH, bytes);
        }
        let is_over = self.is_head
            || matches!(length, Length::None | Length::Known(0))
            || is_bodiless(head.status);
        self.left = match length {
            Length::Known(bytes) if !is_over => Some(bytes),
            _ => None,
        };
        self.waiting = Some((head, is_over));
        Ok(())
    }

    async fn write(&mut self, piece: Bytes) -> Result<(), SendFault> {
        self.send_head()?;
        if self.exchange.is_done() {
            // A body that is longer than the head said is a fault; that of an answer without one is dropped.
            return match self.left {
                Some(_) if !piece.is_empty() => Err(longer()),
                _ => Ok(()),
            };
        }
        let mut is_end = false;
        if let Some(left) = &mut self.left {
            *left = left.checked_sub(piece.len() as u64).ok_or_else(longer)?;
            is_end = *left == 0;
        }
        Ok(self.exchange.write(piece, is_end).await?)
    }

    async fn write_all(&mut self, pieces: Vec<Bytes>) -> Result<(), SendFault> {
        for piece in pieces {
            self.write(piece).await?;
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), SendFault> {
        self.send_head()
    }

    async fn finish(&mut self) -> Result<(), SendFault> {
        self.send_head()?;
        if self.left.is_some_and(|left| left > 0) {
            return Err(SendFault::Answer(
                "the body is shorter than declared".to_owned(),
            ));
        }
        if !self.exchange.is_done() {
            self.exchange.write(Bytes::new(), true).await?;
        }
        Ok(())
    }

    async fn gone(&mut self) {
        self.exchange.gone().await;
    }

    /// Others of its streams may be good; the door resets those that are not heard any more.
    fn end_connection(&mut self) {}

    fn body_bytes_sent(&self) -> u64 {
        self.exchange.body_bytes_sent()
    }
}

fn longer() -> SendFault {
    SendFault::Answer("the body is longer than declared".to_owned())
}

fn is_bodiless(status: StatusCode) -> bool {
    matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}
