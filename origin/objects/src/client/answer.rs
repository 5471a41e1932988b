//! Reads what an S3 answers.

use std::ops::Range;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use http::header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, LAST_MODIFIED};
use http::{HeaderMap, HeaderName, Response, StatusCode};
use quick_xml::de::from_str;
use serde::Deserialize;
use time::OffsetDateTime;
use time::format_description::well_known::{Rfc2822, Rfc3339};

use super::transport::Incoming;
use crate::exact::exact;
use crate::{ObjectBody, ObjectError, ObjectMeta};

/// 1 000 entries with the longest keys fit.
const DOCUMENT_BYTES_MAX: usize = 4 << 20;

/// An answer that is a success.
pub(super) struct Answer {
    headers: HeaderMap,
    body: Incoming,
    idle: Duration,
}

/// What S3 says of an error.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct ErrorDocument {
    code: String,
    message: String,
}

impl Answer {
    /// Sorts errors out.
    pub(super) async fn checked(
        response: Response<Incoming>,
        idle: Duration,
        subject: &str,
    ) -> Result<Self, ObjectError> {
        let (parts, body) = response.into_parts();
        let answer = Self {
            headers: parts.headers,
            body,
            idle,
        };
        if parts.status.is_success() {
            return Ok(answer);
        }
        // An error without a document, as HEAD has it, is told by its status alone.
        let document = answer.document().await.unwrap_or_default();
        let error: ErrorDocument = from_str(&document).unwrap_or_default();
        Err(error.sort(parts.status, subject))
    }

    /// The body as text.
    pub(super) async fn document(mut self) -> Result<String, ObjectError> {
        let mut text = BytesMut::new();
        while let Some(chunk) = self.body.next().await {
            text.extend_from_slice(&chunk?);
            if text.len() > DOCUMENT_BYTES_MAX {
                return Err(ObjectError::Unavailable(
                    "the answer's document is too long".to_owned(),
                ));
            }
        }
        String::from_utf8(text.into())
            .map_err(|_| ObjectError::Unavailable("the answer is not UTF-8".to_owned()))
    }

    /// The `ETag` header.
    pub(super) fn etag(&self) -> Result<String, ObjectError> {
        self.header(&ETAG)
            .map(str::to_owned)
            .ok_or_else(|| lacks("ETag"))
    }

    /// What the headers say of an object of `size_bytes`.
    pub(super) fn meta(&self, key: &str, size_bytes: u64) -> Result<ObjectMeta, ObjectError> {
        let modified = self
            .header(&LAST_MODIFIED)
            .ok_or_else(|| lacks("Last-Modified"))?;
        let modified =
            OffsetDateTime::parse(modified, &Rfc2822).map_err(|_| lacks("Last-Modified"))?;
        Ok(ObjectMeta {
            key: key.to_owned(),
            size_bytes,
            etag: self.etag()?,
            modified_ms: unix_ms(modified),
            content_type: self.header(&CONTENT_TYPE).unwrap_or_default().to_owned(),
        })
    }

    /// `Content-Length`.
    pub(super) fn content_length(&self) -> Result<u64, ObjectError> {
        let value = self
            .header(&CONTENT_LENGTH)
            .and_then(|value| value.parse().ok());
        value.ok_or_else(|| lacks("Content-Length"))
    }

    /// The object's bytes, or those of `Content-Range`.
    pub(super) fn into_body(self, key: &str) -> Result<ObjectBody, ObjectError> {
        let bytes = self.content_length()?;
        let (range, size_bytes) = match self.header(&CONTENT_RANGE) {
            None => (0..bytes, bytes),
            Some(value) => parse_content_range(value)
                .filter(|(range, _)| range.end - range.start == bytes)
                .ok_or_else(|| lacks("Content-Range"))?,
        };
        let meta = self.meta(key, size_bytes)?;
        Ok(ObjectBody {
            meta,
            range,
            stream: exact(self.body, bytes, self.idle),
        })
    }

