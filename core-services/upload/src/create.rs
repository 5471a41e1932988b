//! Opening a session: validate, decide residency, write the decision down, find the home, open it there.

use mcsp_api::body::parse_json;
use mcsp_api::events::MediaType;
use mcsp_api::media_path::private::SOURCE;
use mcsp_api::metadata::FieldError;
use mcsp_api::proto::content::{CreateDraftRequest, Metadata};
use mcsp_api::proto::upload::CreateSessionForRequest;
use mcsp_api::proto::upload::upload_client::UploadClient;
use mcsp_api::rest::{CreateUploadRequest, UploadSession};
use mcsp_api::{ContentId, OrganisationId, UploadId, UserId, ViewerIdentity};
use mcsp_runtime::hex_lower;

use crate::error::UploadError;
use crate::plan::PartPlan;
use crate::reach::Asker;
use crate::residency::{HomeDecision, home_of};
use crate::service::UploadService;
use crate::session::{RememberedRequest, Session, SessionStatus};
use crate::store;
use crate::validate::{valid_key, validate};

/// Who uploads.
#[derive(Debug, Clone)]
struct Creator {
    user_id: UserId,
    organisation_id: Option<OrganisationId>,
}

impl UploadService {
    /// Opens a session. The same `idempotency_key` with the same request again answers with the same session.
    ///
    /// # Errors
    /// [`UploadError::Forbidden`] for roles that may not upload; [`UploadError::Invalid`] and
    /// [`UploadError::TooLarge`] with the field at fault; [`UploadError::Conflict`] when the key was used for another
    /// request; [`UploadError::TooManySessions`]; [`UploadError::Audit`] and [`UploadError::NoHome`] when no decision
    /// can be taken or carried out now.
    pub async fn create(
        &self,
        viewer: &ViewerIdentity,
        request: CreateUploadRequest,
        idempotency_key: Option<&str>,
        asker: &Asker,
    ) -> Result<UploadSession, UploadError> {
        if !viewer.role.may_upload() {
            return Err(UploadError::Forbidden);
        }
        validate(&request, &self.parts.config)?;
        let key = match idempotency_key {
            Some(key) => valid_key(key)?.to_owned(),
            None => self.unique_key(),
        };
        let creator = Creator {
            user_id: viewer.user_id.clone(),
            organisation_id: viewer.organisation_id.clone(),
        };
        let remembered = self.remembered(&creator, &request, &key, None).await?;
        let decision = decision_of(&remembered)?;
        let home = self.parts.pops.region_by_code(decision.content_id.region());
        match home {
            Some(home) if home.id == self.parts.region.id => {
                let session = self.open_session(&remembered, &decision, request).await?;
                self.answer(session, asker).await
            }
            Some(home) => self.open_elsewhere(&home.id, &remembered, &creator).await,
            None => Err(UploadError::NoHome {
                residency: decision.decision.residency,
                reason: "its home region is not configured".into(),
            }),
        }
    }

    /// Opens a session for a creator whose request another region took and decided.
    ///
    /// # Errors
    /// As [`Self::create`]; [`UploadError::Invalid`] also when this region is not the home of what was decided.
    pub async fn create_for(
        &self,
        creator_id: &str,
        organisation_id: &str,
        request_json: &str,
        idempotency_key: &str,
        decision_json: &str,
    ) -> Result<UploadSession, UploadError> {
        let creator = Creator {
            user_id: parse_field("/creator_id", creator_id)?,
            organisation_id: match organisation_id {
                "" => None,
                id => Some(parse_field("/organisation_id", id)?),
            },
        };
        let request: CreateUploadRequest =
            parse_json(request_json.as_bytes()).map_err(|problem| {
                FieldError::new(
                    problem.pointer.unwrap_or_default(),
                    problem.detail.unwrap_or_default(),
                )
            })?;
        validate(&request, &self.parts.config)?;
        let decision: HomeDecision = serde_json::from_str(decision_json)
            .map_err(|error| FieldError::new("/decision_json", error.to_string()))?;
        let home = home_of(
            decision.decision.residency,
            &self.parts.region,
            self.parts.pops.regions(),
        );
        let is_home = decision.content_id.region() == self.parts.region.code
            && home.is_some_and(|home| home.id == self.parts.region.id);
        if !is_home || decision.creator_id != creator.user_id {
            return Err(FieldError::new(
                "/decision_json",
                "the decision is not for this region and creator",
            )
            .into());
        }
        let key = valid_key(idempotency_key)?;
        let remembered = self
            .remembered(&creator, &request, key, Some(decision))
            .await?;
        let decision = decision_of(&remembered)?;
        let session = self.open_session(&remembered, &decision, request).await?;
        // The creator's country is not passed on; any PoP that may carry the parts will do.
        self.answer(session, &Asker::default()).await
    }

