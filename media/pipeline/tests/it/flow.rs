//! From upload to published: which events, which objects, in which order.

use std::sync::Arc;

use mcsp_api::events::{
    ArtReady, Event, MediaType, StageProgress, TranscodingCompleted, UploadBlocked,
    UploadCompleted, UploadInitiated,
};
use mcsp_api::{ContentId, Residency};
use mcsp_media_pipeline::Stores;

use crate::crashing::{CrashPoint, CrashingStore};
use crate::fake::{AUDIO, DAMAGED, FakeEncoder, SILENT_SMALL_VIDEO, VIDEO};
use crate::world::{GLOBAL, NG, World, eventually, run};

fn ids(event: &mcsp_api::events::Packaged) -> Vec<&str> {
    let ids = event
        .renditions
        .iter()
        .map(|rendition| rendition.rendition_id.as_str());
    ids.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lowest_is_published_first_and_each_other_joins_the_same_manifests() {
    let world = World::new("ng").await;
    let encoder = Arc::new(FakeEncoder::default());
    let running = world.start(encoder.clone()).await;
    let id = world.upload(Residency::Ng, VIDEO).await;
    world.all_packaged(&id).await;

    let packaged = world.packaged(&id).await;
    let sets: Vec<_> = packaged
        .iter()
        .map(|event| (ids(event), event.last))
        .collect();
    let expected = [
        (vec!["a64", "v360"], false),
        (vec!["a128", "a64", "v360"], false),
        (vec!["a128", "a64", "v360", "v480"], false),
        (vec!["a128", "a64", "v360", "v480", "v720"], true),
    ];
    assert_eq!(sets, expected);
    assert_eq!(packaged[3].renditions[2].height, 360);
    assert_eq!(packaged[3].duration_ms, 10_000);
    let passes = encoder.passes.lock().clone();
    assert_eq!(passes, [vec!["v360", "a64"], vec!["v480", "v720", "a128"]]);

    let completed = world.events::<UploadCompleted>().await;
    assert_eq!(completed[0].media_type, MediaType::Video);
    let transcoded = world.events::<TranscodingCompleted>().await;
    let flags: Vec<_> = transcoded
        .iter()
        .map(|event| (event.lowest, event.last))
        .collect();
    let later = [(false, false), (false, false), (false, true)];
    assert_eq!(flags[0], (true, false));
    assert_eq!(flags[1..], later);

    let objects = world.objects(Residency::Ng, &id).await;
    let master = std::str::from_utf8(&objects["manifest.m3u8"]).unwrap();
    let dash = std::str::from_utf8(&objects["manifest.mpd"]).unwrap();
    for rendition in ["v360", "v480", "v720", "a64", "a128"] {
        assert!(
            master.contains(&format!("{rendition}/index.m3u8")),
            "{master}"
        );
        assert!(dash.contains(&format!("id=\"{rendition}\"")), "{dash}");
        let playlist = std::str::from_utf8(&objects[&format!("{rendition}/index.m3u8")]).unwrap();
        let listed = playlist.lines().filter(|line| line.ends_with(".m4s"));
        for segment in listed {
            assert!(
                objects.contains_key(&format!("{rendition}/{segment}")),
                "{rendition}/{segment}"
            );
        }
        assert!(objects.contains_key(&format!("{rendition}/init.mp4")));
    }
    eventually("thumbnails are told of", async || {
        !world.events::<ArtReady>().await.is_empty()
    })
    .await;
    let art = world.events::<ArtReady>().await;
    assert_eq!(
        art[0].thumbnails,
        ["art/thumb-1.jpg", "art/thumb-2.jpg", "art/thumb-3.jpg"]
    );
    assert!(
        world
            .objects(Residency::Ng, &id)
            .await
            .contains_key("art/thumb-3.jpg")
    );
    eventually("the creator sees the stages finished", async || {
        let reports = world.events::<StageProgress>().await;
        ["validate", "transcode", "renditions", "package", "art"]
            .iter()
            .all(|stage| {
                reports
                    .iter()
                    .any(|report| report.stage == *stage && report.state == "finished")
            })
    })
    .await;
    assert_eq!(
        world.names(GLOBAL).await,
        Vec::<String>::new(),
        "no NG byte in the global bucket"
    );
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sound_alone_and_a_small_silent_video() {
    let world = World::new("gl").await;
    let running = world.start(Arc::new(FakeEncoder::default())).await;
    let song = world.upload(Residency::Global, AUDIO).await;
    let clip = world.upload(Residency::Global, SILENT_SMALL_VIDEO).await;
    let last = world.all_packaged(&song).await;
    assert_eq!(
        last.media_type,
        MediaType::Audio,
        "whatever was said at the upload"
    );
    assert_eq!(ids(&last), ["a128", "a256", "a320", "a64"]);
    let last = world.all_packaged(&clip).await;
    assert_eq!(ids(&last), ["v180"]);
    assert_eq!(
        world.packaged(&clip).await.len(),
        1,
        "the lowest is the last"
    );
    assert_eq!(world.names(NG).await, Vec::<String>::new());
    running.stop().await;
    let art = world.events::<ArtReady>().await;
    assert!(art.iter().all(|event| event.content_id == clip), "{art:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn manifests_come_after_all_that_they_list() {
    let world = World::new("gl").await;
    let mut parts = world.parts(Arc::new(FakeEncoder::default())).await;
    let store = CrashingStore::around(world.store(Residency::Global), CrashPoint::never());
    parts.stores = Stores::new(store.item_store(), None);
    let running = run(parts).await;
    let id = world.upload(Residency::Global, VIDEO).await;
    world.all_packaged(&id).await;
    running.stop().await;
    let mut puts = store.puts();
    puts.retain(|key| !key.contains("/work/") && !key.contains("/art/"));
    let first_of = |word: &str| puts.iter().position(|key| key.contains(word)).unwrap();
    let last_of = |word: &str| puts.iter().rposition(|key| key.contains(word)).unwrap();
    for lowest in ["/v360/", "/a64/"] {
        assert!(last_of(lowest) < first_of("manifest."), "{puts:?}");
    }
    // Each that joins has manifests right after it, and the next one comes after those.
    for later in ["/a128/", "/v480/", "/v720/"] {
        let end = last_of(later);
        let mut manifests: Vec<&str> = puts[end + 1..=end + 2]
            .iter()
            .map(|key| key.rsplit_once('/').unwrap().1)
            .collect();
        manifests.sort_unstable();
        assert_eq!(manifests, ["manifest.m3u8", "manifest.mpd"], "{puts:?}");
        assert!(
            first_of("manifest.") < first_of(later),
            "the lowest does not wait: {puts:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_used_is_told_once_with_its_reason_and_not_tried_again() {
    let world = World::new("ng").await;
    let encoder = Arc::new(FakeEncoder::default());
    let running = world.start(encoder.clone()).await;
    let text = world.upload(Residency::Ng, b"a letter").await;
    let damaged = world.upload(Residency::Ng, DAMAGED).await;
    let large = world.upload(Residency::Ng, &[0; 1001]).await;
    eventually("three are blocked", async || {
        world.events::<UploadBlocked>().await.len() == 3
    })
    .await;
    running.stop().await;
    let blocked = world.events::<UploadBlocked>().await;
    let code_of = |id: &ContentId| {
        let found: Vec<_> = blocked
            .iter()
            .filter(|event| event.content_id == *id)
            .collect();
        assert_eq!(found.len(), 1);
        assert!(!found[0].reason.is_empty());
        found[0].code.clone()
    };
    assert_eq!(code_of(&text), "not-media");
    assert_eq!(code_of(&damaged), "damaged");
    assert_eq!(code_of(&large), "too-large");
    assert_eq!(
        encoder.passes.lock().len(),
        1,
        "a damaged source is decoded once"
    );
    for topic in [UploadInitiated::TOPIC.name, UploadCompleted::TOPIC.name] {
        assert!(world.dead_letters(topic).await.is_empty(), "{topic}");
    }
    let scratch = std::fs::read_dir(world.dir.path().join("scratch"))
        .unwrap()
        .count();
    assert_eq!(scratch, 1, "only the lock is left");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_in_london_touches_no_ng_item_and_none_of_another_region() {
    let world = World::new("gl").await;
    let encoder = Arc::new(FakeEncoder::default());
    let running = world.start(encoder.clone()).await;
    world.upload(Residency::Ng, VIDEO).await;
    let foreign = "c_ng_01k9x3m5y8q2v7r4t6w1z0a3bc".parse().unwrap();
    world.upload_as(&foreign, Residency::Global, VIDEO).await;
    let topic = UploadInitiated::TOPIC.name;
    eventually("both are dead letters", async || {
        world.dead_letters(topic).await.len() == 2
    })
    .await;
    running.stop().await;
    assert_eq!(
        world.dead_letters(topic).await,
        ["media-ingest", "media-ingest"]
    );
    assert!(world.events::<UploadCompleted>().await.is_empty());
    assert!(
        world.events::<UploadBlocked>().await.is_empty(),
        "nothing is said of them"
    );
    let scratch = std::fs::read_dir(world.dir.path().join("scratch"))
        .unwrap()
        .count();
    assert_eq!(scratch, 1, "only the lock was ever there");
    let metrics = mcsp_telemetry::encode_metrics(mcsp_telemetry::registry()).unwrap();
    assert!(
        metrics.contains("mcsp_media_residency_refused_total"),
        "{metrics}"
    );
}
