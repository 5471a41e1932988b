//! Media tokens that others sign: Common Access Tokens (CTA-5007) and signed URIs (RFC 9246).

mod cat;
mod cat_claims;
mod cat_sign;
mod config;
mod constraints;
mod grant;
mod matching;
mod renewal;
mod uri_signing;
mod uri_transport;

pub use cat_sign::{CatRequest, CatSigningKey, sign_cat};
pub use config::{PARTNERS_MAX, Partner, PartnerConfig, PartnerError, PartnerForm, Partners};
pub use grant::PartnerGrant;
pub use renewal::{CatRenewal, CatRenewalKind};
pub use uri_signing::{Audience, UriClaims, sign_uri};
pub use uri_transport::{CAT_NAME, COOKIE_NAME, ELSEWHERE, cat_in, token_in, without_token};

use super::error::MediaTokenError;
use super::request::MediaRequest;

/// The longest token of a partner, characters.
pub const PARTNER_TOKEN_CHARS_MAX: usize = cat::TOKEN_CHARS_MAX;

/// Reads a token and checks its signature; [`check`] and [`check_even_expired`] say whether it is good for a request.
pub(super) fn verify(token: &str, partners: &Partners) -> Result<PartnerGrant, MediaTokenError> {
    if token.contains('.') {
        uri_signing::verify(token, partners)
    } else {
        cat::verify(token, partners)
    }
}

pub(super) fn check(
    grant: &PartnerGrant,
    request: &MediaRequest<'_>,
    now_s: i64,
) -> Result<(), MediaTokenError> {
    check_even_expired(grant, request, now_s)?;
    grant.check_end(now_s)
}

pub(super) fn check_even_expired(
    grant: &PartnerGrant,
    request: &MediaRequest<'_>,
    now_s: i64,
) -> Result<(), MediaTokenError> {
    grant.check_begun(now_s)?;
    grant.check_request(request)
}

pub(super) use renewal::renew;
