//! Removes from a `sled` tree what nobody asked for since its end.

use std::ops::Bound;
use std::time::Duration;

use mcsp_runtime::SharedClock;
use sled::Tree;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

use crate::KvError;
use crate::record::Record;
use crate::writer::{Change, Writer, from_sled};

/// A step looks at so many records and then lets writes pass.
const STEP_RECORDS: usize = 1000;
const STEP_INTERVAL: Duration = Duration::from_secs(1);

/// What one step of the sweep did.
#[derive(Debug, PartialEq, Eq)]
struct Sweep {
    removed: usize,
    /// Where the next step begins; `None`: the whole store was seen.
    next: Option<Vec<u8>>,
}

/// Removes what nobody asked for since its end, among the next `records_max` records after `after`.
fn sweep(tree: &Tree, after: &[u8], records_max: usize, now_ms: i64) -> Result<Sweep, KvError> {
    let mut removed = 0;
    let mut last = None;
    let mut seen = 0;
    for entry in tree
        .range::<&[u8], _>((Bound::Excluded(after), Bound::Unbounded))
        .take(records_max)
    {
        let (key, bytes) = entry.map_err(from_sled)?;
        // One that is damaged is left for a reader to find, and does not stop the sweep.
        if Record::decode(&bytes).is_ok_and(|record| !record.is_live(now_ms)) {
            tree.remove(&key).map_err(from_sled)?;
            removed += 1;
        }
        seen += 1;
        last = Some(key.to_vec());
    }
    Ok(Sweep {
        removed,
        next: last.filter(|_| seen == records_max),
    })
}

/// Goes round the store in small steps for as long as it is open.
pub(crate) fn start(writer: &Writer, clock: SharedClock) -> JoinHandle<()> {
    let writer = writer.downgrade();
    tokio::spawn(async move {
        let Some(writer) = writer else { return };
        let mut after = Vec::new();
        let mut steps = interval(STEP_INTERVAL);
        steps.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            steps.tick().await;
            let (from, clock) = (after.clone(), clock.clone());
            let step = writer.try_write(move |tree| {
                let sweep = sweep(tree, &from, STEP_RECORDS, clock.now_ms())?;
                let wrote = sweep.removed > 0;
                Ok(Change {
                    output: sweep,
                    wrote,
                })
            });
            let Some(outcome) = step else { return };
            match outcome.await {
                Ok(Ok(sweep)) => after = sweep.next.unwrap_or_default(),
                Ok(Err(error)) => tracing::warn!(%error, "key-value sweep failed"),
                // The queue was full: writes go first.
                Err(_) => {}
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn tree_with(records: &[(&str, i64)]) -> Tree {
        let store = sled::Config::new().temporary(true).open().unwrap();
        let tree = store.open_tree("records").unwrap();
        for (key, end_ms) in records {
            let value = Bytes::from_static(b"v");
            let record = Record {
                end_ms: *end_ms,
                value,
            };
            tree.insert(key, record.encode()).unwrap();
        }
        tree
    }

    fn keys(tree: &Tree) -> Vec<String> {
        tree.iter()
            .keys()
            .map(|key| String::from_utf8(key.unwrap().to_vec()).unwrap())
            .collect()
    }

    #[test]
    fn a_sweep_removes_the_ended_in_bounded_steps() {
        let tree = tree_with(&[("a", 10), ("b", 20), ("c", 10), ("d", i64::MAX), ("e", 10)]);
        let first = sweep(&tree, b"", 2, 10).unwrap();
        assert_eq!(
            first,
            Sweep {
                removed: 1,
                next: Some(b"b".to_vec())
            }
        );
        assert_eq!(keys(&tree), ["b", "c", "d", "e"]);
        let second = sweep(&tree, b"b", 2, 10).unwrap();
        assert_eq!(
            second,
            Sweep {
                removed: 1,
                next: Some(b"d".to_vec())
            }
        );
        let third = sweep(&tree, b"d", 2, 10).unwrap();
        assert_eq!(
            third,
            Sweep {
                removed: 1,
                next: None
            }
        );
        assert_eq!(keys(&tree), ["b", "d"]);
        tree.insert("a", b"damage".as_slice()).unwrap();
        assert_eq!(sweep(&tree, b"", 10, 20).unwrap().removed, 1);
        assert_eq!(keys(&tree), ["a", "d"]);
    }
}
