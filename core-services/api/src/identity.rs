//! A verified viewer, as the edge tells the origin.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{OrganisationId, UserId};

/// What a user may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Watches; owns an account.
    Viewer,
    /// Uploads; owns a channel.
    Creator,
    /// Runs an organisation.
    OrgAdmin,
    /// Sees the moderation queue.
    Moderator,
    /// Runs the platform; always audited.
    PlatformAdmin,
}

impl Role {
    /// May this role upload?
    #[must_use]
    pub fn may_upload(self) -> bool {
        matches!(self, Self::Creator | Self::OrgAdmin | Self::PlatformAdmin)
    }

    /// The role as the API and tokens write it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Creator => "creator",
            Self::OrgAdmin => "org_admin",
            Self::Moderator => "moderator",
            Self::PlatformAdmin => "platform_admin",
        }
    }
}

/// The claims of a verified access token that services act on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ViewerIdentity {
    /// The user (`sub`).
    pub user_id: UserId,
    /// The role.
    pub role: Role,
    /// The login session (`sid`), for revocation.
    pub session_id: String,
    /// The organisation, if the user has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organisation_id: Option<OrganisationId>,
    /// When the token expires, Unix seconds. The identity is void after that.
    pub expires_s: i64,
}

/// Why a header value is not an identity.
#[derive(Debug, Error)]
pub enum IdentityError {
    /// Not unpadded base64url (RFC 4648 section 5).
    #[error("identity header is not base64url")]
    Encoding,
    /// Not the JSON form of an identity.
    #[error("identity header is not an identity: {0}")]
    Form(#[from] serde_json::Error),
}

impl ViewerIdentity {
    /// The header's value: base64url of the JSON form.
    #[must_use]
    pub fn to_header_value(&self) -> String {
        // A struct of strings and numbers always has a JSON form.
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(self).unwrap_or_default())
    }

    /// Reads a header's value.
    ///
    /// # Errors
    /// When it is not what [`Self::to_header_value`] writes.
    pub fn from_header_value(value: &str) -> Result<Self, IdentityError> {
        let json = URL_SAFE_NO_PAD
            .decode(value)
            .map_err(|_| IdentityError::Encoding)?;
        Ok(serde_json::from_slice(&json)?)
    }
}
