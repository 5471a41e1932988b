//! What happens when the encoder, not the file, is at fault.

use std::collections::BTreeMap;
use std::sync::Arc;

use mcsp_api::Residency;
use mcsp_api::events::{Event, TranscodingCompleted, UploadBlocked, UploadCompleted};
use mcsp_db::Db;
use mcsp_events::NewRecord;
use mcsp_media_pipeline::{ItemStore, Scratch, Stores};
use mcsp_objects::{Faults, FaultyObjects};

use crate::fake::{AUDIO, FakeEncoder, VIDEO};
use crate::world::{World, eventually, run};

#[tokio::test(flavor = "multi_thread")]
async fn one_failed_rendition_leaves_the_others_published() {
    let world = World::new("ng").await;
    let running = world.start(FakeEncoder::failing("v720", u32::MAX)).await;
    let id = world.upload(Residency::Global, VIDEO).await;
    let last = world.all_packaged(&id).await;
    running.stop().await;
    let ids: Vec<_> = last
        .renditions
        .iter()
        .map(|made| &made.rendition_id)
        .collect();
    assert_eq!(ids, ["a128", "a64", "v360", "v480"]);
    assert!(world.events::<UploadBlocked>().await.is_empty());
    let letters = world.dead_letters(TranscodingCompleted::TOPIC.name).await;
    assert_eq!(letters, ["media-rest"]);
    let sets: Vec<_> = world.packaged(&id).await;
    let sets: Vec<_> = sets
        .iter()
        .map(|event| (event.renditions.len(), event.last))
        .collect();
    // That no other will come is told once it is known.
    assert_eq!(sets, [(2, false), (3, false), (4, false), (4, true)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_rendition_holds_back_no_other_and_is_tried_again_by_itself() {
    let world = World::new("ng").await;
    let encoder = FakeEncoder::failing("v480", 2);
    let running = world.start(encoder.clone()).await;
    let id = world.upload(Residency::Global, VIDEO).await;
    let last = world.all_packaged(&id).await;
    running.stop().await;
    assert_eq!(last.renditions.len(), 5);
    let passes = encoder.passes.lock().clone();
    let expected = [
        vec!["v360", "a64"],
        vec!["v480", "v720", "a128"],
        vec!["v480"],
        vec!["v480"],
    ];
    assert_eq!(passes, expected);
    let joined = world.events::<TranscodingCompleted>().await;
    let joined: Vec<_> = joined
        .iter()
        .map(|event| (event.rendition_ids.join(" "), event.last))
        .collect();
    let expected = [
        ("v360 a64", false),
        ("a128", false),
        ("v720", false),
        ("v480", true),
    ];
    assert_eq!(joined, expected.map(|(ids, last)| (ids.to_owned(), last)));
    let letters = world.dead_letters(TranscodingCompleted::TOPIC.name).await;
    assert!(letters.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pass_that_breaks_off_loses_nothing_that_joined_and_the_rest_is_made_one_by_one() {
    let world = World::new("ng").await;
    let encoder = FakeEncoder::breaking_off("v480", 2);
    let running = world.start(encoder.clone()).await;
    let id = world.upload(Residency::Global, VIDEO).await;
    let last = world.all_packaged(&id).await;
    running.stop().await;
    assert_eq!(last.renditions.len(), 5);
    let passes = encoder.passes.lock().clone();
    let expected = [
        vec!["v360", "a64"],
        // The sound joins, the pass breaks off; then one by one; then what is missing.
        vec!["v480", "v720", "a128"],
        vec!["v480"],
        vec!["v720"],
        vec!["v480"],
    ];
    assert_eq!(passes, expected);
    assert_eq!(world.packaged(&id).await.len(), 4, "each joins once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_pass_that_never_succeeds_is_given_up_and_the_creator_told_once() {
    let world = World::new("ng").await;
    let encoder = FakeEncoder::failing("v360", u32::MAX);
    let running = world.start(encoder.clone()).await;
    let id = world.upload(Residency::Ng, VIDEO).await;
    let is_told = async || !world.events::<UploadBlocked>().await.is_empty();
    eventually("the creator is told", is_told).await;
    running.stop().await;
    let blocked = world.events::<UploadBlocked>().await;
    assert_eq!((blocked.len(), blocked[0].code.as_str()), (1, "failed"));
    assert_eq!(blocked[0].content_id, id);
    let tries = encoder.passes.lock().len();
    assert_eq!(tries, 3, "as many tries as configured");
    let topic = UploadCompleted::TOPIC.name;
    assert_eq!(world.dead_letters(topic).await, ["media-lowest"]);

    // An operator puts the letter back once the cause is gone: the same event is still good.
    encoder.failures.lock().clear();
    let letter = world.records(&format!("{topic}.dlq")).await.remove(0);
    let again = NewRecord {
        topic: topic.to_owned(),
        key: letter.key,
        value: letter.value,
        headers: BTreeMap::new(),
    };
    world.log.append(vec![again]).await.unwrap();
    let running = world.start(encoder).await;
    world.all_packaged(&id).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn items_take_turns_when_scratch_is_small() {
    let world = World::new("gl").await;
    let mut parts = world.parts(Arc::new(FakeEncoder::default())).await;
    // Room for one second pass of this source and little more.
    let room = 40 << 20;
    parts.scratch = Scratch::open(&world.dir.path().join("small"), room).unwrap();
    let scratch = parts.scratch.clone();
    let running = run(parts).await;
    let mut items = Vec::new();
    for _ in 0..4 {
        items.push(world.upload(Residency::Global, VIDEO).await);
    }
    for id in &items {
        let last = world.all_packaged(id).await;
        assert_eq!(last.renditions.len(), 5);
    }
    running.stop().await;
    assert!(scratch.used_bytes() <= room);
}

#[tokio::test(flavor = "multi_thread")]
async fn storage_and_database_that_fail_now_and_then_change_nothing() {
    let world = World::new("ng").await;
    let mut parts = world.parts(Arc::new(FakeEncoder::default())).await;
    let faulty = |residency, seed| {
        let store = world.store(residency);
        let faults = Faults {
            seed,
            error_rate: 0.1,
            torn_rate: 0.05,
            delay_max_ms: 2,
        };
        ItemStore {
            objects: Arc::new(FaultyObjects::new(store.objects, faults)),
            ..store
        }
    };
    let global = faulty(Residency::Global, 1);
    parts.stores = Stores::new(global, Some(faulty(Residency::Ng, 2)));
    let db = world.dir.path().join("media.db");
    let db = format!("faulty:sqlite:{}?seed=3&error_rate=0.05", db.display());
    parts.db = Db::open(&db).await.unwrap();
    let running = run(parts).await;
    let film = world.upload(Residency::Ng, VIDEO).await;
    let song = world.upload(Residency::Global, AUDIO).await;
    for (id, renditions) in [(&film, 5), (&song, 4)] {
        let last = world.all_packaged(id).await;
        assert_eq!(last.renditions.len(), renditions);
        // The lowest, and three that join.
        assert_eq!(world.packaged(id).await.len(), 4);
    }
    running.stop().await;
    assert!(world.events::<UploadBlocked>().await.is_empty());
}
