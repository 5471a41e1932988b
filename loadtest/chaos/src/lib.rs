//! Harm to nodes under test, and its undoing.
//!
//! A [`Conductor`] plays a scenario's chaos steps at their times. Each of its means can be had by itself: [`FaultProxy`] for the
//! network of a node, [`Process`] for signals, [`Ballast`] for a full disk, [`ClockFile`] for a clock.
//!
//! What is done is a guard: its `undo` may be called any number of times, and dropping it calls it. So a step is undone when its
//! time is over, when the run is stopped, when a task panics and when the program returns early. For the deaths that run no
//! destructor, the kernel does it (the ballast has no name, the proxy's sockets close) or a watchdog process does (a frozen
//! process is thawed). Two things outlive a tool that was killed: a node that it had stopped stays down, and a clock stays
//! skewed until [`Conductor::prepare`] sees it again.
//!
//! Only processes that the user named in a pid file are touched, and only addresses that the allow list admits.

mod clock;
mod conductor;
mod disk;
mod down;
mod error;
mod faults;
mod freeze;
mod node;
mod process;
mod proxy;

pub use clock::{ClockFile, Skewed, faketime_library};
pub use conductor::{ChaosEvent, Conductor, StepRecord, Turn};
pub use disk::{BALLAST_BYTES_MAX, Ballast};
pub use down::{Down, Launch};
pub use error::ChaosError;
pub use faults::{Direction, NetworkFaults};
pub use freeze::Frozen;
pub use process::Process;
pub use proxy::{FaultProxy, ProxyCounts, ProxySettings};
