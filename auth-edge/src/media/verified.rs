//! Tokens whose Ed25519 signature was verified already, so that a session pays for it once.

use std::collections::HashMap;

use parking_lot::Mutex;

use super::token::MediaGrant;

/// Tokens in one generation; two are held, about 500 bytes a token.
const GENERATION_TOKENS_MAX: usize = 8192;

/// A bounded memory in two generations: when the young one is full, it becomes the old one and the old one is dropped.
/// It belongs to one set of keys and dies with it.
#[derive(Debug, Default)]
pub(super) struct VerifiedTokens {
    generations: Mutex<Generations>,
}

#[derive(Debug, Default)]
struct Generations {
    young: HashMap<Box<str>, MediaGrant>,
    old: HashMap<Box<str>, MediaGrant>,
}

impl VerifiedTokens {
    pub(super) fn get(&self, token: &str) -> Option<MediaGrant> {
        let mut generations = self.generations.lock();
        if let Some(grant) = generations.young.get(token) {
            return Some(grant.clone());
        }
        let (token, grant) = generations.old.remove_entry(token)?;
        generations.insert(token, grant.clone());
        Some(grant)
    }

    pub(super) fn insert(&self, token: &str, grant: MediaGrant) {
        self.generations.lock().insert(token.into(), grant);
    }
}

impl Generations {
    fn insert(&mut self, token: Box<str>, grant: MediaGrant) {
        if self.young.len() >= GENERATION_TOKENS_MAX {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(token, grant);
    }
}
