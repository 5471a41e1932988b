//! Where threads of this program run.

use std::num::NonZeroU64;

use rustix::thread::{CpuSet, sched_setaffinity, set_current_timer_slack};

/// Has this thread, and those that it starts, run on one core, and wake when it asked to: the kernel's usual leave of 50 µs
/// would be counted as somebody's latency.
pub(super) fn to_core(core: usize) -> std::io::Result<()> {
    let mut cores = CpuSet::new();
    cores.set(core);
    sched_setaffinity(None, &cores)?;
    Ok(set_current_timer_slack(NonZeroU64::new(1))?)
}
