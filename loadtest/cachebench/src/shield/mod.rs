//! What the shield costs and what it is worth: what all protections together add to a cached segment, and how viewers fare while
//! the node is attacked.

mod added;
pub mod attack;
mod latencies;
mod pin;
mod speaker;
mod viewers;

use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use added::Contender;
use attack::Kind;
use mcsp_geo::testdb::{RecordSize, TestDb};
use rustls::ClientConfig;
use viewers::{VIEWERS, Viewers, Window};

use crate::client::{self, Request};
use crate::error::BenchError;
use crate::region::Region;
use crate::report::{Better, Row, median};
use crate::server::{Certificate, Kind as ServerKind, NodeLimits, Plan, Purpose, Server};
use crate::sized::{SizedOrigin, path_of};

/// The node's core.
const NODE_CORE: usize = 1;
/// The core of viewers and attackers.
const LOAD_CORE: usize = 0;
/// The one client that asks for what is added.
const CLIENT_ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 1));
/// What viewers' latencies may be of those in quiet, at the 99th percentile.
const QUIET_FACTOR: f64 = 2.0;
/// Between an attack's end and the next window.
const RECOVERY: Duration = Duration::from_millis(1_500);
/// Before the first window, and for answers to what was asked for at the end of one.
const SETTLING: Duration = Duration::from_millis(1_500);

/// What a run is told.
#[derive(Debug)]
pub struct Options<'a> {
    /// The program of our node, as it is released.
    pub node_program: &'a Path,
    /// Where files go.
    pub data_dir: &'a Path,
    /// The firewall's rules: the Core Rule Set's folder.
    pub rules: &'a Path,
    /// Interleaved passes; figures are medians.
    pub passes: usize,
    /// How long each window of an attack, and of quiet, lasts.
    pub window: Duration,
    /// Whether to measure what is added.
    pub measures_added: bool,
    /// Which attacks.
    pub attacks: Vec<Kind>,
}

/// Runs everything, with what is told on the way given to `say`.
///
/// # Errors
/// When a process does not start, or the node fails a request in quiet.
pub async fn run(options: &Options<'_>, say: &dyn Fn(&str)) -> Result<Vec<Row>, BenchError> {
    let certificate = Certificate::create(&options.data_dir.join("certificate"))?;
    let origin = SizedOrigin::start().await?;
    let region = Region::start(&options.data_dir.join("region")).await?;
    let tls = speaker::tls_config(&certificate, &[b"http/1.1"])?;
    let site = Site {
        options,
        certificate: &certificate,
        origin: &origin,
        region: &region,
    };
    let mut rows = Vec::new();
    if options.measures_added {
        rows.extend(site.added(&tls, say).await?);
    }
    if !options.attacks.is_empty() {
        rows.extend(site.attacked(&tls, say).await?);
    }
    Ok(rows)
}

/// What nodes are started with.
struct Site<'a> {
    options: &'a Options<'a>,
    certificate: &'a Certificate,
    origin: &'a SizedOrigin,
    region: &'a Region,
}

