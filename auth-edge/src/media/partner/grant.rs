//! What a partner's token allows.

use std::sync::Arc;

use mcsp_api::MediaSessionId;
use mcsp_api::media_path::MediaPath;

use super::config::{Partner, PartnerForm};
use super::constraints::Constraints;
use super::renewal::PartnerRenewal;
use crate::media::error::MediaTokenError;
use crate::media::rendition::RenditionLimits;
use crate::media::request::MediaRequest;

/// A partner's token whose signature is right, with its demands made ready. Whether they are met is asked for each
/// request.
#[derive(Debug)]
pub struct PartnerGrant {
    pub(super) partner: Arc<Partner>,
    pub(super) form: PartnerForm,
    pub(super) session: Option<MediaSessionId>,
    pub(super) not_before_s: i64,
    pub(super) expires_s: i64,
    pub(super) limits: RenditionLimits,
    pub(super) constraints: Constraints,
    pub(super) renewal: Option<PartnerRenewal>,
}

impl PartnerGrant {
    /// Who signed.
    #[must_use]
    pub fn partner_id(&self) -> &str {
        self.partner.id()
    }

    /// How.
    #[must_use]
    pub fn form(&self) -> PartnerForm {
        self.form
    }

    /// The media session it belongs to, if it is one of ours; for revocation.
    #[must_use]
    pub fn media_session_id(&self) -> Option<&MediaSessionId> {
        self.session.as_ref()
    }

    /// From this second on the token is void, Unix seconds.
    #[must_use]
    pub fn expires_s(&self) -> i64 {
        self.expires_s
    }

    /// The best rendition, by the token and by what was agreed with the partner.
    #[must_use]
    pub fn limits(&self) -> RenditionLimits {
        self.limits.and(self.partner.limits())
    }

    /// Is it good now, but for its end?
    pub(super) fn check_begun(&self, now_s: i64) -> Result<(), MediaTokenError> {
        let config = &self.partner.config;
        let skew_s = i64::from(config.skew_s);
        if self.not_before_s > now_s.saturating_add(skew_s) {
            return Err(MediaTokenError::NotYetValid);
        }
        // No token that ends further ahead than was agreed on, however well signed.
        let last_s = now_s.saturating_add(i64::from(config.token_life_max_s) + skew_s);
        if self.expires_s > last_s {
            return Err(MediaTokenError::Unsupported);
        }
        Ok(())
    }

    /// Is it over? No skew is granted here: every second of it would be a second beyond what was signed.
    pub(super) fn check_end(&self, now_s: i64) -> Result<(), MediaTokenError> {
        if now_s >= self.expires_s {
            return Err(MediaTokenError::Expired);
        }
        Ok(())
    }

    /// Does it allow this request, its time aside?
    pub(super) fn check_request(&self, request: &MediaRequest<'_>) -> Result<(), MediaTokenError> {
        let path: &MediaPath<'_> = request.path;
        if !self.partner.may_sign_for(path) {
            return Err(MediaTokenError::OtherItem);
        }
        self.constraints.check(request)?;
        if !self.limits().allow(path.rest) {
            return Err(MediaTokenError::Rendition);
        }
        Ok(())
    }
}
