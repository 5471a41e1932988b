//! How many bytes a node's connections receive and send, and the plain ones themselves ([`TcpConnection`]).
//!
//! The kernel counts them anyway, for each connection (`TCP_INFO`, tcp(7)): it is asked when a connection closes, and now and then
//! while it carries something. So nothing is added to what a request costs, and what TLS and handshakes take is in it.

mod bare;
mod counted;
mod meter;
mod tcp;

pub use bare::{BareSocket, bare_socket};
pub use tcp::TcpConnection;

use pingora_core::protocols::{IO, Stream};
use prometheus::{IntCounter, Opts, Registry};

use counted::{Counted, Here};

/// What some of a node's connections have received and sent, bytes. Clones count together.
#[derive(Debug, Clone)]
pub struct Traffic {
    received: IntCounter,
    sent: IntCounter,
}

impl Traffic {
    /// Registers `mcsp_edge_network_received_bytes_total` and `mcsp_edge_network_sent_bytes_total`, of connections with `peers`.
    ///
    /// # Errors
    /// When there are counters of these peers already.
    pub fn register(registry: &Registry, peers: &str) -> Result<Self, prometheus::Error> {
        let counter = |name: &str, help: &str| {
            let counter = IntCounter::with_opts(Opts::new(name, help).const_label("peers", peers))?;
            registry.register(Box::new(counter.clone()))?;
            Ok::<_, prometheus::Error>(counter)
        };
        Ok(Self {
            received: counter(
                "mcsp_edge_network_received_bytes_total",
                "Bytes received over TCP, by whose connections they are: clients, children, upstreams, and calls (of these the bodies only).",
            )?,
            sent: counter(
                "mcsp_edge_network_sent_bytes_total",
                "Bytes sent over TCP, by whose connections they are: clients, children, upstreams, and calls (of these the bodies only).",
            )?,
        })
    }

    /// The connection, which counts what it has received and sent since it was opened, and will: when it closes, and
    /// while it lasts, seldom more than a MiB late.
    #[must_use]
    pub fn count(&self, connection: Stream) -> Stream {
        Box::new(Counted::new(connection, self))
    }

    /// The same for one that is in no box yet.
    #[must_use]
    pub fn count_unboxed(&self, connection: impl IO + 'static) -> Stream {
        Box::new(Counted::new(Here(connection), self))
    }

    /// Counts what was received on a connection that does not count itself.
    pub fn received(&self, bytes: u64) {
        self.received.inc_by(bytes);
    }

    /// Counts what was sent on such a connection.
    pub fn sent(&self, bytes: u64) {
        self.sent.inc_by(bytes);
    }
}
