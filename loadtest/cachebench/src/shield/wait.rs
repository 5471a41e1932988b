//! How a client waits for its bytes.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::ops::Range;
use std::time::{Duration, Instant};

/// Rounds of the processor between two looks at a socket: about a microsecond, so that the looks do not get in the way of the
/// kernel, which brings what is looked for.
const ROUNDS: usize = 40;

/// How a client waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wait {
    /// Asleep, as ordinary programs do: many of them share a core.
    Asleep,
    /// It looks again and again. What it measures is when bytes came, not when the kernel got round to waking it: on a virtual
    /// machine that takes longer than much of what is measured, and the longer the client has slept.
    Looking,
}

/// What is taken from the kernel at once, bytes: all that has come of a segment. Whoever takes it record by record, with the time
/// that each takes in between, gets in the way of what still comes, and how often is chance.
const READ_BYTES: usize = 256 << 10;

/// A connection that waits in the way it was told, and no longer than its bound.
#[derive(Debug)]
pub(super) struct Socket {
    stream: TcpStream,
    wait: Wait,
    wait_max: Duration,
    /// What was read, and which of it was not taken yet.
    buffer: Vec<u8>,
    left: Range<usize>,
}

impl Socket {
    /// # Errors
    /// When the socket's options cannot be set.
    pub(super) fn new(stream: TcpStream, wait: Wait, wait_max: Duration) -> io::Result<Self> {
        stream.set_nonblocking(wait == Wait::Looking)?;
        stream.set_read_timeout(Some(wait_max))?;
        stream.set_write_timeout(Some(wait_max))?;
        Ok(Self {
            stream,
            wait,
            wait_max,
            buffer: vec![0; READ_BYTES],
            left: 0..0,
        })
    }
}

/// Tries until it need not be waited for any more.
fn until_ready<T>(
    (wait, wait_max): (Wait, Duration),
    mut attempt: impl FnMut() -> io::Result<T>,
) -> io::Result<T> {
    let mut last = attempt();
    if wait == Wait::Asleep {
        return last;
    }
    let started = Instant::now();
    while let Err(error) = &last
        && error.kind() == ErrorKind::WouldBlock
    {
        if started.elapsed() > wait_max {
            return Err(ErrorKind::TimedOut.into());
        }
        for _ in 0..ROUNDS {
            std::hint::spin_loop();
        }
        last = attempt();
    }
    last
}

impl Read for Socket {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let Self { stream, buffer, .. } = self;
        if self.left.is_empty() {
            let read = until_ready((self.wait, self.wait_max), || stream.read(buffer))?;
            self.left = 0..read;
        }
        let taken = self.left.len().min(into.len());
        let end = self.left.start + taken;
        into[..taken].copy_from_slice(&self.buffer[self.left.start..end]);
        self.left.start = end;
        Ok(taken)
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let stream = &mut self.stream;
        until_ready((self.wait, self.wait_max), || stream.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn pair(wait: Wait, wait_max: Duration) -> (Socket, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let ours = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (theirs, _) = listener.accept().unwrap();
        (Socket::new(ours, wait, wait_max).unwrap(), theirs)
    }

    #[test]
    fn whoever_waits_gets_what_comes_however_long_it_took_and_the_end() {
        for wait in [Wait::Asleep, Wait::Looking] {
            let (mut socket, mut theirs) = pair(wait, Duration::from_secs(120));
            let (question, asked) = std::sync::mpsc::channel();
            let other = std::thread::spawn(move || {
                // Nothing is sent before somebody is about to wait.
                asked.recv().unwrap();
                theirs.write_all(b"first").unwrap();
                let mut got = [0; 4];
                theirs.read_exact(&mut got).unwrap();
                theirs.write_all(&got).unwrap();
            });
            question.send(()).unwrap();
            let mut got = [0; 5];
            // A little at a time, of what came at once.
            let (begin, rest) = got.split_at_mut(2);
            socket.read_exact(begin).unwrap();
            socket.read_exact(rest).unwrap();
            assert_eq!(&got, b"first");
            socket.write_all(b"then").unwrap();
            let mut rest = Vec::new();
            socket.read_to_end(&mut rest).unwrap();
            assert_eq!(rest, b"then", "{wait:?}");
            other.join().unwrap();
        }
    }

    #[test]
    fn nobody_waits_longer_than_the_bound() {
        for wait in [Wait::Asleep, Wait::Looking] {
            let (mut socket, _theirs) = pair(wait, Duration::from_millis(1));
            let error = socket.read(&mut [0; 5]).unwrap_err();
            let is_late = matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock);
            assert!(is_late, "{wait:?}: {error}");
        }
    }
}
