//! The end of a session: the object is whole and the pipeline hears of it once, or nothing is left of it.

use std::time::Duration;

use mcsp_api::events::UploadInitiated;
use mcsp_api::proto::content::DiscardDraftRequest;
use mcsp_api::rest::UploadSession;
use mcsp_api::{UploadId, ViewerIdentity};
use mcsp_events::envelope;
use mcsp_events::outbox::Outbox;
use mcsp_objects::ObjectError;

use crate::error::UploadError;
use crate::reach::Asker;
use crate::service::{SERVICE, UploadService};
use crate::session::{Session, SessionStatus};
use crate::store;

/// How often a completion looks whether the event log has heard, milliseconds.
const TRIGGER_POLL_MS: u64 = 20;

impl UploadService {
    /// Makes the object out of its parts and tells the pipeline, once however often this is called. Answers
    /// `COMPLETED`, or `PENDING_TRIGGER` when the event log does not answer in time; the event is safe then too.
    ///
    /// # Errors
    /// [`UploadError::NotFound`], also for another's session; [`UploadError::Incomplete`] with the parts to send;
    /// [`UploadError::Conflict`] when it was given up.
    pub async fn complete(
        &self,
        id: &UploadId,
        viewer: &ViewerIdentity,
        asker: &Asker,
    ) -> Result<UploadSession, UploadError> {
        let session = self.owned(id, viewer).await?;
        let finished = self.finish(&session).await?;
        let finished = self.wait_for_trigger(finished).await?;
        self.answer(finished, asker).await
    }

    /// Gives the upload up; nothing is left of it. Giving it up again succeeds.
    ///
    /// # Errors
    /// [`UploadError::NotFound`], also for another's session; [`UploadError::Conflict`] when it was completed.
    pub async fn cancel(&self, id: &UploadId, viewer: &ViewerIdentity) -> Result<(), UploadError> {
        self.owned(id, viewer).await?;
        let now_ms = self.now_ms();
        let mut tx = self.parts.db.begin().await?;
        for from in [SessionStatus::Creating, SessionStatus::Open] {
            store::advance(tx.conn(), id, from, SessionStatus::Cancelled, now_ms).await?;
        }
        let session = store::load(tx.conn(), id)
            .await?
            .ok_or(UploadError::NotFound)?;
        tx.commit().await?;
        if session.status.is_finished() {
            return Err(UploadError::Conflict(
                "the upload is complete; delete the item instead".into(),
            ));
        }
        if let Err(error) = self.clean(&session).await {
            // The session is cancelled for good; the reconciler takes the bytes away later.
            tracing::warn!(%error, upload_id = %session.upload_id, "a cancelled upload is not cleaned yet");
            self.wake.notify_one();
        }
        Ok(())
    }

    /// Completes the object, then the session and its event in one transaction. Every step may be repeated.
    pub(crate) async fn finish(&self, session: &Session) -> Result<Session, UploadError> {
        match session.status {
            SessionStatus::PendingTrigger | SessionStatus::Completed => return Ok(session.clone()),
            SessionStatus::Cancelled => {
                return Err(UploadError::Conflict("you cancelled this upload".into()));
            }
            SessionStatus::Expired => {
                return Err(UploadError::Conflict("this upload's time ran out".into()));
            }
            SessionStatus::Creating => {
                return Err(UploadError::Conflict(
                    "this upload is still being opened; ask for it again".into(),
                ));
            }
            SessionStatus::Open => {}
        }
        self.complete_object(session).await?;

        let event = UploadInitiated {
            content_id: session.content_id.clone(),
            upload_id: session.upload_id.clone(),
            owner_id: session.owner_id.clone(),
            organisation_id: session.organisation_id.clone(),
            residency: session.residency,
            media_type: session.request.media_type,
            size_bytes: session.request.size_bytes,
        };
        let record = envelope::encode(&event, SERVICE, &*self.parts.clock, &*self.parts.entropy)?;
        let id = &session.upload_id;
        let (from, to) = (SessionStatus::Open, SessionStatus::PendingTrigger);
        let mut tx = self.parts.db.begin().await?;
        if store::advance(tx.conn(), id, from, to, self.now_ms()).await? {
            Outbox::add(&mut tx, record).await?;
        }
        let session = store::load(tx.conn(), id)
            .await?
            .ok_or(UploadError::NotFound)?;
        tx.commit().await?;
        if session.status.is_finished() {
            Ok(session)
        } else {
            // It was given up while its object was being made; the reconciler takes that away.
            self.wake.notify_one();
            Err(UploadError::Conflict("this upload was given up".into()))
        }
    }

    async fn complete_object(&self, session: &Session) -> Result<(), UploadError> {
        let objects = self.objects(session.residency)?;
        let (bucket, key) = (&session.bucket, &session.object_key);
        match self.stored_parts(session).await {
            Ok(received) => {
                let missing = session.plan().missing(&received);
                if !missing.is_empty() {
                    return Err(UploadError::Incomplete(missing));
                }
                let multipart_id = session.multipart_id.as_deref().unwrap_or_default();
                match objects
                    .complete_multipart(bucket, key, multipart_id, &received)
                    .await
                {
                    Ok(_) | Err(ObjectError::NotFound(_)) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            // A call whose answer was lost completed it; the object itself tells.
            Err(UploadError::Objects(ObjectError::NotFound(_))) => {}
            Err(error) => return Err(error),
        }
        let meta = match objects.head(bucket, key).await {
            Ok(meta) => meta,
            Err(ObjectError::NotFound(_)) => {
                return Err(UploadError::Conflict(
                    "the parts of this upload are gone; start a new one".into(),
                ));
            }
            Err(error) => return Err(error.into()),
        };
        if meta.size_bytes != session.request.size_bytes {
            return Err(UploadError::Conflict(format!(
                "the stored file has {} bytes, but {} were announced; start a new upload",
                meta.size_bytes, session.request.size_bytes
            )));
        }
        Ok(())
    }

    /// Waits a little for the event log, so that the usual answer is `COMPLETED`.
    async fn wait_for_trigger(&self, mut session: Session) -> Result<Session, UploadError> {
        let polls = u64::from(self.parts.config.trigger_wait_ms) / TRIGGER_POLL_MS;
        for _ in 0..polls {
            if session.status != SessionStatus::PendingTrigger {
                break;
            }
            tokio::time::sleep(Duration::from_millis(TRIGGER_POLL_MS)).await;
            session = self
                .load(&session.upload_id)
                .await?
                .ok_or(UploadError::NotFound)?;
        }
        Ok(session)
    }

    /// Takes away what is left of a session that was given up. May be repeated.
    pub(crate) async fn clean(&self, session: &Session) -> Result<(), UploadError> {
        let objects = self.objects(session.residency)?;
        let (bucket, key) = (&session.bucket, &session.object_key);
        if let Some(multipart_id) = session.multipart_id.as_deref() {
            match objects.abort_multipart(bucket, key, multipart_id).await {
                Ok(()) | Err(ObjectError::NotFound(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        // A completion that was under way may have made the object.
        objects.delete(bucket, key).await?;
        let discard = DiscardDraftRequest {
            content_id: session.content_id.to_string(),
            owner_id: session.owner_id.to_string(),
        };
        self.content().discard_draft(discard).await?;
        let mut tx = self.parts.db.begin().await?;
        store::set_cleaned(tx.conn(), &session.upload_id).await?;
        Ok(tx.commit().await?)
    }
}
