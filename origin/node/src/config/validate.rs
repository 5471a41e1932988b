//! Every value, checked before anything is opened.

use std::fmt::Display;
use std::path::Path;

use mcsp_identity::CallerTable;
use mcsp_media_origin::{BUCKET_GLOBAL, BUCKET_NG};
use mcsp_pop_config::{PopSet, RegionConfig};

use super::{Config, Role};
use crate::NodeError;

impl Config {
    /// Checks every value by itself and against the others. Opens nothing.
    ///
    /// # Errors
    /// [`NodeError::Config`] with one line for each fault: the key, the value and what was expected.
    pub fn validate(&self) -> Result<(), NodeError> {
        let mut faults = self.engine_uris().err().unwrap_or_default();
        let mut check = |result: Result<(), String>| faults.extend(result.err());

        check(is_name("region", &self.region));
        check(absolute("data_dir", &self.data_dir));
        check(within("stop_timeout_ms", self.stop_timeout_ms, 0, 600_000));
        let ratio = self.log.trace_sample_ratio;
        if !(0.0..=1.0).contains(&ratio) {
            check(Err(format!(
                "log.trace_sample_ratio = {ratio}: expected 0 to 1"
            )));
        }
        if !self.listen.admin.ip().is_loopback() {
            check(Err(format!(
                "listen.admin = {}: expected a loopback address: it has no TLS",
                self.listen.admin
            )));
        }
        check(of("limits", self.limits.validate()));
        check(of("calls", self.calls.validate()));
        check(of("storage.endpoint", self.storage.endpoint.validate()));
        check(text(self.media_keys.validate()));
        check(text(self.residency.validate()));
        check(text(self.auth.validate()));
        check(text(self.upload.validate()));
        check(text(self.playback.validate()));
        if self.playback.url_life_s > self.media_keys.token_life_max_s {
            check(Err(format!(
                "playback.url_life_s = {}: expected at most media_keys.token_life_max_s ({})",
                self.playback.url_life_s, self.media_keys.token_life_max_s
            )));
        }
        // The media origin knows these two, and keeps them apart by name.
        check(is_same(
            "upload.bucket_ng",
            &self.upload.bucket_ng,
            BUCKET_NG,
        ));
        check(is_same(
            "upload.bucket_global",
            &self.upload.bucket_global,
            BUCKET_GLOBAL,
        ));
        for id in self.peers.keys() {
            check(is_name("peers", id));
            if *id == self.region {
                check(Err(format!(
                    "peers.{id}: expected another region than this one"
                )));
            }
        }
        self.check_roles(&mut check);
        finish(faults)
    }

    fn check_roles(&self, check: &mut impl FnMut(Result<(), String>)) {
        let has = |role| self.roles.has(role);
        if has(Role::Playback) != has(Role::Feed) {
            check(Err(
                "roles: expected playback and feed in one process: the keys that sign media URLs are published there"
                    .to_owned(),
            ));
        }
        if (has(Role::Upload) || has(Role::Playback))
            && !has(Role::Content)
            && self.remote.content.is_none()
        {
            check(Err(
                "remote.content is missing: expected { address = \"host:port\" } because the role content is not in \
                 this process"
                    .to_owned(),
            ));
        }
        if has(Role::Web) && !self.roles.is_all() && self.web.site_dir.is_none() {
            check(Err(
                "web.site_dir is missing: expected a folder because of the role web".to_owned(),
            ));
        }
    }

    /// Checks what the configuration points at: manifests, the region in them, the caller table, the page's folder.
    ///
    /// # Errors
    /// [`NodeError::Config`] with one line for each fault.
    pub fn load_references(&self) -> Result<References, NodeError> {
        let mut faults = Vec::new();
        let pops = PopSet::load_dir(&self.pops_dir)
            .map_err(|error| faults.push(format!("pops_dir = {:?}: {error}", self.pops_dir)))
            .ok();
        let region = pops
            .as_ref()
            .and_then(|pops| pops.region(&self.region))
            .cloned();
        if let (Some(pops), None) = (&pops, &region) {
            let known: Vec<_> = pops
                .regions()
                .iter()
                .map(|region| region.id.as_str())
                .collect();
            faults.push(format!(
                "region = {:?}: expected one of regions.toml: {}",
                self.region,
                known.join(", ")
            ));
        }
        for id in self.peers.keys() {
            if pops.as_ref().is_some_and(|pops| pops.region(id).is_none()) {
                faults.push(format!("peers.{id}: expected a region of regions.toml"));
            }
        }
        let callers = self.load_callers().map_err(|fault| faults.push(fault)).ok();
        if let Some(dir) = &self.web.site_dir
            && self.roles.has(Role::Web)
            && !dir.join("index.html").is_file()
        {
            faults.push(format!(
                "web.site_dir = {dir:?}: expected a folder with index.html"
            ));
        }
        match (pops, region, callers) {
            (Some(pops), Some(region), Some(callers)) if faults.is_empty() => Ok(References {
                pops,
                region,
                callers,
            }),
            _ => Err(NodeError::Config(faults)),
        }
    }

    fn load_callers(&self) -> Result<CallerTable, String> {
        let Some(path) = &self.callers_file else {
            return CallerTable::embedded().map_err(|error| error.to_string());
        };
        let fault = |error: &dyn Display| format!("callers_file = {path:?}: {error}");
        let text = std::fs::read_to_string(path).map_err(|error| fault(&error))?;
        CallerTable::from_toml(&text).map_err(|error| fault(&error))
    }
}

/// What the configuration points at, read.
#[derive(Debug, Clone)]
pub struct References {
    /// All PoPs and regions.
    pub pops: PopSet,
    /// This region.
    pub region: RegionConfig,
    /// Who may call what.
    pub callers: CallerTable,
}

fn finish(faults: Vec<String>) -> Result<(), NodeError> {
    if faults.is_empty() {
        Ok(())
    } else {
        Err(NodeError::Config(faults))
    }
}

fn text<E: Display>(result: Result<(), E>) -> Result<(), String> {
    result.map_err(|error| error.to_string())
}

fn of<E: Display>(table: &str, result: Result<(), E>) -> Result<(), String> {
    result.map_err(|error| format!("{table}.{error}"))
}

fn within(key: &str, value: u64, min: u64, max: u64) -> Result<(), String> {
    if (min..=max).contains(&value) {
        return Ok(());
    }
    Err(format!("{key} = {value}: expected {min} to {max}"))
}

fn is_same(key: &str, value: &str, expected: &str) -> Result<(), String> {
    if value == expected {
        return Ok(());
    }
    Err(format!("{key} = {value:?}: expected {expected:?}"))
}

fn absolute(key: &str, path: &Path) -> Result<(), String> {
    if path.is_absolute() {
        return Ok(());
    }
    Err(format!("{key} = {path:?}: expected an absolute path"))
}

/// A name that is safe in certificates, host names and paths.
fn is_name(key: &str, name: &str) -> Result<(), String> {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if (2..=32).contains(&name.len())
        && name.bytes().all(inner)
        && !name.starts_with('-')
        && !name.ends_with('-')
        && name != mcsp_identity::EDGE_NAMESPACE
    {
        return Ok(());
    }
    Err(format!(
        "{key} = {name:?}: expected 2 to 32 of a-z, 0-9 and -"
    ))
}
