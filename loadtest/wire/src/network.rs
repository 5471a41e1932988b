//! What all users of a worker share: names, trust, bounds.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use mcsp_loadtest_scenario::{Admitted, AllowList};
use parking_lot::Mutex;
use rustls::pki_types::ServerName;
use tokio::time::Instant;
use url::Url;

use crate::clock::RunClock;
use crate::connect::{BoxedIo, Connect, Tcp};
use crate::failure::{Failure, FailureKind, NetworkError};
use crate::tls::TlsSettings;

/// How long a name's address is remembered.
const NAME_LIFE: Duration = Duration::from_secs(60);
const NAMES_MAX: usize = 1_024;
/// Addresses of one name that are looked at.
const ADDRESSES_MAX: usize = 64;

/// Bounds of one exchange.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// A connection's set-up, TLS included.
    pub connect_timeout: Duration,
    /// From a request to the answer's head, and between two reads of its body.
    pub read_timeout: Duration,
    /// An answer's head, bytes.
    pub head_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(5),
            read_timeout: Duration::from_secs(10),
            head_bytes_max: 16 << 10,
        }
    }
}

/// What all users of a worker share.
pub struct Network {
    pub(crate) clock: RunClock,
    pub(crate) limits: Limits,
    pub(crate) tls: TlsSettings,
    connect: Arc<dyn Connect>,
    allow: AllowList,
    resolve: BTreeMap<String, SocketAddr>,
    names: Mutex<BTreeMap<String, (Instant, Vec<IpAddr>)>>,
}

impl std::fmt::Debug for Network {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Network")
            .field("limits", &self.limits)
            .field("resolve", &self.resolve)
            .finish_non_exhaustive()
    }
}

impl Network {
    /// Over TCP. `allow` says which targets may be touched: it is asked before each connection, so of redirects too. `resolve` gives addresses of `host:port`s that DNS is not asked for.
    ///
    /// # Errors
    /// When `ca_file` cannot be read or holds no authority.
    pub fn new(
        clock: RunClock,
        limits: Limits,
        allow: AllowList,
        resolve: BTreeMap<String, SocketAddr>,
        ca_file: Option<&Path>,
    ) -> Result<Self, NetworkError> {
        Ok(Self {
            clock,
            limits,
            tls: TlsSettings::new(ca_file)?,
            connect: Arc::new(Tcp),
            allow,
            resolve,
            names: Mutex::default(),
        })
    }

    /// With connections of another kind.
    #[must_use]
    pub fn with_connect(mut self, connect: Arc<dyn Connect>) -> Self {
        self.connect = connect;
        self
    }

    /// The run's time.
    #[must_use]
    pub fn clock(&self) -> &RunClock {
        &self.clock
    }

    /// The addresses of an origin, when they may be touched; at least one.
    pub(crate) async fn addresses(&self, origin: &Origin) -> Result<Vec<SocketAddr>, Box<Failure>> {
        let (port, addresses) = self.look_up(origin).await?;
        let admitted = self
            .allow
            .admit(&origin.host, port, &addresses)
            .map_err(|why| Failure::new(FailureKind::Refused, why.to_string()))?;
        Ok(admitted.iter().map(Admitted::address).collect())
    }

    /// A connection to the first of these that takes one, and which it is: `localhost` has an address of each family, and a node may
    /// listen on one of them.
    pub(crate) async fn connect(
        &self,
        from: Option<IpAddr>,
        addresses: &[SocketAddr],
    ) -> Result<(BoxedIo, SocketAddr), Box<Failure>> {
        let mut failed = Failure::new(FailureKind::Resolve, "no address");
        for address in addresses {
            match self.connect.connect(from, *address).await {
                Ok(io) => return Ok((io, *address)),
                Err(error) => {
                    failed = Failure::new(FailureKind::Connect, format!("{address}: {error}"));
                }
            }
        }
        Err(failed)
    }

