//! The playback service's rules. It owns nothing durable: the record is the content service's, the keys are the
//! region's, sessions may be lost.

use std::sync::Arc;
use std::time::Duration;

use mcsp_api::events::MediaType;
use mcsp_api::media_path::MEDIA_PREFIX;
use mcsp_api::proto::content::content_client::ContentClient;
use mcsp_api::proto::content::{GetForPlaybackRequest, PlaybackRecord};
use mcsp_api::rest::{ContentStatus, PlayResponse, Visibility};
use mcsp_api::{ContentId, MediaSessionId, Residency, UserId, ViewerIdentity};
use mcsp_auth_edge::{MediaGrant, MediaSigner, RenditionLimits};
use mcsp_events::SharedEventLog;
use mcsp_kv::SharedKv;
use mcsp_pop_config::{PopSet, RegionConfig};
use mcsp_rpc::RpcChannel;
use mcsp_runtime::{SharedClock, SharedEntropy};
use serde::de::DeserializeOwned;

use crate::config::PlaybackConfig;
use crate::entitlement::{Item, entitle};
use crate::error::PlaybackError;
use crate::events::announce_revocation;
use crate::placement::{Asker, place};
use crate::sessions::{MediaSession, MediaSessions};

/// The name of the service as events and logs write it.
pub const SERVICE: &str = "playback";
/// What a grant allows at most: everything, until there are plans.
const LIMITS_NONE: RenditionLimits = RenditionLimits {
    max_height: 0,
    max_audio_kbps: 0,
};

/// What the service is made of.
#[derive(Debug, Clone)]
pub struct PlaybackParts {
    /// The region this is.
    pub region: RegionConfig,
    /// All regions and PoPs.
    pub pops: Arc<PopSet>,
    /// The content service of this region.
    pub content: RpcChannel,
    /// Signs media URLs with the region's current key.
    pub signer: MediaSigner,
    /// Where sessions are recorded.
    pub kv: SharedKv,
    /// Where revocations are written down.
    pub log: SharedEventLog,
    /// The time.
    pub clock: SharedClock,
    /// Randomness for ids.
    pub entropy: SharedEntropy,
    /// Its configuration.
    pub config: PlaybackConfig,
}

/// The playback service. Clones are the same service.
#[derive(Debug, Clone)]
pub struct PlaybackService {
    pub(crate) parts: Arc<PlaybackParts>,
    sessions: MediaSessions,
}

impl PlaybackService {
    /// Takes up service.
    #[must_use]
    pub fn new(parts: PlaybackParts) -> Self {
        let sessions = MediaSessions::new(parts.kv.clone());
        Self {
            parts: Arc::new(parts),
            sessions,
        }
    }

    /// Opens a media session: checks that the viewer may play the item, picks a PoP that may hold its bytes, and signs
    /// its URLs.
    ///
    /// # Errors
    /// [`PlaybackError::NotFound`] and [`PlaybackError::Refused`]; [`PlaybackError::Content`] and
    /// [`PlaybackError::NoPop`] when it cannot be known or served right now.
    pub async fn play(
        &self,
        id: &ContentId,
        viewer: &ViewerIdentity,
        asker: &Asker,
    ) -> Result<PlayResponse, PlaybackError> {
        let request = GetForPlaybackRequest {
            content_id: id.to_string(),
        };
        let record = ContentClient::new(self.parts.content.clone())
            .get_for_playback(request)
            .await?
            .into_inner();
        let item = PlayableItem::read(id, &record)?;
        let facts = Item {
            owner_id: &item.owner_id,
            status: item.status,
            visibility: item.visibility,
        };
        entitle(
            facts,
            &viewer.user_id,
            asker.country,
            &self.parts.config.countries_refused,
        )
        .map_err(PlaybackError::Refused)?;
        let region = &self.parts.region.id;
        let place =
            place(&self.parts.pops, region, item.residency, asker).ok_or(PlaybackError::NoPop)?;

        let grant = MediaGrant {
            content_id: id.clone(),
            user_id: viewer.user_id.clone(),
            media_session_id: MediaSessionId::generate(
                self.parts.region.code,
                &*self.parts.clock,
                &*self.parts.entropy,
            ),
            residency: item.residency,
            media_type: item.media_type,
            expires_s: self.parts.clock.now_s() + i64::from(self.parts.config.url_life_s),
            limits: LIMITS_NONE,
            client: None,
        };
        let token = self.parts.signer.sign(&grant, place.form)?;
        self.record_session(&grant).await;

        let prefix = item.residency.prefix();
        let media_base_url = format!("{}{MEDIA_PREFIX}{token}/{prefix}/{id}/", place.base);
        Ok(PlayResponse {
            content_id: id.to_string(),
            title: record.title,
            media_type: item.media_type,
            media_session_id: grant.media_session_id.to_string(),
            hls_url: format!("{media_base_url}manifest.m3u8"),
            dash_url: format!("{media_base_url}manifest.mpd"),
            media_base_url,
            expires_s: grant.expires_s,
            resume_position_ms: 0,
        })
    }

