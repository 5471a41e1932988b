//! The configuration files of a cluster's processes.

use std::fs;
use std::path::Path;

use mcsp_identity::{DNS_SUFFIX, EDGE_NAMESPACE};
use serde_json::{Value, json};

use crate::addresses::Addresses;
use crate::certificates;
use crate::error::ClusterError;
use crate::topology::{Layout, POPS, Pop, REGIONS, Region};

/// What happens to an item before it is published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Moderation {
    /// Published without review; for one machine only.
    #[default]
    Off,
    /// Held for a person.
    Hold,
}

/// The bytes that one edge of a cluster may hold in memory: seven processes share the machine.
const EDGE_MEMORY_BYTES: u64 = 256 << 20;

fn server_name(region: &str) -> String {
    format!("origin.{region}.{DNS_SUFFIX}")
}

fn identity(layout: &Layout, namespace: &str, account: &str) -> Value {
    let files = certificates::files(layout, namespace, account);
    json!({"cert_file": files.cert_file, "key_file": files.key_file, "ca_file": files.ca_file})
}

/// Where the origin puts the credentials with which the region's worker reaches object storage.
fn worker_credentials(layout: &Layout, region: &Region) -> std::path::PathBuf {
    layout
        .home(&format!("media-{}", region.id))
        .join("credentials.toml")
}

fn origin(
    layout: &Layout,
    addresses: &Addresses,
    region: &Region,
    moderation: Moderation,
) -> Result<Value, ClusterError> {
    let name = format!("origin-{}", region.id);
    let own = addresses.own(region.id)?;
    let mut peers = serde_json::Map::new();
    for peer in REGIONS.iter().filter(|peer| peer.id != region.id) {
        let address = addresses.reached_from(region.id, peer.id)?.rpc.to_string();
        peers.insert(peer.id.to_owned(), json!({"address": address}));
    }
    let moderation = match moderation {
        Moderation::Off => "off",
        Moderation::Hold => "hold",
    };
    Ok(json!({
        "region": region.id,
        "data_dir": layout.home(&name),
        "pops_dir": layout.pops(),
        "identity": identity(layout, region.id, "origin"),
        "listen": {
            "rpc": own.rpc.to_string(),
            "s3": own.s3.to_string(),
            "admin": addresses.admin(&name)?.to_string(),
        },
        "storage": {"worker_credentials_file": worker_credentials(layout, region)},
        "peers": peers,
        "content": {"moderation": moderation},
        "web": {"site_dir": layout.site},
    }))
}

fn worker(layout: &Layout, addresses: &Addresses, region: &Region) -> Result<Value, ClusterError> {
    let name = format!("media-{}", region.id);
    let own = addresses.own(region.id)?;
    let server = server_name(region.id);
    let bucket = |bucket: &str| {
        json!({
            "uri": format!("s3://{}?server_name={server}", own.s3),
            "bucket": bucket,
            "credentials_file": worker_credentials(layout, region),
        })
    };
    let mut objects = json!({"global": bucket("mcsp-global")});
    if region.country == "NG" {
        objects["ng"] = bucket("mcsp-ng");
    }
    Ok(json!({
        "region": {"id": region.id, "code": region.code, "country": region.country},
        "identity": identity(layout, region.id, "media"),
        "events": format!("mcsp://{}/{server}", own.rpc),
        "objects": objects,
        "database": format!("sqlite:{}", layout.home(&name).join("media.db").display()),
        "scratch": {"dir": layout.home(&name).join("scratch")},
        "admin": {"address": addresses.admin(&name)?.to_string()},
    }))
}

fn edge(layout: &Layout, addresses: &Addresses, pop: &Pop) -> Result<Value, ClusterError> {
    let mut regions = Vec::new();
    for region in &REGIONS {
        let reached = addresses.reached_from(pop.region, region.id)?;
        regions.push(json!({
            "id": region.id,
            "origin": [reached.rpc.to_string()],
            "origin_server_name": server_name(region.id),
            "storage": [reached.s3.to_string()],
            "storage_server_name": server_name(region.id),
        }));
    }
    Ok(json!({
        "pop": pop.id,
        "pops_dir": layout.pops(),
        "state_dir": layout.home(pop.id),
        "geo_database": layout.countries(),
        "identity": identity(layout, EDGE_NAMESPACE, pop.id),
        "admin": {"address": addresses.admin(pop.id)?.to_string()},
        "listener": [{"address": addresses.public(pop.id)?.to_string(), "tls": false}],
        "cache": {"memory_bytes": EDGE_MEMORY_BYTES},
        // What else the machine does is no viewer's concern.
        "limits": {"shed": {"lag_ms": 10_000}},
        "proxy": {"upstream": {"region": regions}},
    }))
}

/// Writes a configuration file.
pub(crate) fn write_toml(path: &Path, value: &Value) -> Result<(), ClusterError> {
    let text = toml::to_string(value)
        .map_err(|error| ClusterError::Broken(format!("{}: {error}", path.display())))?;
    fs::write(path, text).map_err(|source| ClusterError::file(path, source))
}

/// Writes the configuration of every process.
pub(crate) fn write(
    layout: &Layout,
    addresses: &Addresses,
    moderation: Moderation,
) -> Result<(), ClusterError> {
    for region in &REGIONS {
        let origin = origin(layout, addresses, region, moderation)?;
        write_toml(&layout.config(&format!("origin-{}", region.id)), &origin)?;
        let worker = worker(layout, addresses, region)?;
        write_toml(&layout.config(&format!("media-{}", region.id)), &worker)?;
    }
    for pop in &POPS {
        write_toml(&layout.config(pop.id), &edge(layout, addresses, pop)?)?;
    }
    Ok(())
}
