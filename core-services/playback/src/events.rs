//! What playback tells the world: that a media session is over.

use std::time::Duration;

use mcsp_api::MediaSessionId;
use mcsp_api::events::MediaSessionRevoked;
use mcsp_events::{EventError, envelope};

use crate::service::{PlaybackParts, SERVICE};

/// How often the log is tried. Playback has no database for an outbox, so the caller has to wait, and to try again.
const APPEND_TRIES: u32 = 3;
/// The wait before the second try, milliseconds; doubled for the third.
const APPEND_BACKOFF_MS: u64 = 50;

/// Writes a revocation down. A repeat is harmless: edges hold a set.
pub(crate) async fn announce_revocation(
    parts: &PlaybackParts,
    id: &MediaSessionId,
    expires_s: i64,
) -> Result<(), EventError> {
    let event = MediaSessionRevoked {
        media_session_id: id.clone(),
        expires_s,
    };
    let record = envelope::encode(&event, SERVICE, &*parts.clock, &*parts.entropy)?;
    let mut backoff_ms = APPEND_BACKOFF_MS;
    for _ in 1..APPEND_TRIES {
        match parts.log.append(vec![record.clone()]).await {
            Err(error) if error.is_retryable() => {
                tokio::time::sleep(Duration::from_millis(backoff_ms)).await;
                backoff_ms *= 2;
            }
            outcome => return outcome.map(|_| ()),
        }
    }
    parts.log.append(vec![record]).await.map(|_| ())
}
