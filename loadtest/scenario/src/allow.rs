//! Which targets the tool may touch: the loopback, and what an allow file lists.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use ipnet::IpNet;
use thiserror::Error;

use crate::text::{ScenarioError, read_bounded};

const FILE_BYTES_MAX: u64 = 1 << 20;
const ENTRIES_MAX: usize = 10_000;
const NAME_BYTES_MAX: usize = 253;

/// Why an allow file cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AllowError {
    /// The file cannot be read.
    #[error(transparent)]
    File(#[from] ScenarioError),
    /// A line is no entry.
    #[error("{}:{line}: {entry:?}: expected {expected}", path.display())]
    Entry {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// The line.
        entry: String,
        /// What was expected.
        expected: &'static str,
    },
}

/// An address that may be connected to. Only [`AllowList::admit`] makes one, so that code which connects can ask for it: a name is
/// never resolved a second time between the check and the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Admitted(SocketAddr);

impl Admitted {
    /// The address; never IPv4 mapped into IPv6.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.0
    }
}

/// A target that may not be touched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    host: String,
    port: u16,
    /// The address that is to blame; none: the host has none.
    address: Option<IpAddr>,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            host,
            port,
            address,
        } = self;
        match address {
            None => write!(
                f,
                "{host}:{port} has no address, so it cannot be told whether it may be loaded"
            ),
            Some(address) if is_never_a_host(*address) => write!(
                f,
                "{host}:{port} is {address}, which is no host's address; name the host's own (127.0.0.1 for this machine)"
            ),
            Some(address) => write!(
                f,
                "{host}:{port} is {address}, which is not this machine's loopback. If you may load it, put a line \
                 \"{host}:{port}\" (or a network such as \"{address}/{}\") into a file and name the file: \
                 targets.allow_file, or --allow-file",
                if address.is_ipv4() { 32 } else { 128 }
            ),
        }
    }
}

impl std::error::Error for Refused {}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Entry {
    /// A host as URLs write it, lower case, and its port.
    Host(String, u16),
    Net(IpNet),
}

/// What may be touched. An address is admitted if it is of the loopback or in a listed network; a host and port that are listed
/// are admitted wherever they resolve to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AllowList {
    entries: Vec<Entry>,
}

impl AllowList {
    /// Nothing but the loopback.
    #[must_use]
    pub fn loopback_only() -> Self {
        Self::default()
    }

    /// Reads a file of at most 1 MiB: one `host:port` or network (`10.20.0.0/16`) a line; `#` begins a comment.
    ///
    /// # Errors
    /// A file that cannot be read, a line that is neither, a network that is wider than /8 (IPv6: /32).
    pub fn load(path: &Path) -> Result<Self, AllowError> {
        Self::parse(&read_bounded(path, FILE_BYTES_MAX)?, path)
    }

    /// As [`AllowList::load`], from text; `path` stands for it in errors.
    ///
    /// # Errors
    /// As there.
    pub fn parse(text: &str, path: &Path) -> Result<Self, AllowError> {
        let mut entries = Vec::new();
        for (line, number) in text.lines().zip(1..) {
            let entry = line.split('#').next().unwrap_or("").trim();
            if entry.is_empty() {
                continue;
            }
            let fault = |expected| AllowError::Entry {
                path: path.to_owned(),
                line: number,
                entry: entry.to_owned(),
                expected,
            };
            if entries.len() == ENTRIES_MAX {
                return Err(fault("at most 10000 entries"));
            }
            entries.push(parse_entry(entry).map_err(fault)?);
        }
        Ok(Self { entries })
    }

    /// The addresses of `resolved` that may be connected to, for a URL's host and port: all of them or none, since a name that
    /// leads partly elsewhere is not what it seems.
    ///
    /// # Errors
    /// The first address that is neither of the loopback nor listed; or that there is none.
    pub fn admit(
        &self,
        host: &str,
        port: u16,
        resolved: &[IpAddr],
    ) -> Result<Vec<Admitted>, Refused> {
        let refused = |address| Refused {
            host: host.to_owned(),
            port,
            address,
        };
        if resolved.is_empty() {
            return Err(refused(None));
        }
        let is_listed = self.lists(host, port);
        let mut admitted = Vec::new();
        for address in resolved {
            let address = address.to_canonical();
            let may = address.is_loopback()
                || !is_never_a_host(address)
                    && (is_listed || self.nets().any(|net| net.contains(&address)));
            if !may {
                return Err(refused(Some(address)));
            }
            admitted.push(Admitted(SocketAddr::new(address, port)));
        }
        Ok(admitted)
    }

    fn lists(&self, host: &str, port: u16) -> bool {
        let host = normal(host);
        self.entries
            .iter()
            .any(|entry| matches!(entry, Entry::Host(name, of) if *name == host && *of == port))
    }

    fn nets(&self) -> impl Iterator<Item = &IpNet> {
        self.entries.iter().filter_map(|entry| match entry {
            Entry::Net(net) => Some(net),
            Entry::Host(..) => None,
        })
    }
}

/// 0.0.0.0 and its like: systems take some of them for "this machine" and others for everybody.
fn is_never_a_host(address: IpAddr) -> bool {
    let is_broadcast =
        matches!(address, IpAddr::V4(v4) if v4.is_broadcast() || v4.octets()[0] == 0);
    address.is_unspecified() || address.is_multicast() || is_broadcast
}

/// A host as it is compared: lower case, no final dot, no brackets; addresses in their one canonical form.
fn normal(host: &str) -> String {
    let bare = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host);
    if let Ok(address) = bare.parse::<IpAddr>() {
        return address.to_canonical().to_string();
    }
    bare.strip_suffix('.').unwrap_or(bare).to_ascii_lowercase()
}

fn parse_entry(entry: &str) -> Result<Entry, &'static str> {
    if entry.contains('/') {
        let net: IpNet = entry
            .parse()
            .map_err(|_| "a network such as 10.20.0.0/16, without a port")?;
        let least = if matches!(net, IpNet::V4(_)) { 8 } else { 32 };
        if net.prefix_len() < least {
            return Err("a network no wider than /8 (IPv6: /32)");
        }
        return Ok(Entry::Net(net));
    }
    const FORM: &str = "host:port, such as edge.example.com:443, or a network";
    let (host, port) = entry.rsplit_once(':').ok_or(FORM)?;
    let port: u16 = port.parse().ok().filter(|port| *port > 0).ok_or(FORM)?;
    let is_bracketed = host.starts_with('[') && host.ends_with(']');
    let host = normal(host);
    let is_address = host.parse::<IpAddr>().is_ok();
    let is_name = host
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_'));
    if host.is_empty() || host.len() > NAME_BYTES_MAX || !(is_name || is_address && is_bracketed) {
        return Err(FORM);
    }
    Ok(Entry::Host(host, port))
}
