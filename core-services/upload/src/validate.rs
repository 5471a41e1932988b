//! What a request to open a session may say. Pure.

use mcsp_api::metadata::FieldError;
use mcsp_api::rest::CreateUploadRequest;

use crate::config::UploadConfig;
use crate::error::UploadError;

/// The longest file name, characters.
const FILE_NAME_CHARS_MAX: usize = 255;
/// The longest idempotency key, characters.
const IDEMPOTENCY_KEY_CHARS_MAX: usize = 255;

/// Checks every field.
///
/// # Errors
/// The first fault, with the field's pointer.
pub(crate) fn validate(
    request: &CreateUploadRequest,
    config: &UploadConfig,
) -> Result<(), UploadError> {
    let name = &request.file_name;
    if !(1..=FILE_NAME_CHARS_MAX).contains(&name.chars().count())
        || name.chars().any(char::is_control)
    {
        return Err(FieldError::new(
            "/file_name",
            format!(
                "a file name has 1 to {FILE_NAME_CHARS_MAX} characters and is one line of text"
            ),
        )
        .into());
    }
    if request.size_bytes == 0 {
        return Err(FieldError::new(
            "/size_bytes",
            "the file is empty; choose one with at least 1 byte",
        )
        .into());
    }
    let bytes_max = config.bytes_max(request.media_type);
    if request.size_bytes > bytes_max {
        return Err(UploadError::TooLarge {
            size_bytes: request.size_bytes,
            bytes_max,
        });
    }
    request
        .metadata
        .validate()
        .map_err(|error| error.under("/metadata"))?;
    Ok(())
}

/// The key, if it is one.
///
/// # Errors
/// [`UploadError::Invalid`].
pub(crate) fn valid_key(key: &str) -> Result<&str, UploadError> {
    let is_valid = (1..=IDEMPOTENCY_KEY_CHARS_MAX).contains(&key.len())
        && key.bytes().all(|b| b.is_ascii_graphic());
    if is_valid {
        return Ok(key);
    }
    Err(FieldError::new(
        "",
        format!("Idempotency-Key has 1 to {IDEMPOTENCY_KEY_CHARS_MAX} visible ASCII characters"),
    )
    .into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use mcsp_api::events::MediaType;
    use mcsp_api::rest::UploadMetadata;

    fn request() -> CreateUploadRequest {
        CreateUploadRequest {
            file_name: "film.mp4".into(),
            size_bytes: 1,
            media_type: MediaType::Video,
            residency: None,
            metadata: UploadMetadata {
                title: "t".into(),
                ..UploadMetadata::default()
            },
        }
    }

    fn pointer(change: impl FnOnce(&mut CreateUploadRequest)) -> Option<String> {
        let mut request = request();
        change(&mut request);
        validate(&request, &UploadConfig::default())
            .err()
            .and_then(|error| error.into_problem().pointer)
    }

    #[test]
    fn faults_name_their_fields() {
        assert_eq!(pointer(|_| {}), None);
        assert_eq!(
            pointer(|r| r.file_name.clear()).as_deref(),
            Some("/file_name")
        );
        assert_eq!(
            pointer(|r| r.file_name = "a\u{0}b".into()).as_deref(),
            Some("/file_name")
        );
        assert_eq!(
            pointer(|r| r.size_bytes = 0).as_deref(),
            Some("/size_bytes")
        );
        assert_eq!(pointer(|r| r.size_bytes = 20_000_000_000), None);
        assert_eq!(
            pointer(|r| r.size_bytes = 20_000_000_001).as_deref(),
            Some("/size_bytes")
        );
        assert_eq!(
            pointer(|r| r.metadata.title.clear()).as_deref(),
            Some("/metadata/title")
        );
        let audio = |bytes| {
            pointer(move |r| {
                r.media_type = MediaType::Audio;
                r.size_bytes = bytes;
            })
        };
        assert_eq!(audio(2_000_000_000), None);
        assert_eq!(audio(2_000_000_001).as_deref(), Some("/size_bytes"));
    }

    #[test]
    fn keys_are_short_and_visible() {
        assert!(valid_key("3f0c-1").is_ok());
        for bad in ["", "a b", "é", &"k".repeat(256)] {
            assert!(valid_key(bad).is_err(), "{bad:?}");
        }
    }
}
