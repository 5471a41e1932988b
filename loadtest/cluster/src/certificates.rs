//! The machine's own certificate authority, and a certificate for each workload.

use std::path::PathBuf;

use mcsp_identity::{EDGE_NAMESPACE, IdentityConfig, LocalCa, SpiffeId};

use crate::error::ClusterError;
use crate::topology::{Layout, POPS, REGIONS, TRUST_DOMAIN};

/// Services that call others under their own names, the worker, and the person who operates.
const ACCOUNTS: [&str; 7] = [
    "origin", "auth", "upload", "content", "playback", "media", "operator",
];

fn identity_error(error: impl std::fmt::Display) -> ClusterError {
    ClusterError::Identity(error.to_string())
}

fn issue_one(
    ca: &LocalCa,
    layout: &Layout,
    namespace: &str,
    account: &str,
) -> Result<(), ClusterError> {
    let id = SpiffeId::new(TRUST_DOMAIN, namespace, account).map_err(identity_error)?;
    let folder = layout.identity(namespace, account);
    ca.issue(&id, &[], &folder).map_err(identity_error)?;
    Ok(())
}

/// Issues every certificate anew.
pub(crate) fn issue(layout: &Layout) -> Result<(), ClusterError> {
    let ca = LocalCa::create_or_open(&layout.authority()).map_err(identity_error)?;
    for region in &REGIONS {
        for account in ACCOUNTS {
            issue_one(&ca, layout, region.id, account)?;
        }
    }
    for pop in &POPS {
        issue_one(&ca, layout, EDGE_NAMESPACE, pop.id)?;
    }
    Ok(())
}

/// Where a workload's certificate, key and authority are.
pub(crate) fn files(layout: &Layout, namespace: &str, account: &str) -> IdentityConfig {
    let file = |name: &str| -> PathBuf { layout.identity(namespace, account).join(name) };
    IdentityConfig {
        cert_file: file("cert.pem"),
        key_file: file("key.pem"),
        ca_file: file("ca.pem"),
    }
}
