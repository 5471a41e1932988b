//! `addresses.json`: where the node listens, for whoever started it with port 0.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::Path;

use serde::Serialize;

/// The file's name inside the node's folder.
const FILE: &str = "addresses.json";

/// What the file says.
#[derive(Debug, Serialize)]
pub(crate) struct Addresses {
    pub(crate) admin: SocketAddr,
    pub(crate) listeners: Vec<ListenerAddress>,
    /// Where children ask, on a parent.
    pub(crate) shield: Option<SocketAddr>,
    /// Where the PoP's other nodes tell what they admitted.
    pub(crate) limits: Option<SocketAddr>,
}

#[derive(Debug, Clone, Serialize)]
pub(crate) struct ListenerAddress {
    pub(crate) address: SocketAddr,
    pub(crate) tls: bool,
}

impl Addresses {
    /// Writes the file; a reader sees the old one or the new one, never a part.
    pub(crate) fn write(&self, state_dir: &Path) -> io::Result<()> {
        let text = serde_json::to_vec_pretty(self)?;
        let temporary = state_dir.join(format!("{FILE}.new"));
        fs::write(&temporary, text)?;
        fs::rename(&temporary, state_dir.join(FILE))
    }
}
