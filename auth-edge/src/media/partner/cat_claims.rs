//! The claims of a Common Access Token (CTA-5007 section 4, RFC 8392 section 3.1).
//!
//! Everything that a token says is either understood or reason to refuse it: a restriction that is overlooked is a
//! restriction lifted.

use std::collections::BTreeSet;
use std::sync::Arc;

use coset::cbor::value::Value;

use super::cat::read_whole;
use super::config::{Partner, PartnerForm};
use super::constraints::{Constraints, Network, UriPart};
use super::grant::PartnerGrant;
use super::matching::{Match, whole};
use super::renewal::{CatRenewal, PartnerRenewal};
use crate::jose::JwsKey;
use crate::media::address::AddressPrefix;
use crate::media::error::MediaTokenError;
use crate::media::rendition::RenditionLimits;

/// Claim keys, as IANA registers them; ours are private (below -65536).
pub(super) mod label {
    pub(in super::super) const ISSUER: i64 = 1;
    pub(in super::super) const SUBJECT: i64 = 2;
    pub(in super::super) const AUDIENCE: i64 = 3;
    pub(in super::super) const EXPIRES: i64 = 4;
    pub(in super::super) const NOT_BEFORE: i64 = 5;
    pub(in super::super) const ISSUED: i64 = 6;
    pub(in super::super) const TOKEN_ID: i64 = 7;
    pub(in super::super) const REPLAY: i64 = 308;
    pub(in super::super) const VERSION: i64 = 310;
    pub(in super::super) const NETWORK: i64 = 311;
    pub(in super::super) const URI: i64 = 312;
    pub(in super::super) const METHODS: i64 = 313;
    pub(in super::super) const ALPN: i64 = 314;
    pub(in super::super) const HEADERS: i64 = 315;
    pub(in super::super) const COUNTRIES: i64 = 316;
    pub(in super::super) const IF: i64 = 322;
    pub(in super::super) const RENEWAL: i64 = 323;
    pub(in super::super) const FINGERPRINT: i64 = 324;
    /// The highest picture, pixels.
    pub(in super::super) const MAX_HEIGHT: i64 = -70_001;
    /// The highest rate of sound, kb/s.
    pub(in super::super) const MAX_AUDIO_KBPS: i64 = -70_002;
}

/// `catv`: the one version there is.
pub(super) const VERSION: i64 = 1;
/// `cattprint`: a JA4 fingerprint.
const FINGERPRINT_JA4: i64 = 2;
/// RFC 9164: addresses and prefixes in CBOR.
pub(super) const TAG_IPV4: u64 = 52;
pub(super) const TAG_IPV6: u64 = 54;
/// Entries of any list or map in a claim.
const ENTRIES_MAX: usize = 64;

type Read<T> = Result<T, MediaTokenError>;

/// What a token says, read.
#[derive(Debug, Default)]
pub(super) struct CatClaims {
    session: Option<mcsp_api::MediaSessionId>,
    not_before_s: i64,
    expires_s: i64,
    limits: RenditionLimits,
    constraints: Constraints,
    renewal: Option<CatRenewal>,
}

/// The issuer that a payload names, not believed.
pub(super) fn issuer_of(payload: &[u8]) -> Read<String> {
    entries(read_whole(payload)?)?
        .into_iter()
        .find(|(label, _)| *label == label::ISSUER)
        .and_then(|(_, value)| value.into_text().ok())
        .ok_or(MediaTokenError::UnknownKey)
}

impl CatClaims {
    pub(super) fn read(payload: &[u8], partner: &Partner) -> Read<Self> {
        let mut claims = Self {
            not_before_s: i64::MIN,
            ..Self::default()
        };
        let (mut has_end, mut has_audience) = (false, false);
        for (label, value) in entries(read_whole(payload)?)? {
            match label {
                label::ISSUER if value.as_text() == Some(&*partner.config.issuer) => {}
                label::ISSUER => return Err(MediaTokenError::UnknownKey),
                label::AUDIENCE => {
                    check_audience(&value, &partner.config.audience)?;
                    has_audience = true;
                }
                label::EXPIRES => {
                    claims.expires_s = date(&value, f64::floor)?;
                    has_end = true;
                }
                label::NOT_BEFORE => claims.not_before_s = date(&value, f64::ceil)?,
                label::TOKEN_ID => claims.session = session_of(&value),
                label::SUBJECT | label::ISSUED => {}
                _ => claims.read_cat(label, &value)?,
            }
        }
        if !has_end {
            return Err(MediaTokenError::Malformed);
        }
        if !has_audience {
            return Err(MediaTokenError::Audience);
        }
        Ok(claims)
    }

