//! Media sessions in the key-value store: whose they are and how long they last.
//!
//! A record only lets its viewer end the session and a revocation end on time. Without the store playback goes on, and
//! revocation still reaches the edges by the feed.

use std::time::Duration;

use bytes::Bytes;
use mcsp_api::{ContentId, MediaSessionId, UserId};
use mcsp_kv::{KvError, SharedKv};
use serde::{Deserialize, Serialize};

/// What is known of a media session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MediaSession {
    /// Whose it is.
    pub(crate) user_id: UserId,
    /// What is played.
    pub(crate) content_id: ContentId,
    /// When the last of its URLs expires, renewed ones too, Unix seconds.
    pub(crate) expires_s: i64,
}

/// The sessions.
#[derive(Debug, Clone)]
pub(crate) struct MediaSessions {
    kv: SharedKv,
}

impl MediaSessions {
    pub(crate) fn new(kv: SharedKv) -> Self {
        Self { kv }
    }

    /// Records a session for as long as its URLs are good.
    pub(crate) async fn put(
        &self,
        id: &MediaSessionId,
        session: &MediaSession,
        life: Duration,
    ) -> Result<(), KvError> {
        // A struct of texts and numbers always has a JSON form.
        let value = serde_json::to_vec(session).unwrap_or_default();
        self.kv.put(&key(id), Bytes::from(value), Some(life)).await
    }

    /// The session, while it lives. What cannot be read counts as absent.
    pub(crate) async fn get(&self, id: &MediaSessionId) -> Result<Option<MediaSession>, KvError> {
        let value = self.kv.get(&key(id)).await?;
        Ok(value.and_then(|value| serde_json::from_slice(&value).ok()))
    }

    /// Forgets the session.
    pub(crate) async fn remove(&self, id: &MediaSessionId) -> Result<(), KvError> {
        self.kv.delete(&key(id)).await.map(|_| ())
    }
}

fn key(id: &MediaSessionId) -> String {
    format!("playback:session:{id}")
}
