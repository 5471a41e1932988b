//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// Simulated players, creators and API users, and a verdict.
///
/// States a load, runs it, and says whether what was asked of the system held. Nothing is touched that is neither this machine's
/// loopback nor listed in an allow file.
#[derive(Debug, Parser)]
#[command(
    name = "mcsp-load",
    version,
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = "\
Examples:
  cargo xtask demo, and in another terminal:
  mcsp-load run prime-time
  mcsp-load run prime-time --set duration_s=30 --out /tmp/evening
  mcsp-load scenarios show prime-time > mine.toml && mcsp-load check mine.toml
  mcsp-load compare before/results.json after/results.json
  mcsp-load plan --year 3 --set hit_ratio=0.97

Exit status of `run`: 0 pass; 1 fail; 2 the tool itself was overloaded; 3 incomplete.
Of all: 64 wrong command line; 65 a file is not what it should be; 69 nothing is there to be
loaded; 71 the system failed; 77 refused (no allow file lists the target, or a wrong token);
130 interrupted before there was anything to tell."
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a scenario, and judge it
    Run(Box<RunArgs>),
    /// Take a share of a coordinator's run, on another machine
    Worker(WorkerArgs),
    /// Read a scenario, and tell what is wrong with it, with line and column
    Check(CheckArgs),
    /// Tell what got worse from one run to another; exit status 1 when something did
    Compare(CompareArgs),
    /// Write the report of a run again, from its results.json
    Report(ReportArgs),
    /// From viewers, bitrates and hit ratio to nodes, disks, links and origin egress
    Plan(PlanArgs),
    /// The scenarios that come with the tool
    Scenarios(ScenariosArgs),
}

/// Where a scenario comes from, and how it is changed.
#[derive(Debug, Clone, Args)]
pub(crate) struct ScenarioArgs {
    /// A scenario's file, or the name of one that comes with the tool
    #[arg(value_name = "FILE|NAME")]
    pub(crate) scenario: String,
    /// Change a value, such as duration_s=30, arrivals[0].rate_per_s=8 or player.abr=lowest; any number of times
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  mcsp-load run prime-time                              the demo that runs on this machine
  mcsp-load run mine.toml --out results
  mcsp-load run soak --target http://127.0.0.1:8441 --content c_ng_01J…
  mcsp-load run viral-item --target https://edge.example.com --allow-file allow.txt --ca ca.pem
  MCSP_LOAD_TOKEN=… mcsp-load run mine.toml --listen 0.0.0.0:7400 --workers 4 --out results

Exit status: 0 pass; 1 fail; 2 the tool itself was overloaded, so that nothing is known; 3 incomplete
(a worker was lost, or the run ended early). See also mcsp-load --help.")]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) scenario: ScenarioArgs,
    /// What is loaded: the API's base URL, or a file in which a platform tells where it is (the demo writes one)
    /// [default: the scenario file's own; of a scenario that comes with the tool, the demo that runs on this machine]
    #[arg(long, value_name = "URL|FILE", env = "MCSP_LOAD_TARGET")]
    pub(crate) target: Option<String>,
    /// Items to play, the most popular first
    #[arg(long, value_name = "ID,…", value_delimiter = ',')]
    pub(crate) content: Vec<String>,
    /// PEM certificates of authorities that are trusted beside the system's
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
    /// What may be loaded outside of this machine: a host:port or a network a line
    #[arg(long, value_name = "FILE")]
    pub(crate) allow_file: Option<PathBuf>,
    /// Where report.html, results.json and junit.xml go [default: mcsp-load-results/NAME-TIME]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Threads that users run on, each with its share of them
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=256))]
    pub(crate) threads: u32,
    /// Print the results as JSON on standard output, and nothing else there
    #[arg(long)]
    pub(crate) json: bool,
    /// Print nothing but errors, and the verdict
    #[arg(long, short)]
    pub(crate) quiet: bool,
    /// The commit of what is loaded, for the report
    #[arg(long, value_name = "TEXT")]
    pub(crate) commit: Option<String>,
    #[command(flatten)]
    pub(crate) workers: CoordinatorArgs,
}

