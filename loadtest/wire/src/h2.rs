//! HTTP/2 on one connection.

use bytes::Bytes;
use h2::client::SendRequest;
use http::{HeaderName, HeaderValue, header};
use tokio::task::JoinHandle;
use tokio::time::{timeout, timeout_at};

use crate::connect::Stream;
use crate::failure::{Failure, FailureKind};
use crate::h1::{Exchange, Sink};
use crate::network::Limits;
use crate::request::{Answer, Framing, Request, Times};

/// What a node may send ahead; a link of 100 Mbit/s and 20 ms is full with it.
const WINDOW_BYTES: u32 = 256 << 10;
const UPLOAD_PIECE_BYTES: usize = 16 << 10;

pub(crate) struct H2 {
    send: SendRequest<Bytes>,
    driver: JoinHandle<()>,
}

impl Drop for H2 {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// A connection that broke, or that the node is done with, is no fault of HTTP/2: what it did not look at may be asked again (RFC 9113
/// section 8.7). Any other error of a stream is an answer, and a bad one.
fn protocol(error: &h2::Error) -> Box<Failure> {
    let is_unseen = error.reason() == Some(h2::Reason::REFUSED_STREAM)
        || error.is_go_away() && error.reason() == Some(h2::Reason::NO_ERROR);
    let kind = if error.is_io() || is_unseen {
        FailureKind::Reset
    } else {
        FailureKind::Protocol
    };
    Failure::new(kind, error.to_string())
}

impl H2 {
    pub(crate) async fn handshake(stream: Stream, limits: Limits) -> Result<Self, Box<Failure>> {
        let mut builder = h2::client::Builder::new();
        builder
            .enable_push(false)
            .initial_window_size(WINDOW_BYTES)
            .initial_connection_window_size(WINDOW_BYTES)
            .max_header_list_size(u32::try_from(limits.head_bytes_max).unwrap_or(u32::MAX));
        let (send, connection) = timeout(
            limits.connect_timeout,
            builder.handshake::<_, Bytes>(stream),
        )
        .await
        .map_err(|_| Failure::new(FailureKind::ConnectTimeout, "no HTTP/2 preface in time"))?
        .map_err(|error| protocol(&error))?;
        let driver = tokio::spawn(async move {
            // Its end shows in the streams that it carried.
            let _ = connection.await;
        });
        Ok(Self { send, driver })
    }

    /// Whether the connection is still there.
    pub(crate) fn is_open(&self) -> bool {
        !self.driver.is_finished()
    }

