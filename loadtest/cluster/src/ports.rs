//! Ports that are kept, so that a process finds its own again after a restart.

use std::collections::BTreeMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::net::TcpListener;
use std::path::Path;

use crate::error::ClusterError;

/// Where free ports are looked for: above what people use by hand, below what Linux gives to connections that go out.
const FIRST_PORT: u16 = 10_000;
const EPHEMERAL_FROM: u16 = 32_768;
/// Ports that are tried before the machine counts as full.
const TRIES_MAX: usize = 1000;

/// Named loopback ports, remembered in a file.
#[derive(Debug, Default)]
pub(crate) struct Ports {
    by_name: BTreeMap<String, u16>,
}

impl Ports {
    /// Reads the file, or begins with none.
    #[must_use]
    pub(crate) fn load(path: &Path) -> Self {
        let by_name = std::fs::read_to_string(path)
            .ok()
            .and_then(|text| serde_json::from_str(&text).ok())
            .unwrap_or_default();
        Self { by_name }
    }

    /// The port of this name: `wanted` if it is free, else the one it had, else a free one.
    ///
    /// # Errors
    /// When the machine has no free port.
    pub(crate) fn named(&mut self, name: &str, wanted: Option<u16>) -> Result<u16, ClusterError> {
        let before = self.by_name.get(name).copied();
        let port = match wanted.into_iter().chain(before).find(|port| is_free(*port)) {
            Some(port) => port,
            None => self.free().ok_or_else(|| {
                ClusterError::Broken(format!("no free port for {name} below {EPHEMERAL_FROM}"))
            })?,
        };
        self.by_name.insert(name.to_owned(), port);
        Ok(port)
    }

    /// A port that nobody has, this cluster's own names among them, and that no connection going out can take before
    /// its process binds it, or binds it again after a restart.
    fn free(&self) -> Option<u16> {
        let span = u64::from(EPHEMERAL_FROM - FIRST_PORT);
        (0..TRIES_MAX)
            .map(|_| FIRST_PORT + u16::try_from(random() % span).unwrap_or(0))
            .find(|port| !self.by_name.values().any(|taken| taken == port) && is_free(*port))
    }

    /// Writes the file.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn save(&self, path: &Path) -> Result<(), ClusterError> {
        let json = serde_json::to_vec_pretty(&self.by_name).unwrap_or_default();
        std::fs::write(path, json).map_err(|source| ClusterError::file(path, source))
    }
}

fn is_free(port: u16) -> bool {
    TcpListener::bind(("127.0.0.1", port)).is_ok()
}

/// Clusters that start at one time must not choose alike, and nothing else depends on the choice.
fn random() -> u64 {
    RandomState::new().hash_one(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_free_different_and_out_of_the_way_of_connections() {
        let mut ports = Ports::default();
        let mut seen = Vec::new();
        for name in 0..200 {
            let port = ports.named(&name.to_string(), None).unwrap();
            assert!((FIRST_PORT..EPHEMERAL_FROM).contains(&port), "{port}");
            assert!(!seen.contains(&port), "{port} twice");
            seen.push(port);
        }
    }

    #[test]
    fn a_name_keeps_its_port_until_another_has_it() {
        let mut ports = Ports::default();
        let first = ports.named("a", None).unwrap();
        assert_eq!(ports.named("a", None).unwrap(), first);
        let _other = TcpListener::bind(("127.0.0.1", first)).unwrap();
        assert_ne!(ports.named("a", None).unwrap(), first);
    }
}
