//! Services, made of their parts, and their routes, put together.

mod parts;

use std::sync::Arc;

use axum::Router;
use mcsp_api::{Problem, ProblemKind};
use mcsp_audit::Audit;
use mcsp_auth_edge::MediaKeyStore;
use mcsp_db::Db;
use mcsp_events::SharedEventLog;
use mcsp_feed::{Feed, FeedOptions, FeedSources, Mirror, NodeTable, Purges, PurgesParts};
use mcsp_geo::residency::PolicyEngine;
use mcsp_kv::SharedKv;
use mcsp_media_origin::MediaOrigin;
use mcsp_objects::S3Endpoint;
use mcsp_pop_config::CountryCode;
use mcsp_svc_auth::{AuthParts, AuthService};
use mcsp_svc_content::{ContentEvents, ContentParts, ContentService};
use mcsp_svc_playback::{PlaybackParts, PlaybackService};
use mcsp_svc_upload::{ResidencyObjects, UploadEvents, UploadParts, UploadService};
use mcsp_telemetry::{TelemetryLayer, current_trace};
use tonic::service::{Routes, RoutesBuilder};

use crate::accounts::Holder;
use crate::config::Role;
use crate::engines::{Engines, Storage};
use crate::health::{Check, Need};
use crate::media_keys::MediaKeys;
use crate::supervise::BackgroundTask;
use crate::{NodeError, Site, web};

/// What a process serves and does, before it listens.
pub struct Composed {
    /// The services' REST routes.
    pub api: Option<Router>,
    /// Published media.
    pub media: Option<Router>,
    /// The pages.
    pub web: Option<Router>,
    /// Every gRPC service.
    pub grpc: Routes,
    /// Object storage.
    pub s3: Option<S3Endpoint>,
    /// The edge feed.
    pub feed: Option<Feed>,
    /// What runs in the background.
    pub tasks: Vec<BackgroundTask>,
    pub(crate) checks: Vec<Check>,
}

/// Makes every service of the process's roles.
///
/// # Errors
/// [`NodeError`] of the service that cannot take up service.
pub async fn compose(site: &Site, engines: Engines) -> Result<Composed, NodeError> {
    let mut composer = Composer {
        site,
        engines,
        api: None,
        grpc: RoutesBuilder::default(),
        tasks: Vec::new(),
        checks: Vec::new(),
    };
    composer.auth().await?;
    let content = composer.content().await?;
    composer.upload(content.as_ref()).await?;
    let feed = composer.feed_and_playback(content.as_ref()).await?;
    composer.engine_services();
    let media = composer.media().await?;
    let web = match &site.config.web.site_dir {
        Some(dir) if site.config.roles.has(Role::Web) => {
            Some(web::router(dir, &site.references.pops)?)
        }
        _ => None,
    };
    let s3 = match &composer.engines.storage {
        Some(Storage::Here(endpoint)) => Some(endpoint.as_ref().clone()),
        _ => None,
    };
    Ok(Composed {
        api: composer.api.map(finish_api),
        media,
        web,
        grpc: composer.grpc.routes(),
        s3,
        feed,
        tasks: composer.tasks,
        checks: composer.checks,
    })
}

/// What no service answers to is a problem document too, counted like the rest.
fn finish_api(api: Router) -> Router {
    api.fallback(async || {
        let problem = Problem::new(ProblemKind::NotFound);
        match current_trace() {
            Some(trace) => problem.trace_id(trace.trace_id_hex()),
            None => problem,
        }
    })
    .layer(TelemetryLayer::new("api"))
}

struct Composer<'a> {
    site: &'a Site,
    engines: Engines,
    api: Option<Router>,
    grpc: RoutesBuilder,
    tasks: Vec<BackgroundTask>,
    checks: Vec<Check>,
}

/// The engine that configuration has promised to a role; its absence is a mistake of this crate.
fn promised<T: Clone>(engine: Option<&T>, what: &'static str) -> Result<T, NodeError> {
    engine
        .cloned()
        .ok_or_else(|| NodeError::engine(what, "was not opened although a role needs it"))
}

