//! Bodies to named values, bounded and strict: what a processor cannot read is an error that rules can see.

pub(crate) mod coding;
pub(crate) mod json;
pub(crate) mod multipart;
pub(crate) mod urlencoded;
pub(crate) mod xml;

/// How a request's body is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Processor {
    /// `application/x-www-form-urlencoded`
    UrlEncoded,
    /// `multipart/form-data`
    Multipart,
    /// JSON, RFC 8259.
    Json,
    /// XML 1.0 without a document type's own entities.
    Xml,
}

impl Processor {
    /// The processor of a name in `ctl:requestBodyProcessor`.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        [Self::UrlEncoded, Self::Multipart, Self::Json, Self::Xml]
            .into_iter()
            .find(|known| known.name().eq_ignore_ascii_case(name))
    }

    /// Its name in `REQBODY_PROCESSOR`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::UrlEncoded => "URLENCODED",
            Self::Multipart => "MULTIPART",
            Self::Json => "JSON",
            Self::Xml => "XML",
        }
    }

    /// The processor for a media type, as ModSecurity's recommended configuration chooses it.
    #[must_use]
    pub fn for_content_type(content_type: &[u8]) -> Option<Self> {
        let end = content_type
            .iter()
            .position(|b| *b == b';')
            .unwrap_or(content_type.len());
        let essence = content_type[..end].trim_ascii().to_ascii_lowercase();
        match essence.as_slice() {
            b"application/x-www-form-urlencoded" => Some(Self::UrlEncoded),
            b"multipart/form-data" => Some(Self::Multipart),
            b"application/json" | b"text/json" => Some(Self::Json),
            b"application/xml" | b"text/xml" => Some(Self::Xml),
            other if !other.starts_with(b"application/") => None,
            other if other.ends_with(b"+json") => Some(Self::Json),
            other if other.ends_with(b"+xml") => Some(Self::Xml),
            _ => None,
        }
    }
}

/// A body that its processor cannot read. The message is for `REQBODY_ERROR_MSG`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{processor} parsing error: {message}")]
pub(crate) struct BodyError {
    /// Whose error.
    pub(crate) processor: &'static str,
    /// What.
    pub(crate) message: &'static str,
    /// Whether it may well be read, by who takes more than is inspected here: see [`crate::Beyond`].
    pub(crate) is_bound: bool,
}

/// Takes a name and a value; `false` when there is no room for more.
pub(crate) type Fields<'a> = &'a mut dyn FnMut(&[u8], &[u8]) -> bool;
