//! A body that may have holes: runs of bytes, who has promised to bring which bytes, and who still wants them.
//!
//! Every byte of a body is in one of three states: held, promised (a writer that is still at it will bring it), or a
//! hole. A reader gets held bytes, waits for promised ones, and is told of holes; nothing looks like the end but the
//! end. A whole body is sealed: from then on it is read without a lock.

mod seeking;

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::OnceLock;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use crate::account::{Share, counted};
use crate::sealed::{Sealed, slice};

/// Bodies are kept in chunks of this size, the last one shorter: large enough that a hit is a few writes.
pub(crate) const CHUNK_BYTES: u64 = 256 << 10;

/// What is at a position.
#[derive(Debug)]
pub(crate) enum At {
    Bytes(Bytes),
    /// The body, or what was asked of it, ends here.
    End,
    /// A writer will bring it.
    Promised,
    /// Nobody will.
    Hole,
}

/// What became of an attempt to promise a range.
#[derive(Debug)]
pub(crate) enum Promise {
    Made { id: u64, range: Range<u64> },
    AllHeld,
    OthersAreAtIt,
}

#[derive(Debug)]
struct Claim {
    id: u64,
    next: u64,
    /// Nothing: up to the end, wherever that is.
    end: Option<u64>,
}

impl Claim {
    fn covers(&self, position: u64) -> bool {
        self.next <= position && self.end.is_none_or(|end| position < end)
    }
}

#[derive(Debug, Default)]
struct State {
    total: Option<u64>,
    /// By where they begin; they do not overlap, and none crosses a chunk's border.
    runs: BTreeMap<u64, Bytes>,
    held: u64,
    claims: Vec<Claim>,
    next_id: u64,
    /// Bytes go when every reader has passed them.
    streams: bool,
    readers: HashMap<u64, u64>,
    killed: bool,
}

#[derive(Debug)]
pub(crate) struct Body {
    state: Mutex<State>,
    sealed: OnceLock<Sealed>,
    /// Something came, or nothing more will. There once somebody waits for it.
    progress: OnceLock<watch::Sender<()>>,
    /// A reader of a body that streams through went on.
    drained: Notify,
}

impl Body {
    pub(crate) fn new(total: Option<u64>) -> Self {
        Self {
            state: Mutex::new(State {
                total,
                ..State::default()
            }),
            sealed: OnceLock::new(),
            progress: OnceLock::new(),
            drained: Notify::new(),
        }
    }

    /// A whole body of one run, which is no longer than a chunk.
    pub(crate) fn whole(bytes: Bytes) -> Self {
        let body = Self::new(Some(bytes.len() as u64));
        let _ = body.sealed.set(Sealed::one(bytes));
        body
    }

    pub(crate) fn sealed(&self) -> Option<&Sealed> {
        self.sealed.get()
    }

    pub(crate) fn total(&self) -> Option<u64> {
        match self.sealed.get() {
            Some(sealed) => Some(sealed.len()),
            None => self.state.lock().total,
        }
    }

    /// Bytes held.
    pub(crate) fn held(&self) -> u64 {
        match self.sealed.get() {
            Some(sealed) => sealed.len(),
            None => self.state.lock().held,
        }
    }

    /// Tells whoever watches from here on. To be called before the look at what there is: what comes after that look is told.
    pub(crate) fn watch(&self) -> watch::Receiver<()> {
        self.progress
            .get_or_init(|| watch::Sender::new(()))
            .subscribe()
    }

    /// To be called after the state was changed under its lock: who looked at it before is seen here.
    fn tell(&self) {
        if let Some(progress) = self.progress.get() {
            progress.send_replace(());
        }
    }

    pub(crate) async fn drained(&self) {
        self.drained.notified().await;
    }

    /// What is at `position`, up to but not including `end`.
    pub(crate) fn at(&self, position: u64, end: u64) -> At {
        if let Some(sealed) = self.sealed.get() {
            return sealed.slice_at(position, end).map_or(At::End, At::Bytes);
        }
        let state = self.state.lock();
        if let Some(sealed) = self.sealed.get() {
            return sealed.slice_at(position, end).map_or(At::End, At::Bytes);
        }
        let end = state.total.map_or(end, |total| end.min(total));
        if position >= end {
            return At::End;
        }
        if let Some((start, run)) = state.runs.range(..=position).next_back()
            && let Some(bytes) = slice(run, *start, position, end)
        {
            return At::Bytes(bytes);
        }
        if state.claims.iter().any(|claim| claim.covers(position)) {
            return At::Promised;
        }
        At::Hole
    }

