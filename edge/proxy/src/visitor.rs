//! What is known of a client by its connection.

use std::net::IpAddr;

use mcsp_edge_fingerprint::{Ja4, NetworkList, Signals};
use mcsp_edge_h1::SentLine;
use mcsp_geo::AsnDb;

/// Whose network a client's address is in.
#[derive(Debug, Default)]
pub struct Networks {
    /// Autonomous systems by address; without it none is known.
    pub systems: Option<AsnDb>,
    /// Networks that hide who is behind them.
    pub list: NetworkList,
}

impl Networks {
    /// The signals of a connection.
    pub(crate) fn signals(&self, ja4: Option<Ja4>, client: Option<IpAddr>) -> Signals {
        let asn = client.and_then(|client| self.systems.as_ref()?.asn(client));
        Signals::of(ja4, client, asn, &self.list)
    }
}

/// A connection's client, looked up once and shared by its requests.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Visitor {
    pub(crate) signals: Signals,
    /// What TLS agreed on (RFC 7301).
    pub(crate) alpn: Option<&'static [u8]>,
}

tokio::task_local! {
    /// The client of the request that pingora is given: it has no field for what it does not know itself.
    static VISITOR: Visitor;
    /// That request's line as it was sent.
    static SENT_LINE: SentLine;
}

/// Does `work` for the request that was sent with this line; without one, for one that is what was sent.
pub(crate) async fn has_sent<T>(line: Option<SentLine>, work: impl Future<Output = T>) -> T {
    match line {
        Some(line) => SENT_LINE.scope(line, work).await,
        None => work.await,
    }
}

/// The line of the request that work is done for, if it is another than the request's own.
pub(crate) fn sent_line() -> Option<SentLine> {
    SENT_LINE.try_with(SentLine::clone).ok()
}

impl Visitor {
    /// Does `work` for this client.
    pub(crate) async fn has<T>(self, work: impl Future<Output = T>) -> T {
        VISITOR.scope(self, work).await
    }

    /// The client that work is done for.
    pub(crate) fn current() -> Self {
        VISITOR.try_with(|visitor| *visitor).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_knows_its_client_and_no_other() {
        let list = NetworkList::parse("hosting 192.0.2.0/24").unwrap();
        let networks = Networks {
            systems: None,
            list,
        };
        let visitor = Visitor {
            signals: networks.signals(None, "192.0.2.7".parse().ok()),
            alpn: Some(b"h2"),
        };
        let label = || async {
            tokio::task::yield_now().await;
            Visitor::current().signals.network_label()
        };
        let (listed, unlisted) =
            tokio::join!(visitor.has(label()), Visitor::default().has(label()));
        assert_eq!((listed, unlisted), ("hosting", "unlisted"));
        assert_eq!(label().await, "unlisted", "outside of any");
    }
}