    fn read_cat(&mut self, label: i64, value: &Value) -> Read<()> {
        let constraints = &mut self.constraints;
        match label {
            label::VERSION if integer(value) == Some(VERSION) => {}
            // Only «may be used again»: nobody here counts uses over all nodes.
            label::REPLAY if integer(value) == Some(0) => {}
            // What to answer when a claim is not met. It is always 403 here.
            label::IF if value.is_map() => {}
            label::NETWORK => constraints.networks = Some(list(value, network)?),
            label::URI => constraints.uri = uri(value)?,
            label::METHODS => constraints.methods = Some(list(value, text)?),
            label::COUNTRIES => constraints.countries = Some(list(value, text)?),
            label::ALPN => constraints.protocols = Some(list(value, protocol)?),
            label::HEADERS => constraints.headers = headers(value)?,
            label::FINGERPRINT => constraints.ja4 = Some(fingerprint(value)?),
            label::RENEWAL => self.renewal = Some(CatRenewal::read(&entries(value.clone())?)?),
            label::MAX_HEIGHT => self.limits.max_height = limit(value)?,
            label::MAX_AUDIO_KBPS => self.limits.max_audio_kbps = limit(value)?,
            _ => return Err(MediaTokenError::Unsupported),
        }
        Ok(())
    }

    pub(super) fn into_grant(
        self,
        partner: Arc<Partner>,
        key: &JwsKey,
        payload: &[u8],
    ) -> PartnerGrant {
        let renewal = self.renewal.map(|terms| PartnerRenewal::Cat {
            terms,
            kid: key.kid.clone(),
            payload: payload.into(),
        });
        PartnerGrant {
            partner,
            form: PartnerForm::CommonAccessToken,
            session: self.session,
            not_before_s: self.not_before_s,
            expires_s: self.expires_s,
            limits: self.limits,
            constraints: self.constraints,
            renewal,
        }
    }
}

/// The entries of a map with integer keys, none twice (RFC 8392 section 3: a claim occurs once). Named keys are claims that
/// nobody here knows.
pub(super) fn entries(value: Value) -> Read<Vec<(i64, Value)>> {
    let map = value.into_map().map_err(|_| MediaTokenError::Malformed)?;
    if map.len() > ENTRIES_MAX {
        return Err(MediaTokenError::Malformed);
    }
    let mut seen = BTreeSet::new();
    map.into_iter()
        .map(|(label, value)| {
            let label = match integer(&label) {
                Some(label) => label,
                None if label.is_text() => return Err(MediaTokenError::Unsupported),
                None => return Err(MediaTokenError::Malformed),
            };
            if !seen.insert(label) {
                return Err(MediaTokenError::Malformed);
            }
            Ok((label, value))
        })
        .collect()
}

pub(super) fn integer(value: &Value) -> Option<i64> {
    i64::try_from(i128::from(value.as_integer()?)).ok()
}

/// `NumericDate` (RFC 8392 section 2): a whole or fractional number of seconds, without a tag.
fn date(value: &Value, round: fn(f64) -> f64) -> Read<i64> {
    if let Some(seconds) = integer(value) {
        return Ok(seconds);
    }
    match value.as_float() {
        // Beyond that a float has no seconds any more.
        Some(seconds) if seconds.abs() < 9e15 => Ok(round(seconds) as i64),
        _ => Err(MediaTokenError::Malformed),
    }
}

fn text(value: &Value) -> Read<String> {
    value
        .as_text()
        .map(str::to_owned)
        .ok_or(MediaTokenError::Malformed)
}

fn limit(value: &Value) -> Read<u32> {
    integer(value)
        .and_then(|limit| u32::try_from(limit).ok())
        .filter(|limit| *limit > 0)
        .ok_or(MediaTokenError::Malformed)
}

fn list<T>(value: &Value, read: fn(&Value) -> Read<T>) -> Read<Vec<T>> {
    match value.as_array() {
        Some(items) if items.len() <= ENTRIES_MAX => items.iter().map(read).collect(),
        _ => Err(MediaTokenError::Malformed),
    }
}

fn check_audience(value: &Value, own: &str) -> Read<()> {
    let is_own = |value: &Value| value.as_text() == Some(own);
    let is_for_us = match value.as_array() {
        Some(audiences) => audiences.iter().any(is_own),
        None => is_own(value),
    };
    if is_for_us {
        Ok(())
    } else {
        Err(MediaTokenError::Audience)
    }
}

/// Our own sessions are named in the token's id.
fn session_of(value: &Value) -> Option<mcsp_api::MediaSessionId> {
    std::str::from_utf8(value.as_bytes()?).ok()?.parse().ok()
}

/// An autonomous system, an address or prefix of RFC 9164, or one as text, which several issuers write.
fn network(value: &Value) -> Read<Network> {
    let prefix = match value {
        Value::Integer(_) => {
            let asn = integer(value).and_then(|asn| u32::try_from(asn).ok());
            return asn.map(Network::Asn).ok_or(MediaTokenError::Malformed);
        }
        Value::Text(text) => AddressPrefix::parse(text),
        Value::Tag(TAG_IPV4, inner) => tagged_prefix::<4>(inner),
        Value::Tag(TAG_IPV6, inner) => tagged_prefix::<16>(inner),
        _ => None,
    };
    prefix
        .map(Network::Prefix)
        .ok_or(MediaTokenError::Malformed)
}