    /// Ends the viewer's own session before its time.
    ///
    /// # Errors
    /// [`PlaybackError::NotFound`], also for another's session and for one that has expired;
    /// [`PlaybackError::Sessions`] when it is not known whose it is, [`PlaybackError::Event`] when the revocation could
    /// not be written down: the session is not ended then.
    pub async fn end_session(
        &self,
        id: &MediaSessionId,
        viewer: &ViewerIdentity,
    ) -> Result<(), PlaybackError> {
        let session = self
            .sessions
            .get(id)
            .await?
            .filter(|session| session.user_id == viewer.user_id)
            .ok_or(PlaybackError::NotFound)?;
        self.revoke_until(id, session.expires_s, "ended by its viewer")
            .await
    }

    /// Ends any session before its time, for other services. Idempotent; needs no record of the session.
    ///
    /// # Errors
    /// [`PlaybackError::Event`] when the revocation could not be written down.
    pub async fn revoke(&self, id: &MediaSessionId, reason: &str) -> Result<(), PlaybackError> {
        // No URL of the session is good for longer than this, whatever the store knows.
        let latest_s = self.session_end_s();
        let expires_s = match self.sessions.get(id).await {
            Ok(session) => session.map_or(latest_s, |session| session.expires_s),
            Err(error) => {
                tracing::warn!(%error, "revoking a media session without its record");
                latest_s
            }
        };
        self.revoke_until(id, expires_s, reason).await
    }

    async fn revoke_until(
        &self,
        id: &MediaSessionId,
        expires_s: i64,
        reason: &str,
    ) -> Result<(), PlaybackError> {
        announce_revocation(&self.parts, id, expires_s).await?;
        tracing::info!(media_session_id = %id, reason, "media session revoked");
        if let Err(error) = self.sessions.remove(id).await {
            // The record ends by itself; the revocation is written down already.
            tracing::warn!(%error, "the record of a revoked media session stays until it expires");
        }
        Ok(())
    }

    /// When a session that begins now is over, whatever renewals its URLs see.
    fn session_end_s(&self) -> i64 {
        self.parts.clock.now_s() + i64::from(self.parts.config.session_life_s)
    }

    /// The store being away must not stop playback: the session then cannot be ended by its viewer, which is all.
    async fn record_session(&self, grant: &MediaGrant) {
        let session = MediaSession {
            user_id: grant.user_id.clone(),
            content_id: grant.content_id.clone(),
            expires_s: self.session_end_s(),
        };
        let life = Duration::from_secs(self.parts.config.session_life_s.into());
        if let Err(error) = self
            .sessions
            .put(&grant.media_session_id, &session, life)
            .await
        {
            tracing::warn!(%error, "media session not recorded; playback goes on");
        }
    }
}

/// The content service's answer, read.
struct PlayableItem {
    owner_id: UserId,
    residency: Residency,
    media_type: MediaType,
    status: ContentStatus,
    visibility: Visibility,
}

impl PlayableItem {
    fn read(id: &ContentId, record: &PlaybackRecord) -> Result<Self, PlaybackError> {
        let unreadable = || PlaybackError::Record(id.to_string());
        Ok(Self {
            owner_id: record.owner_id.parse().map_err(|_| unreadable())?,
            residency: record.residency.parse().map_err(|_| unreadable())?,
            media_type: named(&record.media_type).ok_or_else(unreadable)?,
            status: named(&record.status).ok_or_else(unreadable)?,
            visibility: named(&record.visibility).ok_or_else(unreadable)?,
        })
    }
}

/// A value that the API writes by name.
fn named<T: DeserializeOwned>(name: &str) -> Option<T> {
    T::deserialize(serde_json::Value::from(name)).ok()
}
