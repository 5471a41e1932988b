//! Request bodies whose faults come back as problems that name the field.

use axum::body::{Body, to_bytes};
use axum::extract::{FromRequest, Request};
use http::header::CONTENT_TYPE;
use serde::de::DeserializeOwned;

use crate::{Problem, ProblemKind};

/// The largest JSON body that the API takes, bytes.
pub const JSON_BYTES_MAX: usize = 64 * 1024;

/// A JSON body of at most [`JSON_BYTES_MAX`]. A fault is an RFC 9457 problem with the RFC 6901 pointer of the field.
#[derive(Debug, Clone, Copy)]
pub struct JsonBody<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for JsonBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request<Body>, _state: &S) -> Result<Self, Problem> {
        let is_json = request
            .headers()
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.split(';').next())
            .is_some_and(|media_type| media_type.trim().eq_ignore_ascii_case("application/json"));
        if !is_json {
            return Err(Problem::new(ProblemKind::UnsupportedMedia)
                .detail("send the body as JSON, with Content-Type: application/json"));
        }
        let bytes = to_bytes(request.into_body(), JSON_BYTES_MAX)
            .await
            .map_err(|_| {
                Problem::new(ProblemKind::PayloadTooLarge).detail(format!(
                    "the body must arrive whole and have at most {JSON_BYTES_MAX} bytes"
                ))
            })?;
        parse_json(&bytes).map(Self)
    }
}

/// Reads a JSON document.
///
/// # Errors
/// An `invalid-request` problem with the field at fault.
pub fn parse_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let pointer = pointer_of(error.path());
        Problem::new(ProblemKind::InvalidRequest)
            .detail(error.inner().to_string())
            .pointer(pointer)
    })?;
    json.end().map_err(|error| {
        Problem::new(ProblemKind::InvalidRequest)
            .detail(error.to_string())
            .pointer("")
    })?;
    Ok(value)
}

/// The path as an RFC 6901 pointer.
fn pointer_of(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    let mut pointer = String::new();
    for segment in path.iter() {
        match segment {
            Segment::Seq { index } => pointer.push_str(&format!("/{index}")),
            Segment::Map { key } | Segment::Enum { variant: key } => {
                pointer.push('/');
                pointer.push_str(&key.replace('~', "~0").replace('/', "~1"));
            }
            Segment::Unknown => {}
        }
    }
    pointer
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rest::CreateUploadRequest;

    fn pointer(json: &str) -> Option<String> {
        parse_json::<CreateUploadRequest>(json.as_bytes())
            .err()
            .and_then(|p| p.pointer)
    }

    #[test]
    fn a_fault_names_its_field() {
        let good =
            r#"{"file_name":"a.mp4","size_bytes":1,"media_type":"VIDEO","metadata":{"title":"t"}}"#;
        assert_eq!(pointer(good), None);
        assert_eq!(
            pointer(&good.replace(":1,", ":-1,")).as_deref(),
            Some("/size_bytes")
        );
        assert_eq!(
            pointer(&good.replace("\"t\"", "[]")).as_deref(),
            Some("/metadata/title")
        );
        assert_eq!(
            pointer(&good.replace("VIDEO", "PICTURE")).as_deref(),
            Some("/media_type")
        );
        assert_eq!(pointer(&format!("{good} x")).as_deref(), Some(""));
        assert!(pointer(&good.replace("file_name", "filename")).is_some());
    }
}
