//! The upload service: what it is made of, and how a session looks to its creator.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use mcsp_api::body::parse_json;
use mcsp_api::metadata::MetadataPatch;
use mcsp_api::proto::content::UpdateMetadataRequest;
use mcsp_api::proto::content::content_client::ContentClient;
use mcsp_api::rest::{UploadMetadata, UploadPart, UploadSession};
use mcsp_api::{Residency, UploadId, ViewerIdentity};
use mcsp_audit::Audit;
use mcsp_db::Db;
use mcsp_events::outbox::Outbox;
use mcsp_geo::residency::PolicyEngine;
use mcsp_objects::{ObjectError, PartMeta, SharedObjects};
use mcsp_pop_config::{PopSet, RegionConfig};
use mcsp_rpc::RpcChannel;
use mcsp_runtime::{SharedClock, SharedEntropy};
use tokio::sync::Notify;

use crate::config::UploadConfig;
use crate::error::UploadError;
use crate::reach::{Asker, through_storage_path, upload_base};
use crate::session::{Session, SessionStatus};
use crate::store;

/// The name of the service as events and logs write it.
pub const SERVICE: &str = "upload";

/// Object storage by residency, each with the credentials for its own bucket and no other.
#[derive(Debug, Clone)]
pub struct ResidencyObjects {
    /// For `NG`: only in Nigeria.
    pub ng: Option<SharedObjects>,
    /// For `GLOBAL`.
    pub global: SharedObjects,
}

/// What the service is made of.
#[derive(Debug, Clone)]
pub struct UploadParts {
    /// The region this is.
    pub region: RegionConfig,
    /// All regions and PoPs.
    pub pops: Arc<PopSet>,
    /// The service's own database, with its outbox.
    pub db: Db,
    /// Where each residency decision is written down.
    pub audit: Audit,
    /// Object storage.
    pub objects: ResidencyObjects,
    /// Decides residency.
    pub policy: Arc<PolicyEngine>,
    /// The content service of this region.
    pub content: RpcChannel,
    /// The upload services of other regions, by region id.
    pub peers: BTreeMap<String, RpcChannel>,
    /// The time.
    pub clock: SharedClock,
    /// Randomness for ids.
    pub entropy: SharedEntropy,
    /// Its configuration.
    pub config: UploadConfig,
}

/// The upload service. Clones are the same service.
#[derive(Debug, Clone)]
pub struct UploadService {
    pub(crate) parts: Arc<UploadParts>,
    /// Wakes the reconciler before its time.
    pub(crate) wake: Arc<Notify>,
}

impl UploadService {
    /// Brings the schema up to date and takes up service.
    ///
    /// # Errors
    /// The database's.
    pub async fn open(parts: UploadParts) -> Result<Self, UploadError> {
        parts.db.migrate(store::MIGRATIONS).await?;
        Outbox::migrate(&parts.db).await?;
        Ok(Self {
            parts: Arc::new(parts),
            wake: Arc::new(Notify::new()),
        })
    }

    /// Where a session stands, with fresh URLs for the parts that are missing.
    ///
    /// # Errors
    /// [`UploadError::NotFound`], also for another's session.
    pub async fn get(
        &self,
        id: &UploadId,
        viewer: &ViewerIdentity,
        asker: &Asker,
    ) -> Result<UploadSession, UploadError> {
        let session = self.owned(id, viewer).await?;
        self.answer(session, asker).await
    }

    /// Changes what the creator says of the item, before it is published.
    ///
    /// # Errors
    /// [`UploadError::NotFound`], [`UploadError::Conflict`] when the upload was given up, and the content service's
    /// own: a field at fault, an item that is published.
    pub async fn patch_metadata(
        &self,
        id: &UploadId,
        viewer: &ViewerIdentity,
        patch: &MetadataPatch,
    ) -> Result<UploadMetadata, UploadError> {
        let session = self.owned(id, viewer).await?;
        if matches!(
            session.status,
            SessionStatus::Cancelled | SessionStatus::Expired
        ) {
            return Err(UploadError::Conflict("this upload was given up".into()));
        }
        let request = UpdateMetadataRequest {
            content_id: session.content_id.to_string(),
            owner_id: session.owner_id.to_string(),
            // A struct of texts always has a JSON form.
            patch_json: serde_json::to_string(patch).unwrap_or_default(),
        };
        let answer = self.content().update_metadata(request).await?.into_inner();
        parse_json(answer.metadata_json.as_bytes()).map_err(|_| {
            UploadError::corrupt("the content service's answer", &answer.metadata_json)
        })
    }

