//! Domain events as entries of the feed.

use async_trait::async_trait;
use mcsp_api::Residency;
use mcsp_api::events::{
    ContentDeleted, ContentUpdated, Event, MediaSessionRevoked, TokenKeysRotated,
    UserSessionRevoked,
};
use mcsp_api::media_path::MEDIA_PREFIX;
use mcsp_api::proto::feed::feed_entry::Change;
use mcsp_api::proto::feed::purge::Target;
use mcsp_api::proto::feed::{Purge, RevokeMediaSession, RevokeUserSession, TokenKeySet};
use mcsp_events::consumer::{
    ConsumerError, ConsumerOptions, HandleError, Processor, RetryPolicy, run_processor,
};
use mcsp_events::{Record, SharedEventLog, envelope};
use mcsp_runtime::Shutdown;

use crate::Feed;

/// The consumer group of the sources.
pub const GROUP: &str = "feed";

/// Turns revocations, deletions, updates and key rotations into entries; one entry for each event.
#[derive(Debug, Clone)]
pub struct FeedSources {
    feed: Feed,
}

impl FeedSources {
    /// The sources of `feed`.
    #[must_use]
    pub fn new(feed: Feed) -> Self {
        Self { feed }
    }

    /// Consumes the region's events from `log` until it is told to stop.
    ///
    /// # Errors
    /// [`ConsumerError`] when it cannot start at all.
    pub async fn run(
        self,
        log: SharedEventLog,
        member: &str,
        shutdown: Shutdown,
    ) -> Result<(), ConsumerError> {
        // Purges and revocations are waited for by people, so the waits between tries are short.
        let policy = RetryPolicy {
            base_ms: 50,
            max_ms: 5_000,
            ..RetryPolicy::default()
        };
        run_processor(
            log,
            GROUP,
            member,
            policy,
            ConsumerOptions::default(),
            self,
            shutdown,
        )
        .await
    }

    fn changes(&self, record: &Record) -> Result<Option<Change>, HandleError> {
        let topic = record.position.topic.as_str();
        let change = if topic == UserSessionRevoked::TOPIC.name {
            let event = envelope::decode::<UserSessionRevoked>(record)?.payload;
            Change::RevokeUserSession(RevokeUserSession {
                user_session_id: event.session_id,
                expires_s: event.expires_s,
            })
        } else if topic == MediaSessionRevoked::TOPIC.name {
            let event = envelope::decode::<MediaSessionRevoked>(record)?.payload;
            Change::RevokeMediaSession(RevokeMediaSession {
                media_session_id: event.media_session_id.to_string(),
                expires_s: event.expires_s,
            })
        } else if topic == ContentDeleted::TOPIC.name {
            let event = envelope::decode::<ContentDeleted>(record)?.payload;
            purge(Target::ContentId(event.content_id.to_string()), false)
        } else if topic == ContentUpdated::TOPIC.name {
            updated(&envelope::decode::<ContentUpdated>(record)?.payload)
        } else if topic == TokenKeysRotated::TOPIC.name {
            let event = envelope::decode::<TokenKeysRotated>(record)?.payload;
            if event.region != self.feed.region() {
                // A region speaks for its own keys only; the other's come by the mirror.
                return Ok(None);
            }
            Change::TokenKeySet(TokenKeySet {
                jwks_json: event.jwks_json,
            })
        } else {
            return Err(HandleError::Poison(format!("no rule for topic {topic:?}")));
        };
        Ok(Some(change))
    }
}

fn purge(target: Target, soft: bool) -> Change {
    Change::Purge(Purge {
        target: Some(target),
        soft,
    })
}

/// Segments never change, so a new rendition makes only the manifests stale, and new art only the art.
fn updated(event: &ContentUpdated) -> Change {
    let prefix = |rest: &str| {
        let residency: Residency = event.residency;
        format!(
            "{MEDIA_PREFIX}{}/{}/{rest}",
            residency.prefix(),
            event.content_id
        )
    };
    let target = match event.what.as_str() {
        "renditions" => Target::Prefix(prefix("manifest")),
        "art" => Target::Prefix(prefix("art/")),
        _ => Target::SurrogateKey(event.content_id.to_string()),
    };
    purge(target, true)
}

#[async_trait]
impl Processor for FeedSources {
    fn topics(&self) -> Vec<String> {
        [
            UserSessionRevoked::TOPIC,
            MediaSessionRevoked::TOPIC,
            ContentDeleted::TOPIC,
            ContentUpdated::TOPIC,
            TokenKeysRotated::TOPIC,
        ]
        .map(|topic| topic.name.to_owned())
        .to_vec()
    }

    async fn process(&self, record: &Record) -> Result<(), HandleError> {
        let event_id = envelope::event_id(record)?;
        if let Some(change) = self.changes(record)? {
            self.feed
                .publish_once(&event_id.to_string(), change)
                .await?;
        }
        Ok(())
    }
}
