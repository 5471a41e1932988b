//! What the pipeline and the moderators say, in whatever order and however often.

use std::time::Duration;

use mcsp_api::events::{
    ArtReady, ContentUpdated, MediaType, ModerationApproved, ModerationRequested, Published,
    StageProgress, UploadBlocked, UploadInitiated,
};
use mcsp_api::rest::{ContentStatus, Visibility};
use mcsp_api::{ContentId, Residency, Role, UploadId, ViewerIdentity};
use mcsp_core_services_content::{ContentEvents, Moderation};
use mcsp_events::consumer::{Consumer, HandleError, RetryPolicy};
use mcsp_events::envelope;
use mcsp_runtime::{ShutdownTrigger, SystemEntropy};

use crate::stage::{Stage, packaged, region};

fn initiated(stage: &Stage, id: &ContentId, owner: &ViewerIdentity) -> UploadInitiated {
    UploadInitiated {
        content_id: id.clone(),
        upload_id: UploadId::generate(region(), &*stage.clock, &*SystemEntropy::shared()),
        owner_id: owner.user_id.clone(),
        organisation_id: None,
        residency: Residency::Global,
        media_type: MediaType::Video,
        size_bytes: 1,
    }
}

fn blocked(id: &ContentId, code: &str) -> UploadBlocked {
    UploadBlocked {
        content_id: id.clone(),
        code: code.into(),
        reason: "the file has no picture".into(),
    }
}

fn approved(id: &ContentId) -> ModerationApproved {
    ModerationApproved {
        content_id: id.clone(),
        decided_by: "m".into(),
    }
}

async fn status(stage: &Stage, id: &ContentId) -> ContentStatus {
    stage.service.record(id).await.unwrap().status()
}

#[tokio::test]
async fn with_the_gate_off_the_first_rendition_publishes_and_later_ones_update() {
    let stage = Stage::new(Moderation::Off).await;
    let owner = stage.person(Role::Creator);
    let id = stage.draft(&owner, Visibility::Public).await;

    stage.hear(&initiated(&stage, &id, &owner)).await.unwrap();
    assert_eq!(status(&stage, &id).await, ContentStatus::Processing);
    stage.hear(&packaged(&id, &["v360"], false)).await.unwrap();
    assert_eq!(status(&stage, &id).await, ContentStatus::Published);
    assert_eq!(stage.told::<Published>().await.len(), 1);
    assert!(stage.told::<ContentUpdated>().await.is_empty());

    stage
        .hear(&packaged(&id, &["v360", "v720"], true))
        .await
        .unwrap();
    // Late and repeated lists take nothing away.
    stage.hear(&packaged(&id, &["v360"], false)).await.unwrap();
    stage
        .hear(&packaged(&id, &["v360", "v720"], true))
        .await
        .unwrap();
    let content = stage.service.get(&id, None).await.unwrap();
    assert_eq!(
        (content.renditions, content.complete),
        (vec!["v360".to_owned(), "v720".to_owned()], true)
    );
    assert_eq!(stage.told::<Published>().await.len(), 1);
    let what: Vec<String> = stage
        .told::<ContentUpdated>()
        .await
        .into_iter()
        .map(|e| e.what)
        .collect();
    assert_eq!(what, ["renditions"]);
    assert!(stage.told::<ModerationRequested>().await.is_empty());
}

#[tokio::test]
async fn with_the_gate_on_only_an_approval_publishes() {
    let stage = Stage::new(Moderation::Hold).await;
    let owner = stage.person(Role::Creator);
    let id = stage.draft(&owner, Visibility::Public).await;
    for last in [false, true, true] {
        stage.hear(&packaged(&id, &["v360"], last)).await.unwrap();
    }
    assert_eq!(status(&stage, &id).await, ContentStatus::PendingModeration);
    assert!(stage.service.get(&id, None).await.is_err());
    assert!(stage.told::<Published>().await.is_empty());
    assert_eq!(stage.told::<ModerationRequested>().await.len(), 1);

    stage.hear(&approved(&id)).await.unwrap();
    stage.hear(&approved(&id)).await.unwrap();
    assert_eq!(status(&stage, &id).await, ContentStatus::Published);
    assert_eq!(stage.told::<Published>().await.len(), 1);
    assert!(stage.service.get(&id, None).await.is_ok());
}

