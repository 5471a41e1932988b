//! One question for all forms of media tokens: may this request have its bytes?

use std::sync::Arc;

use arc_swap::ArcSwap;
use mcsp_api::MediaSessionId;
use mcsp_runtime::SharedClock;

use super::error::MediaTokenError;
use super::keyring::MediaKeyring;
use super::partner::{self, PartnerForm, PartnerGrant, Partners};
use super::rendition::RenditionLimits;
use super::renewal::{Renewal, RenewalDecision, RenewalPolicy};
use super::request::MediaRequest;
use super::token::{MediaGrant, TOKEN_CHARS_MAX};
use crate::Revocations;
use crate::memory::{TokenMemory, name_of};

/// The form of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TokenKind {
    /// Ours.
    Own,
    /// Common Access Token, CTA-5007.
    CommonAccessToken,
    /// URI Signing, RFC 9246.
    UriSigning,
}

impl TokenKind {
    /// By the token's look alone: a JWT has dots, our version byte has one beginning, the rest is CBOR. Each form reads
    /// its own and nothing else.
    #[must_use]
    pub fn of(token: &str) -> Self {
        if token.contains('.') {
            Self::UriSigning
        } else if token.starts_with("AQ") && token.len() <= TOKEN_CHARS_MAX {
            Self::Own
        } else {
            Self::CommonAccessToken
        }
    }

    /// A short name for logs and metric labels.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Own => "own",
            Self::CommonAccessToken => "cat",
            Self::UriSigning => "uri-signing",
        }
    }
}

/// A token that is good for the request it was held against.
#[derive(Debug, Clone)]
pub enum MediaAccess {
    /// By a token of ours.
    Own(Arc<MediaGrant>),
    /// By a partner's.
    Partner(Arc<PartnerGrant>),
}

impl MediaAccess {
    /// The form.
    #[must_use]
    pub fn kind(&self) -> TokenKind {
        match self {
            Self::Own(_) => TokenKind::Own,
            Self::Partner(grant) => match grant.form() {
                PartnerForm::CommonAccessToken => TokenKind::CommonAccessToken,
                PartnerForm::UriSigning => TokenKind::UriSigning,
            },
        }
    }

    /// From this second on the token is void, Unix seconds.
    #[must_use]
    pub fn expires_s(&self) -> i64 {
        match self {
            Self::Own(grant) => grant.expires_s,
            Self::Partner(grant) => grant.expires_s(),
        }
    }

    /// The media session, for logs. A partner's token may have none of ours.
    #[must_use]
    pub fn media_session_id(&self) -> Option<&MediaSessionId> {
        match self {
            Self::Own(grant) => Some(&grant.media_session_id),
            Self::Partner(grant) => grant.media_session_id(),
        }
    }

    /// Was its session ended?
    #[must_use]
    pub fn is_revoked(&self, revocations: &Revocations) -> bool {
        self.media_session_id()
            .is_some_and(|id| revocations.is_media_session_revoked(id, self.expires_s()))
    }

    /// The best rendition it allows.
    #[must_use]
    pub fn limits(&self) -> RenditionLimits {
        match self {
            Self::Own(grant) => grant.limits,
            Self::Partner(grant) => grant.limits(),
        }
    }
}

/// Verifies media tokens of every form. Keys change while requests are verified: ours through the keyring, partners' by
/// [`Self::set_partners`].
#[derive(Debug)]
pub struct MediaVerifier {
    keyring: Arc<MediaKeyring>,
    clock: SharedClock,
    partners: ArcSwap<PartnerState>,
}

/// What is remembered was verified with keys of this very set.
#[derive(Debug, Default)]
struct PartnerState {
    partners: Partners,
    verified: TokenMemory<Arc<PartnerGrant>>,
}

impl MediaVerifier {
    /// Our tokens by the keyring's keys; no partners.
    #[must_use]
    pub fn new(keyring: Arc<MediaKeyring>, clock: SharedClock) -> Self {
        Self {
            keyring,
            clock,
            partners: ArcSwap::default(),
        }
    }

    /// Replaces all partners and their keys at once.
    pub fn set_partners(&self, partners: Partners) {
        self.partners.store(Arc::new(PartnerState {
            partners,
            verified: TokenMemory::default(),
        }));
    }

