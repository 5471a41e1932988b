//! `mcsp-cluster`: the demo, the soaks and the measurements that need a whole MCSP. `cargo xtask` runs it.

#![allow(clippy::print_stdout, clippy::print_stderr)] // Talking to a person is what this program does.

mod bench;
mod bench_purge;
mod bench_revoke;
mod demo;
mod load_target;
mod soak;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use mcsp_loadtest_cluster::{ClusterError, Layout};

/// Start, break and stop a whole MCSP of real processes on one machine.
#[derive(Debug, Parser)]
#[command(name = "mcsp-cluster", version)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

/// Where everything is.
#[derive(Debug, Clone, clap::Args)]
struct Places {
    /// The folder with mcsp-origin, mcsp-media, mcsp-edge and mcsp
    #[arg(long)]
    bin_dir: PathBuf,
    /// The folder with the viewer's page
    #[arg(long)]
    site: PathBuf,
    /// Where the cluster keeps its files
    #[arg(long)]
    data_dir: PathBuf,
}

impl From<Places> for Layout {
    fn from(places: Places) -> Self {
        Self {
            bin_dir: places.bin_dir,
            site: places.site,
            data_dir: places.data_dir,
        }
    }
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Two regions, three PoPs, a real upload, and a page that plays it; Ctrl-C stops everything
    Demo {
        #[command(flatten)]
        places: Places,
        /// The video to upload
        #[arg(long)]
        video: PathBuf,
        /// Its title [default: the file's name]
        #[arg(long)]
        title: Option<String>,
    },
    /// Kill processes at seeded moments and check what must hold
    SoakKill {
        #[command(flatten)]
        places: Places,
        /// How many seeds
        #[arg(long, default_value_t = 200)]
        seeds: u64,
        /// The first seed
        #[arg(long, default_value_t = 1)]
        first_seed: u64,
    },
    /// Measure a purge, and a session's end, to every node of a fleet, and print it as JSON
    BenchPurge {
        /// The folder with mcsp-origin and mcsp-edge
        #[arg(long)]
        bin_dir: PathBuf,
        /// Where the fleet keeps its files; emptied
        #[arg(long)]
        data_dir: PathBuf,
        /// How many edges
        #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u16).range(2..=99))]
        nodes: u16,
        /// How many purges
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=10_000))]
        purges: u64,
        /// How many sessions are ended
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=1_000))]
        revocations: u64,
    },
    /// Measure upload-complete to playable once, and print it as JSON
    BenchFirstPlay {
        #[command(flatten)]
        places: Places,
        /// The video to upload
        #[arg(long)]
        video: PathBuf,
    },
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    mcsp_runtime::install_crypto_provider();
    let result: Result<(), ClusterError> = match Args::parse().command {
        Command::Demo {
            places,
            video,
            title,
        } => demo::run(places.into(), &video, title.as_deref()).await,
        Command::SoakKill {
            places,
            seeds,
            first_seed,
        } => soak::kill(places.into(), first_seed, seeds).await,
        Command::BenchFirstPlay { places, video } => bench::first_play(places.into(), &video).await,
        Command::BenchPurge {
            bin_dir,
            data_dir,
            nodes,
            purges,
            revocations,
        } => {
            let layout = Layout {
                site: bin_dir.clone(),
                bin_dir,
                data_dir,
            };
            bench_purge::run(layout, usize::from(nodes), purges, revocations).await
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
