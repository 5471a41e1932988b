//! A request that pingora's proxy answers: an [`Exchange`] in the form that it takes foreign protocols in.

use std::future::poll_fn;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::Stream;
use http::header::{CONNECTION, CONTENT_LENGTH, DATE, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use pingora_core::protocols::Digest;
use pingora_core::protocols::http::HttpTask;
use pingora_core::protocols::http::custom::CustomMessageWrite;
use pingora_core::protocols::http::custom::server::Session;
use pingora_core::protocols::l4::socket::SocketAddr;
use pingora_error::{Error, ErrorType, Result};
use pingora_http::{RequestHeader, ResponseHeader};

use crate::error::SendError;
use crate::exchange::Exchange;
use crate::state::Gone;

/// What of a request's body is kept for another try.
const RETRY_BYTES_MAX: usize = 64 << 10;

/// Fields of HTTP/1.1 connections, which HTTP/2 has not (RFC 9113 section 8.2.2).
const OF_CONNECTIONS: [HeaderName; 5] = [
    TRANSFER_ENCODING,
    CONNECTION,
    UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

/// A stream that is lent to pingora: `ServerSession::new_custom(Box::new(Lent::new(exchange, date)))`.
pub struct Lent {
    exchange: Exchange,
    request: RequestHeader,
    /// For an answer that has none.
    date: HeaderValue,
    written: Option<Box<ResponseHeader>>,
    digest: Digest,
    read: usize,
    read_timeout: Option<Duration>,
    drain_timeout: Option<Duration>,
    retry: Option<Retry>,
}

/// The beginning of a body, for another try.
#[derive(Default)]
struct Retry {
    pieces: Vec<Bytes>,
    bytes: usize,
    is_truncated: bool,
}

impl Retry {
    fn keep(&mut self, piece: &Bytes) {
        if self.is_truncated || self.bytes + piece.len() > RETRY_BYTES_MAX {
            self.is_truncated = true;
            self.pieces.clear();
            return;
        }
        self.bytes += piece.len();
        self.pieces.push(piece.clone());
    }
}

fn sending(error: &SendError) -> Box<Error> {
    let kind = match error {
        SendError::Gone(_) => ErrorType::H2Error,
        SendError::TooSlow => ErrorType::WriteTimedout,
        SendError::Order(_) => ErrorType::InternalError,
    };
    Error::explain(kind, error.to_string()).into_down()
}

fn reading(gone: Gone) -> Box<Error> {
    let text = format!("while reading downstream request body: {gone}");
    Error::explain(ErrorType::ReadError, text).into_down()
}

impl Lent {
    /// Lends an exchange of which nothing has been answered; `date` is for answers that say none (RFC 9110 section 6.6.1).
    #[must_use]
    pub fn new(mut exchange: Exchange, date: HeaderValue) -> Self {
        let request = RequestHeader::from(exchange.take_request());
        let digest = exchange.peer().digest.clone();
        Self {
            exchange,
            request,
            date,
            written: None,
            digest,
            read: 0,
            read_timeout: None,
            drain_timeout: None,
            retry: None,
        }
    }

    fn is_empty(&self) -> bool {
        let length = self.request.headers.get(CONTENT_LENGTH);
        self.read == 0
            && (self.exchange.is_body_over()
                || length.is_some_and(|length| length.as_bytes() == b"0"))
    }

    fn is_over(&self) -> bool {
        self.is_empty() || self.exchange.is_body_over()
    }

    fn has_said_no_body(&self, end: bool) -> bool {
        end || self.request.method == Method::HEAD
    }

    async fn next_bytes(&mut self) -> Result<Option<Bytes>> {
        let next = self.exchange.next_data();
        let data = match self.read_timeout {
            Some(limit) => tokio::time::timeout(limit, next).await.map_err(|_| {
                let text = "the request's body does not come";
                Error::explain(ErrorType::ReadTimedout, text).into_down()
            })?,
            None => next.await,
        };
        let data = data.transpose().map_err(reading)?;
        if let Some(data) = &data {
            self.read += data.len();
            if let Some(retry) = &mut self.retry {
                retry.keep(data);
            }
        }
        Ok(data)
    }

    async fn drain(&mut self) -> Result<()> {
        while !self.is_over() && self.next_bytes().await?.is_some() {}
        Ok(())
    }

    fn send_head(&mut self, mut head: Box<ResponseHeader>, end: bool) -> Result<()> {
        for name in &OF_CONNECTIONS {
            head.remove_header(name);
        }
        if head.status.is_informational() {
            let (status, fields) = (head.status, head.headers.clone());
            return self
                .exchange
                .inform(status, fields)
                .map_err(|error| sending(&error));
        }
        if self.written.is_some() {
            return Ok(());
        }
        if !head.headers.contains_key(DATE) {
            head.insert_header(DATE, self.date.clone())?;
        }
        let (status, fields) = (head.status, head.headers.clone());
        let end = self.has_said_no_body(end);
        self.exchange
            .respond(status, fields, end)
            .map_err(|error| sending(&error))?;
        self.written = Some(head);
        Ok(())
    }

    async fn send_body(&mut self, data: Bytes, end: bool) -> Result<()> {
        if self.exchange.is_done() {
            return Ok(());
        }
        self.exchange
            .write(data, end)
            .await
            .map_err(|error| sending(&error))
    }

    async fn end(&mut self) -> Result<()> {
        if self.written.is_none() || self.exchange.is_done() {
            return Ok(());
        }
        self.send_body(Bytes::new(), true).await
    }

    fn send_trailers(&mut self, trailers: HeaderMap) -> Result<()> {
        if self.exchange.is_done() {
            return Ok(());
        }
        self.exchange
            .trailers(trailers)
            .map_err(|error| sending(&error))
    }
}

type MessageReader = Box<dyn Stream<Item = Result<Bytes>> + Unpin + Send + Sync + 'static>;

#[async_trait]
impl Session for Lent {
    fn req_header(&self) -> &RequestHeader {
        &self.request
    }

    fn req_header_mut(&mut self) -> &mut RequestHeader {
        &mut self.request
    }

    async fn read_body_bytes(&mut self) -> Result<Option<Bytes>> {
        self.next_bytes().await
    }

    async fn drain_request_body(&mut self) -> Result<()> {
        let Some(limit) = self.drain_timeout else {
            return self.drain().await;
        };
        match tokio::time::timeout(limit, self.drain()).await {
            Ok(drained) => drained,
            Err(_) => Error::e_explain(ErrorType::ReadTimedout, "draining a request's body"),
        }
    }

    async fn write_response_header(&mut self, head: Box<ResponseHeader>, end: bool) -> Result<()> {
        self.send_head(head, end)
    }

    async fn write_response_header_ref(&mut self, head: &ResponseHeader, end: bool) -> Result<()> {
        self.send_head(Box::new(head.clone()), end)
    }

    async fn write_body(&mut self, data: Bytes, end: bool) -> Result<()> {
        self.send_body(data, end).await
    }

    async fn write_trailers(&mut self, trailers: HeaderMap) -> Result<()> {
        self.send_trailers(trailers)
    }

    async fn response_duplex_vec(&mut self, tasks: Vec<HttpTask>) -> Result<bool> {
        let mut is_end = false;
        for task in tasks {
            is_end |= match task {
                HttpTask::Header(head, end) => {
                    self.send_head(head, end)?;
                    end
                }
                HttpTask::Body(data, end) => {
                    if let Some(data) = data.filter(|data| !data.is_empty()) {
                        self.send_body(data, end).await?;
                    }
                    end
                }
                HttpTask::UpgradedBody(..) => {
                    let text = "an upgraded body for HTTP/2";
                    return Error::e_explain(ErrorType::InternalError, text);
                }
                HttpTask::Trailer(Some(trailers)) => {
                    self.send_trailers(*trailers)?;
                    true
                }
                HttpTask::Trailer(None) | HttpTask::Done => true,
                HttpTask::Failed(error) => return Err(error),
            };
        }
        if is_end {
            self.end().await?;
        }
        Ok(is_end)
    }

    fn set_read_timeout(&mut self, timeout: Option<Duration>) {
        self.read_timeout = timeout;
    }

    fn get_read_timeout(&self) -> Option<Duration> {
        self.read_timeout
    }

    fn set_write_timeout(&mut self, timeout: Option<Duration>) {
        if let Some(timeout) = timeout {
            self.exchange.pace.set_window(timeout);
        }
    }

    fn get_write_timeout(&self) -> Option<Duration> {
        Some(self.exchange.pace.window())
    }

    fn set_total_drain_timeout(&mut self, timeout: Option<Duration>) {
        self.drain_timeout = timeout;
    }

    fn get_total_drain_timeout(&self) -> Option<Duration> {
        self.drain_timeout
    }

    fn request_summary(&self) -> String {
        let uri = &self.request.uri;
        let path = uri.path_and_query().map_or("", |path| path.as_str());
        let host = uri.authority().map_or("", |authority| authority.as_str());
        format!("{} {path}, Host: {host}", self.request.method)
    }

    fn response_written(&self) -> Option<&ResponseHeader> {
        self.written.as_deref()
    }

    async fn shutdown(&mut self, _code: u32, _context: &str) {
        self.exchange.cut();
    }

    fn is_body_done(&mut self) -> bool {
        self.is_over()
    }

    async fn finish(&mut self) -> Result<()> {
        self.end().await
    }

    fn is_body_empty(&mut self) -> bool {
        self.is_empty()
    }

    async fn read_body_or_idle(&mut self, no_body_expected: bool) -> Result<Option<Bytes>> {
        if !no_body_expected && !self.is_over() {
            return self.next_bytes().await;
        }
        let reason = poll_fn(|context| self.exchange.poll_gone(context)).await;
        let text = format!("the client is gone: {reason}");
        Err(Error::explain(ErrorType::H2Error, text).into_down())
    }

    fn body_bytes_sent(&self) -> usize {
        usize::try_from(self.exchange.body_bytes_sent()).unwrap_or(usize::MAX)
    }

    fn body_bytes_read(&self) -> usize {
        self.read
    }

    fn digest(&self) -> Option<&Digest> {
        Some(&self.digest)
    }

    fn digest_mut(&mut self) -> Option<&mut Digest> {
        Some(&mut self.digest)
    }

    fn client_addr(&self) -> Option<&SocketAddr> {
        self.digest.socket_digest.as_ref()?.peer_addr()
    }

    fn server_addr(&self) -> Option<&SocketAddr> {
        self.digest.socket_digest.as_ref()?.local_addr()
    }

    /// For subrequests, which there are none of.
    fn pseudo_raw_h1_request_header(&self) -> Bytes {
        Bytes::new()
    }

    fn enable_retry_buffering(&mut self) {
        self.retry.get_or_insert_default();
    }

    fn retry_buffer_truncated(&self) -> bool {
        self.retry.as_ref().is_some_and(|retry| retry.is_truncated)
    }

    fn get_retry_buffer(&self) -> Option<Bytes> {
        let retry = self.retry.as_ref().filter(|retry| !retry.is_truncated)?;
        (!retry.pieces.is_empty()).then(|| retry.pieces.concat().into())
    }

    async fn finish_custom(&mut self) -> Result<()> {
        Ok(())
    }

    fn take_custom_message_reader(&mut self) -> Option<MessageReader> {
        None
    }

    fn restore_custom_message_reader(&mut self, _reader: MessageReader) -> Result<()> {
        Ok(())
    }

    fn take_custom_message_writer(&mut self) -> Option<Box<dyn CustomMessageWrite>> {
        None
    }

    fn restore_custom_message_writer(
        &mut self,
        _writer: Box<dyn CustomMessageWrite>,
    ) -> Result<()> {
        Ok(())
    }
}