    /// The bytes from `from` to before `to` that are held one after the other, and in how many runs.
    pub(crate) fn runs_within(&self, from: u64, to: u64) -> (u64, usize) {
        let state = self.state.lock();
        let mut next = from;
        let mut count = 0;
        for (start, run) in state.runs.range(from..to) {
            if *start != next {
                break;
            }
            next += run.len() as u64;
            count += 1;
        }
        (next - from, count)
    }

    /// Does it hold every byte of `range`?
    pub(crate) fn holds(&self, range: &Range<u64>) -> bool {
        let mut position = range.start;
        while position < range.end {
            match self.at(position, range.end) {
                At::Bytes(bytes) => position += bytes.len() as u64,
                At::End => return true,
                At::Promised | At::Hole => return false,
            }
        }
        true
    }

    /// Promises everything from `start` to `end`, which nobody else has promised.
    pub(crate) fn promise(&self, start: u64, end: Option<u64>) -> u64 {
        let mut state = self.state.lock();
        state.claim(start, end)
    }

    /// Promises the first hole within `range`.
    pub(crate) fn promise_hole(&self, range: Range<u64>) -> Promise {
        if self.sealed.get().is_some() {
            return Promise::AllHeld;
        }
        let mut state = self.state.lock();
        if self.sealed.get().is_some() {
            return Promise::AllHeld;
        }
        let end = state.total.map_or(range.end, |total| range.end.min(total));
        let (hole, awaited) = state.first_hole(range.start, end);
        let Some(position) = hole else {
            return if awaited {
                Promise::OthersAreAtIt
            } else {
                Promise::AllHeld
            };
        };
        state.promise(position, end)
    }

    /// Is each byte of `range` that the body has held or promised?
    pub(crate) fn is_coming(&self, range: &Range<u64>) -> bool {
        if self.sealed.get().is_some() {
            return true;
        }
        let state = self.state.lock();
        if self.sealed.get().is_some() {
            return true;
        }
        let end = state.total.map_or(range.end, |total| range.end.min(total));
        state.first_hole(range.start, end).0.is_none()
    }

    /// Takes `data` at the place where the claim `id` stands, where there is nothing yet. A killed body counts the
    /// bytes and keeps none.
    pub(crate) fn put(&self, id: u64, data: &Bytes) {
        let mut state = self.state.lock();
        let state = &mut *state;
        let Some(claim) = state.claims.iter_mut().find(|claim| claim.id == id) else {
            return;
        };
        let start = claim.next;
        let end = start + data.len() as u64;
        claim.next = end;
        if !state.killed && self.sealed.get().is_none() {
            state.fill_gaps(start, end, data);
        }
        self.tell();
    }

    /// Ends a claim. `at_end`: the writer came to the end of the body, so that its length is known.
    pub(crate) fn release(&self, id: u64, at_end: bool) {
        let mut state = self.state.lock();
        if let Some(index) = state.claims.iter().position(|claim| claim.id == id) {
            let claim = state.claims.swap_remove(index);
            if at_end && state.total.is_none() {
                state.total = Some(claim.next);
            }
        }
        drop(state);
        self.tell();
    }

    /// Is somebody writing?
    pub(crate) fn has_claims(&self) -> bool {
        self.sealed.get().is_none() && !self.state.lock().claims.is_empty()
    }

    /// Makes one run of the `len` bytes from `from` on, if they are still what they were.
    pub(crate) fn merge(&self, from: u64, len: u64, share: Share) {
        let mut state = self.state.lock();
        let to = from + len;
        let runs: Vec<u64> = state
            .runs
            .range(from..to)
            .map(|(start, _)| *start)
            .collect();
        let mut merged = Vec::with_capacity(usize::try_from(len).unwrap_or(0));
        for start in &runs {
            if from + merged.len() as u64 != *start {
                return;
            }
            if let Some(run) = state.runs.get(start) {
                merged.extend_from_slice(run);
            }
        }
        if merged.len() as u64 != len {
            return;
        }
        for start in runs {
            state.runs.remove(&start);
        }
        state.runs.insert(from, counted(merged, share));
    }

    /// Seals the body if it is whole; says whether it is sealed now.
    pub(crate) fn seal(&self) -> bool {
        let mut state = self.state.lock();
        if self.sealed.get().is_some() {
            return true;
        }
        let Some(total) = state.total else {
            return false;
        };
        if state.killed || state.streams || state.held != total {
            return false;
        }
        let runs = std::mem::take(&mut state.runs);
        let sealed = Sealed::new(runs, total);
        let _ = self.sealed.set(sealed);
        drop(state);
        self.tell();
        true
    }

