//! What a hit costs: our node beside its peers, interleaved, each on one core, the load on another.
//!
//! A run has to have all that it was asked for: `missing` says what that is, and what follows where a peer cannot do a case.

mod load;
mod loopback;
mod missing;
mod samples;
mod table;
mod warming;

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use load::Protocol;
use load::{Load, Sample};
use samples::{Measured, Samples};
use serde::{Deserialize, Serialize};

use crate::error::BenchError;
use crate::region::Region;
use crate::report::{Better, Row, median};
use crate::server::{Certificate, Kind, NodeLimits, Plan, Purpose, Server};
use crate::sized::{SizedOrigin, path_of};

/// The servers' core.
const SERVER_CORE: usize = 1;
/// The load generator's.
const LOAD_CORE: usize = 0;
/// What our CPU may be of the best peer's, 2 MiB over HTTP/1.1 without TLS.
const REQUIRED_LARGE_PLAIN: f64 = 1.0;
/// Everything else.
const REQUIRED: f64 = 1.5;
/// What we want it to be, everywhere.
const GOAL: f64 = 1.0;
/// Where what was measured so far is kept, in the run's folder.
const SAMPLES_FILE: &str = "samples.json";

/// Where hits come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Tier {
    /// Everything is in memory.
    Memory,
    /// Next to nothing fits into the server's memory; the kernel may hold what it likes.
    Disk,
}

impl Tier {
    fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Disk => "disk",
        }
    }

    fn purpose(self) -> Purpose {
        match self {
            Self::Memory => Purpose::Memory,
            Self::Disk => Purpose::Disk,
        }
    }

    /// How many objects of a size are asked for in turn.
    fn objects(self, bytes: usize) -> usize {
        match (self, bytes) {
            (Self::Memory, _) => 8,
            // No more than nginx may have open.
            (Self::Disk, ..=65_536) => 10_000,
            (Self::Disk, _) => 128,
        }
    }
}

/// What clients do in a row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Case {
    /// The bytes of each object.
    pub object_bytes: usize,
    /// How clients speak.
    pub protocol: Protocol,
    /// Where hits come from.
    pub tier: Tier,
    /// How many clients.
    pub connections: usize,
}

impl Case {
    /// As tables name it.
    #[must_use]
    pub fn name(&self) -> String {
        let size = match self.object_bytes {
            bytes if bytes >= 1 << 20 => format!("{} MiB", bytes >> 20),
            bytes => format!("{} KiB", bytes >> 10),
        };
        format!(
            "{size}, {}, {}, c={}",
            self.protocol.name(),
            self.tier.name(),
            self.connections
        )
    }
}

/// All cases: sizes × protocols × tiers × connections.
#[must_use]
pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for tier in [Tier::Memory, Tier::Disk] {
        for object_bytes in [1 << 10, 2 << 20] {
            for protocol in [Protocol::Plain, Protocol::Tls, Protocol::H2] {
                for connections in [1, 32, 1000] {
                    cases.push(Case {
                        object_bytes,
                        protocol,
                        tier,
                        connections,
                    });
                }
            }
        }
    }
    cases
}

/// Who is measured: a server, and for ours by which route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
enum Contender {
    /// Our node with signed media URLs.
    Media,
    /// A server with plain URLs.
    Plain(Kind),
}

impl Contender {
    fn kind(self) -> Kind {
        match self {
            Self::Media => Kind::Node,
            Self::Plain(kind) => kind,
        }
    }

    fn name(self) -> String {
        match self {
            Self::Media => "ours, signed media".to_owned(),
            Self::Plain(Kind::Node) => "ours, plain route".to_owned(),
            Self::Plain(kind) => kind.name().to_owned(),
        }
    }
}

