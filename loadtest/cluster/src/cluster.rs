//! A whole MCSP on one machine: two regions and three PoPs, each process real.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use mcsp_api::Residency;

use crate::addresses::Addresses;
use crate::config::Moderation;
use crate::error::ClusterError;
use crate::link::Link;
use crate::process::{Process, ProcessSpec};
use crate::published;
use crate::topology::{Layout, POPS, REGIONS};
use crate::{certificates, config, manifests};

/// How long a process may take to be ready: migrations and keys the first time.
const READY_LIMIT: Duration = Duration::from_secs(180);
/// How long a process may take to stop when it is asked to.
const STOP_LIMIT: Duration = Duration::from_secs(60);

/// How a cluster differs from the usual.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// Use the ports that people know (8441 and on) where they are free.
    pub known_ports: bool,
    /// What happens to an item before it is published.
    pub moderation: Moderation,
}

/// Running processes; all of them end with this value.
#[derive(Debug)]
pub struct Cluster {
    layout: Layout,
    addresses: Addresses,
    processes: BTreeMap<String, Process>,
    links: Vec<Link>,
    http: reqwest::Client,
}

/// The name of a region's origin process.
fn origin_name(region: &str) -> String {
    format!("origin-{region}")
}

/// The name of a region's media worker.
fn worker_name(region: &str) -> String {
    format!("media-{region}")
}

impl Cluster {
    /// Writes certificates, manifests and configuration, starts every process, and returns when all are ready. What
    /// a cluster in the same folder left is found again.
    ///
    /// # Errors
    /// When a file cannot be written or a process does not become ready.
    pub async fn start(layout: Layout, options: Options) -> Result<Self, ClusterError> {
        for folder in ["logs", "config"] {
            let folder = layout.data_dir.join(folder);
            fs::create_dir_all(&folder).map_err(|source| ClusterError::file(&folder, source))?;
        }
        let mut addresses = Addresses::assign(&layout, options.known_ports)?;
        let mut links = Vec::new();
        for region in &REGIONS {
            for target in addresses.crossing(region.id)? {
                let link = Link::open(*target).await?;
                *target = link.address();
                links.push(link);
            }
        }
        certificates::issue(&layout)?;
        manifests::write(&layout, &addresses)?;
        config::write(&layout, &addresses, options.moderation)?;
        let http = reqwest::Client::builder()
            .build()
            .map_err(|source| ClusterError::Http {
                what: "making an HTTP client".to_owned(),
                source,
            })?;
        let mut cluster = Self {
            layout,
            addresses,
            processes: BTreeMap::new(),
            links,
            http,
        };
        cluster.start_all().await?;
        Ok(cluster)
    }

    async fn start_all(&mut self) -> Result<(), ClusterError> {
        let origins = REGIONS
            .iter()
            .map(|region| (origin_name(region.id), "mcsp-origin"));
        let workers = REGIONS
            .iter()
            .map(|region| (worker_name(region.id), "mcsp-media"));
        let edges = POPS.iter().map(|pop| (pop.id.to_owned(), "mcsp-edge"));
        for (name, program) in origins.chain(workers).chain(edges) {
            let home = self.layout.home(&name);
            fs::create_dir_all(&home).map_err(|source| ClusterError::file(&home, source))?;
            let spec = ProcessSpec {
                program: self.layout.program(program),
                args: vec![
                    "run".to_owned(),
                    "--config".to_owned(),
                    self.layout.config(&name).display().to_string(),
                ],
                admin: self.addresses.admin(&name)?.to_string(),
                log: self.layout.log(&name),
                name: name.clone(),
            };
            let mut process = Process::start(spec)?;
            // Workers and edges find what they need at an origin that is ready.
            if program == "mcsp-origin" {
                process.ready(&self.http, READY_LIMIT).await?;
            }
            self.processes.insert(name, process);
        }
        for process in self.processes.values_mut() {
            process.ready(&self.http, READY_LIMIT).await?;
        }
        Ok(())
    }

    /// Where its files are.
    #[must_use]
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The names of all processes, in order.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.processes.keys().cloned().collect()
    }

    /// The PoPs that may carry content of this residency.
    #[must_use]
    pub fn pops_for(&self, residency: Residency) -> Vec<&'static str> {
        let allowed = POPS
            .iter()
            .filter(|pop| residency.allows_country(Some(pop.country)));
        allowed.map(|pop| pop.id).collect()
    }

    /// A PoP's base URL, as viewers type it; empty for a PoP that does not exist.
    #[must_use]
    pub fn pop_url(&self, pop: &str) -> String {
        self.addresses.pop_url(pop)
    }

    /// Where a process tells how it is: the base of `/metrics` and `/readyz`.
    ///
    /// # Errors
    /// When there is no such process.
    pub fn admin_url(&self, name: &str) -> Result<String, ClusterError> {
        Ok(format!("http://{}", self.addresses.admin(name)?))
    }

    /// A process's id while it runs.
    #[must_use]
    pub fn pid(&self, name: &str) -> Option<u32> {
        self.processes.get(name)?.pid()
    }

    fn process(&mut self, name: &str) -> Result<&mut Process, ClusterError> {
        let known = self.names().join(", ");
        self.processes.get_mut(name).ok_or_else(|| {
            ClusterError::Broken(format!("there is no process {name:?}; there are {known}"))
        })
    }

    /// Ends a process as a crash would.
    ///
    /// # Errors
    /// When there is no such process.
    pub fn kill(&mut self, name: &str) -> Result<(), ClusterError> {
        self.process(name)?.kill();
        Ok(())
    }

    /// Starts a process again and waits until it is ready.
    ///
    /// # Errors
    /// When there is no such process or it does not become ready.
    pub async fn restart(&mut self, name: &str) -> Result<(), ClusterError> {
        let http = self.http.clone();
        let process = self.process(name)?;
        process.start_again()?;
        process.ready(&http, READY_LIMIT).await
    }

    /// Cuts every link between the regions, those of edges to the other region's origin among them.
    pub fn cut_regions(&self) {
        self.links.iter().for_each(Link::cut);
    }

    /// Mends them.
    pub fn mend_regions(&self) {
        self.links.iter().for_each(Link::mend);
    }

    /// How often an item was published: events in its home region's log.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub async fn published_count(&self, content_id: &str) -> Result<usize, ClusterError> {
        published::count(&self.layout, &self.addresses, content_id).await
    }

    /// Asks every process to stop, edges first, and returns the names of those that had to be killed.
    pub async fn stop(&mut self) -> Vec<String> {
        let is_edge = |name: &str| POPS.iter().any(|pop| pop.id == name);
        let is_worker = |name: &str| name.starts_with("media-");
        let mut order = self.names();
        order.sort_by_key(|name| (!is_edge(name), !is_worker(name)));
        let mut stubborn = Vec::new();
        for name in order {
            if let Some(mut process) = self.processes.remove(&name) {
                let running = process.is_running();
                let status = process.stop(STOP_LIMIT).await;
                if running && !status.is_some_and(|status| status.success()) {
                    stubborn.push(name);
                }
            }
        }
        stubborn
    }
}
