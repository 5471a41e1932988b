//! Seeks: bytes that a writer will bring, but not soon, since it brings much before them.

use std::ops::Range;

use super::{Body, Promise, State};

impl Body {
    /// How many bytes the nearest writer brings before the one at `position`; nothing when that is held, or nobody brings it.
    pub(crate) fn brought_before(&self, position: u64) -> Option<u64> {
        if self.sealed.get().is_some() {
            return None;
        }
        let state = self.state.lock();
        if state.held_until(position) > position {
            return None;
        }
        state.brought_before(position)
    }

    /// Promises the first part of `range` that is not held, though a writer is to bring it, if the nearest one brings more
    /// than `far_bytes` before `wanted`: what comes twice is taken once.
    pub(crate) fn promise_far(&self, wanted: u64, range: Range<u64>, far_bytes: u64) -> Promise {
        if self.sealed.get().is_some() {
            return Promise::AllHeld;
        }
        let mut state = self.state.lock();
        if self.sealed.get().is_some() || state.held_until(wanted) > wanted {
            return Promise::AllHeld;
        }
        let is_near = |bytes: u64| bytes <= far_bytes;
        if state.brought_before(wanted).is_some_and(is_near) {
            return Promise::OthersAreAtIt;
        }
        let end = state.total.map_or(range.end, |total| range.end.min(total));
        let mut position = range.start;
        while state.held_until(position) > position {
            position = state.held_until(position);
        }
        if position >= end {
            return Promise::AllHeld;
        }
        state.promise(position, end)
    }
}

impl State {
    /// Where the run that `position` is in ends; `position` when it is in none.
    fn held_until(&self, position: u64) -> u64 {
        let run = self.runs.range(..=position).next_back();
        run.map_or(position, |(start, run)| {
            position.max(start + run.len() as u64)
        })
    }

    fn brought_before(&self, position: u64) -> Option<u64> {
        let claims = self.claims.iter().filter(|claim| claim.covers(position));
        claims.map(|claim| position - claim.next).min()
    }
}
