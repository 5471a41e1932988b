//! What is known of a client from its connection alone, for rules and metrics.

use std::net::IpAddr;

use crate::ja4::Ja4;
use crate::networks::{NetworkKind, NetworkList};

/// The signals of one connection. Made once and shared by its requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Signals {
    /// The TLS fingerprint; `None` without TLS, or for a hello that could not be read.
    pub ja4: Option<Ja4>,
    /// The autonomous system of the client's address.
    pub asn: Option<u32>,
    /// What its network is known for.
    pub network: Option<NetworkKind>,
}

impl Signals {
    /// The signals of a connection from this address.
    #[must_use]
    pub fn of(
        ja4: Option<Ja4>,
        client: Option<IpAddr>,
        asn: Option<u32>,
        networks: &NetworkList,
    ) -> Self {
        Self {
            ja4,
            asn,
            network: client.and_then(|client| networks.kind_of(client, asn)),
        }
    }

    /// Does the client come from a network that hides it?
    #[must_use]
    pub fn is_anonymous(&self) -> bool {
        self.network.is_some()
    }

    /// As rule variables: name and value; the empty text for what is not known, so that rules can ask for that too.
    #[must_use]
    pub fn variables(&self) -> [(&'static str, String); 3] {
        let text = |value: Option<String>| value.unwrap_or_default();
        [
            ("ja4", text(self.ja4.map(|ja4| ja4.to_string()))),
            ("asn", text(self.asn.map(|asn| asn.to_string()))),
            (
                "network",
                text(self.network.map(|kind| kind.as_str().to_owned())),
            ),
        ]
    }

    /// The label of the network's kind in metrics; one of six.
    #[must_use]
    pub fn network_label(&self) -> &'static str {
        self.network.map_or("unlisted", NetworkKind::as_str)
    }
}
