//! Between S3's words and the engine's: errors, conditions, bodies, validators, times.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures::{Stream, TryStreamExt};
use http_body_util::StreamBody;
use hyper::body::Frame;
use s3s::dto::{ETag, ETagCondition, StreamingBlob, Timestamp};
use s3s::{Body, S3Error, S3ErrorCode, S3Result, s3_error};
use time::OffsetDateTime;

use crate::engine::{Opened, Precondition, unquoted};
use crate::name::is_no_bucket;
use crate::{ObjectBody, ObjectError, ObjectMeta};

pub(super) fn key_error(error: ObjectError) -> S3Error {
    s3_error_of(error, S3ErrorCode::NoSuchKey)
}

pub(super) fn upload_error(error: ObjectError) -> S3Error {
    s3_error_of(error, S3ErrorCode::NoSuchUpload)
}

fn s3_error_of(error: ObjectError, missing: S3ErrorCode) -> S3Error {
    let code = match &error {
        missing if is_no_bucket(missing) => S3ErrorCode::NoSuchBucket,
        ObjectError::NotFound(_) => missing,
        ObjectError::Denied(_) => S3ErrorCode::AccessDenied,
        ObjectError::Conflict(_) => S3ErrorCode::PreconditionFailed,
        ObjectError::Invalid(_) => S3ErrorCode::InvalidRequest,
        ObjectError::Unavailable(_) => S3ErrorCode::ServiceUnavailable,
    };
    S3Error::with_message(code, error.to_string())
}

pub(super) fn incoming(
    body: Option<StreamingBlob>,
) -> impl Stream<Item = Result<Bytes, ObjectError>> + Send + Unpin {
    let body = body.unwrap_or_else(|| StreamingBlob::from(Body::empty()));
    body.map_err(|error| ObjectError::Invalid(format!("the body broke off: {error}")))
}

pub(super) fn outgoing(opened: Opened, range: std::ops::Range<u64>) -> StreamingBlob {
    let ObjectBody { stream, .. } = opened.into_body(range);
    let frames = stream.map_ok(Frame::data);
    StreamingBlob::from(Body::http_body_unsync(StreamBody::new(frames)))
}

pub(super) fn strong(etag: &str) -> ETag {
    ETag::Strong(unquoted(etag).to_owned())
}

pub(super) fn timestamp(ms: i64) -> Timestamp {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(ms) * 1_000_000)
        .unwrap_or(OffsetDateTime::UNIX_EPOCH)
        .into()
}

pub(super) fn signed(bytes: u64) -> S3Result<i64> {
    i64::try_from(bytes).map_err(|error| s3_error!(error, InternalError))
}

pub(super) fn part_number(number: i32) -> S3Result<u32> {
    u32::try_from(number)
        .map_err(|error| s3_error!(error, InvalidArgument, "The part number is negative"))
}

pub(super) fn content_length(length: Option<i64>) -> S3Result<Option<u64>> {
    length
        .map(|bytes| u64::try_from(bytes).map_err(|error| s3_error!(error, InvalidRequest)))
        .transpose()
}

pub(super) fn content_md5(header: Option<&str>) -> S3Result<Option<[u8; 16]>> {
    let parse = |text: &str| STANDARD.decode(text).ok()?.try_into().ok();
    header
        .map(|text| parse(text).ok_or_else(|| s3_error!(InvalidDigest)))
        .transpose()
}

pub(super) fn precondition(
    if_match: Option<ETagCondition>,
    if_none_match: Option<ETagCondition>,
) -> S3Result<Precondition> {
    let if_match = match if_match {
        None => None,
        Some(ETagCondition::ETag(ETag::Strong(etag))) => Some(etag),
        Some(_) => {
            return Err(s3_error!(
                NotImplemented,
                "If-Match takes one strong ETag here"
            ));
        }
    };
    match if_none_match {
        None | Some(ETagCondition::Any) => Ok(Precondition {
            if_match,
            if_absent: if_none_match.is_some(),
        }),
        Some(ETagCondition::ETag(_)) => {
            Err(s3_error!(NotImplemented, "If-None-Match takes only * here"))
        }
    }
}

/// RFC 9110 section 13.2.2, for what is there.
pub(super) fn check_conditions(
    meta: &ObjectMeta,
    if_match: Option<&ETagCondition>,
    if_none_match: Option<&ETagCondition>,
) -> S3Result<()> {
    let current = strong(&meta.etag);
    if let Some(ETagCondition::ETag(wanted)) = if_match
        && !wanted.strong_cmp(&current)
    {
        return Err(S3ErrorCode::PreconditionFailed.into());
    }
    match if_none_match {
        Some(ETagCondition::Any) => Err(S3ErrorCode::NotModified.into()),
        Some(ETagCondition::ETag(known)) if known.value() == current.value() => {
            Err(S3ErrorCode::NotModified.into())
        }
        _ => Ok(()),
    }
}
