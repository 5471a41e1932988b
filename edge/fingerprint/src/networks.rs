//! Networks that hide who is behind them: hosting, VPNs, proxies, Tor, by autonomous system or prefix.

use std::collections::HashMap;
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The most entries of a list.
pub const ENTRIES_MAX: usize = 500_000;
const FILE_BYTES_MAX: u64 = 32 * 1024 * 1024;
const V4_BITS_AT: u8 = 96;

/// What a network is known for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NetworkKind {
    /// Servers for rent: viewers do not sit there.
    Hosting,
    /// A virtual private network for the public.
    Vpn,
    /// An open or residential proxy.
    Proxy,
    /// An exit of Tor.
    Tor,
    /// A relay that operators run for their users' privacy, such as those of browsers and phones.
    Relay,
}

impl NetworkKind {
    const ALL: [Self; 5] = [
        Self::Hosting,
        Self::Vpn,
        Self::Proxy,
        Self::Tor,
        Self::Relay,
    ];

    /// As lists, rules and metrics write it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hosting => "hosting",
            Self::Vpn => "vpn",
            Self::Proxy => "proxy",
            Self::Tor => "tor",
            Self::Relay => "relay",
        }
    }

    /// Reads what [`Self::as_str`] writes.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }
}

/// Why a list cannot be used. The one before stays in use.
#[derive(Debug, Error)]
pub enum NetworkListError {
    /// The file cannot be read.
    #[error("network list {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A line is none.
    #[error(
        "network list, line {line}: {text:?}; expected a kind (hosting, vpn, proxy, tor, relay) and AS<number> or a prefix"
    )]
    Line {
        /// Which, from 1.
        line: usize,
        /// What it says.
        text: String,
    },
    /// More than [`ENTRIES_MAX`] entries, or a file of more than 32 MiB.
    #[error("network list: too large; expected at most {ENTRIES_MAX} entries in 32 MiB")]
    TooLarge,
}

impl NetworkListError {
    /// May the same file be good later?
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Io { .. })
    }
}

/// A list in memory, about 50 bytes an entry. A prefix says more than the system it belongs to, and a longer one more than
/// a shorter.
#[derive(Debug, Default)]
pub struct NetworkList {
    systems: HashMap<u32, NetworkKind>,
    prefixes: HashMap<(u8, u128), NetworkKind>,
    /// The lengths of prefixes that occur, longest first. IPv4 prefixes are those of `::ffff:0:0/96`.
    lengths: Vec<u8>,
}

impl NetworkList {
    /// Reads a list: a kind and `AS<number>` or a prefix on each line, `#` begins a comment.
    ///
    /// # Errors
    /// [`NetworkListError`] with the first line that cannot be read.
    pub fn parse(text: &str) -> Result<Self, NetworkListError> {
        let mut list = Self::default();
        for (at, line) in text.lines().enumerate() {
            let content = line.split('#').next().unwrap_or_default().trim();
            if content.is_empty() {
                continue;
            }
            if list.len() >= ENTRIES_MAX {
                return Err(NetworkListError::TooLarge);
            }
            list.add(content).ok_or_else(|| NetworkListError::Line {
                line: at + 1,
                text: line.chars().take(80).collect(),
            })?;
        }
        let mut lengths: Vec<u8> = list.prefixes.keys().map(|(length, _)| *length).collect();
        lengths.sort_unstable_by(|a, b| b.cmp(a));
        lengths.dedup();
        list.lengths = lengths;
        Ok(list)
    }

    /// Reads a file. Blocks.
    ///
    /// # Errors
    /// [`NetworkListError`].
    pub fn load(path: impl AsRef<Path>) -> Result<Self, NetworkListError> {
        let path = path.as_ref();
        let io = |source| NetworkListError::Io {
            path: path.to_owned(),
            source,
        };
        if fs::metadata(path).map_err(io)?.len() > FILE_BYTES_MAX {
            return Err(NetworkListError::TooLarge);
        }
        Self::parse(&fs::read_to_string(path).map_err(io)?)
    }

    /// What the network of an address is known for; `asn` is its autonomous system, if that is known.
    #[must_use]
    pub fn kind_of(&self, address: IpAddr, asn: Option<u32>) -> Option<NetworkKind> {
        let bits = bits_of(address);
        let by_prefix = self.lengths.iter().find_map(|length| {
            let key = (*length, bits & mask(*length));
            self.prefixes.get(&key).copied()
        });
        by_prefix.or_else(|| self.systems.get(&asn?).copied())
    }

    /// How many entries there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.systems.len() + self.prefixes.len()
    }

    /// Is there none?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn add(&mut self, content: &str) -> Option<()> {
        let mut words = content.split_ascii_whitespace();
        let (kind, network) = (words.next()?, words.next()?);
        if words.next().is_some() {
            return None;
        }
        let kind = NetworkKind::from_name(kind)?;
        if let Some(number) = network.strip_prefix("AS") {
            let is_plain = number.bytes().all(|b| b.is_ascii_digit());
            let number = number.parse().ok().filter(|_| is_plain)?;
            self.systems.insert(number, kind);
        } else {
            let (length, bits) = prefix(network)?;
            self.prefixes.insert((length, bits), kind);
        }
        Some(())
    }
}

fn prefix(text: &str) -> Option<(u8, u128)> {
    let (address, length) = match text.split_once('/') {
        Some((address, length)) => (address, Some(length)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().ok()?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    let length = match length {
        Some(length) if length.bytes().all(|b| b.is_ascii_digit()) => length.parse().ok()?,
        Some(_) => return None,
        None => most,
    };
    if length > most {
        return None;
    }
    let at = if address.is_ipv4() { V4_BITS_AT } else { 0 };
    let bits = bits_of(address);
    // Bits behind the prefix are a mistake in a list: which of the two was meant?
    (bits & mask(at + length) == bits).then_some((at + length, bits))
}

fn bits_of(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

fn mask(length: u8) -> u128 {
    match length {
        0 => 0,
        length => u128::MAX << (128 - u32::from(length.min(128))),
    }
}