    async fn look_up(&self, origin: &Origin) -> Result<(u16, Vec<IpAddr>), Box<Failure>> {
        if let Some(address) = self.resolve.get(&origin.authority()) {
            return Ok((address.port(), vec![address.ip()]));
        }
        if let Ok(ip) = origin.host.trim_matches(['[', ']']).parse::<IpAddr>() {
            return Ok((origin.port, vec![ip]));
        }
        if let Some((until, addresses)) = self.names.lock().get(&origin.host)
            && *until > Instant::now()
        {
            return Ok((origin.port, addresses.clone()));
        }
        let unknown =
            |why: String| Failure::new(FailureKind::Resolve, format!("{}: {why}", origin.host));
        let looked_up = tokio::time::timeout(
            self.limits.connect_timeout,
            tokio::net::lookup_host((origin.host.as_str(), origin.port)),
        );
        let addresses: Vec<IpAddr> = looked_up
            .await
            .map_err(|_| unknown("no answer in time".to_owned()))?
            .map_err(|error| unknown(error.to_string()))?
            .map(|address| address.ip())
            .take(ADDRESSES_MAX)
            .collect();
        let mut names = self.names.lock();
        if names.len() >= NAMES_MAX {
            names.clear();
        }
        let until = Instant::now() + NAME_LIFE;
        names.insert(origin.host.clone(), (until, addresses.clone()));
        Ok((origin.port, addresses))
    }
}

/// Scheme, host and port (RFC 6454).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) is_tls: bool,
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl Origin {
    pub(crate) fn of(url: &Url) -> Result<Self, Box<Failure>> {
        let refused = || {
            Failure::new(
                FailureKind::Refused,
                format!("{}: expected an http or https URL", url.scheme()),
            )
        };
        let is_tls = match url.scheme() {
            "http" => false,
            "https" => true,
            _ => return Err(refused()),
        };
        let host = url.host_str().ok_or_else(refused)?.to_owned();
        let port = url.port_or_known_default().ok_or_else(refused)?;
        Ok(Self { is_tls, host, port })
    }

    pub(crate) fn is_of(&self, url: &Url) -> bool {
        (url.scheme() == "https") == self.is_tls
            && url.host_str() == Some(self.host.as_str())
            && url.port_or_known_default() == Some(self.port)
    }

    pub(crate) fn authority(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    pub(crate) fn server_name(&self) -> Result<ServerName<'static>, Box<Failure>> {
        ServerName::try_from(self.host.trim_matches(['[', ']']).to_owned())
            .map_err(|error| Failure::new(FailureKind::Tls, format!("{}: {error}", self.host)))
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use futures::future::BoxFuture;

    use super::*;

    /// A node that listens on addresses of one family.
    struct OnlyV4;

    impl Connect for OnlyV4 {
        fn connect(&self, _: Option<IpAddr>, to: SocketAddr) -> BoxFuture<'_, io::Result<BoxedIo>> {
            Box::pin(async move {
                if to.is_ipv6() {
                    return Err(io::ErrorKind::ConnectionRefused.into());
                }
                Ok(Box::new(tokio::io::duplex(1).0) as BoxedIo)
            })
        }
    }

    #[tokio::test]
    async fn a_name_of_two_addresses_is_reached_by_the_one_that_listens() {
        let clock = RunClock::starting_now();
        let loopback = AllowList::loopback_only();
        let network = Network::new(clock, Limits::default(), loopback, BTreeMap::new(), None);
        let network = network.expect("a network").with_connect(Arc::new(OnlyV4));
        let both: [SocketAddr; 2] = ["[::1]:80", "127.0.0.1:80"].map(|text| text.parse().unwrap());
        let (_, address) = network.connect(None, &both).await.expect("a connection");
        assert_eq!(address, both[1]);
        let refused = network.connect(None, &both[..1]).await;
        assert_eq!(
            refused.err().expect("nobody there").kind,
            FailureKind::Connect
        );
    }
}
