//! Why access tokens are refused.

use thiserror::Error;

use crate::jose::JwsError;

/// Why a token was refused. The text names no part of the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum TokenError {
    /// Longer than [`super::TOKEN_BYTES_MAX`].
    #[error("the token is too long")]
    TooLong,
    /// Not a JWT with the claims we issue.
    #[error("the token is malformed")]
    Malformed,
    /// Its `alg` is none of RS256, ES256 and EdDSA, or not the one its key is for.
    #[error("the token's algorithm is not allowed")]
    Algorithm,
    /// No key with its `kid` is held.
    #[error("the token was signed by an unknown key")]
    UnknownKey,
    /// No keys at all are held yet: it cannot be told whether the token is good.
    #[error("no token keys are known yet")]
    NoKeys,
    /// What is held of its issuer's keys is too old to be believed, or may not be all, and nothing newer can be had now.
    #[error("the token's issuer cannot be asked for its keys")]
    KeysUnavailable,
    /// The signature is not that of the key.
    #[error("the token's signature is wrong")]
    Signature,
    /// `iss` is not the region whose key signed, or that region does not issue tokens for this user.
    #[error("the token's issuer is wrong")]
    Issuer,
    /// `aud` is not ours.
    #[error("the token is for another audience")]
    Audience,
    /// `exp` has passed.
    #[error("the token has expired")]
    Expired,
    /// `nbf` or `iat` lies ahead.
    #[error("the token is not valid yet")]
    NotYetValid,
    /// Its login session was ended.
    #[error("the token's session was ended")]
    Revoked,
}

impl TokenError {
    /// May the same token be good later, when keys have arrived or its time has come?
    #[must_use]
    pub fn is_retryable(self) -> bool {
        self.is_unavailable() || matches!(self, Self::UnknownKey | Self::NotYetValid)
    }

    /// Is it not the token's fault, so that the answer is 503 and not 401?
    #[must_use]
    pub fn is_unavailable(self) -> bool {
        matches!(self, Self::NoKeys | Self::KeysUnavailable)
    }

    /// A short name for logs and metric labels.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::TooLong => "too-long",
            Self::Malformed => "malformed",
            Self::Algorithm => "algorithm",
            Self::UnknownKey => "unknown-key",
            Self::NoKeys => "no-keys",
            Self::KeysUnavailable => "keys-unavailable",
            Self::Signature => "signature",
            Self::Issuer => "issuer",
            Self::Audience => "audience",
            Self::Expired => "expired",
            Self::NotYetValid => "not-yet-valid",
            Self::Revoked => "revoked",
        }
    }
}

impl From<JwsError> for TokenError {
    fn from(error: JwsError) -> Self {
        match error {
            JwsError::Malformed => Self::Malformed,
            JwsError::Algorithm => Self::Algorithm,
            JwsError::Signature => Self::Signature,
        }
    }
}
