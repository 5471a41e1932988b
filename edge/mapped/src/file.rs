//! A file in the address space, until it is given up.

use std::fs::File;
use std::io::{self, IoSliceMut};
use std::ops::Range;

use parking_lot::{RwLock, RwLockReadGuard};
use rustix::io::{ReadWriteFlags, preadv2};

use crate::kernel::{Map, Stretch};

/// A file that is sent from where it lies, for as long as nobody writes over it.
#[derive(Debug)]
pub struct MappedFile {
    file: File,
    state: RwLock<State>,
}

#[derive(Debug)]
enum State {
    /// Not in the address space, and may come there.
    Idle,
    Mapped(Map),
    /// It cannot be mapped.
    Refused,
    GivenUp,
}

/// A file that is not given up while this lives. Whoever has one waits for nothing.
#[derive(Debug)]
pub(crate) struct Kept<'f>(RwLockReadGuard<'f, State>);

impl MappedFile {
    /// A file that is not in the address space yet.
    #[must_use]
    pub fn new(file: File) -> Self {
        Self {
            file,
            state: RwLock::new(State::Idle),
        }
    }

    /// The file.
    #[must_use]
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Is it in the address space, and not about to go? Never waits.
    #[must_use]
    pub fn is_mapped(&self) -> bool {
        self.keep().is_some()
    }

    /// Puts it into the address space, if it is not there, nor given up, nor was refused before. Says whether it was put there
    /// now. Never waits; costs a few µs and no memory; what is sent of it then takes up to a 512th of it in page tables.
    ///
    /// # Errors
    /// Once, when its file system or the machine refuses.
    pub fn map(&self) -> io::Result<bool> {
        // To look is enough for most, and is in nobody's way.
        let is_idle = |state: &State| matches!(state, State::Idle);
        if !(self.state.try_read_recursive()).is_some_and(|state| is_idle(&state)) {
            return Ok(false);
        }
        let Some(mut state) = self.state.try_write().filter(|state| is_idle(state)) else {
            return Ok(false);
        };
        match Map::new(&self.file) {
            Ok(map) => {
                *state = State::Mapped(map);
                Ok(true)
            }
            Err(error) => {
                *state = State::Refused;
                Err(error)
            }
        }
    }

    /// Enters what the kernel has in memory of `range` into this process's page tables. Nothing is read for that. It is worth it
    /// because kernels give back first what no process has mapped, however often it is read by calls. Does nothing for what is
    /// not mapped. Costs 8 bytes and some tens of ns a page; whoever gives the file up waits for a MiB of it at the most.
    pub fn populate(&self, range: Range<u64>) {
        let mut at = range.start;
        while at < range.end {
            let Some(kept) = self.keep() else { return };
            match kept.populate(at..range.end) {
                0 => return,
                looked_at => at += looked_at,
            }
        }
    }

    /// Takes it out of the address space, unless somebody sends of it right now; it may be mapped again. Says whether it is
    /// out.
    #[must_use]
    pub fn unmap(&self) -> bool {
        let Some(mut state) = self.state.try_write() else {
            return false;
        };
        if matches!(*state, State::Mapped(_)) {
            *state = State::Idle;
        }
        true
    }

    /// From here on nothing is sent of it. Waits for those who are just doing so: they do not wait for the client or the disk.
    pub fn give_up(&self) {
        *self.state.write() = State::GivenUp;
    }

    /// Keeps it as it is for a moment; nothing when it is not mapped, or about to go.
    pub(crate) fn keep(&self) -> Option<Kept<'_>> {
        // One thread may keep it twice, even if somebody waits to give it up.
        let state = self.state.try_read_recursive()?;
        matches!(*state, State::Mapped(_)).then_some(Kept(state))
    }

    /// Copies what lies at `at`, if that is in the kernel's memory; how much.
    pub(crate) fn copy_now(&self, at: u64, out: &mut [u8]) -> Option<usize> {
        let _kept = self.keep()?;
        let mut out = [IoSliceMut::new(out)];
        match preadv2(&self.file, &mut out, at, ReadWriteFlags::NOWAIT) {
            Ok(0) | Err(_) => None,
            Ok(read) => Some(read),
        }
    }
}

impl Kept<'_> {
    /// Enters the first MiB of what the kernel has of `range` into the page tables; how much of `range` that was.
    fn populate(&self, range: Range<u64>) -> u64 {
        let (State::Mapped(map), Ok(from)) = (&*self.0, usize::try_from(range.start)) else {
            return 0;
        };
        let to = usize::try_from(range.end).unwrap_or(usize::MAX);
        map.populate(from..to) as u64
    }

    /// What lies in `range`, if it is in the kernel's memory.
    pub(crate) fn stretch_now(&self, range: Range<u64>) -> Option<Stretch<'_>> {
        let State::Mapped(map) = &*self.0 else {
            return None;
        };
        let range = usize::try_from(range.start).ok()?..usize::try_from(range.end).ok()?;
        if range.end > map.len() || !map.is_in_memory(range.clone()) {
            return None;
        }
        map.stretch(range)
    }
}
