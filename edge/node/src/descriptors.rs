//! Room for a crowd's file descriptors, made before anybody comes.
//!
//! The kernel keeps a process's descriptors in a table that it makes twice as large when it is full, and where threads share it,
//! whoever opened one too many waits until all processors have let go of the old one: ten milliseconds and more in which a
//! thread serves nobody, each time that a crowd outgrows the table. It never shrinks, so it is made large once, while there is one
//! thread.

use std::fs::File;

use rustix::io::fcntl_dupfd_cloexec;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// For each client's connection, one to an origin.
const OF_CONNECTION: u64 = 2;
/// Everything else: listeners, files, who was turned away and waits for the end of it ([`lobby`](crate::lobby)).
const OTHERS: u64 = 1024 + crate::lobby::ROOM as u64;

/// Makes room for the descriptors of `connections_max` clients' connections, as far as the process may have so many: the limit
/// of the process (`RLIMIT_NOFILE`) is raised as far as it may raise it. Told is how many there is room for; 0 where that
/// could not be seen to, which costs what it did before.
pub(crate) fn make_room(connections_max: usize) -> u64 {
    let wanted = (connections_max as u64)
        .saturating_mul(OF_CONNECTION)
        .saturating_add(OTHERS);
    let room = raised(wanted).min(wanted);
    let last = i32::try_from(room.saturating_sub(1)).unwrap_or(i32::MAX);
    let made = File::open("/dev/null").and_then(|any| Ok(fcntl_dupfd_cloexec(&any, last)?));
    // Whatever it is a copy of, it is closed at once.
    made.map_or(0, |_| room)
}

/// Raises the limit to what is wanted, where it is less; what it is then.
fn raised(wanted: u64) -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let current = limit.current.unwrap_or(u64::MAX);
    let allowed = limit.maximum.unwrap_or(u64::MAX).min(wanted);
    if current >= allowed {
        return current;
    }
    let raised = Rlimit {
        current: Some(allowed),
        maximum: limit.maximum,
    };
    setrlimit(Resource::Nofile, raised).map_or(current, |()| allowed)
}
