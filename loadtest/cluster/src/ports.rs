//! Ports that are kept, so that a process finds its own again after a restart.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::Path;

use crate::error::ClusterError;

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
        let is_free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
        let port = match wanted.into_iter().chain(before).find(is_free) {
            Some(port) => port,
            None => TcpListener::bind("127.0.0.1:0")
                .and_then(|listener| listener.local_addr())
                .map_err(|error| ClusterError::Broken(format!("no free port for {name}: {error}")))?
                .port(),
        };
        self.by_name.insert(name.to_owned(), port);
        Ok(port)
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
