//! The limits of what a creator says of an item; the same at upload and in every later edit.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::rest::{UploadMetadata, Visibility};
use crate::{Problem, ProblemKind};

/// The longest title, characters.
pub const TITLE_CHARS_MAX: usize = 200;
/// The longest description, characters.
pub const DESCRIPTION_CHARS_MAX: usize = 5_000;
/// The most tags.
pub const TAGS_MAX: usize = 30;
/// The longest tag and the longest category, characters.
pub const LABEL_CHARS_MAX: usize = 50;
/// The longest language tag, characters (RFC 5646 section 4.4.1 wants at least 35).
pub const LANGUAGE_CHARS_MAX: usize = 35;

/// A field that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{pointer}: {detail}")]
pub struct FieldError {
    /// The field, as a JSON pointer (RFC 6901) into the document that was checked.
    pub pointer: String,
    /// What was expected, for people.
    pub detail: String,
}

impl FieldError {
    /// The field at `pointer`, and what was expected of it.
    #[must_use]
    pub fn new(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self {
            pointer: pointer.into(),
            detail: detail.into(),
        }
    }

    /// The same fault where the document that was checked lies at `prefix` of a larger one.
    #[must_use]
    pub fn under(mut self, prefix: &str) -> Self {
        self.pointer.insert_str(0, prefix);
        self
    }
}

impl From<FieldError> for Problem {
    fn from(error: FieldError) -> Self {
        Self::new(ProblemKind::InvalidRequest)
            .detail(error.detail)
            .pointer(error.pointer)
    }
}

/// A change of metadata: only the fields that are there change (RFC 7396, without `null`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MetadataPatch {
    /// 1 to 200 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// At most 5 000 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Replaces all tags: at most 30, each of at most 50 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<Vec<String>>,
    /// At most 50 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub category: Option<String>,
    /// BCP 47; empty when unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// Who may see it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub visibility: Option<Visibility>,
}

impl MetadataPatch {
    /// `metadata` with the change made; not yet validated.
    #[must_use]
    pub fn apply_to(&self, metadata: &UploadMetadata) -> UploadMetadata {
        fn pick<T: Clone>(new: &Option<T>, old: &T) -> T {
            new.as_ref().unwrap_or(old).clone()
        }
        UploadMetadata {
            title: pick(&self.title, &metadata.title),
            description: pick(&self.description, &metadata.description),
            tags: pick(&self.tags, &metadata.tags),
            category: pick(&self.category, &metadata.category),
            language: pick(&self.language, &metadata.language),
            visibility: pick(&self.visibility, &metadata.visibility),
        }
    }
}

impl UploadMetadata {
    /// Checks every limit.
    ///
    /// # Errors
    /// The first field at fault.
    pub fn validate(&self) -> Result<(), FieldError> {
        let title_chars = self.title.trim().chars().count();
        if title_chars == 0
            || self.title.chars().count() > TITLE_CHARS_MAX
            || has_control(&self.title)
        {
            return Err(FieldError::new(
                "/title",
                format!("a title has 1 to {TITLE_CHARS_MAX} characters and is one line of text"),
            ));
        }
        if self.description.chars().count() > DESCRIPTION_CHARS_MAX
            || self.description.contains('\0')
        {
            return Err(FieldError::new(
                "/description",
                format!("a description has at most {DESCRIPTION_CHARS_MAX} characters"),
            ));
        }
        if self.tags.len() > TAGS_MAX {
            return Err(FieldError::new(
                "/tags",
                format!("there are at most {TAGS_MAX} tags"),
            ));
        }
        for (index, tag) in self.tags.iter().enumerate() {
            if tag.trim().is_empty() || !is_label(tag) {
                return Err(FieldError::new(
                    format!("/tags/{index}"),
                    format!("a tag has 1 to {LABEL_CHARS_MAX} characters and is one line of text"),
                ));
            }
        }
        if !is_label(&self.category) {
            return Err(FieldError::new(
                "/category",
                format!(
                    "a category has at most {LABEL_CHARS_MAX} characters and is one line of text"
                ),
            ));
        }
        if !self.language.is_empty() && !is_language_tag(&self.language) {
            return Err(FieldError::new(
                "/language",
                "a language is a BCP 47 tag such as `en` or `yo-NG`",
            ));
        }
        Ok(())
    }
}

fn has_control(text: &str) -> bool {
    text.chars().any(char::is_control)
}

fn is_label(text: &str) -> bool {
    text.chars().count() <= LABEL_CHARS_MAX && !has_control(text)
}

/// The shape of RFC 5646 tags; the registry is not consulted.
fn is_language_tag(text: &str) -> bool {
    let mut subtags = text.split('-');
    let primary = subtags.next().unwrap_or_default();
    text.len() <= LANGUAGE_CHARS_MAX
        && (2..=8).contains(&primary.len())
        && primary.bytes().all(|b| b.is_ascii_alphabetic())
        && subtags
            .all(|s| (1..=8).contains(&s.len()) && s.bytes().all(|b| b.is_ascii_alphanumeric()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> UploadMetadata {
        UploadMetadata {
            title: "Ẹ káàbọ̀".into(),
            language: "yo-NG".into(),
            ..UploadMetadata::default()
        }
    }

    fn fault(change: impl FnOnce(&mut UploadMetadata)) -> Option<String> {
        let mut metadata = good();
        change(&mut metadata);
        metadata
            .validate()
            .err()
            .map(|e| e.under("/metadata").pointer)
    }

    #[test]
    fn limits_are_in_characters_and_name_the_field() {
        assert_eq!(fault(|_| {}), None);
        assert_eq!(fault(|m| m.title = "ẹ".repeat(200)), None);
        assert_eq!(
            fault(|m| m.title = "ẹ".repeat(201)).as_deref(),
            Some("/metadata/title")
        );
        assert_eq!(
            fault(|m| m.title = "  ".into()).as_deref(),
            Some("/metadata/title")
        );
        assert_eq!(
            fault(|m| m.title = "a\nb".into()).as_deref(),
            Some("/metadata/title")
        );
        assert_eq!(fault(|m| m.description = "a\nb".into()), None);
        assert_eq!(
            fault(|m| m.description = "a".repeat(5_001)).as_deref(),
            Some("/metadata/description")
        );
        assert_eq!(
            fault(|m| m.tags = vec!["a".into(); 31]).as_deref(),
            Some("/metadata/tags")
        );
        assert_eq!(
            fault(|m| m.tags = vec!["a".into(), "b".repeat(51)]).as_deref(),
            Some("/metadata/tags/1")
        );
        assert_eq!(
            fault(|m| m.category = "c".repeat(51)).as_deref(),
            Some("/metadata/category")
        );
        for bad in ["e", "en_GB", "en-", "-en", "123", "toolonglanguage"] {
            assert_eq!(
                fault(|m| m.language = bad.into()).as_deref(),
                Some("/metadata/language"),
                "{bad}"
            );
        }
    }

    #[test]
    fn a_patch_changes_what_it_names() {
        let patch = MetadataPatch {
            category: Some("news".into()),
            ..MetadataPatch::default()
        };
        let patched = patch.apply_to(&good());
        assert_eq!(
            patched,
            UploadMetadata {
                category: "news".into(),
                ..good()
            }
        );
        assert_eq!(MetadataPatch::default().apply_to(&good()), good());
    }
}