impl Composer<'_> {
    fn has(&self, role: Role) -> bool {
        self.site.config.roles.has(role)
    }

    fn events(&self) -> Result<SharedEventLog, NodeError> {
        promised(self.engines.events.as_ref(), "engines.events")
    }

    fn kv(&self) -> Result<SharedKv, NodeError> {
        promised(self.engines.kv.as_ref(), "engines.kv")
    }

    fn serve_api(&mut self, router: Router) {
        self.api = Some(match self.api.take() {
            Some(there) => there.merge(router),
            None => router,
        });
    }

    async fn audit(&self, db: &Db) -> Result<Audit, NodeError> {
        Ok(Audit::open(
            db.clone(),
            self.site.clock.clone(),
            self.site.entropy.clone(),
        )
        .await?)
    }

    async fn auth(&mut self) -> Result<(), NodeError> {
        if !self.has(Role::Auth) {
            return Ok(());
        }
        let db = promised(self.engines.auth_db.as_ref(), "engines.auth_db")?;
        let service = AuthService::open(AuthParts {
            peers: self.peers()?,
            db: db.clone(),
            kv: self.kv()?,
            clock: self.site.clock.clone(),
            entropy: self.site.entropy.clone(),
            region: self.site.references.region.id.clone(),
            region_code: self.site.references.region.code,
            config: self.site.config.auth.clone(),
        })
        .await?;
        self.serve_api(mcsp_svc_auth::router(service.clone()));
        self.grpc.add_service(mcsp_svc_auth::grpc(service.clone()));
        self.grpc
            .add_service(mcsp_svc_auth::home_login(service.clone()));
        self.outbox("auth", &db)?;
        self.endless("auth-maintenance", move |shutdown| {
            let service = service.clone();
            async move { service.run_maintenance(shutdown).await }
        });
        self.check_db("auth_db", db);
        Ok(())
    }

    async fn content(&mut self) -> Result<Option<ContentService>, NodeError> {
        if !self.has(Role::Content) {
            return Ok(None);
        }
        let db = promised(self.engines.content_db.as_ref(), "engines.content_db")?;
        let service = ContentService::open(ContentParts {
            audit: self.audit(&db).await?,
            db: db.clone(),
            clock: self.site.clock.clone(),
            entropy: self.site.entropy.clone(),
            config: self.site.config.content.clone(),
        })
        .await?;
        self.serve_api(mcsp_svc_content::router(service.clone()));
        self.grpc
            .add_service(mcsp_svc_content::grpc(service.clone()));
        self.outbox("content", &db)?;
        let handler = ContentEvents::new(service.clone());
        self.consumer(&db, move || handler.clone())?;
        self.check_db("content_db", db);
        Ok(Some(service))
    }

    async fn upload(&mut self, content: Option<&ContentService>) -> Result<(), NodeError> {
        if !self.has(Role::Upload) {
            return Ok(());
        }
        let db = promised(self.engines.upload_db.as_ref(), "engines.upload_db")?;
        let storage = self.engines.storage.as_ref();
        let storage =
            storage.ok_or_else(|| NodeError::engine("engines.objects", "was not opened"))?;
        let is_here = matches!(storage, Storage::Here(_));
        let objects = storage.of(self.site, Holder::Upload).await?;
        let global = Arc::clone(&objects.global);
        let policy = PolicyEngine::new(self.site.config.residency.clone(), self.site.clock.clone())
            .map_err(|error| NodeError::Config(vec![error.to_string()]))?;
        let service = UploadService::open(UploadParts {
            region: self.site.references.region.clone(),
            pops: Arc::new(self.site.references.pops.clone()),
            audit: self.audit(&db).await?,
            db: db.clone(),
            objects: ResidencyObjects {
                ng: objects.ng,
                global: objects.global,
            },
            policy: Arc::new(policy),
            content: self.content_channel(content, "upload")?,
            peers: self.peers()?,
            clock: self.site.clock.clone(),
            entropy: self.site.entropy.clone(),
            config: self.site.config.upload.clone(),
        })
        .await?;
        self.serve_api(mcsp_svc_upload::router(service.clone()));
        self.grpc
            .add_service(mcsp_svc_upload::grpc(service.clone()));
        self.outbox("upload", &db)?;
        let handler = UploadEvents::new(service.clone());
        self.consumer(&db, move || handler.clone())?;
        self.endless("upload-reconciler", move |shutdown| {
            let service = service.clone();
            async move { service.run_reconciler(shutdown).await }
        });
        self.check_db("upload_db", db);
        if !is_here {
            self.check_objects(global);
        }
        Ok(())
    }

    /// The feed publishes the keys that playback signs with, so they are made together.
    async fn feed_and_playback(
        &mut self,
        content: Option<&ContentService>,
    ) -> Result<Option<Feed>, NodeError> {
        if !self.has(Role::Feed) {
            return Ok(None);
        }
        let log = self.events()?;
        let pops = Arc::new(self.site.references.pops.clone());
        let region = self.site.references.region.id.clone();
        let home_pops = pops.iter().filter(|pop| pop.region == region);
        let home_pops = home_pops.map(|pop| pop.id.clone()).collect();
        let feed = Feed::open_with(FeedOptions {
            log: log.clone(),
            region: self.site.references.region.id.clone(),
            clock: self.site.clock.clone(),
            entropy: self.site.entropy.clone(),
            signing_pops: Arc::new(move |pop| pops.holds_signing_keys(pop, &region)),
            home_pops: Some(Arc::new(home_pops)),
        })
        .await?;
        self.purges(&feed).await?;
        self.grpc.add_service(mcsp_feed::grpc_service(feed.clone()));
        let (sources, member) = (FeedSources::new(feed.clone()), self.site.member.clone());
        let sources_log = log.clone();
        self.tasks
            .push(BackgroundTask::new("feed-sources", move |shutdown| {
                let (sources, log, member) = (sources.clone(), sources_log.clone(), member.clone());
                async move { sources.run(log, &member, shutdown).await }
            }));
        for (region, address) in &self.site.config.peers {
            let (feed, channel, peer) =
                (feed.clone(), self.connect(region, address)?, region.clone());
            self.endless(&format!("mirror-{region}"), move |shutdown| {
                let mirror = Mirror::new(feed.clone(), &peer, channel.clone());
                async move { mirror.run(shutdown).await }
            });
        }
        self.playback(content, &feed, log).await?;
        Ok(Some(feed))
    }

    /// Operators' purges, and who of the feed's nodes has carried them out.
    async fn purges(&mut self, feed: &Feed) -> Result<(), NodeError> {
        let db = promised(self.engines.feed_db.as_ref(), "engines.feed_db")?;
        // Before anyone is told who has what.
        drop(NodeTable::open(feed.clone(), db.clone()).await?);
        let purges = Purges::new(PurgesParts {
            feed: feed.clone(),
            audit: self.audit(&db).await?,
            peers: self.peers()?,
        });
        self.grpc.add_service(purges.operators());
        self.grpc.add_service(purges.regions());
        let (kept, table_db) = (feed.clone(), db.clone());
        self.tasks
            .push(BackgroundTask::new("feed-nodes", move |shutdown| {
                let (feed, db) = (kept.clone(), table_db.clone());
                async move {
                    let table = NodeTable::open(feed, db).await?;
                    table.run(shutdown).await;
                    Ok::<_, mcsp_db::DbError>(())
                }
            }));
        self.check_db("feed_db", db);
        Ok(())
    }

    async fn playback(
        &mut self,
        content: Option<&ContentService>,
        feed: &Feed,
        log: SharedEventLog,
    ) -> Result<(), NodeError> {
        let site = self.site;
        let path = site.config.data_dir.join("media-keys.json");
        let region = site.references.region.code;
        let (config, clock, entropy) = (
            site.config.media_keys.clone(),
            site.clock.clone(),
            site.entropy.clone(),
        );
        let opened = tokio::task::spawn_blocking(move || {
            MediaKeyStore::open(path, region, config, clock, entropy)
        })
        .await;
        let store = Arc::new(opened.map_err(|error| NodeError::Process(error.to_string()))??);
        let keys = MediaKeys {
            store: Arc::clone(&store),
            feed: feed.clone(),
        };
        // Before the first URL is signed, so that no edge is asked about a key it was not sent.
        keys.publish().await?;
        self.tasks
            .push(BackgroundTask::new("media-keys", move |shutdown| {
                keys.clone().run(shutdown)
            }));
        let service = PlaybackService::new(PlaybackParts {
            region: site.references.region.clone(),
            pops: Arc::new(site.references.pops.clone()),
            content: self.content_channel(content, "playback")?,
            signer: store.signer(),
            kv: self.kv()?,
            log,
            clock: site.clock.clone(),
            entropy: site.entropy.clone(),
            config: site.config.playback.clone(),
        });
        self.serve_api(mcsp_svc_playback::router(service.clone()));
        self.grpc.add_service(mcsp_svc_playback::grpc(service));
        Ok(())
    }

    /// The engines this process owns, for the processes that do not.
    fn engine_services(&mut self) {
        if let Some(log) = &self.engines.events {
            if self.site.config.roles.has(Role::Events) {
                self.grpc
                    .add_service(mcsp_events::grpc_service(log.clone()));
            }
            let log = log.clone();
            self.checks.push(Check::new("events", Need::Soft, move || {
                let log = log.clone();
                async move { log.describe(mcsp_feed::TOPIC).await.map(drop) }
            }));
        }
        if let Some(kv) = &self.engines.kv {
            if self.site.config.roles.has(Role::Kv) {
                self.grpc.add_service(mcsp_kv::grpc_service(kv.clone()));
            }
            let kv = kv.clone();
            self.checks.push(Check::new("kv", Need::Soft, move || {
                let kv = kv.clone();
                async move { kv.get("health:probe").await.map(drop) }
            }));
        }
    }

    async fn media(&self) -> Result<Option<Router>, NodeError> {
        let Some(storage) = self
            .engines
            .storage
            .as_ref()
            .filter(|_| self.has(Role::MediaOrigin))
        else {
            return Ok(None);
        };
        let objects = storage.of(self.site, Holder::MediaOrigin).await?;
        let pops = Arc::new(self.site.references.pops.clone());
        Ok(Some(mcsp_media_origin::router(MediaOrigin {
            objects_ng: objects.ng,
            objects_global: objects.global,
            is_in_nigeria: Arc::new(move |pop| {
                pops.get(pop)
                    .is_some_and(|pop| pop.country == CountryCode::NIGERIA)
            }),
        })))
    }
}
