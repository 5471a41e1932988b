//! Tokens that were verified already.

use std::collections::HashMap;
use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use parking_lot::Mutex;

/// Shards, each with a lock of its own, so that cores do not wait for one another.
const SHARDS: usize = 16;
/// Tokens of a shard in one generation; two are held, so 16 384 in all.
const GENERATION_TOKENS_MAX: usize = 512;

/// A token's name in the memory: who can make two tokens of one name can forge signatures too. It keeps entries small
/// however long tokens are, and looking one up tells nothing of others by the time it takes.
pub(crate) type TokenName = [u8; 32];

/// The name of a token.
pub(crate) fn name_of(token: &str) -> TokenName {
    let mut name = [0; 32];
    name.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
    name
}

/// What verified tokens say: bounded, in two generations a shard. When the young one is full it becomes the old one, and
/// the old one is dropped.
///
/// It belongs to one set of keys and is dropped with it. Only tokens whose signature was right come in, so nobody who
/// cannot sign fills it. Whether a token is still good is for its owner to ask each time.
pub(crate) struct TokenMemory<T, const GENERATION_MAX: usize = GENERATION_TOKENS_MAX> {
    shards: [Mutex<Generations<T>>; SHARDS],
}

struct Generations<T> {
    young: HashMap<TokenName, T>,
    old: HashMap<TokenName, T>,
}

impl<T, const GENERATION_MAX: usize> Default for TokenMemory<T, GENERATION_MAX> {
    fn default() -> Self {
        Self {
            shards: std::array::from_fn(|_| {
                Mutex::new(Generations {
                    young: HashMap::new(),
                    old: HashMap::new(),
                })
            }),
        }
    }
}

impl<T, const GENERATION_MAX: usize> fmt::Debug for TokenMemory<T, GENERATION_MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenMemory")
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

impl<T, const GENERATION_MAX: usize> TokenMemory<T, GENERATION_MAX> {
    /// How many tokens are remembered.
    pub(crate) fn len(&self) -> usize {
        let held = |shard: &Mutex<Generations<T>>| {
            let generations = shard.lock();
            generations.young.len() + generations.old.len()
        };
        self.shards.iter().map(held).sum()
    }

    fn shard(&self, name: &TokenName) -> &Mutex<Generations<T>> {
        &self.shards[usize::from(name[0]) % SHARDS]
    }
}

impl<T: Clone, const GENERATION_MAX: usize> TokenMemory<T, GENERATION_MAX> {
    /// What this very token says, if it is remembered.
    pub(crate) fn get(&self, name: &TokenName) -> Option<T> {
        let mut generations = self.shard(name).lock();
        if let Some(value) = generations.young.get(name) {
            return Some(value.clone());
        }
        let value = generations.old.remove(name)?;
        generations.insert(*name, value.clone(), GENERATION_MAX);
        Some(value)
    }

    /// Remembers a token whose signature is right.
    pub(crate) fn insert(&self, name: TokenName, value: T) {
        let mut generations = self.shard(&name).lock();
        generations.insert(name, value, GENERATION_MAX);
    }
}

impl<T> Generations<T> {
    fn insert(&mut self, name: TokenName, value: T, most: usize) {
        if self.young.len() >= most {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_bounded_and_keeps_what_is_used() {
        let memory: TokenMemory<i32> = TokenMemory::default();
        let used = name_of("used all the time");
        memory.insert(used, 0);
        for number in 1..60_000 {
            memory.insert(name_of(&format!("token {number}")), number);
            assert_eq!(memory.get(&used), Some(0), "{number}");
        }
        assert!(memory.len() <= 2 * SHARDS * GENERATION_TOKENS_MAX);
        assert_eq!(memory.get(&name_of("token 1")), None);
        assert_eq!(memory.get(&name_of("token 59999")), Some(59_999));
    }
}
