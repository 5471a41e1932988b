//! Tokens whose signature was verified already, so that a session pays for it once.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::token::MediaGrant;

/// Shards, each with a lock of its own, so that cores do not wait for one another. A power of two.
const SHARDS: usize = 16;
/// Tokens of a shard in one generation; two are held. About 600 bytes a token, so 10 MB at most.
const GENERATION_TOKENS_MAX: usize = 512;

/// What a token that was verified allows, and while what.
#[derive(Debug, Clone)]
pub(super) struct Verified {
    pub(super) grant: Arc<MediaGrant>,
    /// From when its key may be used, Unix seconds.
    pub(super) from_s: i64,
    /// From then on its key or itself is void, Unix seconds.
    pub(super) until_s: i64,
}

/// A bounded memory, in each shard of two generations: when the young one is full, it becomes the old one and the old one
/// is dropped. It belongs to one set of keys and dies with it.
///
/// Tokens come in only after their signature was verified, so nobody who cannot sign fills it or drives others out. It is
/// asked by the whole token under a hash with a secret seed: how long a wrong one takes tells nothing of the right ones.
#[derive(Debug, Default)]
pub(super) struct VerifiedTokens {
    shards: [Mutex<Generations>; SHARDS],
}

#[derive(Debug, Default)]
struct Generations {
    young: HashMap<Box<str>, Verified>,
    old: HashMap<Box<str>, Verified>,
}

impl VerifiedTokens {
    /// What exactly this token allows at `now_s`; nothing if it is not known, or not good then.
    pub(super) fn get(&self, token: &str, now_s: i64) -> Option<Arc<MediaGrant>> {
        let mut generations = self.shard(token)?.lock();
        let verified = match generations.young.get(token) {
            Some(verified) => verified.clone(),
            None => {
                let (token, verified) = generations.old.remove_entry(token)?;
                generations.insert(token, verified.clone());
                verified
            }
        };
        (verified.from_s..verified.until_s)
            .contains(&now_s)
            .then_some(verified.grant)
    }

    /// Remembers a token whose signature is right.
    pub(super) fn insert(&self, token: &str, verified: Verified) {
        if let Some(shard) = self.shard(token) {
            shard.lock().insert(token.into(), verified);
        }
    }

    /// By a character of the signature, which is as good as random in every token that is right.
    fn shard(&self, token: &str) -> Option<&Mutex<Generations>> {
        let character = token.bytes().rev().nth(7)?;
        self.shards.get(usize::from(character) % SHARDS)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        let held = |generations: &Generations| generations.young.len() + generations.old.len();
        self.shards.iter().map(|shard| held(&shard.lock())).sum()
    }
}

impl Generations {
    fn insert(&mut self, token: Box<str>, verified: Verified) {
        if self.young.len() >= GENERATION_TOKENS_MAX {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(token, verified);
    }
}

#[cfg(test)]
mod tests {
    use mcsp_api::Residency;
    use mcsp_api::events::MediaType;

    use super::super::rendition::RenditionLimits;
    use super::*;

    const NOW_S: i64 = 1_795_000_000;

    fn verified(until_s: i64) -> Verified {
        let grant = MediaGrant {
            content_id: "c_ng_01k9x3m5y8q2v7r4t6w1z0a3bc".parse().expect("an id"),
            user_id: "u_ng_01k9x3m5y8q2v7r4t6w1z0a3bc".parse().expect("an id"),
            media_session_id: "ms_gl_7zzzzzzzzzzzzzzzzzzzzzzzzz".parse().expect("an id"),
            residency: Residency::Global,
            media_type: MediaType::Video,
            expires_s: until_s,
            limits: RenditionLimits::default(),
            client: None,
        };
        Verified {
            grant: Arc::new(grant),
            from_s: NOW_S,
            until_s,
        }
    }

    #[test]
    fn a_token_is_known_within_its_time_only_and_as_a_whole() {
        let tokens = VerifiedTokens::default();
        tokens.insert("the-token-itself", verified(NOW_S + 10));
        for (now_s, is_good) in [(-1, false), (0, true), (9, true), (10, false), (0, true)] {
            let known = tokens.get("the-token-itself", NOW_S + now_s);
            assert_eq!(known.is_some(), is_good, "{now_s}");
        }
        for other in [
            "",
            "the",
            "the-token-itsel",
            "the-token-itself-",
            "The-token-itself",
        ] {
            assert!(tokens.get(other, NOW_S).is_none(), "{other}");
        }
    }

    #[test]
    fn it_is_bounded_and_keeps_what_is_used() {
        let tokens = VerifiedTokens::default();
        let used = "used-all-the-time-00000";
        tokens.insert(used, verified(NOW_S + 10));
        for number in 0..100_000 {
            tokens.insert(&format!("{number:023}"), verified(NOW_S + 10));
            assert!(tokens.get(used, NOW_S).is_some(), "{number}");
        }
        assert!(tokens.len() <= 2 * SHARDS * GENERATION_TOKENS_MAX);
        let first = format!("{:023}", 0);
        assert!(tokens.get(&first, NOW_S).is_none());
    }
}
