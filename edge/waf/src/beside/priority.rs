//! Threads that stand back.

use rustix::process::setpriority_process;

/// How much others come first, in the system's terms (`nice`): a thread that stands back has a tenth of the share of one that does
/// not, where there is not enough for both.
const NICE: i32 = 10;

/// Has this thread stand back behind those of its process. Where threads have no priority of their own (POSIX gives it to
/// processes), it is left as it is.
pub(super) fn stand_back() {
    #[cfg(target_os = "linux")]
    {
        // Of no process, on Linux: of the calling thread. A system that refuses leaves it among equals.
        let _ = setpriority_process(None, NICE);
    }
}
