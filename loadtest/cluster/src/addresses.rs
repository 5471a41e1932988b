//! Who listens where, and who reaches whom by which address.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};

use crate::error::ClusterError;
use crate::ports::Ports;
use crate::topology::{Layout, POPS, REGIONS};

/// One region's listeners, as someone sees them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RegionAddresses {
    /// REST, gRPC, media and pages, mutual TLS.
    pub(crate) rpc: SocketAddr,
    /// Object storage, mutual TLS.
    pub(crate) s3: SocketAddr,
}

/// Every address of a cluster.
#[derive(Debug)]
pub(crate) struct Addresses {
    own: BTreeMap<String, RegionAddresses>,
    from_other_region: BTreeMap<String, RegionAddresses>,
    admin: BTreeMap<String, SocketAddr>,
    public: BTreeMap<String, SocketAddr>,
}

fn missing(what: &str, name: &str) -> ClusterError {
    ClusterError::Broken(format!("the cluster has no {what} {name:?}"))
}

impl Addresses {
    /// Ports for everyone; those of the last time where they are free.
    pub(crate) fn assign(layout: &Layout, known_ports: bool) -> Result<Self, ClusterError> {
        let file = layout.data_dir.join("ports.json");
        let mut ports = Ports::load(&file);
        let mut at = |name: &str, wanted: Option<u16>| -> Result<SocketAddr, ClusterError> {
            Ok(SocketAddr::from((
                Ipv4Addr::LOCALHOST,
                ports.named(name, wanted)?,
            )))
        };
        let (mut own, mut admin, mut public) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        for region in &REGIONS {
            let addresses = RegionAddresses {
                rpc: at(&format!("origin-{}-rpc", region.id), None)?,
                s3: at(&format!("origin-{}-s3", region.id), None)?,
            };
            own.insert(region.id.to_owned(), addresses);
            for process in [
                format!("origin-{}", region.id),
                format!("media-{}", region.id),
            ] {
                admin.insert(process.clone(), at(&format!("{process}-admin"), None)?);
            }
        }
        for pop in &POPS {
            admin.insert(pop.id.to_owned(), at(&format!("{}-admin", pop.id), None)?);
            public.insert(
                pop.id.to_owned(),
                at(pop.id, known_ports.then_some(pop.port))?,
            );
        }
        ports.save(&file)?;
        Ok(Self {
            from_other_region: own.clone(),
            own,
            admin,
            public,
        })
    }

    /// The addresses by which the other region reaches this one, to be replaced by those of links.
    pub(crate) fn crossing(&mut self, region: &str) -> Result<[&mut SocketAddr; 2], ClusterError> {
        let addresses = self.from_other_region.get_mut(region);
        let addresses = addresses.ok_or_else(|| missing("region", region))?;
        Ok([&mut addresses.rpc, &mut addresses.s3])
    }

    /// Where a region listens.
    pub(crate) fn own(&self, region: &str) -> Result<RegionAddresses, ClusterError> {
        self.own
            .get(region)
            .copied()
            .ok_or_else(|| missing("region", region))
    }

    /// Where someone in `from` reaches `region`.
    pub(crate) fn reached_from(
        &self,
        from: &str,
        region: &str,
    ) -> Result<RegionAddresses, ClusterError> {
        if from == region {
            return self.own(region);
        }
        let addresses = self.from_other_region.get(region);
        addresses.copied().ok_or_else(|| missing("region", region))
    }

    /// Where a process tells how it is.
    pub(crate) fn admin(&self, process: &str) -> Result<SocketAddr, ClusterError> {
        self.admin
            .get(process)
            .copied()
            .ok_or_else(|| missing("process", process))
    }

    /// Where viewers reach a PoP.
    pub(crate) fn public(&self, pop: &str) -> Result<SocketAddr, ClusterError> {
        self.public
            .get(pop)
            .copied()
            .ok_or_else(|| missing("PoP", pop))
    }

    /// A PoP's base URL: `localhost`, which browsers hold for a secure context without a certificate.
    pub(crate) fn pop_url(&self, pop: &str) -> String {
        self.public.get(pop).map_or_else(String::new, |address| {
            format!("http://localhost:{}", address.port())
        })
    }
}
