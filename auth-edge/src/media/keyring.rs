//! Verification of media tokens.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use aws_lc_rs::hmac;
use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use mcsp_api::RegionCode;
use mcsp_api::media_path::MediaPath;
use mcsp_runtime::SharedClock;

use super::error::MediaTokenError;
use super::keys::{
    KEY_BYTES, KEY_ID_BYTES, MediaAlgorithm, MediaKeyError, MediaKeyMaterial, key_id_bytes,
};
use super::token::{CONTEXT, MediaGrant, RawToken, payload, to_text};
use super::verified::{Verified, VerifiedTokens};

/// The most keys of one region a ring holds: two algorithms, a few generations each. Counted by region, so that one
/// cannot take another's places.
pub const KEYS_MAX: usize = 64;

/// A key's name: ids are unique within a region only, so that no region can replace another's key.
type KeyName = (RegionCode, [u8; KEY_ID_BYTES]);
type Keys = HashMap<KeyName, Arc<Key>>;

/// The keys that verify media tokens, by region and id; changed by the edge feed while requests are verified.
///
/// Revocation is another question: ask [`crate::Revocations::is_media_session_revoked`] about the grant.
#[derive(Debug)]
pub struct MediaKeyring {
    clock: SharedClock,
    state: ArcSwap<State>,
}

#[derive(Debug, Default)]
struct State {
    keys: Keys,
    /// Emptied by every change of keys, because the state is replaced.
    verified: VerifiedTokens,
}

struct Key {
    material: MediaKeyMaterial,
    verifier: Verifier,
}

enum Verifier {
    Hmac(Box<hmac::Key>),
    Ed25519(UnparsedPublicKey<Vec<u8>>),
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.material.fmt(f)
    }
}

impl MediaKeyring {
    /// A ring without keys: refuses everything.
    #[must_use]
    pub fn new(clock: SharedClock) -> Self {
        Self {
            clock,
            state: ArcSwap::default(),
        }
    }

    /// Adds the key, or replaces the one with its id. Keys past their time are dropped on the way.
    ///
    /// # Errors
    /// [`MediaKeyError::BadKey`] and [`MediaKeyError::TooMany`]; the ring is as before.
    pub fn upsert(&self, material: MediaKeyMaterial) -> Result<(), MediaKeyError> {
        let (name, key) = read_key(material)?;
        let key = Arc::new(key);
        let now_s = self.clock.now_s();
        let mut full = false;
        self.state.rcu(|state| {
            let mut keys = live(&state.keys, now_s);
            keys.insert(name, key.clone());
            full = is_overfull(&keys);
            if full {
                state.clone()
            } else {
                Arc::new(State::with(keys))
            }
        });
        if full {
            Err(MediaKeyError::TooMany { max: KEYS_MAX })
        } else {
            Ok(())
        }
    }

    /// Replaces all keys at once: what a feed that starts over with a snapshot does.
    ///
    /// # Errors
    /// [`MediaKeyError::BadKey`] and [`MediaKeyError::TooMany`]; the ring is as before.
    pub fn replace(&self, materials: Vec<MediaKeyMaterial>) -> Result<(), MediaKeyError> {
        let mut keys = Keys::with_capacity(materials.len());
        for material in materials {
            let (name, key) = read_key(material)?;
            keys.insert(name, Arc::new(key));
        }
        if is_overfull(&keys) {
            return Err(MediaKeyError::TooMany { max: KEYS_MAX });
        }
        self.state
            .store(Arc::new(State::with(live(&keys, self.clock.now_s()))));
        Ok(())
    }

    /// How many keys are held; for readiness: a node without keys cannot serve.
    #[must_use]
    pub fn len(&self) -> usize {
        self.state.load().keys.len()
    }

    /// Is none held?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Verifies the token of a request for `path`: key of the item's home region, algorithm, signature, expiry, item, residency.
    ///
    /// # Errors
    /// [`MediaTokenError`], the first fault found.
    pub fn verify(
        &self,
        token: &str,
        path: &MediaPath<'_>,
    ) -> Result<Arc<MediaGrant>, MediaTokenError> {
        let grant = self.verify_token(token)?;
        if grant.content_id != path.content_id || grant.residency != path.residency {
            return Err(MediaTokenError::OtherItem);
        }
        Ok(grant)
    }

