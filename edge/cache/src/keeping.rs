//! Memory for what readers bring back from the disk.

use crate::account::{Account, Share};
use crate::entity::{Entity, Keeper};
use crate::key::KeyHash;
use crate::store::Store;

/// What readers hold of what left may be this part of their share of the memory when one of them reads ahead.
const AHEAD_PART: u64 = 2;

impl Keeper for Store {
    fn room(&self, bytes: u64) -> Option<Share> {
        self.take(bytes)
    }

    fn room_for_answer(&self, least: u64, most: u64) -> Option<Share> {
        let mut bytes = most;
        while bytes > least {
            // What readers hold beyond their part they hold in small pieces, so that it is enough for many.
            if self.pinned_bytes() + bytes <= self.config.pinned_bytes_max
                && let Some(share) = self.take(bytes)
            {
                return Some(share);
            }
            bytes = (bytes / 2).max(least);
        }
        self.take_before_stored(least)
    }

    fn room_ahead(&self, bytes: u64) -> Option<Share> {
        let is_little = self.pinned_bytes() + bytes <= self.config.pinned_bytes_max / AHEAD_PART;
        is_little.then(|| self.take(bytes))?
    }

    fn account(&self) -> &Account {
        &self.account
    }

    fn reweigh(&self, entity: &Entity) {
        let mut ledger = self.ledger.lock();
        let held = ledger.index.get(entity.subject.slot);
        let Some(held) = held.filter(|held| held.id == entity.id).cloned() else {
            return;
        };
        let departed = self.tier.insert(&held);
        self.see_off(&mut ledger, &departed);
        self.measure(&ledger);
    }

    fn copied(&self, slot: KeyHash) {
        self.again.lock().copied(slot);
    }
}
