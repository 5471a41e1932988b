//! Why media tokens are refused.

use thiserror::Error;

/// Why a media token was refused. Every one is a 403 without a media byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum MediaTokenError {
    /// Not a token of a form we know.
    #[error("the media token is malformed")]
    Malformed,
    /// The home region of the item, or the issuer, has no key with its id here, or that key's time is over or has not
    /// begun.
    #[error("the media token was signed by an unknown key")]
    UnknownKey,
    /// The key with its id is for another algorithm.
    #[error("the media token's algorithm is not its key's")]
    Algorithm,
    /// The signature is wrong.
    #[error("the media token's signature is wrong")]
    Signature,
    /// Its time is over.
    #[error("the media token has expired")]
    Expired,
    /// Its time has not begun.
    #[error("the media token is not valid yet")]
    NotYetValid,
    /// It is for another item, or for another residency, or its issuer may not sign for the item.
    #[error("the media token is for another item")]
    OtherItem,
    /// It is for other requests: another address of the item, method, country, protocol or header.
    #[error("the media token does not allow this request")]
    OtherRequest,
    /// It is bound to another client.
    #[error("the media token is for another client")]
    OtherClient,
    /// It is for another audience.
    #[error("the media token is for another audience")]
    Audience,
    /// The plan it was made for does not include the rendition.
    #[error("the media token does not allow this rendition")]
    Rendition,
    /// It says something that must be understood and is not.
    #[error("the media token demands what is not done here")]
    Unsupported,
}

impl MediaTokenError {
    /// May the same token be good later, when keys have arrived or its time has come?
    #[must_use]
    pub fn is_retryable(self) -> bool {
        matches!(self, Self::UnknownKey | Self::NotYetValid)
    }

    /// A short name for logs and metric labels.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::UnknownKey => "unknown-key",
            Self::Algorithm => "algorithm",
            Self::Signature => "signature",
            Self::Expired => "expired",
            Self::NotYetValid => "not-yet-valid",
            Self::OtherItem => "other-item",
            Self::OtherRequest => "other-request",
            Self::OtherClient => "other-client",
            Self::Audience => "audience",
            Self::Rendition => "rendition",
            Self::Unsupported => "unsupported",
        }
    }
}