    /// [`Self::verify`] without a path to compare with.
    ///
    /// # Errors
    /// [`MediaTokenError`], the first fault found.
    pub fn verify_token(&self, token: &str) -> Result<Arc<MediaGrant>, MediaTokenError> {
        let state = self.state.load();
        let now_s = self.clock.now_s();
        // What is verified was verified with keys of this very state.
        if let Some(grant) = state.verified.get(token, now_s) {
            return Ok(grant);
        }
        let (grant, key) = state.check(token, now_s)?;
        if now_s >= grant.expires_s {
            return Err(MediaTokenError::Expired);
        }
        let verified = Verified {
            grant: Arc::clone(&grant),
            from_s: key.material.not_before_s,
            until_s: grant.expires_s.min(key.material.not_after_s),
        };
        state.verified.insert(token, verified);
        Ok(grant)
    }

    /// [`Self::verify_token`], but for its expiry: for renewal, and never to serve a byte by.
    ///
    /// # Errors
    /// [`MediaTokenError`], the first fault found.
    pub fn verify_even_expired(&self, token: &str) -> Result<Arc<MediaGrant>, MediaTokenError> {
        let state = self.state.load();
        let (grant, _) = state.check(token, self.clock.now_s())?;
        Ok(grant)
    }

    /// Signs a grant that renews `token`, where this node holds a secret of the item's region whose time is not over
    /// before the grant's is: the token's own key if it will do, so that whoever knew the old token knows the new one.
    #[must_use]
    pub fn sign_renewed(&self, token: &str, grant: &MediaGrant) -> Option<String> {
        let own_id = RawToken::parse(token)?.key_id;
        let region = grant.content_id.region();
        let now_s = self.clock.now_s();
        let state = self.state.load();
        let may_sign = |((key_region, key_id), key): (&KeyName, &Arc<Key>)| {
            let Verifier::Hmac(secret) = &key.verifier else {
                return None;
            };
            let lasts = key.material.not_after_s >= grant.expires_s;
            let is_good = *key_region == region && key.material.not_before_s <= now_s && lasts;
            is_good.then(|| (*key_id, (**secret).clone()))
        };
        let keys = state.keys.iter().filter_map(may_sign);
        // The own key first, else always the same one.
        let (key_id, secret) = keys.min_by_key(|(id, _)| (*id != own_id, *id))?;
        let payload = payload(grant, MediaAlgorithm::HmacSha256, key_id)?;
        let message = [CONTEXT, &payload].concat();
        Some(to_text(payload, hmac::sign(&secret, &message).as_ref()))
    }
}

impl State {
    fn with(keys: Keys) -> Self {
        Self {
            keys,
            verified: VerifiedTokens::default(),
        }
    }

    /// Everything but the token's expiry.
    fn check(
        &self,
        token: &str,
        now_s: i64,
    ) -> Result<(Arc<MediaGrant>, &Arc<Key>), MediaTokenError> {
        let raw = RawToken::parse(token).ok_or(MediaTokenError::Malformed)?;
        // By the region that the token claims to be of: another region's key is not even looked at.
        let region = raw.content_region().ok_or(MediaTokenError::Malformed)?;
        let key = self
            .keys
            .get(&(region, raw.key_id))
            .ok_or(MediaTokenError::UnknownKey)?;
        if now_s < key.material.not_before_s || now_s >= key.material.not_after_s {
            return Err(MediaTokenError::UnknownKey);
        }
        if key.material.algorithm != raw.algorithm {
            return Err(MediaTokenError::Algorithm);
        }
        key.verifier.check(&raw)?;
        let grant = raw.grant().ok_or(MediaTokenError::Malformed)?;
        Ok((Arc::new(grant), key))
    }
}

impl Verifier {
    fn check(&self, raw: &RawToken) -> Result<(), MediaTokenError> {
        let (message, signature) = (raw.message(), raw.signature());
        match self {
            // Compares in constant time.
            Self::Hmac(secret) => hmac::verify(secret, &message, signature),
            Self::Ed25519(public) => public.verify(&message, signature),
        }
        .map_err(|_| MediaTokenError::Signature)
    }
}

