//! What an access token says.

use mcsp_api::{OrganisationId, Role, UserId};
use serde::{Deserialize, Serialize};

/// The claims of an access token. Claims that are not listed are ignored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessClaims {
    /// The issuer: that of the region whose key signed, see [`super::issuer_of`].
    pub iss: String,
    /// The audience, one and exactly [`super::AUDIENCE`]; a list is refused.
    pub aud: String,
    /// The user; tells the home region.
    pub sub: UserId,
    /// The role.
    pub role: Role,
    /// The login session, 1 to 128 characters.
    pub sid: String,
    /// The organisation, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub org: Option<OrganisationId>,
    /// When the token ends, Unix seconds.
    pub exp: i64,
    /// When it was issued, Unix seconds.
    pub iat: i64,
    /// When it begins, Unix seconds.
    pub nbf: i64,
    /// Names this token in logs.
    pub jti: String,
}
