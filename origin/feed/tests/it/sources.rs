//! Domain events become entries, each once.

use std::sync::Arc;
use std::time::Duration;

use mcsp_api::events::{
    ContentDeleted, ContentUpdated, Event, MediaSessionRevoked, TOPICS, TokenKeysRotated,
    UserSessionRevoked,
};
use mcsp_api::proto::feed::Purge;
use mcsp_api::proto::feed::purge::Target;
use mcsp_api::{ContentId, MediaSessionId, RegionCode, Residency};
use mcsp_events::{NewRecord, envelope};
use mcsp_feed::{Change, FeedSources};
use mcsp_runtime::{Clock, SeededEntropy, SharedEntropy, ShutdownTrigger};

use crate::support::{
    NOW_S, Region, all, changes, eventually, keys, purge, region, revoked, revoked_media,
};

fn encode<E: Event>(region: &Region, entropy: &SharedEntropy, event: &E) -> NewRecord {
    let clock: &dyn Clock = &*region.clock;
    envelope::encode(event, "test", clock, &**entropy).unwrap()
}

fn stale(target: Target) -> Change {
    Change::Purge(Purge {
        target: Some(target),
        soft: true,
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_event_becomes_its_entry_once_however_often_it_comes() {
    let region = region("ng-lagos", 1).await;
    for topic in TOPICS {
        let retention = Duration::from_secs(u64::from(topic.retention_days) * 86_400);
        region
            .log
            .ensure_topic(topic.name, topic.partitions, retention)
            .await
            .unwrap();
    }
    let entropy: SharedEntropy = SeededEntropy::new(3);
    let code: RegionCode = "ng".parse().unwrap();
    let content_id = ContentId::generate(code, &*region.clock, &*entropy);
    let media_session_id = MediaSessionId::generate(code, &*region.clock, &*entropy);
    let update = |what: &str| ContentUpdated {
        content_id: content_id.clone(),
        residency: Residency::Ng,
        what: what.to_owned(),
    };
    let rotated = |name: &str| TokenKeysRotated {
        region: name.to_owned(),
        jwks_json: name.to_owned(),
    };
    let records = vec![
        encode(
            &region,
            &entropy,
            &UserSessionRevoked {
                session_id: "s".to_owned(),
                expires_s: NOW_S + 60,
            },
        ),
        encode(
            &region,
            &entropy,
            &MediaSessionRevoked {
                media_session_id: media_session_id.clone(),
                expires_s: NOW_S + 60,
            },
        ),
        encode(
            &region,
            &entropy,
            &ContentDeleted {
                content_id: content_id.clone(),
                residency: Residency::Ng,
            },
        ),
        encode(&region, &entropy, &update("renditions")),
        encode(&region, &entropy, &update("art")),
        encode(&region, &entropy, &update("metadata")),
        encode(&region, &entropy, &rotated("ng-lagos")),
        encode(&region, &entropy, &rotated("global-london")),
    ];
    region.log.append(records.clone()).await.unwrap();
    region.log.append(records).await.unwrap();

    let (trigger, shutdown) = ShutdownTrigger::new();
    let sources = FeedSources::new(region.feed.clone());
    let running = tokio::spawn(sources.run(Arc::clone(&region.log), "m", shutdown));
    let consumed = || async {
        for topic in [
            "session.user.revoked",
            "session.media.revoked",
            "content.deleted",
            "content.updated",
            "auth.keys.rotated",
        ] {
            for (partition, state) in (0..).zip(region.log.describe(topic).await.unwrap()) {
                if region
                    .log
                    .committed(mcsp_feed::GROUP, topic, partition)
                    .await
                    .unwrap()
                    != state.next_offset
                {
                    return false;
                }
            }
        }
        true
    };
    eventually("everything is consumed", consumed).await;
    trigger.trigger();
    running.await.unwrap().unwrap();

    let found = changes(&all(&region.log).await);
    let expected = [
        revoked("s", 60),
        revoked_media(media_session_id.as_str(), 60),
        purge(content_id.as_str()),
        stale(Target::Prefix(format!("/media/ng/{content_id}/manifest"))),
        stale(Target::Prefix(format!("/media/ng/{content_id}/art/"))),
        stale(Target::SurrogateKey(content_id.to_string())),
        keys("ng-lagos"),
    ];
    assert_eq!(found.len(), expected.len(), "{found:?}");
    for change in expected {
        assert!(
            found.contains(&change),
            "{change:?} is missing from {found:?}"
        );
    }
}
