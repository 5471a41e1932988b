//! What a hit costs: our node beside its peers, interleaved, each on one core, the load on another.

mod load;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use load::Protocol;
use load::{Load, Sample};

use crate::client::{self, Request};
use crate::error::BenchError;
use crate::region::Region;
use crate::report::{Better, Row, median};
use crate::server::{Certificate, Kind, Plan, Purpose, Server};
use crate::sized::{SizedOrigin, path_of};

/// The servers' core.
const SERVER_CORE: usize = 1;
/// The load generator's.
const LOAD_CORE: usize = 0;
/// CPU of 2 MiB over HTTP/1.1 without TLS: at or under the best peer.
const GOAL_LARGE_PLAIN: f64 = 1.0;
/// Everything else.
const GOAL: f64 = 1.5;

/// Where hits come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
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
            (Self::Disk, ..=65_536) => 20_000,
            (Self::Disk, _) => 128,
        }
    }
}

/// What clients do in a row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
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
    /// The cases.
    pub cases: Vec<Case>,
    /// The peers.
    pub peers: Vec<Kind>,
}

type Samples = BTreeMap<(Case, Contender), Vec<Sample>>;

/// Runs everything and returns the rows, with what was told on the way printed by `say`.
///
/// # Errors
/// When a server does not start, or fails a request.
pub async fn run(options: &Options<'_>, say: &dyn Fn(&str)) -> Result<Vec<Row>, BenchError> {
    let certificate = Certificate::create(&options.data_dir.join("certificate"))?;
    let origin = SizedOrigin::start().await?;
    let region = Region::start(&options.data_dir.join("region")).await?;
    let mut samples = Samples::new();
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
                node_extra: &region.node_extra,
            };
            let server = plan.start().await?;
            say(&format!("{}: {}", server.kind, server.set_up));
            servers.push(server);
        }
        measure_tier(options, &cases, &servers, &region, &mut samples, say).await?;
        for server in servers {
            server.stop().await;
        }
    }
    Ok(rows(&samples))
}

async fn measure_tier(
    options: &Options<'_>,
    cases: &[Case],
    servers: &[Server],
    region: &Region,
    samples: &mut Samples,
    say: &dyn Fn(&str),
) -> Result<(), BenchError> {
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
            warm(server, &paths(*contender, case)).await?;
        }
    }
    for pass in 1..=options.passes {
        for case in cases {
            for (contender, server) in &contenders {
                let load = Load {
                    protocol: case.protocol,
                    connections: case.connections,
                    paths: &paths(*contender, case),
                    object_bytes: case.object_bytes,
                    window: options.window,
                    core: LOAD_CORE,
                    folder: PathBuf::from(options.data_dir),
                };
                let Some(sample) = load.run(server).await? else {
                    continue;
                };
                say(&format!(
                    "pass {pass} of {}: {:<34} {:<18} {:>9.0}/s {:>9.2} µs CPU {:>7.3} s/GB  p50 {:>7.0} p99 {:>8.0} µs",
                    options.passes,
                    case.name(),
                    contender.name(),
                    sample.requests_s,
                    sample.cpu_us,
                    sample.cpu_s_gb,
                    sample.p50_us,
                    sample.p99_us
                ));
                samples.entry((*case, *contender)).or_default().push(sample);
            }
        }
    }
    Ok(())
}

/// Asks for every object three times: some peers take an object into memory only when it is asked for again.
async fn warm(server: &Server, paths: &[String]) -> Result<(), BenchError> {
    let requests: Vec<Request> = paths.iter().map(|path| Request::new("GET", path)).collect();
    for _ in 0..3 {
        client::send_all(server.plain, &requests, |request, answer| {
            match answer.status == 200 && answer.is_complete {
                true => Ok(()),
                false => Err(format!("{} answered {}", request.target, answer.status)),
            }
        })
        .await
        .map_err(|reason| BenchError::Answer(format!("{}: {reason}", server.kind)))?;
    }
    Ok(())
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

/// Our medians beside the best peer's, for both of our routes.
fn rows(samples: &Samples) -> Vec<Row> {
    let mut rows = Vec::new();
    for ((case, contender), ours) in samples {
        if contender.kind() != Kind::Node {
            continue;
        }
        let peers: Vec<(String, &Vec<Sample>)> = samples
            .iter()
            .filter(|((of, who), _)| of == case && who.kind() != Kind::Node)
            .map(|((_, who), samples)| (who.name(), samples))
            .collect();
        for (name, unit, better, figure) in METRICS {
            let middle =
                |samples: &[Sample]| median(&samples.iter().map(figure).collect::<Vec<_>>());
            // What nginx serves lies in the kernel's memory, which is nobody's resident memory.
            let holds_objects = |peer: &str| name != "resident" || !peer.starts_with("nginx");
            let theirs: Vec<(String, f64)> = peers
                .iter()
                .filter(|(peer, _)| holds_objects(peer))
                .map(|(name, samples)| (name.clone(), middle(samples)))
                .collect();
            let goal = goal(case, name, better);
            let title = format!("{}: {}", case.name(), contender.name());
            rows.extend(Row::best_of(
                &title,
                name,
                unit,
                middle(ours),
                &theirs,
                (better, goal),
            ));
        }
    }
    rows
}

fn goal(case: &Case, metric: &str, better: Better) -> f64 {
    let is_large_plain = case.object_bytes >= 1 << 20 && case.protocol == Protocol::Plain;
    let goal = if is_large_plain && metric.starts_with("CPU") {
        GOAL_LARGE_PLAIN
    } else {
        GOAL
    };
    match better {
        Better::Less => goal,
        Better::More => 1.0 / goal,
    }
}
