//! How often a request is a hit: the same requests, one after another, through our node and its peers with the same
//! budget. What reached the origin was no hit.

mod trace;

use std::collections::BTreeMap;
use std::path::Path;

use crate::client::{self, Request};
use crate::error::BenchError;
use crate::report::{Better, Row};
use crate::server::{Kind, NodeLimits, Plan, Purpose, Server};
use crate::sized::SizedOrigin;
use trace::{Ask, Catalogue, Phase};

/// The cache's share of the catalogue's bytes.
const CACHE_SHARE: f64 = 0.05;
/// At or above the best peer.
const GOAL: f64 = 1.0;

/// What a run is told.
#[derive(Debug)]
pub struct Options<'a> {
    /// The program of our node.
    pub node_program: &'a Path,
    /// Where the servers keep their files.
    pub data_dir: &'a Path,
    /// Objects of the catalogue.
    pub objects: usize,
    /// Requests of each phase.
    pub requests: usize,
    /// Of the trace.
    pub seed: u64,
    /// The peers.
    pub peers: Vec<Kind>,
}

/// Hits of one phase.
#[derive(Debug, Clone, Copy, Default)]
struct Hits {
    requests: u64,
    bytes: u64,
    hit_requests: u64,
    hit_bytes: u64,
}

impl Hits {
    fn of_requests(&self) -> f64 {
        100.0 * self.hit_requests as f64 / self.requests.max(1) as f64
    }

    fn of_bytes(&self) -> f64 {
        100.0 * self.hit_bytes as f64 / self.bytes.max(1) as f64
    }
}

/// Runs the trace through every server and returns the rows.
///
/// # Errors
/// When a server does not start, or fails a request.
pub async fn run(options: &Options<'_>, say: &dyn Fn(&str)) -> Result<Vec<Row>, BenchError> {
    let catalogue = Catalogue::new(options.objects, options.seed);
    let budget = (catalogue.bytes() as f64 * CACHE_SHARE) as u64;
    // Whole MiB, since one peer's storage is counted in them.
    let budget = budget.next_multiple_of(1 << 20);
    let phases = trace::phases(&catalogue, options.requests, options.seed);
    say(&format!(
        "{} objects of {} MiB in all, {} MiB of cache, seed {}",
        options.objects,
        catalogue.bytes() >> 20,
        budget >> 20,
        options.seed
    ));
    let mut found: BTreeMap<(usize, Kind), Hits> = BTreeMap::new();
    for kind in std::iter::once(Kind::Node).chain(options.peers.iter().copied()) {
        let origin = SizedOrigin::start().await?;
        let folder = options.data_dir.join(kind.name().replace(' ', "-"));
        let plan = Plan {
            kind,
            purpose: Purpose::Budget {
                bytes: budget,
                objects: (options.objects as f64 * CACHE_SHARE) as u64,
            },
            folder: &folder,
            origin: origin.address,
            certificate: None,
            core: None,
            node_program: options.node_program,
            node_limits: NodeLimits::Wide,
            node_extra: "",
        };
        let server = plan.start().await?;
        for (at, phase) in phases.iter().enumerate() {
            let hits = walk(&server, &origin, phase).await?;
            say(&format!(
                "{:<24} {:<16} {:>6.2} % of requests, {:>6.2} % of bytes",
                phase.name,
                kind.name(),
                hits.of_requests(),
                hits.of_bytes()
            ));
            found.insert((at, kind), hits);
        }
        server.stop().await;
    }
    Ok(rows(&phases, &found))
}

/// Sends a phase's requests in turn; viewers' are counted, a scan's are not.
async fn walk(server: &Server, origin: &SizedOrigin, phase: &Phase) -> Result<Hits, BenchError> {
    let requests: Vec<Request> = phase
        .asks
        .iter()
        .map(|ask| Request::new("GET", &ask.path))
        .collect();
    let mut hits = Hits::default();
    let mut asked_before = origin.asked().0;
    let mut at = 0;
    let fault = |reason| BenchError::Answer(format!("{}: {reason}", server.kind));
    client::send_all(server.plain, &requests, |request, answer| {
        let ask: &Ask = &phase.asks[at];
        if answer.status != 200 || answer.body.len() != ask.bytes {
            let (status, bytes) = (answer.status, answer.body.len());
            return Err(format!("{}: {status} with {bytes} bytes", request.target));
        }
        let asked = origin.asked().0;
        if at >= phase.counted_from && !ask.is_scan {
            hits.requests += 1;
            hits.bytes += ask.bytes as u64;
            if asked == asked_before {
                hits.hit_requests += 1;
                hits.hit_bytes += ask.bytes as u64;
            }
        }
        asked_before = asked;
        at += 1;
        Ok(())
    })
    .await
    .map_err(fault)?;
    Ok(hits)
}

fn rows(phases: &[Phase], found: &BTreeMap<(usize, Kind), Hits>) -> Vec<Row> {
    let mut rows = Vec::new();
    for (at, phase) in phases.iter().enumerate() {
        for metric in ["hits of requests", "hits of bytes"] {
            let figure = |hits: &Hits| match metric {
                "hits of bytes" => hits.of_bytes(),
                _ => hits.of_requests(),
            };
            let Some(ours) = found.get(&(at, Kind::Node)) else {
                continue;
            };
            let peers: Vec<(String, f64)> = found
                .iter()
                .filter(|((of, kind), _)| *of == at && *kind != Kind::Node)
                .map(|((_, kind), hits)| (kind.name().to_owned(), figure(hits)))
                .collect();
            let goal = (Better::More, GOAL);
            rows.extend(Row::best_of(
                phase.name,
                metric,
                "%",
                figure(ours),
                &peers,
                goal,
            ));
        }
    }
    rows
}
