//! What a cluster on one machine consists of: regions, PoPs, folders, ports.

use std::path::{Path, PathBuf};

/// A regional origin with its media worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Region {
    /// Such as `ng-lagos`.
    pub id: &'static str,
    /// Two letters inside ids.
    pub code: &'static str,
    /// ISO 3166-1 alpha-2.
    pub country: &'static str,
}

/// A point of presence with one edge node.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pop {
    /// Such as `los1`.
    pub id: &'static str,
    /// For people.
    pub name: &'static str,
    /// ISO 3166-1 alpha-2.
    pub country: &'static str,
    /// Degrees north.
    pub latitude: f64,
    /// Degrees east.
    pub longitude: f64,
    /// The region whose feed it follows.
    pub region: &'static str,
    /// The port viewers use, where it is free.
    pub port: u16,
}

/// The regions.
pub const REGIONS: [Region; 2] = [
    Region {
        id: "ng-lagos",
        code: "ng",
        country: "NG",
    },
    Region {
        id: "global-london",
        code: "gl",
        country: "GB",
    },
];

/// The PoPs.
pub const POPS: [Pop; 3] = [
    Pop {
        id: "los1",
        name: "Lagos 1",
        country: "NG",
        latitude: 6.5244,
        longitude: 3.3792,
        region: "ng-lagos",
        port: 8441,
    },
    Pop {
        id: "abv1",
        name: "Abuja 1",
        country: "NG",
        latitude: 9.0765,
        longitude: 7.3986,
        region: "ng-lagos",
        port: 8442,
    },
    Pop {
        id: "lhr1",
        name: "London 1",
        country: "GB",
        latitude: 51.47,
        longitude: -0.4543,
        region: "global-london",
        port: 8443,
    },
];

/// The trust domain of the machine's own certificates.
pub const TRUST_DOMAIN: &str = "mcsp.local";

/// Where a cluster finds its programs and keeps its files.
#[derive(Debug, Clone)]
pub struct Layout {
    /// The folder with `mcsp-origin`, `mcsp-media`, `mcsp-edge`, `mcsp`.
    pub bin_dir: PathBuf,
    /// The page as it is served.
    pub site: PathBuf,
    /// Everything the cluster writes.
    pub data_dir: PathBuf,
}

impl Layout {
    /// A program.
    #[must_use]
    pub fn program(&self, name: &str) -> PathBuf {
        self.bin_dir.join(name)
    }

    /// The folder of one process.
    #[must_use]
    pub fn home(&self, process: &str) -> PathBuf {
        self.data_dir.join(process)
    }

    /// A process's log.
    #[must_use]
    pub fn log(&self, process: &str) -> PathBuf {
        self.data_dir.join("logs").join(format!("{process}.jsonl"))
    }

    /// A process's configuration.
    #[must_use]
    pub fn config(&self, process: &str) -> PathBuf {
        self.data_dir.join("config").join(format!("{process}.toml"))
    }

    /// The folder with a workload's certificate and key.
    #[must_use]
    pub fn identity(&self, namespace: &str, account: &str) -> PathBuf {
        self.data_dir.join("identity").join(namespace).join(account)
    }

    /// The certificate authority's folder.
    #[must_use]
    pub fn authority(&self) -> PathBuf {
        self.data_dir.join("authority")
    }

    /// The PoP manifests.
    #[must_use]
    pub fn pops(&self) -> PathBuf {
        self.data_dir.join("pops")
    }

    /// The test database of countries by address.
    #[must_use]
    pub fn countries(&self) -> PathBuf {
        self.data_dir.join("countries.mmdb")
    }
}

/// A folder that a program was built into, found from a test's own place (`target/debug/deps/…`).
#[must_use]
pub fn bin_dir_of(test: &Path) -> Option<PathBuf> {
    let deps = test.parent()?;
    Some(if deps.ends_with("deps") {
        deps.parent()?.to_owned()
    } else {
        deps.to_owned()
    })
}