/// RFC 9164 section 3: an address as its bytes, or a prefix as `[length, bytes without zeros at the end]`. The third form,
/// an address with the prefix of its interface, names no network of clients.
fn tagged_prefix<const BYTES: usize>(value: &Value) -> Option<AddressPrefix> {
    let (length, bytes) = match value {
        Value::Bytes(bytes) if bytes.len() == BYTES => (BYTES * 8, bytes),
        Value::Array(parts) => match &parts[..] {
            [length, Value::Bytes(bytes)] if bytes.len() <= BYTES => {
                let length = usize::try_from(integer(length)?).ok()?;
                // Section 4.1: no zeros at the end, no bits beyond the prefix.
                let is_short = bytes.last() != Some(&0);
                (length <= BYTES * 8 && is_short).then_some((length, bytes))?
            }
            _ => return None,
        },
        _ => return None,
    };
    let mut whole = [0; 16];
    whole[..bytes.len()].copy_from_slice(bytes);
    let length = u8::try_from(length).ok()?;
    let address = if BYTES == 4 {
        std::net::IpAddr::from([whole[0], whole[1], whole[2], whole[3]])
    } else {
        std::net::IpAddr::from(whole)
    };
    // A mapped IPv4 address in the form of IPv6 would be another network than its length says.
    (BYTES == 4 || !address.to_canonical().is_ipv4())
        .then(|| AddressPrefix::around(address, length, length))
}

fn protocol(value: &Value) -> Read<Vec<u8>> {
    match value {
        Value::Bytes(bytes) => Ok(bytes.clone()),
        Value::Text(text) => Ok(text.clone().into_bytes()),
        _ => Err(MediaTokenError::Malformed),
    }
}

fn uri(value: &Value) -> Read<Vec<(UriPart, Match)>> {
    let mut demands = Vec::new();
    for (number, matches) in entries(value.clone())? {
        let part = UriPart::from_number(number).ok_or(MediaTokenError::Unsupported)?;
        for wanted in matches_of(&matches)? {
            demands.push((part, wanted));
        }
    }
    Ok(demands)
}

fn headers(value: &Value) -> Read<Vec<(String, Match)>> {
    let mut demands = Vec::new();
    let map = value.as_map().ok_or(MediaTokenError::Malformed)?;
    if map.len() > ENTRIES_MAX {
        return Err(MediaTokenError::Malformed);
    }
    for (name, matches) in map {
        let name = text(name)?;
        for wanted in matches_of(matches)? {
            demands.push((name.clone(), wanted));
        }
    }
    Ok(demands)
}

/// All demands on one part; an empty map demands that nothing be there to demand of, which no issuer can mean.
fn matches_of(value: &Value) -> Read<Vec<Match>> {
    let matches = entries(value.clone())?;
    if matches.is_empty() {
        return Err(MediaTokenError::Malformed);
    }
    let hash = |value: &Value| value.as_bytes().cloned().ok_or(MediaTokenError::Malformed);
    matches
        .into_iter()
        .map(|(kind, value)| match kind {
            0 => text(&value).map(Match::Exact),
            1 => text(&value).map(Match::Prefix),
            2 => text(&value).map(Match::Suffix),
            3 => text(&value).map(Match::Contains),
            4 => pattern(&value),
            -1 => hash(&value).map(Match::Sha256),
            -2 => hash(&value).map(Match::Sha512Truncated),
            _ => Err(MediaTokenError::Unsupported),
        })
        .collect()
}

/// `[pattern, what each group must have caught or null, …]`.
fn pattern(value: &Value) -> Read<Match> {
    let items = value.as_array().ok_or(MediaTokenError::Malformed)?;
    let (pattern, groups) = items.split_first().ok_or(MediaTokenError::Malformed)?;
    let group = |value: &Value| match value {
        Value::Null => Ok(None),
        value => text(value).map(Some),
    };
    if groups.len() > ENTRIES_MAX {
        return Err(MediaTokenError::Malformed);
    }
    let groups: Read<Vec<_>> = groups.iter().map(group).collect();
    Ok(Match::Pattern(whole(&text(pattern)?)?, groups?))
}

/// `{0: kind, 1: value}`; of the kinds, JA4 is the one that is taken of connections here.
fn fingerprint(value: &Value) -> Read<String> {
    let (mut kind, mut print) = (None, None);
    for (label, value) in entries(value.clone())? {
        match label {
            0 => kind = integer(&value),
            1 => print = Some(text(&value)?),
            _ => return Err(MediaTokenError::Unsupported),
        }
    }
    match (kind, print) {
        (Some(FINGERPRINT_JA4), Some(print)) => Ok(print.to_ascii_lowercase()),
        (Some(_), Some(_)) => Err(MediaTokenError::Unsupported),
        _ => Err(MediaTokenError::Malformed),
    }
}
