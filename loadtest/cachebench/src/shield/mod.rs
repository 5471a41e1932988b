//! What the shield costs and what it is worth: what all protections together add to a cached segment, and how viewers fare while
//! the node is attacked.

mod added;
pub mod attack;
mod besieged;
mod latencies;
mod pin;
pub mod sink;
mod speaker;
mod viewers;
mod wait;

use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use added::Contender;
use attack::Kind;
use mcsp_geo::testdb::{RecordSize, TestDb};
use rustls::ClientConfig;

use crate::client::{self, Request};
use crate::error::BenchError;
use crate::region::Region;
use crate::report::Row;
use crate::server::{Certificate, Kind as ServerKind, NodeLimits, Plan, Purpose, Server};
use crate::sized::{SizedOrigin, path_of};

/// The node's core.
const NODE_CORE: usize = 1;
/// The core of viewers and attackers.
const LOAD_CORE: usize = 0;
/// The one client that asks for what is added.
const CLIENT_ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 1));

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

/// What came of a run.
#[derive(Debug, Default)]
pub struct Found {
    /// The figures.
    pub rows: Vec<Row>,
    /// Why the figures of attacks say nothing of the node, if they do not: the machine was not quiet enough to tell.
    pub unjudged: Option<String>,
}

/// Runs everything, with what is told on the way given to `say`.
///
/// # Errors
/// When a process does not start, or the node fails a request in quiet.
pub async fn run(options: &Options<'_>, say: &dyn Fn(&str)) -> Result<Found, BenchError> {
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
    let mut found = Found::default();
    if options.measures_added {
        found.rows = site.added(&tls, say).await?;
    }
    if !options.attacks.is_empty() {
        let besieged = besieged::run(&site, &tls, say).await?;
        found.rows.extend(besieged.rows);
        found.unjudged = besieged.unjudged;
    }
    Ok(found)
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