/// What a run is told.
#[derive(Debug)]
pub struct Options<'a> {
    /// The program of our node.
    pub node_program: &'a Path,
    /// Where the servers keep their files.
    pub data_dir: &'a Path,
    /// Interleaved passes.
    pub passes: usize,
    /// How long each measures.
    pub window: Duration,
    /// The cases that have to be in the table.
    pub cases: Vec<Case>,
    /// The peers that have to be in each.
    pub peers: Vec<Kind>,
    /// Adds to what earlier runs in the same folder measured; a case that is measured again takes the place of the former.
    pub adds: bool,
    /// Measures nothing, and tells what earlier runs measured.
    pub only_tells: bool,
}

/// What a run found.
#[derive(Debug)]
pub struct Found {
    /// Every figure of ours beside the best peer's.
    pub rows: Vec<Row>,
    /// All of it for a person.
    pub table: String,
    /// What has to be in the table and is not, each in a line. With any of it, nothing is met.
    pub missing: Vec<String>,
}

/// Runs everything, with what is told on the way printed by `say`.
///
/// # Errors
/// When a server does not start, or fails a request.
pub async fn run(options: &Options<'_>, say: &dyn Fn(&str)) -> Result<Found, BenchError> {
    let kept = options.data_dir.join(SAMPLES_FILE);
    let mut samples = match options.adds || options.only_tells {
        true => Samples::load(&kept)?,
        false => Samples::default(),
    };
    if !options.only_tells && !options.cases.is_empty() {
        measure(options, &mut samples, say).await?;
    }
    Ok(Found {
        rows: rows(&samples),
        table: table::table(&samples),
        missing: missing::missing(&options.cases, &options.peers, &samples),
    })
}

async fn measure(
    options: &Options<'_>,
    samples: &mut Samples,
    say: &dyn Fn(&str),
) -> Result<(), BenchError> {
    let certificate = Certificate::create(&options.data_dir.join("certificate"))?;
    let origin = SizedOrigin::start().await?;
    let region = Region::start(&options.data_dir.join("region")).await?;
    for tier in [Tier::Memory, Tier::Disk] {
        let cases: Vec<Case> = options
            .cases
            .iter()
            .copied()
            .filter(|case| case.tier == tier)
            .collect();
        if cases.is_empty() {
            continue;
        }
        let mut servers = Vec::new();
        for kind in std::iter::once(Kind::Node).chain(options.peers.iter().copied()) {
            let folder = options.data_dir.join(kind.name().replace(' ', "-"));
            let plan = Plan {
                kind,
                purpose: tier.purpose(),
                folder: &folder,
                origin: origin.address,
                certificate: Some(&certificate),
                core: Some(SERVER_CORE),
                node_program: options.node_program,
                node_limits: NodeLimits::Wide,
                node_extra: &region.node_extra,
            };
            let server = plan.start().await?;
            say(&format!("{}: {}", server.kind, server.set_up));
            servers.push(server);
        }
        for case in &cases {
            samples.forget(case);
        }
        // What is not measured anew after all is missing, and not as it was.
        samples.save(&options.data_dir.join(SAMPLES_FILE))?;
        let around = Around {
            servers: &servers,
            region: &region,
            origin: &origin,
        };
        measure_tier(options, &cases, &around, samples, say).await?;
        for server in servers {
            server.stop().await;
        }
    }
    Ok(())
}

/// What runs while a tier is measured.
struct Around<'a> {
    servers: &'a [Server],
    region: &'a Region,
    origin: &'a SizedOrigin,
}

