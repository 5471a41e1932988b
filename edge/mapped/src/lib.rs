//! Bytes of files that go to a socket without a way through the process's memory: the kernel copies them from its own memory
//! of the file into the socket, once.
//!
//! Why not `sendfile(2)`, which copies nothing: what it queues *is* the file's memory, so that a file which is written over
//! while a slow client still has something queued would change what that client gets; and it goes page by page, so that the
//! other end is woken for each few, which on one machine costs more than a copy. What is sent from here is the socket's own as
//! soon as the call returns.
//!
//! - [`MappedFile`]: a file in the address space. [`MappedFile::give_up`] waits for those who send of it at that moment, and
//!   from then on nothing is sent of it: whoever writes over a file does that first.
//! - [`Parts`]: what of files is to be sent, one after the other. It sends only what is in the kernel's memory, and so does not
//!   wait for a disk; when something is not, or the file was given up, it says so, and the rest is to be had otherwise.

mod file;
mod kernel;
mod parts;

pub use file::MappedFile;
pub use parts::{Owner, Part, Parts, Sent};