#[tokio::test]
async fn every_order_ends_published_once() {
    let stage = Stage::new(Moderation::Hold).await;
    let owner = stage.person(Role::Creator);
    let mut items = 0;
    for order in permutations(4) {
        let id = stage.draft(&owner, Visibility::Public).await;
        // Each event twice: the second time in the same order after all of the first.
        for step in order.iter().chain(&order) {
            match step {
                0 => stage.hear(&initiated(&stage, &id, &owner)).await.unwrap(),
                1 => stage.hear(&packaged(&id, &["v360"], true)).await.unwrap(),
                2 => stage.hear(&approved(&id)).await.unwrap(),
                _ => stage.hear(&blocked(&id, "damaged")).await.unwrap(),
            }
        }
        assert_eq!(
            status(&stage, &id).await,
            ContentStatus::Published,
            "{order:?}"
        );
        items += 1;
        assert_eq!(stage.told::<Published>().await.len(), items, "{order:?}");
    }
}

fn permutations(n: usize) -> Vec<Vec<usize>> {
    if n == 0 {
        return vec![Vec::new()];
    }
    let mut all = Vec::new();
    for shorter in permutations(n - 1) {
        for at in 0..=shorter.len() {
            let mut longer = shorter.clone();
            longer.insert(at, n - 1);
            all.push(longer);
        }
    }
    all
}

#[tokio::test]
async fn a_file_that_cannot_be_used_says_why_to_its_owner_only() {
    let stage = Stage::new(Moderation::Off).await;
    let owner = stage.person(Role::Creator);
    let id = stage.draft(&owner, Visibility::Public).await;
    stage.hear(&blocked(&id, "not-media")).await.unwrap();
    // The pipeline's first event comes late.
    stage.hear(&initiated(&stage, &id, &owner)).await.unwrap();
    let content = stage.service.get(&id, Some(&owner)).await.unwrap();
    assert_eq!(content.status, ContentStatus::Failed);
    assert_eq!(
        content.status_reason.as_deref(),
        Some("the file has no picture")
    );
    assert!(stage.service.get(&id, None).await.is_err());
}

#[tokio::test]
async fn what_may_not_be_shown_is_withdrawn_and_stays_so() {
    let stage = Stage::new(Moderation::Off).await;
    let owner = stage.person(Role::Creator);
    let id = stage.published(&owner, Visibility::Public).await;
    stage.hear(&blocked(&id, "copyright")).await.unwrap();
    stage
        .hear(&packaged(&id, &["v360", "v720"], true))
        .await
        .unwrap();
    stage.hear(&approved(&id)).await.unwrap();
    assert_eq!(status(&stage, &id).await, ContentStatus::Blocked);
    assert!(stage.service.get(&id, None).await.is_err());
    let what: Vec<String> = stage
        .told::<ContentUpdated>()
        .await
        .into_iter()
        .map(|e| e.what)
        .collect();
    assert_eq!(what[0], "withdrawn");
}

#[tokio::test]
async fn events_about_deleted_items_bring_nothing_back() {
    let stage = Stage::new(Moderation::Off).await;
    let owner = stage.person(Role::Creator);
    let id = stage.published(&owner, Visibility::Public).await;
    stage.service.delete(&id, &owner).await.unwrap();
    stage
        .hear(&packaged(&id, &["v360", "v720"], true))
        .await
        .unwrap();
    stage
        .hear(&ArtReady {
            content_id: id.clone(),
            thumbnails: vec!["art/1.jpg".into()],
        })
        .await
        .unwrap();
    stage.hear(&blocked(&id, "damaged")).await.unwrap();
    stage
        .hear(&progress(&id, "package", "finished", 100))
        .await
        .unwrap();
    let record = stage.service.record(&id).await.unwrap();
    assert_eq!(record.status(), ContentStatus::Deleted);
    assert!(
        record.renditions.is_empty()
            && record.thumbnails.is_empty()
            && record.status_reason.is_none()
    );
}

