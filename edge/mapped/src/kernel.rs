//! What is asked of the kernel by address: to map a file, to say what of it is in memory, to keep that there, to send from there.
//!
//! The only code of the edge that the compiler cannot vouch for. It is right because:
//! - Nothing here or elsewhere reads a mapped byte in this process. There is no way to: [`Stretch`] keeps its address to itself.
//!   So it does not matter that the file may change, and a page that cannot be read (the file was cut, the disk fails) is an
//!   error of the call (`EFAULT`) and no signal.
//! - A [`Stretch`] borrows the [`Map`], which unmaps what it mapped only when it is dropped.
#![allow(unsafe_code, reason = "the system calls take addresses")]

use std::fs::File;
use std::io;
use std::marker::PhantomData;
use std::ops::Range;
use std::os::fd::{AsRawFd as _, RawFd};
use std::ptr::{self, NonNull};

/// Bytes of a page, at the least. Where they are larger, the kernel may refuse to say what is in memory; that is taken for no.
const PAGE_BYTES: usize = 4096;

/// Pages that are asked of at once.
const PAGES_MAX: usize = 256;

/// Stretches in one call, at the most.
pub(crate) const STRETCHES_MAX: usize = 16;

/// A file in the address space, read-only.
#[derive(Debug)]
pub(crate) struct Map {
    at: NonNull<libc::c_void>,
    len: usize,
}

// SAFETY: the addresses mean the same to every thread, and nobody writes through them.
unsafe impl Send for Map {}
// SAFETY: as above.
unsafe impl Sync for Map {}

/// Some bytes of a map.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stretch<'m> {
    at: *const libc::c_void,
    len: usize,
    map: PhantomData<&'m Map>,
}

impl Map {
    /// All of a file.
    ///
    /// # Errors
    /// When it is empty or its file system or the machine cannot do it.
    pub(crate) fn new(file: &File) -> io::Result<Self> {
        let len = usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?;
        // SAFETY: the kernel chooses the place, so that nothing else is there; it refuses a length of 0.
        let at = unsafe {
            libc::mmap(
                ptr::null_mut(),
                len,
                libc::PROT_READ,
                libc::MAP_SHARED | libc::MAP_NORESERVE,
                file.as_raw_fd(),
                0,
            )
        };
        if at == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let at = NonNull::new(at).ok_or_else(|| io::Error::other("mapped nowhere"))?;
        let map = Self { at, len };
        // What is read beside what was asked for has not been looked at by anybody. Without effect it is as good.
        // SAFETY: the range is what was just mapped.
        let _ = unsafe { libc::madvise(at.as_ptr(), len, libc::MADV_RANDOM) };
        Ok(map)
    }

    /// Bytes of the file when it was mapped.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Does the kernel have all of it in memory? If so, it need not be waited for, unless it goes at this very moment.
    pub(crate) fn is_in_memory(&self, range: Range<usize>) -> bool {
        if range.is_empty() || range.end > self.len {
            return false;
        }
        let mut at = range.start / PAGE_BYTES * PAGE_BYTES;
        while at < range.end {
            let mut pages = [0_u8; PAGES_MAX];
            match self.pages_in_memory(at, range.end, &mut pages) {
                Some(asked) if asked.iter().all(|page| page & 1 == 1) => {}
                _ => return false,
            }
            at += PAGES_MAX * PAGE_BYTES;
        }
        true
    }

    /// Which pages from `at` on, which begins one, the kernel has in memory: as far as `to`, and as there is room for.
    fn pages_in_memory<'p>(
        &self,
        at: usize,
        to: usize,
        pages: &'p mut [u8; PAGES_MAX],
    ) -> Option<&'p [u8]> {
        if at >= to || to > self.len {
            return None;
        }
        let len = (to - at).min(PAGES_MAX * PAGE_BYTES);
        // SAFETY: `at` lies within the map, and there is room for an answer of so many pages, which are the least there can
        // be: pages may be larger, not smaller.
        let asked = unsafe {
            let from = self.at.as_ptr().byte_add(at);
            libc::mincore(from, len, pages.as_mut_ptr())
        };
        (asked == 0).then_some(&pages[..len.div_ceil(PAGE_BYTES)])
    }

    /// Enters what the kernel has in memory of the first MiB of `range` into the page tables. Waits for the
    /// disk only for what the kernel gives up at this very moment. Says how many bytes it looked at.
    pub(crate) fn populate(&self, range: Range<usize>) -> usize {
        let at = range.start / PAGE_BYTES * PAGE_BYTES;
        let to = range.end.min(self.len);
        let mut pages = [0_u8; PAGES_MAX];
        let Some(pages) = self.pages_in_memory(at, to, &mut pages) else {
            return 0;
        };
        let mut page = at;
        for run in pages.chunk_by(|page, next| page & 1 == next & 1) {
            let len = run.len() * PAGE_BYTES;
            if run[0] & 1 == 1 {
                // Without effect (kernels before 5.14) it is as good; a page that cannot be read is an error and no signal.
                // SAFETY: the pages are those of the map that the kernel was just asked of.
                let _ = unsafe {
                    let from = self.at.as_ptr().byte_add(page);
                    libc::madvise(from, len, libc::MADV_POPULATE_READ)
                };
            }
            page += len;
        }
        page - range.start
    }

    /// Some of it; nothing when it is not that long.
    pub(crate) fn stretch(&self, range: Range<usize>) -> Option<Stretch<'_>> {
        if range.start > range.end || range.end > self.len {
            return None;
        }
        // SAFETY: within the map.
        let at = unsafe { self.at.as_ptr().byte_add(range.start) };
        Some(Stretch {
            at,
            len: range.len(),
            map: PhantomData,
        })
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        // SAFETY: it is what was mapped, and whoever used it borrowed this. What cannot be unmapped stays, and harms nobody.
        let _ = unsafe { libc::munmap(self.at.as_ptr(), self.len) };
    }
}

/// Sends bytes and then stretches, as many as the socket takes at once, and never waits for it. Returns how many it took.
///
/// # Errors
/// `WouldBlock` when it takes none now, what else the socket has to say, and `EFAULT` when the first byte cannot be read.
pub(crate) fn send(socket: RawFd, before: &[u8], stretches: &[Stretch<'_>]) -> io::Result<usize> {
    let nothing = libc::iovec {
        iov_base: ptr::null_mut(),
        iov_len: 0,
    };
    let mut places = [nothing; STRETCHES_MAX + 1];
    places[0] = libc::iovec {
        iov_base: before.as_ptr().cast_mut().cast(),
        iov_len: before.len(),
    };
    for (place, stretch) in places[1..].iter_mut().zip(stretches) {
        *place = libc::iovec {
            iov_base: stretch.at.cast_mut(),
            iov_len: stretch.len,
        };
    }
    let first = usize::from(before.is_empty());
    let count = stretches.len().min(STRETCHES_MAX) + 1 - first;
    // SAFETY: a header of zeros is one of nothing.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = places[first..].as_mut_ptr();
    message.msg_iovlen = count as _;
    loop {
        // SAFETY: the header names `count` places of bytes that are borrowed until this returns; the kernel only reads them. A
        // number that is no socket is refused.
        let sent = unsafe {
            libc::sendmsg(
                socket,
                &raw const message,
                libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL,
            )
        };
        if let Ok(sent) = usize::try_from(sent) {
            return Ok(sent);
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}
