//! Tells a load test where this cluster is, so that `mcsp-load run prime-time` needs nothing else.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use mcsp_loadtest_cluster::{Cluster, ClusterError, POPS};
use mcsp_loadtest_scenario::{Node, Place, Protocol, Surroundings, Targets};

/// In the demo's folder; `mcsp-load` looks for it there.
const FILE: &str = "load-target.toml";
/// Where viewers of each PoP come from: the parts of the loopback that stand for their countries, each PoP's its own, since limits go
/// by address.
const SOURCES: [(&str, &str); 3] = [
    ("los1", "127.0.16.0/20"),
    ("abv1", "127.1.16.0/20"),
    ("lhr1", "127.2.16.0/20"),
];

/// The file, which is there as long as this value is.
#[derive(Debug)]
pub(crate) struct LoadTarget {
    file: PathBuf,
}

impl LoadTarget {
    /// Takes away what a demo that was killed may have left.
    pub(crate) fn none(data_dir: &Path) {
        // There is none the first time.
        let _ = std::fs::remove_file(data_dir.join(FILE));
    }

    /// Writes the file, and one with the id of each process.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub(crate) fn write(cluster: &Cluster, content_ids: Vec<String>) -> Result<Self, ClusterError> {
        let data_dir = &cluster.layout().data_dir;
        let broken = |error: String| ClusterError::Broken(format!("{FILE}: {error}"));
        let surroundings = surroundings(cluster, content_ids)?;
        let text = surroundings
            .to_toml()
            .map_err(|error| broken(error.to_string()))?;
        let file = data_dir.join(FILE);
        // Whole or not at all: somebody may be waiting for it.
        let part = data_dir.join(format!("{FILE}.part"));
        std::fs::write(&part, text).map_err(|source| ClusterError::file(&part, source))?;
        std::fs::rename(&part, &file).map_err(|source| ClusterError::file(&file, source))?;
        Ok(Self { file })
    }
}

impl Drop for LoadTarget {
    fn drop(&mut self) {
        // It may be gone with its folder.
        let _ = std::fs::remove_file(&self.file);
    }
}

fn surroundings(cluster: &Cluster, content_ids: Vec<String>) -> Result<Surroundings, ClusterError> {
    let url = |text: &str| {
        text.parse::<url::Url>()
            .map_err(|error| ClusterError::Broken(format!("{text}: {error}")))
    };
    let mut resolve = BTreeMap::new();
    let mut geography = Vec::new();
    for pop in &POPS {
        let api = url(&cluster.pop_url(pop.id))?;
        if let Some(port) = api.port() {
            // The PoPs listen on IPv4; what systems take `localhost` for differs.
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
            resolve.insert(format!("localhost:{port}"), address);
        }
        let source = SOURCES.iter().find(|(id, _)| *id == pop.id);
        if let Some(source_addresses) = source.and_then(|(_, net)| net.parse().ok()) {
            geography.push(Place {
                name: pop.id.to_owned(),
                weight: 1.0,
                source_addresses,
                api: Some(api),
            });
        }
    }
    let pids = cluster.layout().data_dir.join("pids");
    std::fs::create_dir_all(&pids).map_err(|source| ClusterError::file(&pids, source))?;
    let mut nodes = Vec::new();
    for name in cluster.names() {
        let pid_file = pids.join(format!("{name}.pid"));
        if let Some(pid) = cluster.pid(&name) {
            std::fs::write(&pid_file, pid.to_string())
                .map_err(|source| ClusterError::file(&pid_file, source))?;
        }
        nodes.push(Node {
            metrics_url: Some(url(&format!("{}/metrics", cluster.admin_url(&name)?))?),
            pid_file: Some(pid_file),
            start: Vec::new(),
            address: None,
            proxy: None,
            disk: None,
            name,
        });
    }
    let first = POPS.first().map_or("", |pop| pop.id);
    Ok(Surroundings {
        written_by: "the demo (cargo xtask demo)".to_owned(),
        pid: Some(std::process::id()),
        // Without TLS, a PoP speaks HTTP/1.1 only.
        protocol: Some(Protocol::H1),
        content_ids,
        targets: Targets {
            api: url(&cluster.pop_url(first))?,
            origin: None,
            resolve,
            ca_file: None,
            allow_file: None,
        },
        geography,
        nodes,
    })
}
