//! The bodies of the REST API, shared by services, the command line and tests.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::events::MediaType;
use crate::{Residency, Role};

/// `POST /api/v1/auth/register`.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RegisterRequest {
    /// An address of at most 254 characters (RFC 5321).
    pub email: String,
    /// 8 to 128 characters.
    pub password: String,
    /// 1 to 100 characters.
    pub display_name: String,
    /// `viewer` (default) or `creator`.
    #[serde(default = "viewer")]
    pub role: Role,
}

fn viewer() -> Role {
    Role::Viewer
}

/// `POST /api/v1/auth/login`.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LoginRequest {
    /// The account's address.
    pub email: String,
    /// Its password.
    pub password: String,
}

/// What login, registration and refresh answer. The refresh token comes in a cookie, never here.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct TokenResponse {
    /// An RS256 JWT.
    pub access_token: String,
    /// `Bearer`.
    pub token_type: String,
    /// Seconds.
    pub expires_in: u32,
    /// Who signed in.
    pub user: UserProfile,
}

/// `GET /api/v1/users/me`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UserProfile {
    /// The user's id.
    pub user_id: String,
    /// The account's address.
    pub email: String,
    /// The name others see.
    pub display_name: String,
    /// The role.
    pub role: Role,
    /// The organisation, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organisation_id: Option<String>,
}

/// The name of the refresh cookie.
pub const REFRESH_COOKIE: &str = "mcsp_refresh";

/// What a creator says of an item.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UploadMetadata {
    /// 1 to 200 characters.
    pub title: String,
    /// At most 5 000 characters.
    #[serde(default)]
    pub description: String,
    /// At most 30, each of at most 50 characters.
    #[serde(default)]
    pub tags: Vec<String>,
    /// At most 50 characters.
    #[serde(default)]
    pub category: String,
    /// BCP 47, such as `en` or `yo`; empty when unknown.
    #[serde(default)]
    pub language: String,
    /// Who may see it.
    #[serde(default)]
    pub visibility: Visibility,
}

/// Who may see an item.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum Visibility {
    /// Everyone; listed.
    #[default]
    Public,
    /// Everyone who has the link.
    Unlisted,
    /// The owner.
    Private,
}

impl Visibility {
    /// As the API and tables write it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Public => "PUBLIC",
            Self::Unlisted => "UNLISTED",
            Self::Private => "PRIVATE",
        }
    }
}

/// `POST /api/v1/uploads/session`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateUploadRequest {
    /// The file's name, for people; never believed.
    pub file_name: String,
    /// 1 byte to 20 GB (video) or 2 GB (audio).
    pub size_bytes: u64,
    /// What it is.
    pub media_type: MediaType,
    /// What the creator chooses, if the organisation leaves a choice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub residency: Option<Residency>,
    /// What the creator says of it.
    pub metadata: UploadMetadata,
}

/// What the upload calls answer.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct UploadSession {
    /// The session.
    pub upload_id: String,
    /// The item that will come of it.
    pub content_id: String,
    /// Decided now, for ever.
    pub residency: Residency,
    /// Where it stands.
    pub status: UploadStatus,
    /// Bytes.
    pub size_bytes: u64,
    /// Every part but the last has this size, bytes.
    pub part_size_bytes: u64,
    /// All parts, in order.
    pub parts: Vec<UploadPart>,
    /// Seconds for which the URLs are good.
    pub urls_expire_in_s: u32,
}

/// One part of an upload.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct UploadPart {
    /// From 1.
    pub part_number: u32,
    /// Bytes.
    pub size_bytes: u64,
    /// Already durable.
    pub received: bool,
    /// Where to PUT it, if it is not received: through the PoP that was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

/// Where an upload stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum UploadStatus {
    /// Parts are wanted.
    Open,
    /// All bytes are durable; the event log has not heard of it yet.
    PendingTrigger,
    /// In the pipeline.
    Completed,
    /// Given up by the creator.
    Cancelled,
    /// Its time ran out.
    Expired,
}

/// `GET /api/v1/content/{id}`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Content {
    /// The item.
    pub content_id: String,
    /// Who owns it.
    pub owner_id: String,
    /// Where its bytes may be.
    pub residency: Residency,
    /// What it is.
    pub media_type: MediaType,
    /// Where it stands.
    pub status: ContentStatus,
    /// Why it was blocked or failed, for its owner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status_reason: Option<String>,
    /// What the creator said of it.
    pub metadata: UploadMetadata,
    /// Milliseconds; 0 until known.
    pub duration_ms: u64,
    /// Renditions that can be played now.
    pub renditions: Vec<String>,
    /// True when no further rendition will come.
    pub complete: bool,
    /// Names of thumbnails under the item.
    pub thumbnails: Vec<String>,
    /// The stages the pipeline reported, for its owner.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stages: Vec<ContentStage>,
    /// When it was created, Unix milliseconds.
    pub created_ms: i64,
    /// When it was published, Unix milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub published_ms: Option<i64>,
}

/// `PATCH /api/v1/content/{id}/visibility`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct VisibilityRequest {
    /// Who may see it from now on.
    pub visibility: Visibility,
}

/// A pipeline stage as the owner sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ContentStage {
    /// Such as `transcode`.
    pub stage: String,
    /// `started`, `progress`, `finished`, `failed`.
    pub state: String,
    /// 0 to 100.
    pub percent: u32,
    /// For people.
    pub note: String,
    /// When it was last heard of, Unix milliseconds.
    pub updated_ms: i64,
}

/// The life of an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[allow(missing_docs)] // The names are the specification's.
pub enum ContentStatus {
    Draft,
    Processing,
    UnderReview,
    PendingModeration,
    Published,
    Deleted,
    Blocked,
    Failed,
    Removed,
}

impl ContentStatus {
    /// As the API and tables write it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Draft => "DRAFT",
            Self::Processing => "PROCESSING",
            Self::UnderReview => "UNDER_REVIEW",
            Self::PendingModeration => "PENDING_MODERATION",
            Self::Published => "PUBLISHED",
            Self::Deleted => "DELETED",
            Self::Blocked => "BLOCKED",
            Self::Failed => "FAILED",
            Self::Removed => "REMOVED",
        }
    }
}

/// `GET /api/v1/play/{contentId}`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct PlayResponse {
    /// The item.
    pub content_id: String,
    /// Its title.
    pub title: String,
    /// What it is.
    pub media_type: MediaType,
    /// The media session; ends when revoked or expired.
    pub media_session_id: String,
    /// Signed, absolute: HLS (RFC 8216).
    pub hls_url: String,
    /// Signed, absolute: DASH (ISO/IEC 23009-1).
    pub dash_url: String,
    /// The signed base under which `art/…` and segments lie.
    pub media_base_url: String,
    /// Unix seconds.
    pub expires_s: i64,
    /// Where to start, milliseconds.
    pub resume_position_ms: u64,
}

/// A page of a list.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// Give it back as `cursor` for the next page; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}
