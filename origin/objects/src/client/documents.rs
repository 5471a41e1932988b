//! What requests carry beside their bodies, and the document that completes an upload.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};
use md5::{Digest, Md5};

use crate::engine::{quoted, unquoted};
use crate::{ObjectError, PartMeta};

/// The server checks it and refuses bytes that changed on their way (RFC 1864).
pub(super) fn digest_headers(body: &Bytes) -> Result<HeaderMap, ObjectError> {
    let digest = STANDARD.encode(Md5::digest(body));
    let name = HeaderName::from_static("content-md5");
    Ok(HeaderMap::from_iter([(name, header_value(&digest)?)]))
}

pub(super) fn header_value(text: &str) -> Result<HeaderValue, ObjectError> {
    HeaderValue::from_str(text)
        .map_err(|_| ObjectError::Invalid(format!("{text:?} cannot stand in a header")))
}

/// Written here because `rusty-s3` numbers parts by position, and an upload may leave numbers out.
pub(super) fn complete_document(parts: &[PartMeta]) -> Result<String, ObjectError> {
    let mut document =
        String::from("<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">");
    for part in parts {
        let etag = unquoted(&part.etag);
        if !etag.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
            return Err(ObjectError::Invalid(format!(
                "part {}: {etag:?} is no ETag",
                part.part_number
            )));
        }
        let entry = format!(
            "<Part><PartNumber>{}</PartNumber><ETag>{}</ETag></Part>",
            part.part_number,
            quoted(etag).replace('"', "&quot;")
        );
        document.push_str(&entry);
    }
    document.push_str("</CompleteMultipartUpload>");
    Ok(document)
}
