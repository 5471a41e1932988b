//! The machine that the tool runs on, and what it lets one process have.

use mcsp_loadtest_measure::Machine;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What `/proc` says of it; what it does not say is empty.
pub(crate) fn describe() -> Machine {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let processors = read("/proc/cpuinfo");
    let model = processors
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(':'))
        .map_or(String::new(), |(_, model)| model.trim().to_owned());
    let memory = read("/proc/meminfo");
    let kib = memory
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:")?.split_whitespace().next())
        .and_then(|kib| kib.parse::<u64>().ok());
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    Machine {
        cores: u32::try_from(cores).unwrap_or(u32::MAX),
        processor: model,
        memory_bytes: kib.unwrap_or(0).saturating_mul(1_024),
        system: format!("Linux {}", read("/proc/sys/kernel/osrelease").trim()),
    }
}

/// Lets this process have as many open files as the system lets it have: each user has a connection or two.
pub(crate) fn allow_many_files() {
    let limit = getrlimit(Resource::Nofile);
    let most = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    // If it may not, users that find no descriptor say so.
    let _ = setrlimit(Resource::Nofile, most);
}