    /// Lets go of everything; nobody gets another byte.
    pub(crate) fn kill(&self) {
        let runs = {
            let mut state = self.state.lock();
            state.killed = true;
            state.held = 0;
            std::mem::take(&mut state.runs)
        };
        drop(runs);
        self.tell();
        self.drained.notify_one();
    }

    /// From now on bytes go when every reader has passed them.
    pub(crate) fn stream(&self) {
        self.state.lock().streams = true;
        self.let_go();
    }

    /// Drops what every reader of a streaming body has passed. Returns what is left and how many readers there are.
    pub(crate) fn let_go(&self) -> (u64, usize) {
        let mut state = self.state.lock();
        if state.streams && !state.readers.is_empty() {
            let passed = state.readers.values().copied().min().unwrap_or(0);
            state.drop_below(passed);
        }
        (state.held, state.readers.len())
    }

    /// Drops all that a streaming body holds: readers that have not passed it find a hole.
    pub(crate) fn overrun(&self) {
        let mut state = self.state.lock();
        state.drop_below(u64::MAX);
        drop(state);
        self.tell();
    }

    pub(crate) fn attach(&self, position: u64) -> Option<u64> {
        if self.sealed.get().is_some() {
            return None;
        }
        let mut state = self.state.lock();
        state.next_id += 1;
        let id = state.next_id;
        state.readers.insert(id, position);
        if state.streams {
            self.drained.notify_one();
        }
        Some(id)
    }

    pub(crate) fn advance(&self, reader: u64, position: u64) {
        if self.sealed.get().is_some() {
            return;
        }
        let mut state = self.state.lock();
        if let Some(held) = state.readers.get_mut(&reader) {
            *held = position;
        }
        if state.streams {
            drop(state);
            self.drained.notify_one();
        }
    }

    pub(crate) fn detach(&self, reader: u64) {
        if self.sealed.get().is_some() {
            return;
        }
        let mut state = self.state.lock();
        state.readers.remove(&reader);
        if state.streams {
            drop(state);
            self.drained.notify_one();
        }
    }
}

impl State {
    fn claim(&mut self, next: u64, end: Option<u64>) -> u64 {
        self.next_id += 1;
        self.claims.push(Claim {
            id: self.next_id,
            next,
            end,
        });
        self.next_id
    }

    /// Promises what begins at `position`, up to what is held, to where another writer stands, or to `end`.
    fn promise(&mut self, position: u64, end: u64) -> Promise {
        let next_run = self.runs.range(position..).next().map(|(start, _)| *start);
        let others = self.claims.iter().map(|claim| claim.next);
        let next_claim = others.filter(|next| *next > position).min();
        let end = [next_run, next_claim]
            .into_iter()
            .flatten()
            .fold(end, u64::min);
        Promise::Made {
            id: self.claim(position, Some(end)),
            range: position..end,
        }
    }

    /// The first byte from `position` to before `end` that is neither held nor promised, and whether one before it is
    /// promised.
    fn first_hole(&self, mut position: u64, end: u64) -> (Option<u64>, bool) {
        let mut awaited = false;
        while position < end {
            let run = self.runs.range(..=position).next_back();
            if let Some(run_end) = run.map(|(start, run)| start + run.len() as u64)
                && run_end > position
            {
                position = run_end;
                continue;
            }
            let Some(claim) = self.claims.iter().find(|claim| claim.covers(position)) else {
                return (Some(position), awaited);
            };
            awaited = true;
            position = claim.end.unwrap_or(end);
        }
        (None, awaited)
    }

    fn fill_gaps(&mut self, start: u64, end: u64, data: &Bytes) {
        let mut position = start;
        while position < end {
            let before = self.runs.range(..=position).next_back();
            if let Some(run_end) = before.map(|(start, run)| start + run.len() as u64)
                && run_end > position
            {
                position = run_end;
                continue;
            }
            let next = self.runs.range(position..end).next().map(|(at, _)| *at);
            let gap_end = next.unwrap_or(end);
            if let Some(piece) = slice(data, start, position, gap_end) {
                self.held += piece.len() as u64;
                self.runs.insert(position, piece);
            }
            position = gap_end;
        }
    }

    fn drop_below(&mut self, floor: u64) {
        while let Some(entry) = self.runs.first_entry() {
            let run_end = *entry.key() + entry.get().len() as u64;
            if run_end > floor {
                break;
            }
            self.held -= entry.get().len() as u64;
            entry.remove();
        }
    }
}
