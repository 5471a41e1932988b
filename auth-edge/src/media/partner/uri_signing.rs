//! URI Signing (RFC 9246): a JWT that says which addresses it opens.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use mcsp_api::MediaSessionId;
use serde::{Deserialize, Deserializer, Serialize};

use super::cat;
use super::config::{Partner, PartnerForm, Partners};
use super::constraints::{Constraints, Network, UriPart};
use super::grant::PartnerGrant;
use super::matching::{Match, whole};
use super::renewal::PartnerRenewal;
use crate::jose::{CompactJws, HeaderRules, JwsError, JwsKey};
use crate::media::address::AddressPrefix;
use crate::media::error::MediaTokenError;
use crate::media::keys::MediaKeyError;
use crate::media::rendition::RenditionLimits;

/// `cdniv`: the one version there is (section 2.1.8).
const VERSION: i64 = 1;
/// `cdnistt`: no renewal, and renewal by cookie (section 6.5); there are no others in the RFC.
const TRANSPORT_NONE: i64 = 0;
pub(super) const TRANSPORT_COOKIE: i64 = 1;
/// How long a renewed token may last at most, and how deep a cookie's path may be.
const RENEWED_LIFE_S_MAX: i64 = 86_400;
const DEPTH_MAX: i64 = 16;

/// The claims of a signed URI (section 2.1), with extensions of ours. Claims that are not listed are ignored, as RFC 7519
/// section 4 has it, unless `cdnicrit` names them; one that is `null` is refused.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct UriClaims {
    /// Who signed.
    #[serde(
        default,
        deserialize_with = "said",
        skip_serializing_if = "Option::is_none"
    )]
    pub iss: Option<String>,
    /// Whom it is about; may be encrypted, and is not looked at.
    #[serde(
        default,
        deserialize_with = "said",
        skip_serializing_if = "Option::is_none"
    )]
    pub sub: Option<String>,
    /// Who may use it, one or several.
    #[serde(
        default,
        deserialize_with = "said",
        skip_serializing_if = "Option::is_none"
    )]
    pub aud: Option<Audience>,
    /// When it ends, Unix seconds. Optional in the RFC, demanded here.
    #[serde(
        default,
        deserialize_with = "said",
        skip_serializing_if = "Option::is_none"
    )]
    pub exp: Option<f64>,
    /// When it begins, Unix seconds.
    #[serde(
        default,
        deserialize_with = "said",
        skip_serializing_if = "Option::is_none"
    )]
    pub nbf: Option<f64>,
    /// When it was signed, Unix seconds.
    #[serde(
        default,
        deserialize_with = "said",
        skip_serializing_if = "Option::is_none"
    )]
    pub iat: Option<f64>,
    /// May be used once (section 2.1.7). Refused here, as the RFC wants of those who do not remember every use.
    #[serde(
        default,
        deserialize_with = "said",
        skip_serializing_if = "Option::is_none"
    )]
    pub jti: Option<serde_json::Value>,
    /// The version of these claims.
    #[serde(
        default,
        deserialize_with = "said",
        skip_serializing_if = "Option::is_none"
    )]
    pub cdniv: Option<i64>,
    /// Extensions that must be understood, separated by commas.
    #[serde(
        default,
        deserialize_with = "said",
        skip_serializing_if = "Option::is_none"
    )]
    pub cdnicrit: Option<String>,
    /// From where it may be used, encrypted (RFC 7516).
    #[serde(
        default,
        deserialize_with = "said",
        skip_serializing_if = "Option::is_none"
    )]
    pub cdniip: Option<String>,
    /// What it opens: `regex:` or `hash:`.
    pub cdniuc: String,
    /// For how long it is renewed, seconds.
    #[serde(
        default,
        deserialize_with = "said",
        skip_serializing_if = "Option::is_none"
    )]
    pub cdniets: Option<i64>,
    /// How the renewed one travels.
    #[serde(
        default,
        deserialize_with = "said",
        skip_serializing_if = "Option::is_none"
    )]
    pub cdnistt: Option<i64>,
    /// How many steps of the path a cookie is for.
    #[serde(
        default,
        deserialize_with = "said",
        skip_serializing_if = "Option::is_none"
    )]
    pub cdnistd: Option<i64>,
    /// Ours: the media session, for revocation.
    #[serde(
        default,
        deserialize_with = "said",
        skip_serializing_if = "Option::is_none"
    )]
    pub mcsp_session: Option<MediaSessionId>,
    /// Ours: the highest picture, pixels; at least 1.
    #[serde(
        default,
        deserialize_with = "said",
        skip_serializing_if = "Option::is_none"
    )]
    pub mcsp_height: Option<u32>,
    /// Ours: the highest rate of sound, kb/s; at least 1.
    #[serde(
        default,
        deserialize_with = "said",
        skip_serializing_if = "Option::is_none"
    )]
    pub mcsp_audio_kbps: Option<u32>,
}

