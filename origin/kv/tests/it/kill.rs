//! What was acknowledged survives `kill -9`.

use std::path::Path;

use mcsp_kill::{acknowledge, target, until_killed};
use mcsp_kv::SharedKv;
use mcsp_runtime::ManualClock;

use crate::open_sled;

/// The counter is written last, so all that goes with its number was acknowledged.
async fn last_number(kv: &SharedKv) -> i64 {
    let count = kv.get("count").await.unwrap();
    count.map_or(0, |count| {
        std::str::from_utf8(&count).unwrap().parse().unwrap()
    })
}

/// Writes for ever and says what was acknowledged; run by the test below as a process of its own.
#[tokio::test]
#[ignore = "the child process of nothing_acknowledged_is_lost"]
async fn writer() {
    let Some(folder) = target() else { return };
    let kv = open_sled(Path::new(&folder), &ManualClock::new(0)).await;
    loop {
        let number = last_number(&kv).await + 1;
        let text = number.to_string();
        kv.put(&format!("put/{number:0>6}"), text.clone().into(), None)
            .await
            .unwrap();
        // A killed run may have left it.
        let swap = kv
            .compare_and_set(
                &format!("set/{number:0>6}"),
                None,
                Some(text.clone().into()),
                None,
            )
            .await;
        assert_eq!(swap.unwrap().current, Some(text.into()));
        if number > 1 {
            kv.delete(&format!("put/{:0>6}", number - 1)).await.unwrap();
        }
        assert_eq!(kv.increment("count", 1, None).await.unwrap(), number);
        acknowledge(number).unwrap();
    }
}

#[tokio::test]
async fn nothing_acknowledged_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let mut written = 0;
    for enough in [1, 7, 40, 100] {
        let said = until_killed("kill::writer", folder.path(), enough).unwrap();
        let expected: Vec<String> = (written + 1..)
            .take(said.len())
            .map(|number: i64| number.to_string())
            .collect();
        assert_eq!(said, expected);
        let acknowledged = written + i64::try_from(said.len()).unwrap();

        let kv = open_sled(folder.path(), &ManualClock::new(0)).await;
        let last = last_number(&kv).await;
        // At most the one whose acknowledgement the kill cut off.
        assert!(
            last == acknowledged || last == acknowledged + 1,
            "{last} found, {acknowledged} acknowledged"
        );
        written = last;
        for number in 1..=last {
            let set = kv.get(&format!("set/{number:0>6}")).await.unwrap();
            assert_eq!(
                set,
                Some(number.to_string().into()),
                "set/{number} of {last}"
            );
            let put = kv.get(&format!("put/{number:0>6}")).await.unwrap();
            if number < last {
                assert_eq!(put, None, "put/{number} of {last} was deleted");
            }
        }
    }
}
