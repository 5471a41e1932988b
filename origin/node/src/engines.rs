//! Opens the engines that the process's roles need.

use std::path::Path;
use std::time::Duration;

use mcsp_api::Residency;
use mcsp_api::events::TOPICS;
use mcsp_db::Db;
use mcsp_events::{EventsOptions, SharedEventLog};
use mcsp_kv::{KvOptions, SharedKv};
use mcsp_objects::{FileEngine, ObjectsOptions, S3Endpoint, SharedObjects};
use mcsp_pop_config::CountryCode;
use mcsp_runtime::EngineUri;

use crate::accounts::{self, Holder};
use crate::config::{EngineUris, Role};
use crate::{NodeError, Site, files};

/// How long a start waits for an event log in another process.
const TOPICS_TRIES: u32 = 20;
const TOPICS_PAUSE: Duration = Duration::from_millis(500);

/// The engines of a process; `None` where no role needs one.
#[derive(Debug)]
pub struct Engines {
    pub(crate) auth_db: Option<Db>,
    pub(crate) upload_db: Option<Db>,
    pub(crate) content_db: Option<Db>,
    pub(crate) feed_db: Option<Db>,
    pub(crate) events: Option<SharedEventLog>,
    pub(crate) kv: Option<SharedKv>,
    pub(crate) storage: Option<Storage>,
}

/// Object storage, here or elsewhere.
#[derive(Debug)]
pub(crate) enum Storage {
    /// This process owns the folder.
    Here(Box<S3Endpoint>),
    /// Another process does.
    Elsewhere(String),
}

/// Opens the engines and makes the topics.
///
/// # Errors
/// [`NodeError`] of the engine that cannot be opened.
pub async fn open_engines(site: &Site) -> Result<Engines, NodeError> {
    let config = &site.config;
    files::private_dir(&config.data_dir)?;
    let uris = config.engine_uris().map_err(NodeError::Config)?;
    let engines = Engines {
        auth_db: open_db(uris.auth_db.as_deref()).await?,
        upload_db: open_db(uris.upload_db.as_deref()).await?,
        content_db: open_db(uris.content_db.as_deref()).await?,
        feed_db: open_db(uris.feed_db.as_deref()).await?,
        events: open_events(site, uris.events.as_deref()).await?,
        kv: open_kv(site, uris.kv.as_deref()).await?,
        storage: open_storage(site, &uris).await?,
    };
    if let Some(log) = &engines.events {
        make_topics(log).await?;
    }
    Ok(engines)
}

async fn open_db(uri: Option<&str>) -> Result<Option<Db>, NodeError> {
    match uri {
        Some(uri) => Ok(Some(Db::open(uri).await?)),
        None => Ok(None),
    }
}

async fn open_events(site: &Site, uri: Option<&str>) -> Result<Option<SharedEventLog>, NodeError> {
    let Some(uri) = uri else { return Ok(None) };
    let options = EventsOptions {
        clock: site.clock.clone(),
        identity: Some(site.identity.clone()),
    };
    Ok(Some(mcsp_events::open(uri, options).await?))
}

async fn open_kv(site: &Site, uri: Option<&str>) -> Result<Option<SharedKv>, NodeError> {
    let Some(uri) = uri else { return Ok(None) };
    let options = KvOptions {
        clock: site.clock.clone(),
        identity: Some(site.identity.clone()),
    };
    Ok(Some(mcsp_kv::open(uri, options).await?))
}

async fn open_storage(site: &Site, uris: &EngineUris) -> Result<Option<Storage>, NodeError> {
    let Some(uri) = &uris.objects else {
        return Ok(None);
    };
    if !site.config.roles.has(Role::Storage) {
        return Ok(Some(Storage::Elsewhere(uri.clone())));
    }
    let parsed =
        EngineUri::parse(uri).map_err(|error| NodeError::engine("engines.objects", error))?;
    let engine = FileEngine::open(
        Path::new(&parsed.rest),
        site.clock.clone(),
        site.entropy.clone(),
    )
    .await?;
    let has_ng = has_ng(site);
    engine
        .create_bucket(&site.config.upload.bucket_global)
        .await?;
    if has_ng {
        engine.create_bucket(&site.config.upload.bucket_ng).await?;
    }
    let pops = site.references.pops.clone();
    let is_in_nigeria = move |pop: &str| {
        pops.get(pop)
            .is_some_and(|pop| pop.country == CountryCode::NIGERIA)
    };
    let accounts = accounts::provision(&site.config, has_ng, &*site.entropy)?
        .carried_by(&site.config.upload.bucket_ng, move |peer| {
            !peer.is_edge() || is_in_nigeria(peer.0.account())
        });
    let endpoint = S3Endpoint::with_config(engine, accounts, site.config.storage.endpoint);
    Ok(Some(Storage::Here(Box::new(endpoint))))
}

/// The bucket of `NG` content is in Nigeria and nowhere else.
fn has_ng(site: &Site) -> bool {
    site.references.region.country == CountryCode::NIGERIA
}

/// The topics of every release are there before anything is produced. A log in another process may still be starting.
async fn make_topics(log: &SharedEventLog) -> Result<(), NodeError> {
    for topic in TOPICS {
        let retention = Duration::from_secs(u64::from(topic.retention_days) * 86_400);
        let mut tries = 0;
        loop {
            tries += 1;
            match log
                .ensure_topic(topic.name, topic.partitions, retention)
                .await
            {
                Ok(()) => break,
                Err(error) if error.is_retryable() && tries < TOPICS_TRIES => {
                    tracing::warn!(%error, topic = topic.name, tries, "the event log is not there yet");
                    tokio::time::sleep(TOPICS_PAUSE).await;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(())
}

/// Object storage as one holder sees it: a client for each residency, with an account of its own.
#[derive(Debug, Clone)]
pub(crate) struct HolderObjects {
    pub(crate) ng: Option<SharedObjects>,
    pub(crate) global: SharedObjects,
}

impl Storage {
    /// The clients of `holder`.
    pub(crate) async fn of(&self, site: &Site, holder: Holder) -> Result<HolderObjects, NodeError> {
        let path = holder.path(&site.config);
        let missing = || NodeError::Secrets {
            path: path.clone(),
            reason: "expected the credentials that the process with the role storage made"
                .to_owned(),
        };
        let file = accounts::read(&path)?.ok_or_else(missing)?;
        let ng = match file.ng.filter(|_| has_ng(site)) {
            Some(credentials) => Some(self.client(site, &credentials).await?),
            None => None,
        };
        Ok(HolderObjects {
            ng,
            global: self.client(site, &file.global).await?,
        })
    }

    async fn client(
        &self,
        site: &Site,
        credentials: &accounts::Credentials,
    ) -> Result<SharedObjects, NodeError> {
        match self {
            Self::Here(endpoint) => {
                Ok(endpoint.in_process_client(&credentials.access_key, &credentials.secret))
            }
            Self::Elsewhere(uri) => {
                let mut options = ObjectsOptions::new(
                    Some(site.identity.clone()),
                    credentials.access_key.clone(),
                    credentials.secret.clone(),
                );
                options.clock = site.clock.clone();
                options.entropy = site.entropy.clone();
                Ok(mcsp_objects::open(uri, &options).await?)
            }
        }
    }
}

impl Engines {
    /// The bucket to ask how storage is.
    pub(crate) fn probe_bucket(site: &Site) -> String {
        site.config.upload.bucket(Residency::Global).to_owned()
    }
}
