//! HTTP/2 clients: streams of pingora's sessions.

use std::fmt;

use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use mcsp_edge_h1::belongs_to_connection;
use pingora_core::protocols::http::v2::server::HttpSession;
use pingora_error::Error;
use pingora_http::ResponseHeader;

use super::client::{ClientStream, HeadLines, Length, SendFault};
use super::prepared::Prepared;

/// A head as pingora sends it.
#[derive(Debug)]
pub(crate) struct H2Head {
    status: StatusCode,
    fields: HeaderMap,
}

impl HeadLines for H2Head {
    fn prepared(&mut self, prepared: &Prepared) {
        if self.fields.is_empty() {
            self.fields = prepared.fields.clone();
        } else {
            self.fields(&prepared.fields);
        }
    }

    fn field(&mut self, name: &HeaderName, value: &HeaderValue) {
        if !belongs_to_connection(name) {
            self.fields.append(name.clone(), value.clone());
        }
    }

    fn field_fmt(&mut self, name: &HeaderName, value: fmt::Arguments<'_>) {
        // What no field value may hold leaves the field out.
        if let Ok(value) = HeaderValue::try_from(value.to_string()) {
            self.field(name, &value);
        }
    }
}

/// One stream.
pub(crate) struct H2Client {
    session: HttpSession,
    is_head: bool,
    /// Of the body, as the head said.
    left: Option<u64>,
    waiting: Option<(Box<ResponseHeader>, bool)>,
    sent: u64,
}

impl H2Client {
    /// `session` has its request.
    pub(crate) fn new(session: HttpSession) -> Self {
        let is_head = session.req_header().method == Method::HEAD;
        Self {
            session,
            is_head,
            left: None,
            waiting: None,
            sent: 0,
        }
    }

    /// The session, to end it.
    pub(crate) fn session(&mut self) -> &mut HttpSession {
        &mut self.session
    }

    fn send_head(&mut self) -> Result<bool, SendFault> {
        let Some((head, is_end)) = self.waiting.take() else {
            return Ok(false);
        };
        self.session
            .write_response_header(head, is_end)
            .map_err(|error| fault(&error))?;
        Ok(is_end)
    }
}

fn fault(error: &Error) -> SendFault {
    SendFault::Client(error.to_string())
}

impl ClientStream for H2Client {
    type Head = H2Head;

    fn head(&mut self, status: StatusCode) -> H2Head {
        H2Head {
            status,
            fields: HeaderMap::new(),
        }
    }

    /// The protocol would have a way, its implementation has none.
    async fn interim(&mut self, _status: StatusCode, _fields: &HeaderMap) -> Result<(), SendFault> {
        Ok(())
    }

    async fn send_full(&mut self, head: H2Head, body: &[Bytes]) -> Result<(), SendFault> {
        let length = body.iter().map(|piece| piece.len() as u64).sum();
        self.begin(head, Length::Known(length))?;
        for piece in body {
            self.write(piece.clone()).await?;
        }
        self.finish().await
    }

    fn begin(&mut self, mut head: H2Head, length: Length) -> Result<(), SendFault> {
        if let Length::Known(bytes) = length {
            head.fields.insert(CONTENT_LENGTH, HeaderValue::from(bytes));
        }
        let is_bodiless = self.is_head
            || length == Length::None
            || matches!(length, Length::Known(0))
            || matches!(
                head.status,
                StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED
            );
        self.left = match length {
            Length::Known(bytes) if !is_bodiless => Some(bytes),
            _ => None,
        };
        let (mut parts, ()) = http::Response::new(()).into_parts();
        parts.status = head.status;
        parts.headers = head.fields;
        self.waiting = Some((Box::new(ResponseHeader::from(parts)), is_bodiless));
        Ok(())
    }

    async fn write(&mut self, piece: Bytes) -> Result<(), SendFault> {
        let is_over = self.send_head()?;
        if is_over || self.is_head || piece.is_empty() {
            return Ok(());
        }
        let length = piece.len() as u64;
        let is_end = match &mut self.left {
            Some(left) => {
                *left = left.checked_sub(length).ok_or_else(|| {
                    SendFault::Answer("the body is longer than declared".to_owned())
                })?;
                *left == 0
            }
            None => false,
        };
        self.session
            .write_body(piece, is_end)
            .await
            .map_err(|error| fault(&error))?;
        self.sent += length;
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), SendFault> {
        self.send_head().map(|_| ())
    }

    async fn finish(&mut self) -> Result<(), SendFault> {
        let is_over = self.send_head()?;
        if self.left.is_some_and(|left| left > 0) {
            return Err(SendFault::Answer(
                "the body is shorter than declared".to_owned(),
            ));
        }
        if !is_over && self.left.is_none() && !self.is_head {
            self.session
                .write_body(Bytes::new(), true)
                .await
                .map_err(|error| fault(&error))?;
        }
        self.session.finish().map_err(|error| fault(&error))
    }

    fn body_bytes_sent(&self) -> u64 {
        self.sent
    }
}