fn progress(id: &ContentId, stage: &str, state: &str, percent: u32) -> StageProgress {
    StageProgress {
        content_id: id.clone(),
        stage: stage.into(),
        state: state.into(),
        percent,
        note: "n".repeat(600),
    }
}

#[tokio::test]
async fn stages_are_the_owners_and_the_latest_word_counts() {
    let stage = Stage::new(Moderation::Off).await;
    let owner = stage.person(Role::Creator);
    let id = stage.published(&owner, Visibility::Public).await;
    stage
        .hear(&progress(&id, "validate", "finished", 100))
        .await
        .unwrap();
    stage.clock.advance(Duration::from_secs(1));
    stage
        .hear(&progress(&id, "transcode", "progress", 40))
        .await
        .unwrap();
    stage.clock.set(crate::stage::NOW_MS - 1);
    stage
        .hear(&progress(&id, "transcode", "started", 0))
        .await
        .unwrap();

    let stages = stage.service.get(&id, Some(&owner)).await.unwrap().stages;
    let shown: Vec<_> = stages
        .iter()
        .map(|s| (s.stage.as_str(), s.state.as_str(), s.percent, s.note.len()))
        .collect();
    assert_eq!(
        shown,
        [
            ("validate", "finished", 100, 500),
            ("transcode", "progress", 40, 500)
        ]
    );
    assert!(
        stage
            .service
            .get(&id, None)
            .await
            .unwrap()
            .stages
            .is_empty()
    );

    // However many names come, the list is bounded.
    for n in 0..50 {
        stage
            .hear(&progress(&id, &format!("s{n}"), "started", 0))
            .await
            .unwrap();
    }
    assert_eq!(
        stage
            .service
            .get(&id, Some(&owner))
            .await
            .unwrap()
            .stages
            .len(),
        32
    );
}

#[tokio::test]
async fn what_cannot_be_right_is_a_dead_letter_and_changes_nothing() {
    let stage = Stage::new(Moderation::Off).await;
    let owner = stage.person(Role::Creator);
    let unknown = stage.new_record(&owner, Visibility::Public).content_id;
    let outcome = stage.hear(&packaged(&unknown, &["v360"], true)).await;
    assert!(
        matches!(outcome, Err(HandleError::Poison(_))),
        "{outcome:?}"
    );

    let id = stage.draft(&owner, Visibility::Public).await;
    let mut elsewhere = packaged(&id, &["v360"], true);
    elsewhere.residency = Residency::Ng;
    let outcome = stage.hear(&elsewhere).await;
    assert!(
        matches!(outcome, Err(HandleError::Poison(_))),
        "{outcome:?}"
    );
    assert_eq!(status(&stage, &id).await, ContentStatus::Draft);
}

#[tokio::test]
async fn the_consumer_acts_once_on_what_is_delivered_twice() {
    let stage = Stage::new(Moderation::Off).await;
    let owner = stage.person(Role::Creator);
    let id = stage.draft(&owner, Visibility::Public).await;
    let entropy = SystemEntropy::shared();
    let first = envelope::encode(
        &packaged(&id, &["v360"], false),
        "test",
        &*stage.clock,
        &*entropy,
    )
    .unwrap();
    stage
        .log
        .append(vec![first.clone(), first.clone(), first])
        .await
        .unwrap();
    let last = envelope::encode(
        &packaged(&id, &["v360", "v720"], true),
        "test",
        &*stage.clock,
        &*entropy,
    )
    .unwrap();
    stage.log.append(vec![last]).await.unwrap();

    let (trigger, shutdown) = ShutdownTrigger::new();
    let consumer = Consumer::new(
        stage.log.clone(),
        stage.db.clone(),
        "content",
        "m1",
        RetryPolicy::default(),
    );
    let running = tokio::spawn(consumer.run(ContentEvents::new(stage.service.clone()), shutdown));
    let deadline = tokio::time::Instant::now() + Duration::from_secs(120);
    while !stage.service.record(&id).await.unwrap().complete {
        assert!(
            tokio::time::Instant::now() < deadline,
            "the item is not complete after two minutes"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    trigger.trigger();
    running.await.unwrap().unwrap();
    assert_eq!(stage.told::<Published>().await.len(), 1);
    assert_eq!(stage.told::<ContentUpdated>().await.len(), 1);
}
