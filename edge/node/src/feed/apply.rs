//! What each entry of the feed does to the node.

use std::collections::BTreeSet;
use std::sync::Arc;

use mcsp_api::proto::feed::feed_entry::Change;
use mcsp_api::proto::feed::purge::Target;
use mcsp_api::proto::feed::{FeedEntry, MediaKey, Purge};
use mcsp_auth_edge::{MediaAlgorithm, MediaKeyMaterial, MediaKeyring, Revocations, TokenVerifier};
use mcsp_edge_cache::engine::{Cache, Purge as CachePurge, PurgeSelector};
use mcsp_pop_config::PopSet;
use mcsp_runtime::SharedClock;

use super::journal::Journal;
use crate::metrics::NodeMetrics;

/// How a region disowns all its keys.
const NO_KEYS: &str = "{\"keys\":[]}";

/// Applies entries, and remembers what must be kept of them.
#[derive(Debug)]
pub(crate) struct Applier {
    pub(crate) cache: Cache,
    pub(crate) keyring: Arc<MediaKeyring>,
    pub(crate) verifier: Arc<TokenVerifier>,
    pub(crate) revocations: Arc<Revocations>,
    pub(crate) clock: SharedClock,
    /// Regions of whose token keys the feed has the last word.
    pub(crate) confirmed: Vec<String>,
    /// Tells the regions' codes, and whose secrets this PoP may hold.
    pub(crate) pops: Arc<PopSet>,
    /// The PoP's id.
    pub(crate) pop: String,
    pub(crate) metrics: NodeMetrics,
    pub(crate) journal: Journal,
    /// Regions whose keys the verifier holds.
    pub(crate) regions: BTreeSet<String>,
    /// A snapshot is on its way: what the journal lacks at its end is void.
    pub(crate) is_rebuilding: bool,
}

impl Applier {
    /// Goes on with what an earlier run kept.
    pub(crate) fn restore(&mut self, journal: Journal) {
        for (region, jwks) in &journal.key_sets {
            if self.verifier.set_keys(region, jwks).is_ok() {
                self.regions.insert(region.clone());
            }
        }
        if let Err(error) = self
            .keyring
            .replace(journal.media_keys.values().cloned().collect())
        {
            tracing::error!(%error, "kept media keys cannot be used");
        }
        for (id, expires_s) in &journal.media_sessions {
            if let Ok(id) = id.parse() {
                self.revocations.revoke_media_session(&id, *expires_s);
            }
        }
        for (id, expires_s) in &journal.user_sessions {
            self.revocations.revoke_user_session(id, *expires_s);
        }
        self.journal = journal;
    }

    /// The feed is followed: what it said of token keys is still so.
    pub(crate) fn confirm_keys(&self) {
        for region in &self.confirmed {
            self.verifier.confirm_keys(region);
        }
    }

    /// The feed starts over. Purges may have been missed, so everything cached is revalidated before it is served
    /// again. Keys and revocations stay until the snapshot is whole: a node does not turn viewers away meanwhile.
    pub(crate) fn reset(&mut self) {
        self.journal = Journal::default();
        self.is_rebuilding = true;
        self.cache.purge(&CachePurge {
            selector: PurgeSelector::Everything,
            soft: true,
        });
    }

    /// The snapshot is whole: what it lacks is void. Revocations only ever add up.
    pub(crate) fn complete(&mut self) {
        if !std::mem::take(&mut self.is_rebuilding) {
            return;
        }
        if let Err(error) = self
            .keyring
            .replace(self.journal.media_keys.values().cloned().collect())
        {
            tracing::error!(%error, "media keys of the snapshot cannot be used; the former ones stay");
        }
        let disowned: Vec<String> = self
            .regions
            .iter()
            .filter(|region| !self.journal.key_sets.contains_key(*region))
            .cloned()
            .collect();
        for region in disowned {
            if let Err(error) = self.verifier.set_keys(&region, NO_KEYS) {
                tracing::error!(%error, region, "a region's token keys could not be dropped");
            }
            self.regions.remove(&region);
        }
    }

    /// Carries out an entry. One that cannot be carried out is counted and logged; the feed goes on.
    pub(crate) fn apply(&mut self, entry: FeedEntry) {
        let sequence = entry.sequence;
        let (change, result) = self.carry_out(entry);
        let outcome = if result.is_ok() { "applied" } else { "refused" };
        self.metrics
            .feed_entries
            .with_label_values(&[change, outcome])
            .inc();
        match result {
            Ok(()) => tracing::debug!(sequence, change, "feed entry applied"),
            Err(reason) => tracing::error!(sequence, change, reason, "feed entry refused"),
        }
    }

