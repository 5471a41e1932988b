//! Bad files, stops in the middle, repeated events, storage that fails.

use std::sync::Arc;
use std::time::Duration;

use mcsp_api::Residency;
use mcsp_api::events::{
    ArtReady, Event, Packaged, TranscodingCompleted, UploadBlocked, UploadInitiated,
};
use mcsp_objects::{Faults, FaultyObjects, SharedObjects};

use crate::region::Region;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_file_is_blocked_with_its_reason_and_nothing_is_published() {
    let region = Region::new().await;
    let worker = region.worker("one").await;
    let text = region.path("text.mp4");
    std::fs::write(&text, "no media ".repeat(1000)).unwrap();
    let cut = region.path("cut.mkv");
    let whole = region.clip(
        "whole.mkv",
        &[
            "-f",
            "lavfi",
            "-i",
            "testsrc2=size=320x180:rate=25:duration=20",
            "-c:v",
            "libx264",
            "-preset",
            "ultrafast",
        ],
    );
    let bytes = std::fs::read(whole).unwrap();
    std::fs::write(&cut, &bytes[..bytes.len() / 2]).unwrap();
    let empty = region.path("empty.mp4");
    std::fs::write(&empty, b"").unwrap();
    for (file, code) in [(text, "not-media"), (cut, "truncated"), (empty, "empty")] {
        let id = region.upload(&file, Residency::Global).await;
        let blocked = region.wait_for::<UploadBlocked>(&id, |_| true).await;
        assert_eq!(blocked.code, code);
        assert!(
            blocked.reason.len() > 20 && !blocked.reason.contains("tmp"),
            "{}",
            blocked.reason
        );
        assert!(region.events::<Packaged>(&id).await.is_empty());
        assert!(
            !region
                .names("mcsp-global", &id)
                .await
                .iter()
                .any(|name| name.starts_with("manifest"))
        );
    }
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_given_up_is_told_and_kept_as_a_dead_letter() {
    let region = Region::new().await;
    let worker = region.worker("one").await;
    let id = region.new_id();
    region.announce(&id, Residency::Global).await;
    let blocked = region.wait_for::<UploadBlocked>(&id, |_| true).await;
    assert_eq!(blocked.code, "failed");
    let topic = format!("{}.dlq", UploadInitiated::TOPIC.name);
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    let letter = loop {
        if let Some(letter) = region.records(&topic, &id).await.pop() {
            break letter;
        }
        assert!(
            tokio::time::Instant::now() < deadline,
            "no dead letter came"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert_eq!(letter.headers["mcsp-attempts"], "5");
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_dies_anywhere_publishes_once_in_the_end() {
    let region = Region::new().await;
    let id = region.upload(&region.video(), Residency::Global).await;
    // Ever later: in the probe, the first pass, the packaging, the second pass.
    for (n, wait_ms) in [50, 300, 700, 1500].into_iter().enumerate() {
        let worker = region.worker("one").await;
        tokio::time::sleep(Duration::from_millis(wait_ms)).await;
        // Two of the stops are kills.
        if n % 2 == 0 {
            worker.kill().await
        } else {
            worker.stop().await
        }
    }
    let worker = region.worker("one").await;
    let last = region.wait_for::<Packaged>(&id, |event| event.last).await;
    region.wait_for::<ArtReady>(&id, |_| true).await;
    worker.stop().await;
    assert_eq!(last.renditions.len(), 4);
    assert_eq!(region.events::<Packaged>(&id).await.len(), 2);
    assert_eq!(region.events::<TranscodingCompleted>(&id).await.len(), 2);
    assert_eq!(region.events::<ArtReady>(&id).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_worker_goes_on_and_a_repeat_changes_nothing() {
    let region = Region::new().await;
    let worker = region.worker("one").await;
    let id = region.upload(&region.video(), Residency::Global).await;
    region
        .wait_for::<TranscodingCompleted>(&id, |event| event.lowest)
        .await;
    worker.kill().await;
    // Its database is lost too: the second worker finds all it needs in object storage.
    let worker = region.worker("two").await;
    region.wait_for::<Packaged>(&id, |event| event.last).await;
    region.wait_for::<ArtReady>(&id, |_| true).await;
    let before = region.names("mcsp-global", &id).await;
    region.announce(&id, Residency::Global).await;
    let lowest = |events: &[TranscodingCompleted]| events.iter().filter(|event| event.last).count();
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    while lowest(&region.events::<TranscodingCompleted>(&id).await) < 2 {
        assert!(
            tokio::time::Instant::now() < deadline,
            "the repeat did not come through"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    worker.stop().await;
    assert_eq!(
        region.names("mcsp-global", &id).await,
        before,
        "the same names"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn storage_that_fails_now_and_then_only_delays() {
    let region = Region::new().await;
    let faults = Faults {
        seed: 11,
        error_rate: 0.1,
        torn_rate: 0.02,
        delay_max_ms: 5,
    };
    let faulty: SharedObjects = Arc::new(FaultyObjects::new(region.objects.clone(), faults));
    let worker = region.worker_with("one", &faulty, region.log.clone()).await;
    let id = region.upload(&region.video(), Residency::Global).await;
    let last = region.wait_for::<Packaged>(&id, |event| event.last).await;
    worker.stop().await;
    assert_eq!(last.renditions.len(), 4);
    assert!(region.events::<UploadBlocked>(&id).await.is_empty());
}