/// Are there more keys of any region than there may be?
fn is_overfull(keys: &Keys) -> bool {
    let mut of_region: HashMap<RegionCode, usize> = HashMap::new();
    keys.keys().any(|(region, _)| {
        let count = of_region.entry(*region).or_default();
        *count += 1;
        *count > KEYS_MAX
    })
}

fn live(keys: &Keys, now_s: i64) -> Keys {
    keys.iter()
        .filter(|(_, key)| key.material.not_after_s > now_s)
        .map(|(name, key)| (*name, key.clone()))
        .collect()
}

fn read_key(material: MediaKeyMaterial) -> Result<(KeyName, Key), MediaKeyError> {
    let bad = |reason| MediaKeyError::BadKey {
        key_id: material.key_id.chars().take(64).collect(),
        reason,
    };
    let id = key_id_bytes(&material.key_id)
        .ok_or_else(|| bad("its id must be 16 lower-case hexadecimal digits"))?;
    if material.key.len() != KEY_BYTES {
        return Err(bad("it must have 32 bytes"));
    }
    let verifier = match material.algorithm {
        MediaAlgorithm::HmacSha256 => {
            Verifier::Hmac(Box::new(hmac::Key::new(hmac::HMAC_SHA256, &material.key)))
        }
        MediaAlgorithm::Ed25519 => {
            Verifier::Ed25519(UnparsedPublicKey::new(&ED25519, material.key.clone()))
        }
    };
    Ok(((material.region, id), Key { material, verifier }))
}

#[cfg(test)]
mod tests {
    use mcsp_api::Residency;
    use mcsp_api::events::MediaType;
    use mcsp_runtime::{ManualClock, SeededEntropy};

    use super::super::rendition::RenditionLimits;
    use super::super::signer::TokenForm;
    use super::super::store::{MediaKeyConfig, MediaKeyStore};
    use super::*;

    const NOW_S: i64 = 1_795_000_000;

    fn store(folder: &std::path::Path, clock: &Arc<ManualClock>) -> MediaKeyStore {
        MediaKeyStore::open(
            folder.join("media-keys.json"),
            "ng".parse().expect("a region"),
            MediaKeyConfig::default(),
            clock.clone(),
            SeededEntropy::new(7),
        )
        .expect("a store")
    }

    fn grant(expires_s: i64) -> MediaGrant {
        MediaGrant {
            content_id: "c_ng_01k9x3m5y8q2v7r4t6w1z0a3bc".parse().expect("an id"),
            user_id: "u_ng_01k9x3m5y8q2v7r4t6w1z0a3bc".parse().expect("an id"),
            media_session_id: "ms_gl_7zzzzzzzzzzzzzzzzzzzzzzzzz".parse().expect("an id"),
            residency: Residency::Global,
            media_type: MediaType::Video,
            expires_s,
            limits: RenditionLimits::default(),
            client: None,
        }
    }

    #[test]
    fn what_is_not_good_is_not_remembered_and_drives_nothing_out() {
        let clock = ManualClock::new(NOW_S * 1000);
        let folder = tempfile::tempdir().expect("a folder");
        let store = store(folder.path(), &clock);
        let ring = MediaKeyring::new(clock);
        ring.replace(store.published()).expect("keys");
        let remembered = || ring.state.load().verified.len();
        for form in [TokenForm::Hmac, TokenForm::Ed25519] {
            let sign = |expires_s| {
                store
                    .signer()
                    .sign(&grant(expires_s), form)
                    .expect("a token")
            };
            let before = remembered();
            let expired = sign(NOW_S);
            assert_eq!(ring.verify_token(&expired), Err(MediaTokenError::Expired));
            let good = sign(NOW_S + 1);
            for number in 0..20_000_u32 {
                // Its last characters are another signature's.
                let forged = format!("{}{number:08}", &good[..good.len() - 8]);
                assert!(ring.verify_token(&forged).is_err(), "{forged}");
            }
            assert_eq!(remembered(), before, "{form:?}");
            for _ in 0..2 {
                assert!(ring.verify_token(&good).is_ok());
                assert_eq!(remembered(), before + 1, "{form:?}");
            }
        }
        let key = store.published().remove(0);
        ring.upsert(key).expect("a key");
        assert_eq!(remembered(), 0, "other keys, another memory");
    }
}