/// A claim that is there says something: `null` would be as good as none, and what it was to restrict would be lifted.
fn said<'de, D: Deserializer<'de>, T: Deserialize<'de>>(claim: D) -> Result<Option<T>, D::Error> {
    T::deserialize(claim).map(Some)
}

/// One audience, or several (RFC 7519 section 4.1.3).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Audience {
    /// One.
    One(String),
    /// Several.
    Several(Vec<String>),
}

impl From<JwsError> for MediaTokenError {
    fn from(error: JwsError) -> Self {
        match error {
            JwsError::Malformed => Self::Malformed,
            JwsError::Algorithm => Self::Algorithm,
            JwsError::Signature => Self::Signature,
        }
    }
}

/// Verifies a token's signature and reads its claims.
///
/// # Errors
/// [`MediaTokenError`], the first fault found.
pub(super) fn verify(token: &str, partners: &Partners) -> Result<PartnerGrant, MediaTokenError> {
    if token.len() > cat::TOKEN_CHARS_MAX {
        return Err(MediaTokenError::Malformed);
    }
    let jws = CompactJws::parse(token, HeaderRules::Foreign)?;
    // Not believed: it decides whose keys are asked.
    let claimed = read(&jws.unverified_payload()?)?;
    let issuer = claimed.iss.ok_or(MediaTokenError::UnknownKey)?;
    let partner = partners
        .of_issuer(&issuer)
        .filter(|partner| partner.config.forms.contains(&PartnerForm::UriSigning))
        .ok_or(MediaTokenError::UnknownKey)?;
    let key = partner
        .key(jws.kid().map(str::as_bytes), jws.algorithm())
        .ok_or(MediaTokenError::UnknownKey)?;
    let payload = jws.verify(key)?;
    read(&payload)?.into_grant(partner, key, &payload)
}

fn read(payload: &[u8]) -> Result<UriClaims, MediaTokenError> {
    serde_json::from_slice(payload).map_err(|_| MediaTokenError::Malformed)
}

impl UriClaims {
    fn into_grant(
        self,
        partner: &Arc<Partner>,
        key: &JwsKey,
        payload: &[u8],
    ) -> Result<PartnerGrant, MediaTokenError> {
        self.check_understood()?;
        self.check_audience(&partner.config.audience)?;
        let constraints = Constraints {
            uri: vec![(UriPart::Whole, container(&self.cdniuc)?)],
            networks: self.network(partner)?.map(|network| vec![network]),
            // Playback reads; nothing else is done under media paths.
            methods: Some(vec!["GET".to_owned(), "HEAD".to_owned()]),
            ..Constraints::default()
        };
        let renewal = self.renewal(&key.kid, payload)?;
        let begins = self.nbf.map(|seconds| date(seconds, f64::ceil));
        Ok(PartnerGrant {
            partner: Arc::clone(partner),
            form: PartnerForm::UriSigning,
            session: self.mcsp_session,
            not_before_s: begins.transpose()?.unwrap_or(i64::MIN),
            expires_s: date(self.exp.ok_or(MediaTokenError::Malformed)?, f64::floor)?,
            limits: RenditionLimits {
                max_height: limit(self.mcsp_height)?,
                max_audio_kbps: limit(self.mcsp_audio_kbps)?,
            },
            constraints,
            renewal,
        })
    }

    fn check_understood(&self) -> Result<(), MediaTokenError> {
        if self.jti.is_some() || self.cdniv.is_some_and(|version| version != VERSION) {
            return Err(MediaTokenError::Unsupported);
        }
        let Some(critical) = &self.cdnicrit else {
            return Ok(());
        };
        // Section 2.1.9: extensions only, each there, none twice, never an empty list.
        let mut seen = Vec::new();
        for name in critical.split(',') {
            let is_there = match name {
                "mcsp_session" => self.mcsp_session.is_some(),
                "mcsp_height" => self.mcsp_height.is_some(),
                "mcsp_audio_kbps" => self.mcsp_audio_kbps.is_some(),
                _ => false,
            };
            if !is_there || seen.contains(&name) {
                return Err(MediaTokenError::Unsupported);
            }
            seen.push(name);
        }
        Ok(())
    }