impl Site<'_> {
    async fn node(
        &self,
        name: &str,
        limits: NodeLimits,
        extra: &str,
    ) -> Result<Server, BenchError> {
        let folder = self.options.data_dir.join(name);
        let plan = Plan {
            kind: ServerKind::Node,
            purpose: Purpose::Memory,
            folder: &folder,
            origin: self.origin.address,
            certificate: Some(self.certificate),
            core: Some(NODE_CORE),
            node_program: self.options.node_program,
            node_limits: limits,
            node_extra: extra,
        };
        plan.start().await
    }

    /// The shield's keys and tables: the firewall at paranoia 1, and what connections tell.
    fn shield(&self) -> Result<String, BenchError> {
        let (systems, list) = networks(self.options.data_dir)?;
        Ok(format!(
            "asn_database = {systems:?}\nnetwork_list = {list:?}\n{}\n[waf.rules]\nfiles = [{:?}]\nparanoia = 1\n",
            self.region.node_extra, self.options.rules
        ))
    }

    async fn added(
        &self,
        tls: &Arc<ClientConfig>,
        say: &dyn Fn(&str),
    ) -> Result<Vec<Row>, BenchError> {
        // Each has a node of its own, so that none is warmer than the others.
        let off = &self.region.node_extra;
        let without = self.node("without", NodeLimits::Off, off).await?;
        let signed = self.node("signed", NodeLimits::Off, off).await?;
        let with = self.node("with", NodeLimits::Wide, &self.shield()?).await?;
        let prefix = self.region.prefix.as_str();
        let contenders = [
            Contender {
                name: "without (a plain route)",
                server: &without,
                prefix: "/o",
            },
            Contender {
                name: "with signatures alone",
                server: &signed,
                prefix,
            },
            Contender {
                name: "with the whole shield",
                server: &with,
                prefix,
            },
        ];
        for contender in &contenders {
            for bytes in [1 << 10, 200 << 10] {
                fill(contender.server, contender.prefix, bytes, added::OBJECTS).await?;
            }
        }
        let rows = added::run(self.options, &contenders, tls, say).await?;
        without.stop().await;
        signed.stop().await;
        with.stop().await;
        Ok(rows)
    }

    /// Viewers beside each attack, and before it, in turn.
    async fn attacked(
        &self,
        tls: &Arc<ClientConfig>,
        say: &dyn Fn(&str),
    ) -> Result<Vec<Row>, BenchError> {
        let node = self
            .node("attacked", NodeLimits::Default, &self.shield()?)
            .await?;
        let address = node
            .tls
            .ok_or_else(|| BenchError::Answer("the node has no listener with TLS".to_owned()))?;
        let prefixes = self.region.prefixes(VIEWERS)?;
        for bytes in viewers::SIZES {
            fill(&node, &self.region.prefix, bytes, viewers::OBJECTS).await?;
        }
        let watching = Viewers::start(address, &prefixes, tls).await?;
        tokio::time::sleep(SETTLING).await;
        let attacked = format!("{}/{}", self.region.prefix, path_of(viewers::SIZES[1], 0));
        let mut network = 10;
        let mut measured = vec![Vec::new(); self.options.attacks.len()];
        for pass in 1..=self.options.passes {
            for (kind, measured) in self.options.attacks.iter().zip(&mut measured) {
                let quiet_from = Instant::now();
                tokio::time::sleep(self.options.window).await;
                let from = Instant::now();
                let cpu_s = node.cpu_s();
                // Addresses that owe nothing yet: what a burst lets through is part of it.
                let certificate = &self.certificate.folder;
                let duration = self.options.window;
                let attack = attack::have(*kind, &node, certificate, &attacked, network, duration);
                let counts = attack.await?;
                let to = Instant::now();
                let cpu = (node.cpu_s() - cpu_s) / to.duration_since(from).as_secs_f64();
                network = network.checked_add(1).unwrap_or(10);
                tokio::time::sleep(RECOVERY).await;
                let pair = Pair {
                    quiet: watching.window(quiet_from, from),
                    attacked: watching.window(from, to),
                };
                say(&format!("pass {pass}: {}", pair.told(*kind, cpu, &counts)));
                measured.push(Measured::of(&pair));
            }
        }
        let mut faults = watching.faults();
        drop(watching);
        node.stop().await;
        faults.truncate(3);
        for fault in faults {
            say(&format!("a viewer was not served: {fault}"));
        }
        let kinds = self.options.attacks.iter().zip(&measured);
        Ok(kinds
            .flat_map(|(kind, measured)| rows_of(*kind, measured))
            .collect())
    }
}

/// A window of quiet and the attack after it.
struct Pair {
    quiet: Window,
    attacked: Window,
}

impl Pair {
    fn told(&self, kind: Kind, cpu: f64, counts: &attack::Counts) -> String {
        let of = |window: &Window| {
            format!(
                "p50 {:>6.0} p99 {:>7.0} µs (own {:>5.0}), {} of {} failed",
                window.latencies.us(0.5),
                window.latencies.us(0.99),
                window.lateness.us(0.99),
                window.failed,
                window.failed + window.latencies.count()
            )
        };
        format!(
            "{}: quiet {}; attacked {}; node at {:.0} % of its core, {} connections ({} ended), {} requests",
            kind.name(),
            of(&self.quiet),
            of(&self.attacked),
            cpu * 100.0,
            counts.connected,
            counts.ended,
            counts.requests
        )
    }
}