    fn carry_out(&mut self, entry: FeedEntry) -> (&'static str, Result<(), String>) {
        let now_s = self.clock.now_s();
        match entry.change {
            Some(Change::Purge(purge)) => ("purge", self.purge(purge)),
            Some(Change::RevokeMediaSession(revoke)) => {
                let result = revoke.media_session_id.parse().map(|id| {
                    self.revocations.revoke_media_session(&id, revoke.expires_s);
                    let sessions = &mut self.journal.media_sessions;
                    Journal::end_session(
                        sessions,
                        revoke.media_session_id,
                        revoke.expires_s,
                        now_s,
                    );
                });
                (
                    "revoke_media_session",
                    result.map_err(|error| error.to_string()),
                )
            }
            Some(Change::RevokeUserSession(revoke)) => {
                self.revocations
                    .revoke_user_session(&revoke.user_session_id, revoke.expires_s);
                let sessions = &mut self.journal.user_sessions;
                Journal::end_session(sessions, revoke.user_session_id, revoke.expires_s, now_s);
                ("revoke_user_session", Ok(()))
            }
            Some(Change::TokenKeySet(keys)) => {
                let result = self
                    .verifier
                    .set_keys(&entry.region, &keys.jwks_json)
                    .map(|()| {
                        self.regions.insert(entry.region.clone());
                        self.journal.key_sets.insert(entry.region, keys.jwks_json);
                    });
                ("token_key_set", result.map_err(|error| error.to_string()))
            }
            Some(Change::MediaKey(key)) => ("media_key", self.media_key(&entry.region, key, now_s)),
            None => (
                "unknown",
                Err("a change that this build does not know".to_owned()),
            ),
        }
    }

    /// A key is for the content of the region that its entry is of, and a secret stays in its region: one that should
    /// not have come is neither used nor kept.
    fn media_key(&mut self, region: &str, key: MediaKey, now_s: i64) -> Result<(), String> {
        let code = self.pops.region(region).map(|region| region.code);
        let code = code.ok_or("a key of a region that the PoP configuration does not have")?;
        let algorithm = MediaAlgorithm::from_name(&key.algorithm).ok_or_else(|| {
            format!(
                "algorithm {:?}",
                key.algorithm.chars().take(32).collect::<String>()
            )
        })?;
        let is_secret = algorithm == MediaAlgorithm::HmacSha256;
        if is_secret && !self.pops.holds_signing_keys(&self.pop, region) {
            return Err("a key that signs, which this PoP may not hold".to_owned());
        }
        let material = MediaKeyMaterial {
            region: code,
            key_id: key.key_id,
            algorithm,
            key: key.key.to_vec(),
            not_before_s: key.not_before_s,
            not_after_s: key.not_after_s,
        };
        self.keyring
            .upsert(material.clone())
            .map_err(|error| error.to_string())?;
        let keys = &mut self.journal.media_keys;
        keys.retain(|_, held| held.not_after_s > now_s);
        keys.insert(format!("{code}:{}", material.key_id), material);
        Ok(())
    }

    fn purge(&mut self, purge: Purge) -> Result<(), String> {
        let soft = purge.soft;
        let selector = match purge.target {
            Some(Target::Key(key)) => PurgeSelector::Key(key.into()),
            // By its place in keys, whatever the origin said of surrogate keys, and by surrogate key.
            Some(Target::ContentId(id)) => PurgeSelector::ContentId(id.into()),
            Some(Target::SurrogateKey(key)) => PurgeSelector::SurrogateKey(key.into()),
            Some(Target::Prefix(prefix)) => PurgeSelector::Prefix(prefix.into()),
            // A kind of target that this build does not know: what it is about may be anything.
            Some(Target::Everything(true)) | None => PurgeSelector::Everything,
            Some(Target::Everything(false)) => {
                return Err("a purge without a target".to_owned());
            }
        };
        let kind = selector.kind();
        let report = self.cache.purge(&CachePurge { selector, soft });
        tracing::info!(
            kind,
            soft,
            objects = report.objects,
            fills = report.fills,
            "purged"
        );
        Ok(())
    }
}
