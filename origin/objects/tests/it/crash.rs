//! Kill -9 in the middle of everything: what was acknowledged is there and whole, and nothing torn is visible.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use bytes::Bytes;
use mcsp_origin_objects::contract::read_all;
use mcsp_origin_objects::{FileEngine, ObjectStore};
use mcsp_runtime::{Entropy, SeededEntropy, SystemClock, SystemEntropy, hex_lower};
use md5::{Digest, Md5};

use crate::stage::NG;

const DIR: &str = "MCSP_TEST_OBJECTS_DIR";
const SEED: &str = "MCSP_TEST_OBJECTS_SEED";

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
    let Some(dir) = std::env::var_os(DIR) else {
        return;
    };
    let seed: u64 = std::env::var(SEED).unwrap().parse().unwrap();
    let dice = SeededEntropy::new(seed);
    let engine = open(Path::new(&dir)).await;
    let mut out = std::io::stdout();
    let mut acknowledge = |key: &str, etag: &str| {
        writeln!(out, "acknowledged {key} {}", etag.trim_matches('"')).unwrap();
        out.flush().unwrap();
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
            acknowledge(&key, &meta.etag);
        } else {
            let meta = engine
                .put(NG, &key, "video/mp4", body(&dice))
                .await
                .unwrap();
            acknowledge(&key, &meta.etag);
        }
    }
}

#[tokio::test]
async fn a_kill_at_any_moment_loses_nothing_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    for seed in 0..5_u64 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "crash::child",
                "--ignored",
                "--nocapture",
                "--test-threads=1",
            ])
            .env(DIR, dir.path())
            .env(SEED, seed.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut acknowledged = BTreeMap::new();
        let mut count = 0;
        while count < 12 + seed * 7 {
            let line = lines.next().expect("the child stores for ever").unwrap();
            count += u64::from(note(&line, &mut acknowledged));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        // What it managed to say before the kill.
        for line in lines.map_while(Result::ok) {
            note(&line, &mut acknowledged);
        }
        check(dir.path(), &acknowledged).await;
    }
}

fn note(line: &str, acknowledged: &mut BTreeMap<String, String>) -> bool {
    let mut words = line
        .split_whitespace()
        .skip_while(|word| *word != "acknowledged");
    match (words.next(), words.next(), words.next()) {
        (Some(_), Some(key), Some(etag)) => {
            acknowledged.insert(key.to_owned(), etag.to_owned());
            true
        }
        _ => false,
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
