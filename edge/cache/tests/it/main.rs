//! The cache's contract.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod ahead;
mod at_once;
mod bounds;
mod collapse;
mod disk;
mod disk_damaged;
mod disk_engine;
mod disk_faults;
mod disk_faulty;
mod disk_folder;
mod disk_kept;
mod disk_kill;
mod disk_support;
mod fills;
mod holes;
mod inspecting;
mod invalidating;
mod invalidating_kill;
mod lying;
mod memory_disk;
mod purging;
mod ratios;
mod restart;
mod room;
mod simulation;
mod simulation_model;
mod support;
mod variants;