    /// Can no token be good, whoever signed it: neither a key of ours nor a partner is known?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keyring.is_empty() && self.partners.load().partners.is_empty()
    }

    /// Our keys.
    #[must_use]
    pub fn keyring(&self) -> &Arc<MediaKeyring> {
        &self.keyring
    }

    /// Is the token good for the request, now? Signature, time, item, residency, client, rendition, and whatever else it
    /// demands. Revocation is another question: [`MediaAccess::is_revoked`].
    ///
    /// # Errors
    /// [`MediaTokenError`], the first fault found.
    pub fn verify(
        &self,
        token: &str,
        request: &MediaRequest<'_>,
    ) -> Result<MediaAccess, MediaTokenError> {
        if TokenKind::of(token) == TokenKind::Own {
            let grant = self.keyring.verify_token(token)?;
            check_own(&grant, request)?;
            return Ok(MediaAccess::Own(grant));
        }
        let grant = self.partner_grant(token)?;
        partner::check(&grant, request, self.clock.now_s())?;
        Ok(MediaAccess::Partner(grant))
    }

    /// What to do about renewing the token of this request: ask when it is good and media is about to be served, and when
    /// it is [`MediaTokenError::Expired`]. Never renews what is bound to another client, for another item or rendition,
    /// altered, or revoked. A node that has lost its feed does not know what is revoked and must not ask.
    #[must_use]
    pub fn renewal(
        &self,
        token: &str,
        request: &MediaRequest<'_>,
        policy: &RenewalPolicy,
        revocations: &Revocations,
    ) -> Renewal {
        if TokenKind::of(token) == TokenKind::Own {
            return self.own_renewal(token, request, policy, revocations);
        }
        match self.verify(token, request) {
            Ok(access) => self.renewal_of(&access, token, request, policy, revocations),
            Err(_) => Renewal::Over,
        }
    }

    /// [`Self::renewal`] of a token that [`Self::verify`] has just found good for this very request. While none is due it
    /// costs a comparison, so that it may be asked each time.
    #[must_use]
    pub fn renewal_of(
        &self,
        access: &MediaAccess,
        token: &str,
        request: &MediaRequest<'_>,
        policy: &RenewalPolicy,
        revocations: &Revocations,
    ) -> Renewal {
        match access {
            MediaAccess::Own(grant) => {
                self.renewal_of_own(grant, token, request, policy, revocations)
            }
            MediaAccess::Partner(_) if access.is_revoked(revocations) => Renewal::Over,
            MediaAccess::Partner(grant) => partner::renew(grant, request, self.clock.now_s()),
        }
    }

    fn own_renewal(
        &self,
        token: &str,
        request: &MediaRequest<'_>,
        policy: &RenewalPolicy,
        revocations: &Revocations,
    ) -> Renewal {
        let Ok(grant) = self.keyring.verify_even_expired(token) else {
            return Renewal::Over;
        };
        if check_own(&grant, request).is_err() {
            return Renewal::Over;
        }
        self.renewal_of_own(&grant, token, request, policy, revocations)
    }

    fn renewal_of_own(
        &self,
        grant: &MediaGrant,
        token: &str,
        request: &MediaRequest<'_>,
        policy: &RenewalPolicy,
        revocations: &Revocations,
    ) -> Renewal {
        let is_manifest = request.path.is_manifest();
        let expires_s = match policy.decide(grant, is_manifest, self.clock.now_s()) {
            RenewalDecision::NotNeeded => return Renewal::NotNeeded,
            RenewalDecision::Over => return Renewal::Over,
            RenewalDecision::Due { expires_s } => expires_s,
        };
        if revocations.is_media_session_revoked(&grant.media_session_id, grant.expires_s) {
            return Renewal::Over;
        }
        let renewed = MediaGrant {
            expires_s,
            ..grant.clone()
        };
        match self.keyring.sign_renewed(token, &renewed) {
            Some(token) => Renewal::due(&token, request, expires_s),
            // Partners' nodes hold no secret: their players ask for a new URL.
            None => Renewal::Over,
        }
    }

    fn partner_grant(&self, token: &str) -> Result<Arc<PartnerGrant>, MediaTokenError> {
        let state = self.partners.load();
        if state.partners.is_empty() {
            return Err(MediaTokenError::UnknownKey);
        }
        if token.len() > partner::PARTNER_TOKEN_CHARS_MAX {
            return Err(MediaTokenError::Malformed);
        }
        let name = name_of(token);
        if let Some(grant) = state.verified.get(&name) {
            return Ok(grant);
        }
        let grant = Arc::new(partner::verify(token, &state.partners)?);
        // One that is over is not worth a place.
        if self.clock.now_s() < grant.expires_s() {
            state.verified.insert(name, Arc::clone(&grant));
        }
        Ok(grant)
    }
}

fn check_own(grant: &MediaGrant, request: &MediaRequest<'_>) -> Result<(), MediaTokenError> {
    let path = request.path;
    if grant.content_id != path.content_id || grant.residency != path.residency {
        return Err(MediaTokenError::OtherItem);
    }
    if !grant.allows_client(request.client) {
        return Err(MediaTokenError::OtherClient);
    }
    if !grant.limits.allow(path.rest) {
        return Err(MediaTokenError::Rendition);
    }
    Ok(())
}
