//! One exchange on a stream of HTTP/2.

use bytes::Bytes;
use http::header::HOST;
use http::response::Parts;
use http::uri::{Scheme, Uri};
use http::{HeaderValue, Method, Version};
use pingora_core::protocols::http::v2::client::Http2Session;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_error::{ErrorType, RetryType};
use pingora_http::RequestHeader;

use crate::connection::HeadLimits;
use crate::error::{Fault, FetchError, FetchErrorKind};
use crate::head::{self, BodyLength};
use crate::request::FetchRequest;

/// A stream in the course of an exchange. Dropped before its end, it is reset; the connection lives on.
pub(crate) struct Http2Stream {
    session: Http2Session,
    peer: HttpPeer,
    /// What is to come of a length that was announced.
    left: Option<u64>,
    is_done: bool,
}

/// No head, and whether the same address may be asked again: the stream was refused, the connection was closing.
pub(crate) struct NoHead {
    pub(crate) error: FetchError,
    pub(crate) may_repeat: bool,
}

impl std::fmt::Debug for Http2Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Http2Stream")
            .field("left", &self.left)
            .field("is_done", &self.is_done)
            .finish_non_exhaustive()
    }
}

impl Http2Stream {
    pub(crate) fn new(session: Http2Session, peer: HttpPeer) -> Self {
        Self {
            session,
            peer,
            left: None,
            is_done: false,
        }
    }

    /// For the connector, which learns that the connection has room for one stream more.
    pub(crate) fn into_parts(self) -> (Http2Session, HttpPeer) {
        (self.session, self.peer)
    }

    pub(crate) fn is_done(&self) -> bool {
        self.is_done
    }

    /// Sends the request and reads the head; pingora gives no interim answers.
    pub(crate) async fn converse(
        &mut self,
        request: &FetchRequest,
        host: &str,
        limits: HeadLimits,
        is_reused: bool,
    ) -> Result<(Parts, BodyLength), NoHead> {
        let sent = request_header(request, host).ok_or_else(|| NoHead {
            error: FetchError::new(FetchErrorKind::Request),
            may_repeat: false,
        })?;
        let failed = |error: Box<pingora_error::Error>| no_head(error, is_reused);
        self.session
            .write_request_header(Box::new(sent), true)
            .map_err(failed)?;
        self.session.read_response_header().await.map_err(failed)?;
        self.begin(&request.method, limits).map_err(|fault| NoHead {
            error: fault.into(),
            may_repeat: false,
        })
    }

    fn begin(&mut self, method: &Method, limits: HeadLimits) -> Result<(Parts, BodyLength), Fault> {
        let received = self.session.response_header().ok_or(Fault::Http2)?;
        let bytes = received
            .headers
            .iter()
            .map(|(name, value)| name.as_str().len() + value.len() + 4)
            .sum::<usize>();
        if bytes > limits.bytes_max {
            return Err(Fault::HeadSize);
        }
        if received.headers.len() > limits.fields_max {
            return Err(Fault::HeadFields);
        }
        let mut parts = http::Response::new(()).into_parts().0;
        parts.status = received.status;
        parts.version = Version::HTTP_2;
        parts.headers = received.headers.clone();
        let length = match head::body_length(method, &mut parts)? {
            BodyLength::UntilClose => BodyLength::Marked,
            length => length,
        };
        self.left = match length {
            BodyLength::Known(length) => Some(length),
            _ => None,
        };
        // That of any other length is told by its end alone.
        self.is_done = matches!(length, BodyLength::None | BodyLength::Known(0));
        Ok((parts, length))
    }

    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, FetchError> {
        let cut_short = |error: Box<pingora_error::Error>| {
            FetchError::because(FetchErrorKind::Truncated, error)
        };
        while !self.is_done {
            match self.session.read_response_body().await.map_err(cut_short)? {
                // An empty frame says nothing.
                Some(piece) if piece.is_empty() => {}
                Some(piece) => {
                    if let Some(left) = &mut self.left {
                        *left = left
                            .checked_sub(piece.len() as u64)
                            .ok_or(Fault::ContentLength)?;
                    }
                    return Ok(Some(piece));
                }
                None => {
                    // The end of the data is the end of the body only if no reset came with it.
                    self.session.read_trailers().await.map_err(cut_short)?;
                    if self.left.is_some_and(|left| left > 0) {
                        return Err(FetchError::because(
                            FetchErrorKind::Truncated,
                            "bytes of Content-Length missing",
                        ));
                    }
                    self.is_done = true;
                }
            }
        }
        Ok(None)
    }
}

fn request_header(request: &FetchRequest, host: &str) -> Option<RequestHeader> {
    let authority = match request.headers.get(HOST) {
        Some(host) => host.to_str().ok()?,
        None => host,
    };
    let uri = Uri::builder()
        .scheme(Scheme::HTTPS)
        .authority(authority)
        .path_and_query(request.path.clone())
        .build()
        .ok()?;
    let mut parts = http::Request::new(()).into_parts().0;
    parts.method = request.method.clone();
    parts.uri = uri;
    parts.version = Version::HTTP_2;
    for (name, value) in request.sent_headers() {
        let value: HeaderValue = value.clone();
        parts.headers.append(name.clone(), value);
    }
    Some(RequestHeader::from(parts))
}

fn no_head(error: Box<pingora_error::Error>, is_reused: bool) -> NoHead {
    let may_repeat = match error.retry {
        RetryType::Decided(may_repeat) => may_repeat,
        RetryType::ReusedOnly => is_reused,
    };
    let kind = match error.etype() {
        ErrorType::InvalidHTTPHeader => FetchErrorKind::Protocol(Fault::ContentLength),
        ErrorType::InvalidH2 => FetchErrorKind::Protocol(Fault::Http2),
        _ => FetchErrorKind::Reset,
    };
    NoHead {
        error: FetchError::because(kind, error),
        may_repeat,
    }
}
