//! What is done to the node while viewers watch: by a process of its own, which the kernel lets run only while no viewer wants
//! the load's core.

mod bodies;
mod flood;
mod loris;
mod pace;
mod reset;
mod strength;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustls::ClientConfig;
use serde::{Deserialize, Serialize};
use tokio::process::Command;
use tokio::task::JoinSet;

use super::LOAD_CORE;
use super::speaker::{self, tls_config};
use crate::error::BenchError;
use crate::server::Certificate;
use pace::Pace;
use strength::Strength;

/// Addresses from which an attack comes.
pub(super) const ADDRESSES: u8 = 8;
/// How long an attacker that cannot connect waits.
const PAUSE: Duration = Duration::from_millis(20);

/// An attack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// 1600 connections, each of which sends one byte a second of a request's head, of a request's body or of a TLS handshake.
    SlowLoris,
    /// Requests over HTTP/2 that are taken back at once (CVE-2023-44487), up to 200000 a second, on 32 connections.
    RapidReset,
    /// TLS handshakes that are begun and left, up to 5000 a second, 512 at once.
    ConnectionFlood,
    /// Forms of 110 KiB that make many of the firewall's rules work, up to 100 a second, on 8 connections.
    HostileBodies,
    /// The first three, each at a third of its strength: about as much load as one of them.
    Together,
    /// The first three, each in full: more than a small machine can bring forth and serve viewers besides.
    TogetherFull,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::SlowLoris,
        Self::RapidReset,
        Self::ConnectionFlood,
        Self::HostileBodies,
        Self::Together,
        Self::TogetherFull,
    ];

    /// Its name in tables and on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::SlowLoris => "slow-loris",
            Self::RapidReset => "rapid-reset",
            Self::ConnectionFlood => "connection-flood",
            Self::HostileBodies => "hostile-bodies",
            Self::Together => "together",
            Self::TogetherFull => "together-full",
        }
    }

    /// Reads what [`name`](Self::name) writes.
    ///
    /// # Errors
    /// In words.
    pub fn from_name(name: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|kind| kind.name() == name);
        found.ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            format!("there are: {names}")
        })
    }

    /// What attackers do, in words.
    #[must_use]
    pub fn strength(self) -> String {
        Strength::of(self).to_string()
    }

    /// Whether viewers' latencies are judged: not where the attackers need more of the machine than is left for viewers, and of
    /// bodies, which no goal names, they are told: what the firewall works long over has a share of a busy core, and keeps it for
    /// as long as the system's slices are.
    #[must_use]
    pub fn is_judged(self) -> bool {
        !matches!(self, Self::TogetherFull | Self::HostileBodies)
    }
}

/// Where somebody listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// Without TLS.
    pub plain: SocketAddr,
    /// With TLS.
    pub tls: SocketAddr,
}

/// Against whom, from where, for how long.
#[derive(Debug, Clone)]
pub struct Orders {
    /// The attack.
    pub kind: Kind,
    /// Who is attacked.
    pub target: Target,
    /// The folder of the node's certificate, as [`Certificate::create`] leaves it.
    pub certificate: PathBuf,
    /// What requests ask for.
    pub path: String,
    /// The second number of the attackers' addresses, 127.n.0.1 and on.
    pub network: u8,
    /// How long.
    pub duration: Duration,
}

/// What an attack did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Connections that were made.
    pub connected: u64,
    /// Those that the node ended.
    pub ended: u64,
    /// Requests that were begun.
    pub requests: u64,
}

/// What attackers share.
#[derive(Debug)]
struct Attack {
    orders: Orders,
    tls: Arc<ClientConfig>,
    /// How fast requests that are taken back go out, connections that are left, and bodies.
    resets: Pace,
    floods: Pace,
    bodies: Pace,
    connected: AtomicU64,
    ended: AtomicU64,
    requests: AtomicU64,
}

impl Attack {
    fn address(&self, number: usize) -> IpAddr {
        let last = u8::try_from(number % usize::from(ADDRESSES)).unwrap_or(0) + 1;
        IpAddr::V4(Ipv4Addr::new(127, self.orders.network, 0, last))
    }

    /// A connection, as soon as there can be one.
    async fn dial(&self, number: usize, to: SocketAddr) -> tokio::net::TcpStream {
        loop {
            if let Ok(stream) = speaker::dial(self.address(number), to).await {
                self.connected.fetch_add(1, Ordering::Relaxed);
                return stream;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    fn ended(&self) {
        self.ended.fetch_add(1, Ordering::Relaxed);
    }
}

/// Attacks, in this process, until the time is over.
///
/// # Errors
/// When the certificate cannot be used.
pub async fn run(orders: Orders) -> Result<Counts, BenchError> {
    let certificate = Certificate::in_folder(&orders.certificate);
    let strength = Strength::of(orders.kind);
    let attack = Arc::new(Attack {
        tls: tls_config(&certificate, &[b"h2"])?,
        orders,
        resets: Pace::new(strength.resets_s),
        floods: Pace::new(strength.floods_s),
        bodies: Pace::new(strength.bodies_s),
        connected: AtomicU64::new(0),
        ended: AtomicU64::new(0),
        requests: AtomicU64::new(0),
    });
    let mut attackers = JoinSet::new();
    for number in 0..strength.slow as usize {
        attackers.spawn(loris::attack(Arc::clone(&attack), number));
    }
    for number in 0..strength.resetting as usize {
        attackers.spawn(reset::attack(Arc::clone(&attack), number));
    }
    for number in 0..strength.flooding as usize {
        attackers.spawn(flood::attack(Arc::clone(&attack), number));
    }
    for number in 0..strength.posting as usize {
        attackers.spawn(bodies::attack(Arc::clone(&attack), number));
    }
    tokio::time::sleep(attack.orders.duration).await;
    attackers.abort_all();
    let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
    Ok(Counts {
        connected: count(&attack.connected),
        ended: count(&attack.ended),
        requests: count(&attack.requests),
    })
}

/// A process of this program that runs on the load's core while nobody else wants it.
///
/// # Errors
/// When this program cannot be found.
pub(super) fn background(word: &str) -> Result<Command, BenchError> {
    let program = std::env::current_exe();
    let program = program.map_err(|error| BenchError::tool(word, error.to_string()))?;
    let mut command = Command::new("taskset");
    command
        .args(["-c", &LOAD_CORE.to_string(), "chrt", "--idle", "0"])
        .arg(program)
        .arg(word)
        .kill_on_drop(true);
    Ok(command)
}

/// Has another process of this program attack.
///
/// # Errors
/// When it cannot be started, or says something else than what it did.
pub(super) async fn have(
    kind: Kind,
    target: Target,
    certificate: &Path,
    path: &str,
    network: u8,
    duration: Duration,
) -> Result<Counts, BenchError> {
    let fault = |reason: String| BenchError::tool("attack", reason);
    let mut command = background("attack")?;
    command
        .args(["--kind", kind.name()])
        .args(["--plain", &target.plain.to_string()])
        .args(["--tls", &target.tls.to_string()])
        .arg("--certificate")
        .arg(certificate)
        .args(["--path", path])
        .args(["--network", &network.to_string()])
        .args(["--for-ms", &duration.as_millis().to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let output = command
        .output()
        .await
        .map_err(|error| fault(error.to_string()))?;
    serde_json::from_slice(&output.stdout).map_err(|error| {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        fault(format!("{error}: {said}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attacks_have_names() {
        for kind in Kind::ALL {
            assert_eq!(Kind::from_name(kind.name()), Ok(kind));
        }
        assert!(Kind::from_name("x").unwrap_err().contains("rapid-reset"));
    }
}