/// A pair's figures.
#[derive(Debug, Clone, Copy)]
struct Measured {
    /// Medians and 99th percentiles in quiet and under attack, µs.
    p50_us: [f64; 2],
    p99_us: [f64; 2],
    failed: [usize; 2],
}

impl Measured {
    fn of(pair: &Pair) -> Self {
        let both = [&pair.quiet, &pair.attacked];
        Self {
            p50_us: both.map(|window| window.latencies.us(0.5)),
            p99_us: both.map(|window| window.latencies.us(0.99)),
            failed: both.map(|window| window.failed),
        }
    }
}

fn rows_of(kind: Kind, measured: &[Measured]) -> Vec<Row> {
    let case = format!("viewers during {}", kind.name());
    let middle = |figure: &dyn Fn(&Measured) -> f64| {
        median(&measured.iter().map(figure).collect::<Vec<_>>())
    };
    let row = |name: &str, unit: &str, [quiet, attacked]: [f64; 2], goal: f64| {
        let peer = [("the same viewers in quiet".to_owned(), quiet)];
        Row::best_of(&case, name, unit, attacked, &peer, (Better::Less, goal))
    };
    let of = |figure: fn(&Measured) -> [f64; 2]| {
        [0, 1].map(|at| middle(&|measured| figure(measured)[at]))
    };
    let failed = measured.iter().map(|one| one.failed[1]).sum::<usize>() as f64;
    [
        row("p50", "µs", of(|one| one.p50_us), QUIET_FACTOR).map(|row| row.required(None)),
        row("p99", "µs", of(|one| one.p99_us), QUIET_FACTOR),
        // Nothing may fail, whatever does in quiet.
        row("failed", "requests", [0.0, failed], 1.0),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Asks for every object twice.
async fn fill(
    server: &Server,
    prefix: &str,
    bytes: usize,
    objects: usize,
) -> Result<(), BenchError> {
    let requests: Vec<Request> = (0..2 * objects)
        .map(|at| Request::new("GET", &format!("{prefix}/{}", path_of(bytes, at % objects))))
        .collect();
    client::send_all(server.plain, &requests, |request, answer| {
        match answer.status == 200 && answer.is_complete {
            true => Ok(()),
            false => Err(format!("{} answered {}", request.target, answer.status)),
        }
    })
    .await
    .map_err(BenchError::Answer)
}

/// A database of autonomous systems and a list of networks in which this machine is, so that connections have all signals.
fn networks(folder: &Path) -> Result<(PathBuf, PathBuf), BenchError> {
    let (systems, list) = (folder.join("asn.mmdb"), folder.join("networks.txt"));
    let fault = |error: String| BenchError::Answer(format!("{}: {error}", systems.display()));
    let mut database = TestDb::new(RecordSize::Bits24, 4);
    database
        .insert_system("127.0.0.0/8", 64_500)
        .map_err(|error| fault(error.to_string()))?;
    let bytes = database
        .to_bytes()
        .map_err(|error| fault(error.to_string()))?;
    std::fs::write(&systems, bytes).map_err(|source| BenchError::file(&systems, source))?;
    let text = "hosting AS64501\nvpn 198.51.100.0/24\nrelay 127.1.0.0/16\n";
    std::fs::write(&list, text).map_err(|source| BenchError::file(&list, source))?;
    Ok((systems, list))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn viewers_may_wait_twice_as_long_and_none_may_fail() {
        let of = |quiet: f64, attacked: f64, failed: usize| Measured {
            p50_us: [quiet / 2.0, attacked / 2.0],
            p99_us: [quiet, attacked],
            failed: [0, failed],
        };
        let judged = |measured: &[Measured]| {
            let rows = rows_of(Kind::RapidReset, measured);
            let acceptable: Vec<bool> = rows.iter().map(|row| row.acceptable).collect();
            acceptable
        };
        let good = of(100.0, 190.0, 0);
        assert_eq!(
            judged(&[good, good, of(100.0, 900.0, 0)]),
            [true, true, true]
        );
        assert_eq!(judged(&[of(100.0, 210.0, 0)]), [true, false, true]);
        assert_eq!(judged(&[good, of(100.0, 190.0, 1)]), [true, true, false]);
    }
}
