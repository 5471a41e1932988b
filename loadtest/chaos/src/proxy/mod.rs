//! The fault proxy: TCP connections and UDP datagrams of one node go through it.

mod counts;
mod tcp;
mod udp;

use std::net::SocketAddr;
use std::sync::Arc;

use mcsp_loadtest_scenario::{Admitted, AllowList};
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

pub(crate) use counts::Counters;
pub use counts::ProxyCounts;

use crate::error::ChaosError;
use crate::faults::NetworkFaults;

/// Bounds of a proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProxySettings {
    /// What loss and jitter are drawn from.
    pub seed: u64,
    /// TCP connections at once; further ones are reset, and counted. Default 16 384.
    pub connections_max: usize,
    /// UDP flows (client addresses) at once; datagrams of further ones are dropped, and counted. Default 4096.
    pub flows_max: usize,
    /// What all connections together may have under way, bytes: nothing more is read until some is delivered. Default 256 MiB.
    pub buffered_bytes_max: usize,
}

impl Default for ProxySettings {
    fn default() -> Self {
        Self {
            seed: 1,
            connections_max: 16_384,
            flows_max: 4096,
            buffered_bytes_max: 256 << 20,
        }
    }
}

/// What a connection or flow needs of its proxy.
#[derive(Debug, Clone)]
pub(crate) struct Shared {
    pub(crate) upstream: SocketAddr,
    pub(crate) seed: u64,
    pub(crate) faults: watch::Receiver<NetworkFaults>,
    pub(crate) counters: Arc<Counters>,
    /// A permit a byte.
    pub(crate) buffer: Arc<Semaphore>,
}

/// Hands everything on to a node, with faults that may change at any time. Dropping it closes all of its connections.
#[derive(Debug)]
pub struct FaultProxy {
    address: SocketAddr,
    faults: watch::Sender<NetworkFaults>,
    counters: Arc<Counters>,
    /// Aborts its tasks when it is dropped.
    _tasks: JoinSet<()>,
}

impl FaultProxy {
    /// Listens on `listen` (port 0: any), TCP and UDP, and hands on to `upstream`. Both have to be of the loopback or in the allow
    /// list: a listener that others reach is a way around firewalls.
    ///
    /// # Errors
    /// An address that is not admitted; a port that is taken.
    pub async fn open(
        listen: SocketAddr,
        upstream: SocketAddr,
        allow: &AllowList,
        settings: &ProxySettings,
    ) -> Result<Self, ChaosError> {
        let listen = admitted(allow, listen)?.address();
        let upstream = admitted(allow, upstream)?.address();
        let failed = |error| ChaosError::system(format!("fault proxy on {listen}"), error);
        let listener = TcpListener::bind(listen).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let socket = UdpSocket::bind(address).await.map_err(failed)?;
        let (faults, seen) = watch::channel(NetworkFaults::default());
        let counters = Arc::<Counters>::default();
        let shared = Shared {
            upstream,
            seed: settings.seed,
            faults: seen,
            counters: Arc::clone(&counters),
            buffer: Arc::new(Semaphore::new(
                settings
                    .buffered_bytes_max
                    .clamp(tcp::CHUNK_BYTES, Semaphore::MAX_PERMITS),
            )),
        };
        let mut tasks = JoinSet::new();
        tasks.spawn(tcp::accept(
            listener,
            shared.clone(),
            settings.connections_max,
        ));
        tasks.spawn(udp::serve(socket, shared, settings.flows_max));
        Ok(Self {
            address,
            faults,
            counters,
            _tasks: tasks,
        })
    }

    /// Where to connect to instead of the node.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sets what is wrong from now on, for open connections too.
    ///
    /// # Errors
    /// A value out of its range; what was set before stays.
    pub fn set(&self, faults: NetworkFaults) -> Result<(), ChaosError> {
        faults.validate()?;
        self.faults.send_replace(faults);
        Ok(())
    }

    /// What is wrong now.
    #[must_use]
    pub fn faults(&self) -> NetworkFaults {
        *self.faults.borrow()
    }

    /// What has passed so far.
    #[must_use]
    pub fn counts(&self) -> ProxyCounts {
        self.counters.read()
    }
}

fn admitted(allow: &AllowList, address: SocketAddr) -> Result<Admitted, ChaosError> {
    let host = address.ip().to_canonical().to_string();
    let admitted = allow.admit(&host, address.port(), &[address.ip()])?;
    admitted
        .into_iter()
        .next()
        .ok_or_else(|| ChaosError::unavailable(address.to_string(), "expected an address"))
}
