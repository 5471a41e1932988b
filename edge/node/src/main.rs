//! `mcsp-edge`: the edge node. Composes the proxy, its cache and its feed, and runs them.

mod addresses;
mod admin;
mod boot;
mod cli;
mod config;
mod descriptors;
#[cfg(test)]
mod documented;
mod feed;
mod firewall;
mod keys;
mod limits;
mod listener;
mod lobby;
mod metrics;
mod proxied;
mod run;
mod shield;
mod watch;

use std::process::ExitCode;

/// Requests allocate and free small pieces on many threads; this one does that with the least of their time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // First of all: two providers are linked, and rustls refuses to guess.
    mcsp_runtime::install_crypto_provider();
    // To clear 2 MiB at once, when a crowd of connections wants new memory, can take milliseconds in which nobody else is served;
    // what huge pages save elsewhere is a few per cent. A kernel that knows nothing of them has none.
    let _ = rustix::thread::disable_transparent_huge_pages(true);
    cli::main()
}