/// What makes a run one of many machines.
#[derive(Debug, Args)]
pub(crate) struct CoordinatorArgs {
    /// Run no users here: listen there for workers, and share the users among them
    #[arg(long, value_name = "ADDRESS:PORT", requires = "workers")]
    pub(crate) listen: Option<SocketAddr>,
    /// How many workers there are
    #[arg(long, value_name = "N", requires = "listen", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) workers: Option<u32>,
    /// How long they are waited for, s
    #[arg(long, value_name = "S", default_value_t = 120, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub(crate) wait_s: u64,
    #[command(flatten)]
    pub(crate) token: TokenArgs,
}

/// The secret that coordinator and workers share.
#[derive(Debug, Args)]
pub(crate) struct TokenArgs {
    /// A file with the secret that coordinator and workers share, 16 bytes at least; or the secret itself in the variable
    /// MCSP_LOAD_TOKEN
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  MCSP_LOAD_TOKEN=… mcsp-load worker --coordinator 10.0.0.1:7400 --index 0 --allow-file allow.txt
  mcsp-load worker --coordinator coordinator:7400 --index 3 --token-file /run/secrets/token --threads 4

Exit status: 0 its share was run; 69 the coordinator is not there, or no longer; 77 wrong token, or a
target that this machine's allow file does not list.")]
pub(crate) struct WorkerArgs {
    /// The coordinator
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) coordinator: String,
    /// Which worker this is, from 0; each has another number
    #[arg(long, value_name = "N")]
    pub(crate) index: u32,
    /// What may be loaded outside of this machine, by this worker: the coordinator's file does not count here
    #[arg(long, value_name = "FILE")]
    pub(crate) allow_file: Option<PathBuf>,
    /// PEM certificates of authorities that are trusted beside the system's, in the place of the scenario's
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
    /// Threads that users run on
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=256))]
    pub(crate) threads: u32,
    /// How long the coordinator is looked for, s
    #[arg(long, value_name = "S", default_value_t = 120, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub(crate) wait_s: u64,
    #[command(flatten)]
    pub(crate) token: TokenArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  mcsp-load check mine.toml
  mcsp-load check prime-time --set duration_s=0

Exit status: 0 it can be run; 65 it cannot: a line FILE:LINE:COLUMN: what is wrong, for each fault.")]
pub(crate) struct CheckArgs {
    #[command(flatten)]
    pub(crate) scenario: ScenarioArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  mcsp-load compare before/results.json after/results.json
  mcsp-load compare before after --tolerance 0.02 --json

Exit status: 0 nothing got worse; 1 something did, for certain.")]
pub(crate) struct CompareArgs {
    /// The first run's results.json, or the folder that has it
    pub(crate) a: PathBuf,
    /// The second run's
    pub(crate) b: PathBuf,
    /// Differences up to this share of the first run's value are none
    #[arg(long, default_value_t = 0.0, value_name = "SHARE")]
    pub(crate) tolerance: f64,
    /// Print it as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  mcsp-load report results/results.json --out elsewhere")]
pub(crate) struct ReportArgs {
    /// A run's results.json, or the folder that has it
    pub(crate) results: PathBuf,
    /// Where report.html and junit.xml go [default: beside it]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  mcsp-load plan
  mcsp-load plan --year 3 --set hit_ratio=0.97
  mcsp-load plan --measured target/bench/edge-cache.json --json")]
pub(crate) struct PlanArgs {
    /// The stated scale of which year: 1 or 3 [default: both]
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=3))]
    pub(crate) year: Option<u8>,
    /// Give an input, such as viewers=200000; the inputs are at the end of the plan
    #[arg(long, value_name = "NAME=VALUE")]
    pub(crate) set: Vec<String>,
    /// What `cargo xtask bench edge-cache` has measured [default: target/bench/edge-cache.json where it is]
    #[arg(long, value_name = "FILE")]
    pub(crate) measured: Option<PathBuf>,
    /// Print it as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  mcsp-load scenarios
  mcsp-load scenarios show prime-time > mine.toml
  mcsp-load scenarios annotated            every key, its default and its range")]
pub(crate) struct ScenariosArgs {
    #[command(subcommand)]
    pub(crate) word: Option<ScenariosWord>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ScenariosWord {
    /// Their names, and what they are for
    List,
    /// One as TOML, to be copied and changed
    Show {
        /// Its name
        name: String,
    },
    /// Every key of a scenario with its default and range
    Annotated,
}
