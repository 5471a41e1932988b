//! Waits that end when they should.
//!
//! The runtime's own timers count whole milliseconds and round up twice, so that a user would start up to 2 ms late, and all that it
//! measures would seem as much slower. Here one `timerfd` of the kernel (timerfd_create(2)) wakes all waits of a thread.

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use tokio::net::unix::pipe::Receiver;
use tokio::time::Instant;

/// The waits of a thread.
#[derive(Debug)]
pub struct Timer {
    waits: Mutex<Waits>,
    /// A timer is read as a pipe is, which the runtime knows how to wait for.
    descriptor: Receiver,
}

#[derive(Debug, Default)]
struct Waits {
    /// By their ends; the number tells those of one moment apart.
    wakers: BTreeMap<(Instant, u64), Waker>,
    number: u64,
}

impl Timer {
    /// A timer of the current runtime. Somebody has to run it: [`Timer::run`].
    ///
    /// # Errors
    /// When the system gives no timer.
    ///
    /// # Panics
    /// Outside of a runtime with I/O, as all of tokio's own means do.
    pub fn new() -> io::Result<Arc<Self>> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let descriptor = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        Ok(Arc::new(Self {
            waits: Mutex::default(),
            descriptor: Receiver::from_owned_fd_unchecked(descriptor)?,
        }))
    }

    /// Ends waits when they are over, for ever.
    ///
    /// # Errors
    /// When the system's timer fails.
    pub async fn run(&self) -> io::Result<()> {
        let mut due = Vec::new();
        loop {
            self.descriptor.readable().await?;
            // How often it rang.
            let mut count = [0; 8];
            match self.descriptor.try_read(&mut count) {
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
                _ => {}
            }
            {
                let mut waits = self.waits.lock();
                let later = waits.wakers.split_off(&(Instant::now(), u64::MAX));
                due.extend(std::mem::replace(&mut waits.wakers, later).into_values());
                self.arm(&waits)?;
            }
            due.drain(..).for_each(Waker::wake);
        }
    }

    /// Sets the system's timer to the first of the waits.
    fn arm(&self, waits: &Waits) -> io::Result<()> {
        let Some(((first, _), _)) = waits.wakers.first_key_value() else {
            return Ok(());
        };
        let left = first.saturating_duration_since(Instant::now());
        // All zero would disarm it.
        let nanoseconds = left.as_nanos().max(1);
        let seconds = i64::try_from(nanoseconds / 1_000_000_000).unwrap_or(i64::MAX);
        let setting = Itimerspec {
            it_interval: Timespec::default(),
            it_value: Timespec {
                tv_sec: seconds,
                tv_nsec: i64::try_from(nanoseconds % 1_000_000_000).unwrap_or(0),
            },
        };
        timerfd_settime(&self.descriptor, TimerfdTimerFlags::empty(), &setting)?;
        Ok(())
    }

    /// A wait until then.
    pub(crate) fn until(self: &Arc<Self>, end: Instant) -> Wait {
        Wait {
            timer: Arc::clone(self),
            end,
            number: None,
        }
    }
}

/// A wait; dropped, it is forgotten.
pub(crate) struct Wait {
    timer: Arc<Timer>,
    end: Instant,
    /// Once it stands in the table.
    number: Option<u64>,
}

impl Future for Wait {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        if Instant::now() >= this.end {
            return Poll::Ready(());
        }
        let mut waits = this.timer.waits.lock();
        let number = *this.number.get_or_insert_with(|| {
            waits.number += 1;
            waits.number
        });
        let key = (this.end, number);
        waits.wakers.insert(key, cx.waker().clone());
        let is_first = waits
            .wakers
            .first_key_value()
            .is_some_and(|(first, _)| *first == key);
        if is_first && this.timer.arm(&waits).is_err() {
            // Better at once than never: whoever waits sees by the clock that it is too early.
            return Poll::Ready(());
        }
        Poll::Pending
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            self.timer.waits.lock().wakers.remove(&(self.end, number));
        }
    }
}