    /// Reads an empty body to its end, so that the connection can be used again.
    pub(super) async fn drain(mut self) {
        let mut bytes = 0;
        while let Some(Ok(chunk)) = self.body.next().await {
            let chunk: Bytes = chunk;
            bytes += chunk.len();
            if bytes > DOCUMENT_BYTES_MAX {
                return;
            }
        }
    }

    fn header(&self, name: &HeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

impl ErrorDocument {
    fn sort(self, status: StatusCode, subject: &str) -> ObjectError {
        let what = match (self.code.as_str(), self.message.as_str()) {
            ("", _) => format!("{subject}: {status}"),
            (code, "") => format!("{subject}: {code}"),
            (code, message) => format!("{subject}: {code}: {message}"),
        };
        match status {
            StatusCode::NOT_FOUND => ObjectError::NotFound(subject.to_owned()),
            StatusCode::FORBIDDEN | StatusCode::UNAUTHORIZED => ObjectError::Denied(what),
            StatusCode::CONFLICT | StatusCode::PRECONDITION_FAILED | StatusCode::NOT_MODIFIED => {
                ObjectError::Conflict(what)
            }
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => {
                ObjectError::Unavailable(what)
            }
            status if status.is_client_error() && self.code != "RequestTimeout" => {
                ObjectError::Invalid(what)
            }
            _ => ObjectError::Unavailable(what),
        }
    }
}

/// A time of S3's documents (RFC 3339), Unix milliseconds.
pub(super) fn document_time_ms(text: &str) -> Option<i64> {
    OffsetDateTime::parse(text, &Rfc3339).ok().map(unix_ms)
}

fn unix_ms(time: OffsetDateTime) -> i64 {
    i64::try_from(time.unix_timestamp_nanos().div_euclid(1_000_000)).unwrap_or(i64::MAX)
}

/// `bytes 0-9/100` (RFC 9110 section 14.4).
fn parse_content_range(value: &str) -> Option<(Range<u64>, u64)> {
    let (range, size) = value.strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let (first, last, size): (u64, u64, u64) =
        (first.parse().ok()?, last.parse().ok()?, size.parse().ok()?);
    (first <= last && last < size).then_some((first..last + 1, size))
}

fn lacks(header: &str) -> ObjectError {
    ObjectError::Unavailable(format!("the answer has no usable {header}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_content_range_that_makes_no_sense_is_refused() {
        assert_eq!(parse_content_range("bytes 5-9/10"), Some((5..10, 10)));
        for value in [
            "bytes 5-10/10",
            "bytes 6-5/10",
            "bytes */10",
            "5-9/10",
            "bytes 5-9/*",
        ] {
            assert_eq!(parse_content_range(value), None, "{value}");
        }
    }

    #[test]
    fn times_of_headers_and_documents_agree() {
        let header =
            OffsetDateTime::parse("Fri, 24 May 2013 00:00:00 GMT", &Rfc2822).expect("a date");
        assert_eq!(unix_ms(header), 1_369_353_600_000);
        assert_eq!(
            document_time_ms("2013-05-24T00:00:00.250Z"),
            Some(1_369_353_600_250)
        );
    }

    #[test]
    fn each_status_has_its_kind() {
        let sort = |status| ErrorDocument::default().sort(status, "GET a");
        assert!(matches!(
            sort(StatusCode::NOT_FOUND),
            ObjectError::NotFound(_)
        ));
        assert!(matches!(
            sort(StatusCode::FORBIDDEN),
            ObjectError::Denied(_)
        ));
        assert!(matches!(
            sort(StatusCode::PRECONDITION_FAILED),
            ObjectError::Conflict(_)
        ));
        assert!(matches!(
            sort(StatusCode::RANGE_NOT_SATISFIABLE),
            ObjectError::Invalid(_)
        ));
        assert!(sort(StatusCode::SERVICE_UNAVAILABLE).is_retryable());
        assert!(sort(StatusCode::INTERNAL_SERVER_ERROR).is_retryable());
    }
}