async fn measure_tier(
    options: &Options<'_>,
    cases: &[Case],
    around: &Around<'_>,
    samples: &mut Samples,
    say: &dyn Fn(&str),
) -> Result<(), BenchError> {
    let Around {
        servers,
        region,
        origin,
    } = *around;
    let mut contenders: Vec<(Contender, &Server)> = Vec::new();
    for server in servers {
        if server.kind == Kind::Node {
            contenders.push((Contender::Media, server));
        }
        contenders.push((Contender::Plain(server.kind), server));
    }
    let paths = |contender: Contender, case: &Case| -> Vec<String> {
        let prefix = match contender {
            Contender::Media => region.prefix.as_str(),
            Contender::Plain(_) => "/o",
        };
        (0..case.tier.objects(case.object_bytes))
            .map(|number| format!("{prefix}/{}", path_of(case.object_bytes, number)))
            .collect()
    };
    let mut sizes: Vec<&Case> = cases.iter().collect();
    sizes.dedup_by_key(|case| case.object_bytes);
    for case in sizes {
        for (contender, server) in &contenders {
            say(&format!(
                "filling {} with {} bytes each",
                contender.name(),
                case.object_bytes
            ));
            let paths = paths(*contender, case);
            let is_alike = |other: &&Case| other.object_bytes == case.object_bytes;
            let mut alike = cases.iter().filter(is_alike);
            let over_tls = alike.any(|case| case.protocol != Protocol::Plain);
            let over_tls = over_tls.then(|| Load {
                protocol: Protocol::H2,
                ..load_of(options, case, &paths)
            });
            match warming::warm(server, case.tier, &paths, origin, over_tls.as_ref()).await {
                Ok(()) => {}
                // It has no figure then where it turns out not to be warm.
                Err(error) if server.kind != Kind::Node => say(&error.to_string()),
                Err(error) => return Err(error),
            }
        }
    }
    for pass in 1..=options.passes {
        // Who comes first, and who comes after whom, must not matter.
        contenders.rotate_left(1);
        if pass % 2 == 0 {
            contenders.reverse();
        }
        for case in cases {
            for (contender, server) in &contenders {
                let paths = paths(*contender, case);
                let load = load_of(options, case, &paths);
                let run = load.run(server, origin).await;
                let tried = match run.and_then(|sample| of_hits(sample, server, options.window)) {
                    Ok(sample) => Ok(sample),
                    // What a peer cannot do has no figure, and the table says why; ours has to do everything.
                    Err(error) if server.kind != Kind::Node => Err(error.to_string()),
                    Err(error) => return Err(error),
                };
                say(&match &tried {
                    Err(reason) => format!("{}: {reason}", case.name()),
                    Ok(sample) => format!(
                        "pass {pass} of {}: {:<34} {:<18} {:>9.0}/s {:>9.2} µs CPU {:>7.3} s/GB  p50 {:>7.0} p99 {:>8.0} µs",
                        options.passes,
                        case.name(),
                        contender.name(),
                        sample.requests_s,
                        sample.cpu_us,
                        sample.cpu_s_gb,
                        sample.p50_us,
                        sample.p99_us
                    ),
                });
                samples.add(*case, *contender, tried);
                samples.save(&options.data_dir.join(SAMPLES_FILE))?;
            }
        }
    }
    Ok(())
}

/// The load of a case.
fn load_of<'a>(options: &Options<'_>, case: &Case, paths: &'a [String]) -> Load<'a> {
    Load {
        protocol: case.protocol,
        connections: case.connections,
        paths,
        object_bytes: case.object_bytes,
        window: options.window,
        core: LOAD_CORE,
        folder: PathBuf::from(options.data_dir),
    }
}

/// The sample, if it is one of hits: of a hundred requests one may have been asked of the origin.
fn of_hits(sample: Sample, server: &Server, window: Duration) -> Result<Sample, BenchError> {
    let requests = sample.requests_s * window.as_secs_f64();
    if sample.origin_requests as f64 > requests / 100.0 {
        let reason = format!(
            "{}: of {requests:.0} requests {} were asked of the origin: these are no hits",
            server.kind, sample.origin_requests
        );
        return Err(BenchError::Answer(reason));
    }
    Ok(sample)
}

/// A metric of a sample: its name, its unit, which way is better.
type Metric = (&'static str, &'static str, Better, fn(&Sample) -> f64);

