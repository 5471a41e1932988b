//! What of files is to be sent.

use std::fmt::Debug;
use std::io;
use std::ops::Range;
use std::os::fd::RawFd;
use std::sync::Arc;

use crate::file::MappedFile;
use crate::kernel::{self, STRETCHES_MAX};

/// Whose bytes they are.
pub trait Owner: Debug + Send + Sync {
    /// May they still be sent? Asked before each time that some are.
    fn may_be_sent(&self) -> bool;
}

/// Bytes of one file.
#[derive(Debug, Clone)]
pub struct Part {
    /// Which file.
    pub file: Arc<MappedFile>,
    /// Which of its bytes; not none.
    pub range: Range<u64>,
}

impl Part {
    /// Could it be sent now: is the file mapped, and the part in the kernel's memory?
    #[must_use]
    pub fn is_here(&self) -> bool {
        let kept = self.file.keep();
        kept.is_some_and(|kept| kept.stretch_now(self.range.clone()).is_some())
    }
}

/// Parts that are sent one after the other.
#[derive(Debug)]
pub struct Parts {
    parts: Vec<Part>,
    owner: Arc<dyn Owner>,
}

/// What became of an attempt to send.
#[derive(Debug)]
pub enum Sent {
    /// So many bytes went out, of those before the parts first; not none.
    Some(usize),
    /// The socket takes none at the moment.
    SocketFull,
    /// The next byte cannot be sent so: it is not in the kernel's memory, its file is given up, or its owner says no.
    NotHere,
    /// The connection is broken.
    Broken(io::Error),
}

impl Parts {
    /// Those of `owner`.
    #[must_use]
    pub fn new(parts: Vec<Part>, owner: Arc<dyn Owner>) -> Self {
        Self { parts, owner }
    }

    /// Bytes of all of them.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.parts.iter().map(|part| length(&part.range)).sum()
    }

    /// Sends `before`, and then what of the parts begins at byte `from`: `bytes` of all of it at the most, and as many as the
    /// socket takes now. Waits neither for the socket nor, unless the kernel gives up a page at this very moment, for the disk.
    #[must_use]
    pub fn send(&self, socket: RawFd, before: &[u8], from: u64, bytes: usize) -> Sent {
        if !self.owner.may_be_sent() {
            return Sent::NotHere;
        }
        let left = bytes.saturating_sub(before.len()) as u64;
        let mut kept = Vec::with_capacity(self.parts.len().min(STRETCHES_MAX));
        for (file, range) in self.after(from, left).take(STRETCHES_MAX) {
            let Some(held) = file.keep() else { break };
            kept.push((held, range));
        }
        let mut stretches = Vec::with_capacity(kept.len());
        for (held, range) in &kept {
            let Some(stretch) = held.stretch_now(range.clone()) else {
                break;
            };
            stretches.push(stretch);
        }
        // What goes before them goes with them, or not from here.
        if stretches.is_empty() {
            return Sent::NotHere;
        }
        match kernel::send(socket, before, &stretches) {
            Ok(0) => Sent::Broken(io::ErrorKind::WriteZero.into()),
            Ok(sent) => Sent::Some(sent),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Sent::SocketFull,
            // It went out of memory just now, and cannot be read again.
            Err(error) if error.raw_os_error() == Some(libc::EFAULT) => Sent::NotHere,
            Err(error) => Sent::Broken(error),
        }
    }

    /// Copies bytes from byte `from` on, as many as lie together and `out` has room for; nothing when they are not here. For
    /// whoever waits for the socket by trying to write a little.
    #[must_use]
    pub fn copy(&self, from: u64, out: &mut [u8]) -> Option<usize> {
        if !self.owner.may_be_sent() {
            return None;
        }
        let (file, range) = self.after(from, out.len() as u64).next()?;
        let wanted = usize::try_from(length(&range)).ok()?.min(out.len());
        file.copy_now(range.start, &mut out[..wanted])
    }

    /// The first `bytes` from byte `from` on.
    fn after(&self, from: u64, bytes: u64) -> impl Iterator<Item = (&MappedFile, Range<u64>)> {
        let (mut skipped, mut left) = (from, bytes);
        self.parts.iter().filter_map(move |part| {
            let start = part.range.start + skipped.min(length(&part.range));
            skipped = skipped.saturating_sub(length(&part.range));
            let end = part.range.end.min(start.saturating_add(left));
            left -= length(&(start..end));
            (start < end).then_some((&*part.file, start..end))
        })
    }
}

fn length(range: &Range<u64>) -> u64 {
    range.end.saturating_sub(range.start)
}
