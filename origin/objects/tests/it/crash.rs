//! Kill -9 in the middle of everything: what was acknowledged is there and whole, and nothing torn is visible.

use std::collections::BTreeMap;
use std::path::Path;

use bytes::Bytes;
use mcsp_kill::{acknowledge, target, until_killed};
use mcsp_origin_objects::contract::read_all;
use mcsp_origin_objects::{FileEngine, ObjectStore};
use mcsp_runtime::{Entropy, SeededEntropy, SystemClock, SystemEntropy, hex_lower};
use md5::{Digest, Md5};

use crate::stage::NG;

async fn open(dir: &Path) -> FileEngine {
    let engine = FileEngine::open(dir, SystemClock::shared(), SystemEntropy::shared())
        .await
        .unwrap();
    engine.create_bucket(NG).await.unwrap();
    engine
}

/// Not a test of its own: the process that is killed. It stores objects for ever, whole and in parts, and says so after
/// each acknowledgement.
#[tokio::test]
#[ignore = "run as a child by a_kill_at_any_moment_loses_nothing_acknowledged"]
async fn child() {
    let Some(target) = target() else { return };
    let (seed, dir) = target.to_str().and_then(|it| it.split_once(' ')).unwrap();
    let dice = SeededEntropy::new(seed.parse().unwrap());
    let engine = open(Path::new(dir)).await;
    let stored = |key: &str, etag: &str| {
        acknowledge(format_args!("{key} {}", etag.trim_matches('"'))).unwrap();
    };
    for round in 0_u64.. {
        let body = |dice: &SeededEntropy| {
            let mut body = vec![0; usize::try_from(dice.next_u64() % 200_000).unwrap()];
            dice.fill(&mut body);
            Bytes::from(body)
        };
        // Few names, so that replacing and removing parts happens all the time.
        let key = format!("kill/{}", dice.next_u64() % 8);
        if round % 3 == 0 {
            let upload_id = engine
                .create_multipart(NG, &key, "video/mp4")
                .await
                .unwrap();
            let mut parts = Vec::new();
            for number in 1..=3 {
                parts.push(
                    engine
                        .put_part(NG, &key, &upload_id, number, body(&dice))
                        .await
                        .unwrap(),
                );
            }
            let meta = engine
                .complete_multipart(NG, &key, &upload_id, &parts)
                .await
                .unwrap();
            stored(&key, &meta.etag);
        } else {
            let meta = engine
                .put(NG, &key, "video/mp4", body(&dice))
                .await
                .unwrap();
            stored(&key, &meta.etag);
        }
    }
}

#[tokio::test]
async fn a_kill_at_any_moment_loses_nothing_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    for seed in 0..5_u64 {
        let target = format!("{seed} {}", dir.path().display());
        let enough = usize::try_from(12 + seed * 7).unwrap();
        let said = until_killed("crash::child", target, enough).unwrap();
        let acknowledged: BTreeMap<String, String> = said
            .iter()
            .map(|said| said.split_once(' ').unwrap())
            .map(|(key, etag)| (key.to_owned(), etag.to_owned()))
            .collect();
        check(dir.path(), &acknowledged).await;
    }
}

async fn check(dir: &Path, acknowledged: &BTreeMap<String, String>) {
    let engine = open(dir).await;
    let listed = engine.list(NG, "", None).await.unwrap().objects;
    for key in acknowledged.keys() {
        assert!(
            listed.iter().any(|object| &object.key == key),
            "{key} is gone"
        );
    }
    let mut newer = 0;
    for object in &listed {
        let bytes = read_all(engine.get(NG, &object.key, None).await.unwrap())
            .await
            .unwrap();
        assert_eq!(
            bytes.len() as u64,
            object.size_bytes,
            "{} is torn",
            object.key
        );
        let etag = object.etag.trim_matches('"');
        if !etag.contains('-') {
            assert_eq!(
                hex_lower(&Md5::digest(&bytes)),
                etag,
                "{} is torn",
                object.key
            );
        }
        // Only the write that was running when the kill came may have replaced what was acknowledged.
        newer += usize::from(acknowledged.get(&object.key).is_some_and(|it| it != etag));
    }
    assert!(
        newer <= 1,
        "{newer} acknowledged objects were replaced by others"
    );
    assert_eq!(std::fs::read_dir(dir.join("tmp")).unwrap().count(), 0);
}