    /// What was decided for this request: remembered under its key, or decided (unless `decided` elsewhere) and
    /// written down now.
    async fn remembered(
        &self,
        creator: &Creator,
        request: &CreateUploadRequest,
        key: &str,
        decided: Option<HomeDecision>,
    ) -> Result<RememberedRequest, UploadError> {
        // Our own struct of texts and numbers always has a JSON form.
        let request_json = serde_json::to_string(request).unwrap_or_default();
        if let Some(known) = self.recall(creator, key, &request_json).await? {
            return Ok(known);
        }
        let (action, decision) = match decided {
            Some(decision) => ("residency.accepted", decision),
            None => ("residency.decided", self.decide(creator, request)?),
        };
        // No record, no decision.
        self.parts
            .audit
            .record(decision.audit_entry(action, request))
            .await
            .map_err(UploadError::Audit)?;
        let fresh = RememberedRequest {
            owner_id: creator.user_id.clone(),
            idempotency_key: key.to_owned(),
            request_json: request_json.clone(),
            // As above.
            decision_json: serde_json::to_string(&decision).unwrap_or_default(),
            upload_id: UploadId::generate(
                self.parts.region.code,
                &*self.parts.clock,
                &*self.parts.entropy,
            ),
        };
        let mut tx = self.parts.db.begin().await?;
        let is_first = store::remember(tx.conn(), &fresh, self.now_ms()).await?;
        tx.commit().await?;
        if is_first {
            return Ok(fresh);
        }
        // Another call with the same key was first; its decision holds.
        self.recall(creator, key, &request_json)
            .await?
            .ok_or_else(|| {
                UploadError::Conflict(
                    "a request with this Idempotency-Key is under way; try again".into(),
                )
            })
    }

    async fn recall(
        &self,
        creator: &Creator,
        key: &str,
        request_json: &str,
    ) -> Result<Option<RememberedRequest>, UploadError> {
        let mut conn = self.parts.db.acquire().await?;
        if let Some(known) = store::remembered(conn.conn(), &creator.user_id, key).await? {
            if known.request_json != request_json {
                return Err(UploadError::Conflict(
                    "this Idempotency-Key was used for another request".into(),
                ));
            }
            return Ok(Some(known));
        }
        let sessions_max = self.parts.config.open_sessions_max;
        if store::count_unfinished(conn.conn(), &creator.user_id).await? >= u64::from(sessions_max)
        {
            return Err(UploadError::TooManySessions(sessions_max));
        }
        Ok(None)
    }

    fn decide(
        &self,
        creator: &Creator,
        request: &CreateUploadRequest,
    ) -> Result<HomeDecision, UploadError> {
        let decision = self
            .parts
            .policy
            .decide(creator.organisation_id.as_ref(), request.residency);
        let home = home_of(
            decision.residency,
            &self.parts.region,
            self.parts.pops.regions(),
        )
        .ok_or_else(|| UploadError::NoHome {
            residency: decision.residency,
            reason: "no region is its home".into(),
        })?;
        Ok(HomeDecision {
            content_id: ContentId::generate(home.code, &*self.parts.clock, &*self.parts.entropy),
            creator_id: creator.user_id.clone(),
            decision,
        })
    }

    /// Opens the session that the request was given an id for, or goes on where an earlier call was cut off.
    async fn open_session(
        &self,
        remembered: &RememberedRequest,
        decision: &HomeDecision,
        request: CreateUploadRequest,
    ) -> Result<Session, UploadError> {
        let session = self.begin_session(remembered, decision, request).await?;
        if session.status != SessionStatus::Creating {
            return Ok(session);
        }
        if session.multipart_id.is_none() {
            self.begin_multipart(&session).await?;
        }
        self.content().create_draft(draft_of(&session)).await?;
        self.advance(
            &session.upload_id,
            SessionStatus::Creating,
            SessionStatus::Open,
        )
        .await?;
        let session = self
            .load(&session.upload_id)
            .await?
            .ok_or(UploadError::NotFound)?;
        if matches!(
            session.status,
            SessionStatus::Cancelled | SessionStatus::Expired
        ) {
            // It was given up while it was being opened: what was made since then goes too.
            self.clean(&session).await?;
        }
        Ok(session)
    }

