//! Names of servers: which certificate answers to which.

use std::collections::HashMap;
use std::sync::Arc;

use rustls::sign::CertifiedKey;

/// Certificates by name: exact names, and wildcards of one left-most label (RFC 6125 section 6.4.3).
#[derive(Debug)]
pub(crate) struct Names {
    exact: HashMap<String, Arc<CertifiedKey>>,
    /// By what follows `*.`.
    wildcard: HashMap<String, Arc<CertifiedKey>>,
    default: Arc<CertifiedKey>,
}

impl Names {
    pub(crate) fn new(default: Arc<CertifiedKey>) -> Self {
        Self {
            exact: HashMap::new(),
            wildcard: HashMap::new(),
            default,
        }
    }

    /// Adds a certificate under each of its names; the first certificate to claim a name keeps it.
    pub(crate) fn add(&mut self, names: &[String], certified: &Arc<CertifiedKey>) {
        for name in names {
            let name = name.to_ascii_lowercase();
            let (map, key) = match name.strip_prefix("*.") {
                Some(parent) => (&mut self.wildcard, parent.to_owned()),
                None => (&mut self.exact, name),
            };
            map.entry(key).or_insert_with(|| Arc::clone(certified));
        }
    }

    /// The certificate for what the client asked for.
    pub(crate) fn pick(&self, server_name: Option<&str>) -> Arc<CertifiedKey> {
        let found = server_name.and_then(|name| {
            let name = name.trim_end_matches('.').to_ascii_lowercase();
            let parent = name.split_once('.').map(|(_, parent)| parent);
            self.exact
                .get(&name)
                .or_else(|| self.wildcard.get(parent?))
                .map(Arc::clone)
        });
        found.unwrap_or_else(|| Arc::clone(&self.default))
    }
}
