//! A worker that dies at any call to the outside, several times over, publishes exactly what one that lives does.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use mcsp_api::events::{ArtReady, UploadBlocked, UploadCompleted};
use mcsp_api::{ContentId, Residency};
use mcsp_media_pipeline::{Pipeline, Stores};
use mcsp_runtime::{Entropy, SeededEntropy, ShutdownTrigger};

use crate::crashing::{CrashPoint, CrashingLog, CrashingStore};
use crate::fake::{FakeEncoder, VIDEO};
use crate::world::{PATIENCE, World, config, eventually};

const SEEDS: u64 = 16;
/// Deaths of one worker; after that it lives.
const CRASHES: u32 = 4;

fn id() -> ContentId {
    "c_ng_01k9x3m5y8q2v7r4t6w1z0a3bc".parse().unwrap()
}

async fn is_done(world: &World) -> bool {
    let is_packaged = world.packaged(&id()).await.iter().any(|event| event.last);
    is_packaged && !world.events::<ArtReady>().await.is_empty()
}

/// Runs a worker, in a runtime of its own, until it has done all or is at the point where it dies.
async fn live(world: &World, point: &Arc<CrashPoint>) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let encoder = FakeEncoder {
        crash: Some(Arc::clone(point)),
        ..FakeEncoder::default()
    };
    let mut parts = world.parts(Arc::new(encoder)).await;
    parts.log = Arc::new(CrashingLog {
        inner: Arc::clone(&parts.log),
        point: Arc::clone(point),
    });
    let store =
        |residency| CrashingStore::around(world.store(residency), Arc::clone(point)).item_store();
    parts.stores = Stores::new(store(Residency::Global), Some(store(Residency::Ng)));
    let (_trigger, shutdown) = ShutdownTrigger::new();
    runtime.spawn(async move {
        let pipeline = Pipeline::new(parts, config()).await.unwrap();
        pipeline.run(shutdown, 0).await.unwrap();
    });
    tokio::select! {
        () = point.reached() => {}
        () = eventually("all is done or the worker is dead", async || is_done(world).await) => {}
    }
    // Every task is dropped where it stands.
    tokio::task::spawn_blocking(move || runtime.shutdown_timeout(Duration::from_secs(60)))
        .await
        .unwrap();
}

async fn outcome(world: &World) -> BTreeMap<String, Bytes> {
    let packaged = world.packaged(&id()).await;
    let sets: Vec<(usize, bool)> = packaged
        .iter()
        .map(|event| (event.renditions.len(), event.last))
        .collect();
    assert_eq!(
        sets,
        [(2, false), (3, false), (4, false), (5, true)],
        "each rendition joins once"
    );
    assert_eq!(world.events::<UploadCompleted>().await.len(), 1);
    assert_eq!(world.events::<ArtReady>().await.len(), 1);
    assert!(world.events::<UploadBlocked>().await.is_empty());
    world.objects(Residency::Ng, &id()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn crashes_anywhere_change_nothing_of_what_is_published() {
    let world = World::new("ng").await;
    world.upload_as(&id(), Residency::Ng, VIDEO).await;
    let point = CrashPoint::never();
    live(&world, &point).await;
    let expected = outcome(&world).await;
    let calls = u64::try_from(point.calls()).unwrap();
    assert!(
        calls > 50 && expected.len() > 20,
        "{calls} calls, {} objects",
        expected.len()
    );

    for seed in 0..SEEDS {
        let random = SeededEntropy::new(seed);
        let world = World::new("ng").await;
        world.upload_as(&id(), Residency::Ng, VIDEO).await;
        let mut points = Vec::new();
        for _ in 0..CRASHES {
            let call = i64::try_from(random.next_u64() % calls + 1).unwrap();
            points.push(call);
            live(&world, &CrashPoint::at(call)).await;
        }
        let finished = tokio::time::timeout(PATIENCE, live(&world, &CrashPoint::never())).await;
        assert!(
            finished.is_ok(),
            "seed {seed}, crashes at {points:?}: never done"
        );
        assert_eq!(
            outcome(&world).await,
            expected,
            "seed {seed}, crashes at {points:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_joined_before_a_death_is_published_and_only_the_others_are_made_again() {
    let world = World::new("ng").await;
    world.upload_as(&id(), Residency::Ng, VIDEO).await;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let encoder = FakeEncoder {
        hangs_at: Some("v720"),
        ..FakeEncoder::default()
    };
    let parts = world.parts(Arc::new(encoder)).await;
    let (_trigger, shutdown) = ShutdownTrigger::new();
    runtime.spawn(async move {
        let pipeline = Pipeline::new(parts, config()).await.unwrap();
        pipeline.run(shutdown, 0).await.unwrap();
    });
    // The pass that makes them never ends, and yet they join.
    eventually("all but the highest are published", async || {
        let packaged = world.packaged(&id()).await;
        packaged.iter().any(|event| event.renditions.len() == 4)
    })
    .await;
    tokio::task::spawn_blocking(move || runtime.shutdown_timeout(Duration::from_secs(60)))
        .await
        .unwrap();

    let encoder = Arc::new(FakeEncoder::default());
    let running = world.start(encoder.clone()).await;
    world.all_packaged(&id()).await;
    eventually("all is done", async || is_done(&world).await).await;
    running.stop().await;
    assert_eq!(*encoder.passes.lock(), [["v720"]]);
    outcome(&world).await;
}