    /// The session as the API shows it.
    pub(crate) async fn answer(
        &self,
        session: Session,
        asker: &Asker,
    ) -> Result<UploadSession, UploadError> {
        let session = match session.status {
            SessionStatus::Creating | SessionStatus::Open => session,
            _ => return Ok(self.shown(&session, &[], None)),
        };
        match self.stored_parts(&session).await {
            Ok(received) => {
                let base =
                    upload_base(&self.parts.pops, session.residency, asker).ok_or_else(|| {
                        UploadError::NoHome {
                            residency: session.residency,
                            reason: "no PoP may carry its parts".into(),
                        }
                    })?;
                let urls = PartUrls {
                    service: self,
                    session: &session,
                    base: &base,
                };
                urls.check()?;
                Ok(self.shown(&session, &received, Some(&urls)))
            }
            // The parts became the object and the session did not hear of it.
            Err(UploadError::Objects(ObjectError::NotFound(_))) => {
                let session = self.finish(&session).await?;
                Ok(self.shown(&session, &[], None))
            }
            Err(error) => Err(error),
        }
    }

    fn shown(
        &self,
        session: &Session,
        received: &[PartMeta],
        urls: Option<&PartUrls<'_>>,
    ) -> UploadSession {
        let plan = session.plan();
        let is_finished = session.status.is_finished();
        let parts = (1..=plan.part_count())
            .map(|part_number| {
                let received = is_finished
                    || received
                        .binary_search_by_key(&part_number, |part| part.part_number)
                        .is_ok();
                UploadPart {
                    part_number,
                    size_bytes: plan.part_bytes(part_number),
                    received,
                    url: urls
                        .filter(|_| !received)
                        .and_then(|urls| urls.of(part_number).ok()),
                }
            })
            .collect();
        UploadSession {
            upload_id: session.upload_id.to_string(),
            content_id: session.content_id.to_string(),
            residency: session.residency,
            status: session.status.to_api(),
            size_bytes: session.request.size_bytes,
            part_size_bytes: session.part_size_bytes,
            parts,
            urls_expire_in_s: self.parts.config.url_life_s,
        }
    }

    /// The parts that are durable and as planned, in order: what the object store says is the truth.
    pub(crate) async fn stored_parts(
        &self,
        session: &Session,
    ) -> Result<Vec<PartMeta>, UploadError> {
        let Some(multipart_id) = session.multipart_id.as_deref() else {
            return Ok(Vec::new());
        };
        let stored = self
            .objects(session.residency)?
            .list_parts(&session.bucket, &session.object_key, multipart_id)
            .await?;
        Ok(session.plan().received(&stored))
    }

    /// The session, if it is the viewer's.
    pub(crate) async fn owned(
        &self,
        id: &UploadId,
        viewer: &ViewerIdentity,
    ) -> Result<Session, UploadError> {
        self.load(id)
            .await?
            .filter(|session| session.owner_id == viewer.user_id)
            .ok_or(UploadError::NotFound)
    }

    pub(crate) async fn load(&self, id: &UploadId) -> Result<Option<Session>, UploadError> {
        let mut conn = self.parts.db.acquire().await?;
        store::load(conn.conn(), id).await
    }

    /// The object store that takes content of this residency, with the credentials for it.
    pub(crate) fn objects(&self, residency: Residency) -> Result<&SharedObjects, UploadError> {
        match residency {
            Residency::Global => Ok(&self.parts.objects.global),
            Residency::Ng => self
                .parts
                .objects
                .ng
                .as_ref()
                .ok_or_else(|| UploadError::NoHome {
                    residency,
                    reason: "this region has no store for it".into(),
                }),
        }
    }

    pub(crate) fn content(&self) -> ContentClient<RpcChannel> {
        ContentClient::new(self.parts.content.clone())
    }

    pub(crate) fn now_ms(&self) -> i64 {
        self.parts.clock.now_ms()
    }

    /// Moves a session from one status to another; true when it was in the first.
    pub(crate) async fn advance(
        &self,
        id: &UploadId,
        from: SessionStatus,
        to: SessionStatus,
    ) -> Result<bool, UploadError> {
        let mut tx = self.parts.db.begin().await?;
        let is_moved = store::advance(tx.conn(), id, from, to, self.now_ms()).await?;
        tx.commit().await?;
        Ok(is_moved)
    }
}

/// Signs the URLs of one session's parts.
struct PartUrls<'a> {
    service: &'a UploadService,
    session: &'a Session,
    base: &'a str,
}

impl PartUrls<'_> {
    /// Signing fails for all parts or for none, so one is tried before the answer is made.
    fn check(&self) -> Result<(), UploadError> {
        self.of(1).map(|_| ())
    }

    fn of(&self, part_number: u32) -> Result<String, UploadError> {
        let session = self.session;
        let multipart_id = session.multipart_id.as_deref().ok_or_else(|| {
            UploadError::Conflict("this upload is still being opened; ask again".into())
        })?;
        let life = Duration::from_secs(self.service.parts.config.url_life_s.into());
        let url = self.service.objects(session.residency)?.presign_part(
            self.base,
            &session.bucket,
            &session.object_key,
            multipart_id,
            part_number,
            life,
        )?;
        through_storage_path(&url).ok_or_else(|| UploadError::corrupt("a presigned URL", &url))
    }
}
