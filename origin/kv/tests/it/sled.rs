//! What is particular to the store in this process.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use mcsp_kv::{KvError, KvOpenError};
use mcsp_runtime::ManualClock;

use crate::{open_sled, options};

#[tokio::test]
async fn what_is_closed_can_be_opened_again_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let clock = ManualClock::new(1_000);
    for round in 0..5_u8 {
        let kv = open_sled(folder.path(), &clock).await;
        assert_eq!(
            kv.increment("rounds", 1, None).await.unwrap(),
            i64::from(round) + 1
        );
        kv.put("ends", "v".into(), Some(Duration::from_millis(10)))
            .await
            .unwrap();
        drop(kv);
        let kv = open_sled(folder.path(), &clock).await;
        assert_eq!(
            kv.get("ends").await.unwrap(),
            Some("v".into()),
            "its end was forgotten"
        );
        clock.advance(Duration::from_millis(10));
        assert_eq!(
            kv.get("ends").await.unwrap(),
            None,
            "it was given another end"
        );
    }
}

#[tokio::test]
async fn a_folder_has_one_owner() {
    let folder = tempfile::tempdir().unwrap();
    let clock = ManualClock::new(0);
    let _owner = open_sled(folder.path(), &clock).await;
    let uri = format!("sled:{}", folder.path().display());
    let error = mcsp_kv::open(&uri, options(clock)).await.unwrap_err();
    assert!(
        matches!(
            error,
            KvOpenError::Engine {
                source: KvError::Unavailable(_),
                ..
            }
        ),
        "{error}"
    );
    assert!(error.to_string().contains("lock"), "{error}");
}

#[tokio::test]
async fn a_write_that_nobody_waits_for_is_done_or_not_and_blocks_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let kv = open_sled(folder.path(), &ManualClock::new(0)).await;
    let attempts = 50_u64;
    for attempt in 0..attempts {
        let _ = tokio::time::timeout(
            Duration::from_micros(attempt * 20),
            kv.increment("count", 1, None),
        )
        .await;
    }
    // In turn after all of them.
    let count = kv.increment("count", 0, None).await.unwrap();
    assert!((0..=50).contains(&count), "{count}");
    assert_eq!(
        kv.get("count").await.unwrap(),
        Some(count.to_string().into())
    );
}

#[tokio::test]
async fn a_uri_that_cannot_be_used_says_why() {
    for (uri, why) in [
        (
            "redis://localhost",
            "no key-value engine named \"redis\" in this build; there are: sled, mcsp, faulty",
        ),
        (
            "faulty:redis://localhost",
            "no key-value engine named \"redis\"",
        ),
        ("/kv", "no scheme"),
        ("sled:", "has no path"),
        ("sled:/kv?cache=1", "there is cache_mib only"),
        (
            "sled:/kv?cache_mib=0",
            "\"0\" is not a whole number from 1 to 4096",
        ),
        ("faulty:sled:/kv?lost_ack_rate=2", "\"lost_ack_rate\""),
        (
            "sled:/proc/nowhere/kv",
            "sled:/proc/nowhere/kv: key-value engine is not available",
        ),
    ] {
        let error = mcsp_kv::open(uri, options(ManualClock::new(0)))
            .await
            .unwrap_err();
        assert!(error.to_string().contains(why), "{uri}: {error}");
    }
}

#[tokio::test]
async fn nobody_else_on_the_machine_may_look_into_the_folder() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("kv");
    let _kv = open_sled(&folder, &ManualClock::new(1_000)).await;
    let mode = std::fs::metadata(&folder).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}
