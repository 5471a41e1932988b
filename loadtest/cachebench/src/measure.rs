//! `edge-cache` and `hit-ratio`: the measurements beside peers.

use std::path::PathBuf;
use std::time::Duration;

use mcsp_loadtest_cachebench::report::{self, Row};
use mcsp_loadtest_cachebench::server::Kind;
use mcsp_loadtest_cachebench::{BenchError, bench, drip, hit_ratio};

/// What all are told.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Places {
    /// The program of our node, built as it is released
    #[arg(long)]
    pub(crate) node_program: PathBuf,
    /// Where the servers keep their files
    #[arg(long)]
    pub(crate) data_dir: PathBuf,
    /// Where the rows are written, JSON
    #[arg(long)]
    rows: Option<PathBuf>,
}

/// What `edge-cache` is told.
#[derive(Debug, clap::Args)]
pub(crate) struct EdgeCache {
    #[command(flatten)]
    places: Places,
    /// Interleaved passes; medians are reported
    #[arg(long, default_value_t = 5)]
    passes: usize,
    /// How long each measures, ms
    #[arg(long, default_value_t = 2000)]
    window_ms: u64,
    /// One pass of 1 s, memory and 32 connections only
    #[arg(long)]
    quick: bool,
    /// Only cases whose name contains every one of these, such as "2 MiB" or "h1," or "c=32"
    #[arg(long)]
    only: Vec<String>,
    /// Without stock nginx
    #[arg(long)]
    no_stock: bool,
    /// Add to what earlier runs with the same data folder measured, so that a run can be done in parts
    #[arg(long)]
    add: bool,
    /// Measure nothing: only tell what earlier runs measured of hits. All of it has to be there, or what else --only and --quick
    /// choose; --no-stock where they had none
    #[arg(long)]
    tell: bool,
}

impl EdgeCache {
    /// The cases that are asked for.
    fn cases(&self) -> Vec<bench::Case> {
        let mut cases = bench::cases();
        cases.retain(|case| {
            let name = case.name();
            let is_asked = self.only.iter().all(|part| name.contains(part.as_str()));
            let is_quick = case.tier == bench::Tier::Memory && case.connections == 32;
            is_asked && (!self.quick || is_quick)
        });
        cases
    }

    /// Is the object that drips asked for? What it takes is measured each time, and not kept.
    fn has_drip(&self) -> bool {
        let is_asked = |part: &String| drip::CASE.contains(part.as_str());
        !self.tell && self.only.iter().all(is_asked)
    }
}

/// What `hit-ratio` is told.
#[derive(Debug, clap::Args)]
pub(crate) struct HitRatio {
    #[command(flatten)]
    places: Places,
    /// Objects of the catalogue
    #[arg(long, default_value_t = 20_000)]
    objects: usize,
    /// Requests of each phase
    #[arg(long, default_value_t = 60_000)]
    requests: usize,
    /// Of the catalogue and the requests
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// A tenth of it
    #[arg(long)]
    quick: bool,
}

pub(crate) fn say(text: &str) {
    eprintln!("{text}");
}

pub(crate) fn conclude(places: &Places, rows: &[Row]) -> Result<bool, BenchError> {
    if let Some(path) = &places.rows {
        report::write_json(path, &rows)?;
    }
    Ok(rows.iter().all(|row| row.acceptable))
}

pub(crate) fn make(folder: &std::path::Path) -> Result<(), BenchError> {
    std::fs::create_dir_all(folder).map_err(|source| BenchError::File {
        path: folder.to_owned(),
        source,
    })
}

/// Measures hits; true when everything is there that was asked for, and holds that is required.
pub(crate) async fn edge_cache(args: &EdgeCache) -> Result<bool, BenchError> {
    let cases = args.cases();
    if cases.is_empty() && !args.has_drip() {
        // Of nothing, everything would hold.
        return Err(BenchError::Answer(format!(
            "no case has all of {:?} in its name",
            args.only
        )));
    }
    make(&args.places.data_dir)?;
    let mut peers = vec![
        Kind::NginxStock,
        Kind::NginxTuned,
        Kind::Varnish,
        Kind::TrafficServer,
    ];
    if args.no_stock {
        peers.remove(0);
    }
    let (passes, window_ms) = if args.quick {
        (1, 1000)
    } else {
        (args.passes, args.window_ms)
    };
    let options = bench::Options {
        node_program: &args.places.node_program,
        data_dir: &args.places.data_dir,
        passes,
        window: Duration::from_millis(window_ms),
        cases,
        peers,
        adds: args.add,
        only_tells: args.tell,
    };
    let bench::Found {
        mut rows,
        table,
        missing,
    } = bench::run(&options, &say).await?;
    println!("{table}");
    if args.has_drip() {
        rows.extend(drip::run(&options, &say).await?);
    }
    for line in &missing {
        println!("MISSING: {line}");
    }
    Ok(conclude(&args.places, &rows)? && missing.is_empty())
}

/// Measures hit ratios; true when every goal is met.
pub(crate) async fn hit_ratio(args: &HitRatio) -> Result<bool, BenchError> {
    make(&args.places.data_dir)?;
    let share = if args.quick { 10 } else { 1 };
    let options = hit_ratio::Options {
        node_program: &args.places.node_program,
        data_dir: &args.places.data_dir,
        objects: args.objects,
        requests: args.requests / share,
        seed: args.seed,
        // Stock nginx waits for 40 ms at the end of many answers to one connection (sendfile and tcp_nopush).
        peers: vec![Kind::NginxTuned, Kind::Varnish, Kind::TrafficServer],
    };
    let rows = hit_ratio::run(&options, &say).await?;
    conclude(&args.places, &rows)
}