    /// A token for nobody in particular is for whoever has its issuer's keys (section 2.1.3: optional).
    fn check_audience(&self, own: &str) -> Result<(), MediaTokenError> {
        let is_for_us = match &self.aud {
            None => true,
            Some(Audience::One(audience)) => audience == own,
            Some(Audience::Several(audiences)) => audiences.iter().any(|audience| audience == own),
        };
        if is_for_us {
            Ok(())
        } else {
            Err(MediaTokenError::Audience)
        }
    }

    fn network(&self, partner: &Partner) -> Result<Option<Network>, MediaTokenError> {
        let Some(encrypted) = &self.cdniip else {
            return Ok(None);
        };
        let key = partner.address_key.as_ref();
        let text = key
            .ok_or(MediaTokenError::Unsupported)?
            .decrypt(encrypted)
            .map_err(|_| MediaTokenError::Malformed)?;
        let prefix = AddressPrefix::parse(&text).ok_or(MediaTokenError::Malformed)?;
        Ok(Some(Network::Prefix(prefix)))
    }

    fn renewal(
        &self,
        kid: &str,
        payload: &[u8],
    ) -> Result<Option<PartnerRenewal>, MediaTokenError> {
        match self.cdnistt {
            None | Some(TRANSPORT_NONE) => Ok(None),
            Some(TRANSPORT_COOKIE) => {
                let add_s = self.cdniets.ok_or(MediaTokenError::Malformed)?;
                let depth = self.cdnistd.unwrap_or(0);
                let is_sound =
                    (1..=RENEWED_LIFE_S_MAX).contains(&add_s) && (0..=DEPTH_MAX).contains(&depth);
                if !is_sound {
                    return Err(MediaTokenError::Malformed);
                }
                Ok(Some(PartnerRenewal::Uri {
                    add_s,
                    depth: usize::try_from(depth).unwrap_or(0),
                    kid: kid.to_owned(),
                    payload: payload.into(),
                }))
            }
            Some(_) => Err(MediaTokenError::Unsupported),
        }
    }
}

/// Section 2.1.11: `regex:` and an extended regular expression, or `hash:` and a hash in the form of RFC 6920 section 5.
fn container(text: &str) -> Result<Match, MediaTokenError> {
    if let Some(pattern) = text.strip_prefix("regex:") {
        return Ok(Match::Pattern(whole(pattern)?, Vec::new()));
    }
    let hash = text
        .strip_prefix("hash:")
        .and_then(|hash| hash.strip_prefix("sha-256;"))
        .ok_or(MediaTokenError::Unsupported)?;
    let hash = URL_SAFE_NO_PAD.decode(hash).ok();
    hash.filter(|hash| hash.len() == 32)
        .map(Match::Sha256)
        .ok_or(MediaTokenError::Malformed)
}

/// A rendition's limit, 0 where there is none. One that says 0 is refused: it would be read as none here.
fn limit(said: Option<u32>) -> Result<u32, MediaTokenError> {
    match said {
        Some(0) => Err(MediaTokenError::Malformed),
        said => Ok(said.unwrap_or(0)),
    }
}

fn date(seconds: f64, round: fn(f64) -> f64) -> Result<i64, MediaTokenError> {
    // Beyond that a float has no seconds any more.
    if seconds.abs() < 9e15 {
        Ok(round(seconds) as i64)
    } else {
        Err(MediaTokenError::Malformed)
    }
}

/// Signs claims, for nodes that take this form.
///
/// # Errors
/// [`MediaKeyError::Signing`] when the key is for another algorithm or the cryptographic library fails.
pub fn sign_uri(
    claims: &UriClaims,
    kid: &str,
    algorithm: Algorithm,
    key: &EncodingKey,
) -> Result<String, MediaKeyError> {
    let mut header = Header::new(algorithm);
    header.kid = Some(kid.to_owned());
    jsonwebtoken::encode(&header, claims, key).map_err(|_| MediaKeyError::Signing)
}

#[cfg(test)]
#[path = "uri_examples.rs"]
mod uri_examples;