    /// Sends the request and reads its whole answer.
    pub(crate) async fn exchange(
        &mut self,
        exchange: &Exchange<'_>,
        times: &mut Times,
        sink: Sink<'_>,
    ) -> Result<(Answer, bool), Box<Failure>> {
        let limits = exchange.limits();
        let until = exchange.until(limits.read_timeout);
        let late = || Failure::new(FailureKind::HeadTimeout, "no head in time");
        let ready = timeout_at(until, self.send.clone().ready()).await;
        let mut send = ready
            .map_err(|_| late())?
            .map_err(|error| protocol(&error))?;
        let body = &exchange.request.body;
        let (response, stream) = send
            .send_request(head(exchange.request)?, body.length().is_none())
            .map_err(|error| protocol(&error))?;
        let sent = match body.length() {
            Some(length) => upload(exchange, stream, length).await,
            None => Ok(()),
        };
        if let Err(failure) = &sent
            && !matches!(failure.kind, FailureKind::Reset | FailureKind::Protocol)
        {
            return Err(failure.clone());
        }
        let until = exchange.until(limits.read_timeout);
        let response = timeout_at(until, response).await.map_err(|_| late())?;
        let (parts, mut incoming) = match response {
            Ok(response) => response.into_parts(),
            Err(error) => return Err(sent.err().unwrap_or_else(|| protocol(&error))),
        };
        times.first_byte_us = exchange.network.clock.now_us();
        let declared = declared_length(&parts.headers)?;
        let status = parts.status.as_u16();
        let mut body_bytes = 0_u64;
        let failed = |mut failure: Box<Failure>, body_bytes| {
            failure.status = Some(status);
            failure.body_bytes = body_bytes;
            failure.declared_bytes = declared;
            Err(failure)
        };
        loop {
            let until = exchange.until(limits.read_timeout);
            let Ok(piece) = timeout_at(until, incoming.data()).await else {
                let failure =
                    Failure::new(FailureKind::BodyTimeout, "the body paused for too long");
                return failed(failure, body_bytes);
            };
            match piece {
                None => break,
                // Whatever ends a stream within its body has cut it off; h2 says so too when the length is wrong.
                Some(Err(error)) => {
                    let failure = Failure::new(FailureKind::Truncated, error.to_string());
                    return failed(failure, body_bytes);
                }
                Some(Ok(piece)) => {
                    sink(&piece);
                    body_bytes += piece.len() as u64;
                    // Only a connection that has broken refuses; the next read tells.
                    let _ = incoming.flow_control().release_capacity(piece.len());
                }
            }
        }
        let has_body =
            exchange.request.method != http::Method::HEAD && !matches!(status, 204 | 304);
        if has_body && declared.is_some_and(|declared| declared != body_bytes) {
            let failure = Failure::new(FailureKind::Truncated, "shorter or longer than its length");
            return failed(failure, body_bytes);
        }
        exchange.link.settle().await;
        times.last_byte_us = exchange.network.clock.now_us();
        let framing = match declared {
            _ if !has_body => Framing::None,
            Some(length) => Framing::Length(length),
            None => Framing::Stream,
        };
        let answer = Answer {
            status,
            headers: parts.headers,
            body_bytes,
            framing,
            times: *times,
            is_h2: true,
        };
        Ok((answer, true))
    }
}

fn declared_length(headers: &http::HeaderMap) -> Result<Option<u64>, Box<Failure>> {
    let Some(value) = headers.get(header::CONTENT_LENGTH) else {
        return Ok(None);
    };
    let number = value.to_str().ok().and_then(|text| text.parse().ok());
    let bad = || Failure::new(FailureKind::BadHead, "a content-length that is no number");
    number.map(Some).ok_or_else(bad)
}

/// A request's head; fields that cannot be sent are left out, and those of a connection (RFC 9113 section 8.2.2).
fn head(request: &Request<'_>) -> Result<http::Request<()>, Box<Failure>> {
    let bad = |error: http::Error| Failure::new(FailureKind::Refused, error.to_string());
    let mut head = http::Request::builder()
        .method(request.method.clone())
        .uri(request.url.as_str())
        .version(http::Version::HTTP_2)
        .body(())
        .map_err(bad)?;
    for (name, value) in request.headers {
        let name = HeaderName::from_bytes(name.as_bytes());
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(value))
            && name != header::CONNECTION
            && name != header::HOST
        {
            head.headers_mut().append(name, value);
        }
    }
    if let Some(length) = request.body.length() {
        head.headers_mut()
            .insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    Ok(head)
}

async fn upload(
    exchange: &Exchange<'_>,
    mut stream: h2::SendStream<Bytes>,
    length: u64,
) -> Result<(), Box<Failure>> {
    let body = &exchange.request.body;
    let breaks_after = body.breaks_after();
    let end = breaks_after.unwrap_or(length).min(length);
    let mut at = 0;
    while at < end {
        let wanted = usize::try_from((end - at).min(UPLOAD_PIECE_BYTES as u64))
            .unwrap_or(UPLOAD_PIECE_BYTES);
        stream.reserve_capacity(wanted);
        let until = exchange.until(exchange.limits().read_timeout);
        let capacity = timeout_at(until, std::future::poll_fn(|cx| stream.poll_capacity(cx)))
            .await
            .map_err(|_| {
                Failure::new(
                    FailureKind::HeadTimeout,
                    "the request was not taken in time",
                )
            })?;
        let capacity = match capacity {
            Some(Ok(capacity)) => capacity.min(wanted),
            Some(Err(error)) => return Err(protocol(&error)),
            None => return Err(Failure::new(FailureKind::Reset, "the stream is closed")),
        };
        if capacity == 0 {
            continue;
        }
        let mut piece = vec![0; capacity];
        body.read_at(at, &mut piece);
        at += capacity as u64;
        let is_last = at == length;
        stream
            .send_data(piece.into(), is_last)
            .map_err(|error| protocol(&error))?;
    }
    if breaks_after.is_some() {
        stream.send_reset(h2::Reason::CANCEL);
        return Err(Failure::new(
            FailureKind::BrokenOff,
            format!("after {end} of {length} bytes"),
        ));
    }
    if length == 0 {
        stream
            .send_data(Bytes::new(), true)
            .map_err(|error| protocol(&error))?;
    }
    Ok(())
}