const METRICS: [Metric; 7] = [
    ("CPU a request", "µs", Better::Less, |sample| sample.cpu_us),
    ("CPU", "s/GB", Better::Less, |sample| sample.cpu_s_gb),
    ("requests", "1/s", Better::More, |sample| sample.requests_s),
    ("p50", "µs", Better::Less, |sample| sample.p50_us),
    ("p99", "µs", Better::Less, |sample| sample.p99_us),
    ("p99.9", "µs", Better::Less, |sample| sample.p999_us),
    ("resident", "MiB", Better::Less, |sample| {
        sample.resident_mib
    }),
];

/// Every metric's name and median.
fn figures_of(samples: &[Sample]) -> [(&'static str, f64); METRICS.len()] {
    METRICS.map(|(name, _, _, figure)| {
        let figures: Vec<f64> = samples.iter().map(figure).collect();
        (name, median(&figures))
    })
}

/// Our medians beside the best peer's, for both of our routes.
fn rows(samples: &Samples) -> Vec<Row> {
    let mut rows = Vec::new();
    for (case, measured) in &samples.cases() {
        for (contender, _) in measured {
            if contender.kind() == Kind::Node {
                let of_metrics =
                    (0..METRICS.len()).filter_map(|at| row(case, measured, *contender, at));
                rows.extend(of_metrics);
            }
        }
    }
    rows
}

/// One metric of ours beside the best peer's.
fn row(case: &Case, measured: &Measured<'_>, contender: Contender, at: usize) -> Option<Row> {
    let (name, unit, better, _) = METRICS.get(at)?;
    let middle = |samples: &[Sample]| figures_of(samples)[at].1;
    let with_figures = || {
        measured
            .iter()
            .filter(|(_, tried)| !tried.samples.is_empty())
    };
    let (_, ours) = with_figures().find(|(who, _)| *who == contender)?;
    // What nginx serves lies in the kernel's memory, which is nobody's resident memory.
    let holds_objects =
        |kind| *name != "resident" || !matches!(kind, Kind::NginxStock | Kind::NginxTuned);
    let theirs: Vec<(String, f64)> = with_figures()
        .filter(|(who, _)| who.kind() != Kind::Node && holds_objects(who.kind()))
        .map(|(who, tried)| (who.name(), middle(&tried.samples)))
        .collect();
    let title = format!("{}: {}", case.name(), contender.name());
    let ours = middle(&ours.samples);
    let row = Row::best_of(&title, name, unit, ours, &theirs, (*better, GOAL))?;
    let failed = measured
        .iter()
        .filter_map(|(who, tried)| Some((who.name(), tried.failed()?)));
    Some(Row {
        failed: failed.collect(),
        ..row.required(required(case, name))
    })
}

/// What a metric's ratio must not pass; nothing where only the CPU matters.
fn required(case: &Case, metric: &str) -> Option<f64> {
    let is_large_plain = case.object_bytes >= 1 << 20 && case.protocol == Protocol::Plain;
    metric.starts_with("CPU").then_some(match is_large_plain {
        true => REQUIRED_LARGE_PLAIN,
        false => REQUIRED,
    })
}

/// How our CPU stands to the best peer's.
struct Verdict(Row);

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let row = &self.0;
        let word = match (row.met, row.acceptable) {
            (true, _) => "goal met",
            (false, true) => "required met, goal missed",
            (false, false) => "REQUIRED MISSED",
        };
        write!(f, "CPU {:.2} of {}'s: {word}", row.ratio, row.peer_name)
    }
}

/// The verdict on each of our routes.
fn judge(case: &Case, measured: &Measured<'_>) -> Vec<(Contender, Verdict)> {
    measured
        .iter()
        .filter(|(contender, _)| contender.kind() == Kind::Node)
        .filter_map(|(contender, _)| {
            let row = row(case, measured, *contender, 0)?;
            Some((*contender, Verdict(row)))
        })
        .collect()
}