    async fn begin_session(
        &self,
        remembered: &RememberedRequest,
        decision: &HomeDecision,
        request: CreateUploadRequest,
    ) -> Result<Session, UploadError> {
        let residency = decision.decision.residency;
        // Refused before anything is written when this region cannot keep the bytes.
        self.objects(residency)?;
        let now_ms = self.now_ms();
        let session = Session {
            upload_id: remembered.upload_id.clone(),
            content_id: decision.content_id.clone(),
            owner_id: remembered.owner_id.clone(),
            organisation_id: decision.decision.organisation_id.clone(),
            residency,
            bucket: self.parts.config.bucket(residency).to_owned(),
            object_key: format!("{}/{}/{SOURCE}", residency.prefix(), decision.content_id),
            multipart_id: None,
            part_size_bytes: PartPlan::for_size(request.size_bytes).part_size_bytes,
            status: SessionStatus::Creating,
            expires_ms: now_ms + i64::from(self.parts.config.session_life_s) * 1_000,
            request,
        };
        let mut tx = self.parts.db.begin().await?;
        store::insert(tx.conn(), &session, now_ms).await?;
        let session = store::load(tx.conn(), &session.upload_id)
            .await?
            .ok_or(UploadError::NotFound)?;
        tx.commit().await?;
        Ok(session)
    }

    async fn begin_multipart(&self, session: &Session) -> Result<(), UploadError> {
        let objects = self.objects(session.residency)?;
        // What the client says of the type is not believed; the probe finds out.
        let content_type = "application/octet-stream";
        let multipart_id = objects
            .create_multipart(&session.bucket, &session.object_key, content_type)
            .await?;
        let mut tx = self.parts.db.begin().await?;
        let is_ours = store::set_multipart(tx.conn(), &session.upload_id, &multipart_id).await?;
        tx.commit().await?;
        if !is_ours {
            // Another call with the same key was faster; its upload is the session's.
            objects
                .abort_multipart(&session.bucket, &session.object_key, &multipart_id)
                .await?;
        }
        Ok(())
    }

    async fn open_elsewhere(
        &self,
        region_id: &str,
        remembered: &RememberedRequest,
        creator: &Creator,
    ) -> Result<UploadSession, UploadError> {
        let decision = decision_of(remembered)?;
        let peer = self
            .parts
            .peers
            .get(region_id)
            .ok_or_else(|| UploadError::NoHome {
                residency: decision.decision.residency,
                reason: format!("no connection to {region_id} is configured"),
            })?;
        let request = CreateSessionForRequest {
            creator_id: creator.user_id.to_string(),
            organisation_id: creator
                .organisation_id
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_default(),
            request_json: remembered.request_json.clone(),
            idempotency_key: remembered.idempotency_key.clone(),
            decision_json: remembered.decision_json.clone(),
        };
        let answer = UploadClient::new(peer.clone())
            .create_session_for(request)
            .await?
            .into_inner();
        serde_json::from_str(&answer.session_json)
            .map_err(|_| UploadError::corrupt("the home region's answer", &answer.session_json))
    }

    /// For requests that bring no key: every one is new.
    fn unique_key(&self) -> String {
        let mut random = [0; 16];
        self.parts.entropy.fill(&mut random);
        format!("own-{}", hex_lower(&random))
    }
}

fn decision_of(remembered: &RememberedRequest) -> Result<HomeDecision, UploadError> {
    serde_json::from_str(&remembered.decision_json)
        .map_err(|_| UploadError::corrupt("decision_json", &remembered.decision_json))
}

fn parse_field<T: std::str::FromStr>(pointer: &str, text: &str) -> Result<T, UploadError>
where
    T::Err: std::fmt::Display,
{
    text.parse()
        .map_err(|error: T::Err| FieldError::new(pointer, error.to_string()).into())
}

fn draft_of(session: &Session) -> CreateDraftRequest {
    let metadata = session.request.metadata.clone();
    CreateDraftRequest {
        content_id: session.content_id.to_string(),
        owner_id: session.owner_id.to_string(),
        organisation_id: session
            .organisation_id
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default(),
        residency: session.residency.as_str().to_owned(),
        media_type: MediaType::as_str(session.request.media_type).to_owned(),
        metadata: Some(Metadata {
            title: metadata.title,
            description: metadata.description,
            tags: metadata.tags,
            category: metadata.category,
            language: metadata.language,
            visibility: metadata.visibility.as_str().to_owned(),
        }),
    }
}
