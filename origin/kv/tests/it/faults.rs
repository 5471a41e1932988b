//! What `faulty:` does.

use std::sync::Arc;

use bytes::Bytes;
use mcsp_kv::{KvError, SharedKv};
use mcsp_runtime::{FAULT_MARK, ManualClock};

use crate::{open_sled, options};

async fn open(folder: &std::path::Path, params: &str) -> SharedKv {
    let uri = format!("faulty:sled:{}?{params}", folder.display());
    mcsp_kv::open(&uri, options(ManualClock::new(0)))
        .await
        .unwrap()
}

fn assert_injected<T: std::fmt::Debug>(result: Result<T, KvError>) {
    let error = result.unwrap_err();
    assert!(
        error.is_retryable() && error.to_string().contains(FAULT_MARK),
        "{error}"
    );
}

#[tokio::test]
async fn errors_before_have_no_effect_and_lost_acknowledgements_have() {
    let folder = tempfile::tempdir().unwrap();
    let kv = open(folder.path(), "error_rate=1").await;
    assert_injected(kv.put("a", Bytes::new(), None).await);
    assert_injected(kv.get("a").await);
    assert_injected(kv.delete("a").await);
    assert_injected(kv.increment("a", 1, None).await);
    assert_injected(kv.compare_and_set("a", None, None, None).await);
    assert_injected(kv.scan("", "", 1).await);
    drop(kv);

    let kv = open(folder.path(), "lost_ack_rate=1").await;
    assert_eq!(kv.scan("", "", 10).await.unwrap(), []);
    assert_injected(kv.put("put", "v".into(), None).await);
    assert_injected(kv.increment("count", 1, None).await);
    assert_injected(
        kv.compare_and_set("swap", None, Some("v".into()), None)
            .await,
    );
    assert_injected(kv.put("deleted", "v".into(), None).await);
    assert_injected(kv.delete("deleted").await);
    let keys: Vec<String> = kv
        .scan("", "", 10)
        .await
        .unwrap()
        .into_iter()
        .map(|(key, _)| key)
        .collect();
    assert_eq!(keys, ["count", "put", "swap"]);
}

/// The way to count exactly once over a store that may lose acknowledgements: a number of one's own in the value.
#[tokio::test]
async fn compare_and_set_with_retries_counts_exactly_once() {
    for seed in 0..5 {
        let folder = tempfile::tempdir().unwrap();
        let kv = open(
            folder.path(),
            &format!("seed={seed}&error_rate=0.2&lost_ack_rate=0.2"),
        )
        .await;
        for number in 0..20_i64 {
            let before = (number > 0).then(|| number.to_string());
            let after = (number + 1).to_string();
            let mut tries = 0;
            loop {
                tries += 1;
                assert!(tries < 100, "seed {seed}");
                let value = Some(Bytes::from(after.clone()));
                match kv
                    .compare_and_set(
                        "n",
                        before.as_deref().map(str::as_bytes),
                        value.clone(),
                        None,
                    )
                    .await
                {
                    Ok(swap) => {
                        break assert!(
                            swap.swapped || swap.current == value,
                            "seed {seed}: {swap:?}"
                        );
                    }
                    Err(error) => assert!(error.is_retryable(), "seed {seed}: {error}"),
                }
            }
        }
        drop(kv);
        let plain = open_sled(folder.path(), &Arc::clone(&ManualClock::new(0))).await;
        assert_eq!(
            plain.get("n").await.unwrap(),
            Some("20".into()),
            "seed {seed}"
        );
    }
}
