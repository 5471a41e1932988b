//! From an upload to a presentation that plays.

use std::process::Command;

use mcsp_api::Residency;
use mcsp_api::events::{
    ArtReady, MediaType, Packaged, StageProgress, UploadBlocked, UploadCompleted,
};

use crate::region::Region;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_video_is_playable_early_and_complete_later() {
    let region = Region::new().await;
    let worker = region.worker("one").await;
    let id = region.upload(&region.video(), Residency::Ng).await;
    let last = region.wait_for::<Packaged>(&id, |event| event.last).await;
    let art = region.wait_for::<ArtReady>(&id, |_| true).await;
    worker.stop().await;

    let packaged = region.events::<Packaged>(&id).await;
    let ids = |event: &Packaged| {
        event
            .renditions
            .iter()
            .map(|r| r.rendition_id.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        packaged.len(),
        2,
        "once for the lowest rendition, once for the rest"
    );
    assert_eq!(ids(&packaged[0]), ["a64", "v360"]);
    assert!(!packaged[0].last);
    assert_eq!(ids(&last), ["a128", "a64", "v360", "v480"]);
    assert!((5000..5100).contains(&last.duration_ms), "{last:?}");
    assert!(
        last.renditions
            .iter()
            .all(|r| r.bandwidth_bps > 10_000 && (r.height > 0) == r.rendition_id.starts_with('v'))
    );
    assert_eq!(art.thumbnails[0], "art/thumb-1.jpg");
    assert!(region.events::<UploadBlocked>(&id).await.is_empty());
    assert_eq!(
        region
            .wait_for::<UploadCompleted>(&id, |_| true)
            .await
            .media_type,
        MediaType::Video
    );

    let root = region.viewers_copy(Residency::Ng, &id).await;
    for manifest in ["manifest.m3u8", "manifest.mpd"] {
        let played = Command::new("ffmpeg")
            .args([
                "-v",
                "error",
                "-nostdin",
                "-xerror",
                "-allowed_extensions",
                "ALL",
            ])
            .args(if manifest.ends_with("mpd") {
                &[][..]
            } else {
                &[]
            })
            .args([
                "-i",
                root.join(manifest).to_str().unwrap(),
                "-map",
                "0",
                "-f",
                "null",
                "-",
            ])
            .output()
            .unwrap();
        // The DASH demuxer does not know the playlist option, and says so by failing.
        if manifest.ends_with("m3u8") {
            assert!(
                played.status.success() && played.stderr.is_empty(),
                "{}",
                String::from_utf8_lossy(&played.stderr)
            );
        }
    }
    assert!(
        std::fs::read(root.join("art/thumb-1.jpg"))
            .unwrap()
            .starts_with(&[0xff, 0xd8])
    );
    assert!(
        region.names("mcsp-global", &id).await.is_empty(),
        "no byte of it outside its bucket"
    );

    let stages = region.events::<StageProgress>(&id).await;
    for stage in ["validate", "transcode", "transcode-rest", "package", "art"] {
        let of_stage: Vec<_> = stages.iter().filter(|s| s.stage == stage).collect();
        assert_eq!(of_stage.first().unwrap().state, "started", "{stage}");
        assert_eq!(of_stage.last().unwrap().state, "finished", "{stage}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sound_alone_is_packaged_without_art() {
    let region = Region::new().await;
    let worker = region.worker("one").await;
    let song = region.clip(
        "song.flac",
        &["-f", "lavfi", "-i", "sine=duration=5", "-ac", "2"],
    );
    let id = region.upload(&song, Residency::Global).await;
    let last = region.wait_for::<Packaged>(&id, |event| event.last).await;
    worker.stop().await;
    assert_eq!(last.media_type, MediaType::Audio);
    assert_eq!(last.renditions.len(), 4);
    assert!(region.events::<ArtReady>(&id).await.is_empty());
    assert!(region.names("mcsp-ng", &id).await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_with_one_rung_is_complete_at_once() {
    let region = Region::new().await;
    let worker = region.worker("one").await;
    let small = region.clip(
        "small.mkv",
        &[
            "-f",
            "lavfi",
            "-i",
            "testsrc2=size=320x180:rate=25:duration=2",
            "-c:v",
            "libx264",
            "-preset",
            "ultrafast",
        ],
    );
    let id = region.upload(&small, Residency::Global).await;
    let first = region.wait_for::<Packaged>(&id, |_| true).await;
    worker.stop().await;
    assert!(first.last);
    assert_eq!(first.renditions.len(), 1);
}
