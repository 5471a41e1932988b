//! Why a request is refused, each reason with the section that asks for it.

use http::StatusCode;
use thiserror::Error;

/// A request that is not accepted. The connection ends with the answer: after a message whose framing is in doubt,
/// nothing that follows can be trusted to be a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Error)]
#[error("{} (RFC {})", self.label(), self.section())]
#[non_exhaustive]
pub enum Refusal {
    /// The first line is not `method SP request-target SP HTTP-version`.
    RequestLine,
    /// The request target is none of the four forms, has bytes that no target may have, or does not fit the method.
    Target,
    /// The request target is longer than the server takes.
    TargetTooLong,
    /// A major version other than 1.
    Version,
    /// A line that ends in LF alone.
    BareLf,
    /// A CR that no LF follows.
    BareCr,
    /// A field line that begins with white space: obsolete folding, or white space before the first field.
    Folding,
    /// A field line without a colon.
    FieldLine,
    /// White space between a field's name and the colon.
    SpaceBeforeColon,
    /// A field name that is no token.
    FieldName,
    /// A control character in a field's value.
    FieldValue,
    /// More field lines than the server takes.
    TooManyFields,
    /// A head larger than the server takes.
    HeadTooLarge,
    /// HTTP/1.1 without `Host`.
    HostMissing,
    /// More than one `Host` line.
    HostRepeated,
    /// A `Host` that is no `uri-host [ ":" port ]`, or is empty where the target needs one.
    Host,
    /// A `Content-Length` that is no decimal number, or is beyond 2⁶³.
    ContentLength,
    /// More than one `Content-Length`, equal or not, in lines or in a list.
    ContentLengthRepeated,
    /// Both `Content-Length` and `Transfer-Encoding`.
    LengthAndCoding,
    /// `Transfer-Encoding` in HTTP/1.0.
    CodingInOldVersion,
    /// A `Transfer-Encoding` of which `chunked` is not the last and only one.
    Coding,
    /// A transfer coding that the server does not know.
    CodingUnknown,
    /// An expectation other than `100-continue`.
    Expectation,
    /// `CONNECT`, for which there is no tunnel here.
    Connect,
    /// The head did not end in time.
    HeadTimeout,
    /// A chunk whose size is no hexadecimal number, or is too large.
    ChunkSize,
    /// A chunk's size line or the trailer section is too long.
    ChunkTooLong,
    /// A chunk's line that does not end in CRLF, or data that no CRLF follows.
    ChunkEnd,
}

impl Refusal {
    /// Every reason, for metrics that show zeros too.
    pub const ALL: [Self; 28] = [
        Self::RequestLine,
        Self::Target,
        Self::TargetTooLong,
        Self::Version,
        Self::BareLf,
        Self::BareCr,
        Self::Folding,
        Self::FieldLine,
        Self::SpaceBeforeColon,
        Self::FieldName,
        Self::FieldValue,
        Self::TooManyFields,
        Self::HeadTooLarge,
        Self::HostMissing,
        Self::HostRepeated,
        Self::Host,
        Self::ContentLength,
        Self::ContentLengthRepeated,
        Self::LengthAndCoding,
        Self::CodingInOldVersion,
        Self::Coding,
        Self::CodingUnknown,
        Self::Expectation,
        Self::Connect,
        Self::HeadTimeout,
        Self::ChunkSize,
        Self::ChunkTooLong,
        Self::ChunkEnd,
    ];

    /// A short name for metrics and logs.
    #[must_use]
    pub const fn label(self) -> &'static str {
        self.row().0
    }

    /// The answer's status.
    #[must_use]
    pub const fn status(self) -> StatusCode {
        self.row().1
    }

    /// The RFC and section by which it is refused.
    #[must_use]
    pub const fn section(self) -> &'static str {
        self.row().2
    }

    const fn row(self) -> (&'static str, StatusCode, &'static str) {
        const BAD: StatusCode = StatusCode::BAD_REQUEST;
        const LARGE: StatusCode = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
        match self {
            Self::RequestLine => ("request_line", BAD, "9112 3"),
            Self::Target => ("target", BAD, "9112 3.2"),
            Self::TargetTooLong => ("target_too_long", StatusCode::URI_TOO_LONG, "9112 3"),
            Self::Version => (
                "version",
                StatusCode::HTTP_VERSION_NOT_SUPPORTED,
                "9110 2.5",
            ),
            Self::BareLf => ("bare_lf", BAD, "9112 2.2"),
            Self::BareCr => ("bare_cr", BAD, "9112 2.2"),
            Self::Folding => ("folding", BAD, "9112 5.2"),
            Self::FieldLine => ("field_line", BAD, "9112 5"),
            Self::SpaceBeforeColon => ("space_before_colon", BAD, "9112 5.1"),
            Self::FieldName => ("field_name", BAD, "9110 5.1"),
            Self::FieldValue => ("field_value", BAD, "9110 5.5"),
            Self::TooManyFields => ("too_many_fields", LARGE, "6585 5"),
            Self::HeadTooLarge => ("head_too_large", LARGE, "6585 5"),
            Self::HostMissing => ("host_missing", BAD, "9112 3.2"),
            Self::HostRepeated => ("host_repeated", BAD, "9112 3.2"),
            Self::Host => ("host", BAD, "9112 3.2"),
            Self::ContentLength => ("content_length", BAD, "9112 6.3"),
            Self::ContentLengthRepeated => ("content_length_repeated", BAD, "9112 6.3"),
            Self::LengthAndCoding => ("length_and_coding", BAD, "9112 6.1"),
            Self::CodingInOldVersion => ("coding_in_old_version", BAD, "9112 6.1"),
            Self::Coding => ("coding", BAD, "9112 6.3"),
            Self::CodingUnknown => ("coding_unknown", StatusCode::NOT_IMPLEMENTED, "9112 6.1"),
            Self::Expectation => ("expectation", StatusCode::EXPECTATION_FAILED, "9110 10.1.1"),
            Self::Connect => ("connect", StatusCode::NOT_IMPLEMENTED, "9110 9.3.6"),
            Self::HeadTimeout => ("head_timeout", StatusCode::REQUEST_TIMEOUT, "9110 15.5.9"),
            Self::ChunkSize => ("chunk_size", BAD, "9112 7.1"),
            Self::ChunkTooLong => ("chunk_too_long", BAD, "9112 7.1.1"),
            Self::ChunkEnd => ("chunk_end", BAD, "9112 7.1"),
        }
    }
}
