//! The engines' URIs: what is configured, or the embedded engine in the data folder.

use mcsp_runtime::EngineUri;

use super::{Config, Role};

/// The URIs of the engines this process uses; `None` where it needs none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineUris {
    /// The auth service's database.
    pub auth_db: Option<String>,
    /// The upload service's database.
    pub upload_db: Option<String>,
    /// The content service's database.
    pub content_db: Option<String>,
    /// The feed's: its nodes, and the audit log of purges.
    pub feed_db: Option<String>,
    /// The event log.
    pub events: Option<String>,
    /// The key-value store.
    pub kv: Option<String>,
    /// Object storage.
    pub objects: Option<String>,
}

/// An engine that may be in this process or elsewhere.
struct Placed<'a> {
    key: &'static str,
    configured: Option<&'a String>,
    /// The role that owns it.
    owner: Role,
    /// The roles that use it.
    users: &'static [Role],
    /// Schemes for the owner, the first for the default.
    embedded: &'static [&'static str],
    file: &'static str,
    /// Schemes for everyone else.
    remote: &'static [&'static str],
    /// May `faulty:` stand in front of the owner's engine?
    may_be_faulty: bool,
    example: &'static str,
}

impl Config {
    /// The URI of each engine that this process's roles need.
    ///
    /// # Errors
    /// One line for each key at fault.
    pub fn engine_uris(&self) -> Result<EngineUris, Vec<String>> {
        let mut faults = Vec::new();
        let uris = EngineUris {
            auth_db: self.database(
                Role::Auth,
                "auth",
                self.engines.auth_db.as_ref(),
                &mut faults,
            ),
            upload_db: self.database(
                Role::Upload,
                "upload",
                self.engines.upload_db.as_ref(),
                &mut faults,
            ),
            content_db: self.database(
                Role::Content,
                "content",
                self.engines.content_db.as_ref(),
                &mut faults,
            ),
            feed_db: self.database(
                Role::Feed,
                "feed",
                self.engines.feed_db.as_ref(),
                &mut faults,
            ),
            events: self.placed(
                &Placed {
                    key: "engines.events",
                    configured: self.engines.events.as_ref(),
                    owner: Role::Events,
                    users: &[
                        Role::Auth,
                        Role::Upload,
                        Role::Content,
                        Role::Playback,
                        Role::Feed,
                    ],
                    embedded: &["redb"],
                    file: "events.redb",
                    remote: &["mcsp"],
                    may_be_faulty: true,
                    example: "mcsp://host:port/server_name",
                },
                &mut faults,
            ),
            kv: self.placed(
                &Placed {
                    key: "engines.kv",
                    configured: self.engines.kv.as_ref(),
                    owner: Role::Kv,
                    users: &[Role::Auth, Role::Playback],
                    embedded: &["sled"],
                    file: "kv",
                    remote: &["mcsp"],
                    may_be_faulty: true,
                    example: "mcsp://host:port/server_name",
                },
                &mut faults,
            ),
            objects: self.placed(
                &Placed {
                    key: "engines.objects",
                    configured: self.engines.objects.as_ref(),
                    owner: Role::Storage,
                    users: &[Role::Upload, Role::MediaOrigin],
                    embedded: &["file"],
                    file: "objects",
                    remote: &["s3", "s3+https"],
                    // The endpoint stands on the folder itself; its clients may be faulty, elsewhere.
                    may_be_faulty: false,
                    example: "s3://host:port?server_name=origin.REGION.mcsp.internal",
                },
                &mut faults,
            ),
        };
        if faults.is_empty() {
            Ok(uris)
        } else {
            Err(faults)
        }
    }

    fn database(
        &self,
        owner: Role,
        name: &str,
        configured: Option<&String>,
        faults: &mut Vec<String>,
    ) -> Option<String> {
        if !self.roles.has(owner) {
            return None;
        }
        let uri = configured
            .cloned()
            .unwrap_or_else(|| format!("sqlite:{}/{name}.db", self.data_dir.display()));
        check_scheme(
            &format!("engines.{name}_db"),
            &uri,
            &["sqlite"],
            true,
            faults,
        );
        Some(uri)
    }

    fn placed(&self, engine: &Placed<'_>, faults: &mut Vec<String>) -> Option<String> {
        let is_owner = self.roles.has(engine.owner);
        if !is_owner && !engine.users.iter().any(|user| self.roles.has(*user)) {
            return None;
        }
        let embedded = || {
            let scheme = engine.embedded.first().copied().unwrap_or_default();
            format!("{scheme}:{}/{}", self.data_dir.display(), engine.file)
        };
        let uri = match (engine.configured, is_owner) {
            (Some(uri), _) => uri.clone(),
            (None, true) => embedded(),
            (None, false) => {
                faults.push(format!(
                    "{} is missing: expected {} because the role {} is not in this process",
                    engine.key,
                    engine.example,
                    engine.owner.as_str()
                ));
                return None;
            }
        };
        let schemes = if is_owner {
            engine.embedded
        } else {
            engine.remote
        };
        let may_be_faulty = engine.may_be_faulty || !is_owner;
        check_scheme(engine.key, &uri, schemes, may_be_faulty, faults);
        Some(uri)
    }
}

fn check_scheme(
    key: &str,
    uri: &str,
    schemes: &[&str],
    may_be_faulty: bool,
    faults: &mut Vec<String>,
) {
    let parsed = EngineUri::parse(uri).and_then(|outer| match outer.scheme.as_str() {
        "faulty" if may_be_faulty => EngineUri::parse(&outer.rest),
        _ => Ok(outer),
    });
    match parsed {
        Ok(parsed) if schemes.contains(&parsed.scheme.as_str()) => {}
        Ok(_) => faults.push(format!(
            "{key} = {uri:?}: expected one of {} with these roles",
            schemes.join(", ")
        )),
        Err(error) => faults.push(format!("{key}: {error}")),
    }
}
