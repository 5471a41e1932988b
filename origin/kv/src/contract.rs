//! What every key-value engine must pass, so that a service can run on any of them.
//!
//! [`run`] checks all rules on one store, whose lifetimes end by the given clock. Its keys begin with `contract/`.

mod concurrency;

use std::fmt::Debug;
use std::time::Duration;

use bytes::Bytes;
use mcsp_runtime::ManualClock;
use thiserror::Error;

pub use concurrency::{increments_are_atomic, one_of_many_creates};

use crate::{KEY_BYTES_MAX, KvError, SCAN_ENTRIES_MAX, SharedKv, Swap, VALUE_BYTES_MAX};

/// A rule that an engine breaks.
#[derive(Debug, Error)]
pub enum ContractError {
    /// It did something else than what was expected.
    #[error("key-value contract: {what}: expected {expected}, found {found}")]
    Broken {
        /// What was looked at.
        what: &'static str,
        /// What the contract says.
        expected: String,
        /// What the engine did.
        found: String,
    },
    /// It failed where it must not.
    #[error("key-value contract: {0}")]
    Failed(#[from] KvError),
}

const TTL: Duration = Duration::from_millis(1500);

/// Checks every rule.
///
/// # Errors
/// The first rule that is broken.
pub async fn run(kv: &SharedKv, clock: &ManualClock) -> Result<(), ContractError> {
    clear(kv).await?;
    values_come_back(kv).await?;
    limits_are_kept(kv).await?;
    lifetimes_end(kv, clock).await?;
    counters_count(kv, clock).await?;
    compare_and_set_swaps_only_what_is_expected(kv, clock).await?;
    scans_are_ordered_and_bounded(kv, clock).await?;
    increments_are_atomic(kv).await?;
    one_of_many_creates(kv).await?;
    clear(kv).await
}

/// What was put is what is got, byte for byte; deleting tells whether there was anything.
///
/// # Errors
/// When the engine breaks the rule.
pub async fn values_come_back(kv: &SharedKv) -> Result<(), ContractError> {
    let key = "contract/values/ключ 🦀";
    same("get of nothing", kv.get(key).await?, None)?;
    same("delete of nothing", kv.delete(key).await?, false)?;
    let every_byte: Bytes = (0..=255).collect();
    for value in [
        every_byte,
        Bytes::new(),
        Bytes::from(vec![7; VALUE_BYTES_MAX]),
    ] {
        kv.put(key, value.clone(), None).await?;
        same("get of what was put", kv.get(key).await?, Some(value))?;
    }
    same(
        "get of a longer key",
        kv.get("contract/values/ключ 🦀x").await?,
        None,
    )?;
    same("delete of something", kv.delete(key).await?, true)?;
    same("get after delete", kv.get(key).await?, None)
}

/// Keys, values and lifetimes beyond their limits are refused, and nothing is done.
///
/// # Errors
/// When the engine breaks the rule.
pub async fn limits_are_kept(kv: &SharedKv) -> Result<(), ContractError> {
    let longest = format!(
        "contract/limits/{}",
        "k".repeat(KEY_BYTES_MAX - "contract/limits/".len())
    );
    kv.put(&longest, text("v"), None).await?;
    same(
        "value of the longest key",
        kv.get(&longest).await?,
        Some(text("v")),
    )?;
    let too_long = format!("{longest}k");
    for key in ["", &too_long] {
        refused("get", kv.get(key).await)?;
        refused("put", kv.put(key, text("v"), None).await)?;
        refused("delete", kv.delete(key).await)?;
        refused("increment", kv.increment(key, 1, None).await)?;
        refused(
            "compare_and_set",
            kv.compare_and_set(key, None, None, None).await,
        )?;
    }
    let key = "contract/limits/value";
    let too_large = Bytes::from(vec![0; VALUE_BYTES_MAX + 1]);
    refused(
        "put of a value too large",
        kv.put(key, too_large.clone(), None).await,
    )?;
    refused(
        "swap to a value too large",
        kv.compare_and_set(key, None, Some(too_large.clone()), None)
            .await,
    )?;
    refused(
        "swap from a value too large",
        kv.compare_and_set(key, Some(&too_large), None, None).await,
    )?;
    for too_short in [Duration::ZERO, Duration::from_micros(999)] {
        refused(
            "put with no lifetime",
            kv.put(key, text("v"), Some(too_short)).await,
        )?;
        refused(
            "increment with no lifetime",
            kv.increment(key, 1, Some(too_short)).await,
        )?;
    }
    same("value after refusals", kv.get(key).await?, None)?;
    kv.put(key, text("v"), Some(Duration::MAX)).await?;
    same(
        "value with the longest lifetime",
        kv.get(key).await?,
        Some(text("v")),
    )
}

/// A lifetime ends exactly when it should; what has ended is as if it never was.
///
/// # Errors
/// When the engine breaks the rule.
pub async fn lifetimes_end(kv: &SharedKv, clock: &ManualClock) -> Result<(), ContractError> {
    let key = "contract/lifetime";
    kv.put(key, text("a"), Some(TTL)).await?;
    clock.advance(TTL - Duration::from_millis(1));
    same(
        "value in its last millisecond",
        kv.get(key).await?,
        Some(text("a")),
    )?;
    clock.advance(Duration::from_millis(1));
    same("value at its end", kv.get(key).await?, None)?;
    same("delete of what has ended", kv.delete(key).await?, false)?;

    kv.put(key, text("a"), Some(TTL)).await?;
    kv.put(key, text("b"), None).await?;
    clock.advance(TTL * 1000);
    same(
        "value put again without end",
        kv.get(key).await?,
        Some(text("b")),
    )?;
    kv.put(key, text("c"), Some(TTL)).await?;
    clock.advance(TTL);
    same("value put again with an end", kv.get(key).await?, None)
}

/// Counters begin at 0, keep their end, are text, and refuse what is no number.
///
/// # Errors
/// When the engine breaks the rule.
pub async fn counters_count(kv: &SharedKv, clock: &ManualClock) -> Result<(), ContractError> {
    let key = "contract/counter";
    same("new counter", kv.increment(key, 5, Some(TTL)).await?, 5)?;
    clock.advance(TTL / 2);
    same("counter", kv.increment(key, -7, Some(TTL)).await?, -2)?;
    same("counter as text", kv.get(key).await?, Some(text("-2")))?;
    clock.advance(TTL / 2);
    same(
        "counter at the end it got when it was new",
        kv.get(key).await?,
        None,
    )?;
    same(
        "counter after its end",
        kv.increment(key, 1, None).await?,
        1,
    )?;
    clock.advance(TTL * 1000);
    same(
        "counter without end",
        kv.increment(key, 0, Some(TTL)).await?,
        1,
    )?;

    kv.put(key, text("41"), None).await?;
    same(
        "counter that was put",
        kv.increment(key, 1, None).await?,
        42,
    )?;
    for value in ["", "4x", "9223372036854775808"] {
        kv.put(key, text(value), None).await?;
        refused("increment of no number", kv.increment(key, 1, None).await)?;
        same("what is no number", kv.get(key).await?, Some(text(value)))?;
    }
    for (value, by) in [(i64::MAX, 1), (i64::MIN, -1)] {
        kv.put(key, text(&value.to_string()), None).await?;
        refused(
            "increment beyond the range",
            kv.increment(key, by, None).await,
        )?;
        same(
            "counter at the range's end",
            kv.increment(key, 0, None).await?,
            value,
        )?;
    }
    Ok(())
}

/// A swap happens exactly when what is expected is there, and tells what is there after it.
///
/// # Errors
/// When the engine breaks the rule.
pub async fn compare_and_set_swaps_only_what_is_expected(
    kv: &SharedKv,
    clock: &ManualClock,
) -> Result<(), ContractError> {
    let key = "contract/swap";
    // Expected, to become, lifetime; swapped, there after it.
    let steps = [
        (Some("a"), Some("b"), None, false, None),
        (None, None, None, true, None),
        (None, Some("a"), None, true, Some("a")),
        (None, Some("b"), None, false, Some("a")),
        (None, None, None, false, Some("a")),
        (Some("b"), Some("c"), None, false, Some("a")),
        (Some(""), Some("c"), None, false, Some("a")),
        (Some("a"), Some("a"), Some(TTL), true, Some("a")),
        (Some("a"), Some(""), Some(TTL), true, Some("")),
        (None, Some("x"), None, false, Some("")),
        (Some(""), None, None, true, None),
        (None, Some("z"), Some(TTL), true, Some("z")),
    ];
    for (expected, value, ttl, swapped, current) in steps {
        let found = kv
            .compare_and_set(key, expected.map(str::as_bytes), value.map(text), ttl)
            .await?;
        let current = current.map(text);
        same(
            "swap",
            &found,
            &Swap {
                swapped,
                current: current.clone(),
            },
        )?;
        same("value after a swap", kv.get(key).await?, current)?;
    }
    clock.advance(TTL);
    let absent = Swap {
        swapped: false,
        current: None,
    };
    same(
        "swap of what has ended",
        kv.compare_and_set(key, Some(b"z"), Some(text("y")), None)
            .await?,
        absent,
    )?;
    let created = Swap {
        swapped: true,
        current: Some(text("y")),
    };
    same(
        "creation after an end",
        kv.compare_and_set(key, None, Some(text("y")), None).await?,
        created,
    )?;
    clock.advance(TTL * 1000);
    same(
        "a swap's value without end",
        kv.get(key).await?,
        Some(text("y")),
    )
}

/// Scans give live entries of a prefix, in the order of bytes, in pages.
///
/// # Errors
/// When the engine breaks the rule.
pub async fn scans_are_ordered_and_bounded(
    kv: &SharedKv,
    clock: &ManualClock,
) -> Result<(), ContractError> {
    let keys = [
        "contract/scan/",
        "contract/scan/A",
        "contract/scan/a",
        "contract/scan/a/b",
        "contract/scan/é",
    ];
    for key in keys
        .iter()
        .rev()
        .chain(&["contract/scam", "contract/scan", "contract/scan0"])
    {
        kv.put(key, text(key), None).await?;
    }
    kv.put("contract/scan/B", text("ends"), Some(TTL)).await?;
    clock.advance(TTL);
    let scan = async |after: &str, entries_max: u32| -> Result<Vec<String>, ContractError> {
        let entries = kv.scan("contract/scan/", after, entries_max).await?;
        for (key, value) in &entries {
            same("value in a scan", value.clone(), text(key))?;
        }
        Ok(entries.into_iter().map(|(key, _)| key).collect())
    };
    same("scan", scan("", SCAN_ENTRIES_MAX).await?, owned(&keys))?;
    same(
        "scan of more than can be had",
        scan("", u32::MAX).await?,
        owned(&keys),
    )?;
    same("scan of none", scan("", 0).await?, vec![])?;
    same("first page", scan("", 2).await?, owned(&keys[..2]))?;
    same("second page", scan(keys[1], 2).await?, owned(&keys[2..4]))?;
    same("last page", scan(keys[3], 2).await?, owned(&keys[4..]))?;
    same("page after the last", scan(keys[4], 2).await?, vec![])?;
    same(
        "page after what is not there",
        scan("contract/scan/Z", 1).await?,
        owned(&keys[2..3]),
    )?;
    same(
        "page from before the prefix",
        scan("contract/a", 1).await?,
        owned(&keys[..1]),
    )?;
    same(
        "page from behind the prefix",
        scan("contract/scan0", 1).await?,
        vec![],
    )?;

    // Values that are large together come in several answers, and all of them come.
    let large = Bytes::from(vec![1; VALUE_BYTES_MAX]);
    for number in 0..5 {
        kv.put(&format!("contract/large/{number}"), large.clone(), None)
            .await?;
    }
    let mut after = String::new();
    let mut seen = 0;
    loop {
        let entries = kv.scan("contract/large/", &after, SCAN_ENTRIES_MAX).await?;
        let Some((last, _)) = entries.last() else {
            break;
        };
        after.clone_from(last);
        seen += entries.len();
    }
    same("large entries", seen, 5)
}

/// Removes what earlier runs left, and moves no clock.
async fn clear(kv: &SharedKv) -> Result<(), ContractError> {
    loop {
        let entries = kv.scan("contract/", "", SCAN_ENTRIES_MAX).await?;
        if entries.is_empty() {
            return Ok(());
        }
        for (key, _) in entries {
            kv.delete(&key).await?;
        }
    }
}

fn text(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

fn owned(keys: &[&str]) -> Vec<String> {
    keys.iter().map(|key| (*key).to_owned()).collect()
}

fn same<T: PartialEq + Debug>(
    what: &'static str,
    found: T,
    expected: T,
) -> Result<(), ContractError> {
    if found == expected {
        return Ok(());
    }
    Err(ContractError::Broken {
        what,
        expected: brief(&expected),
        found: brief(&found),
    })
}

fn refused<T: Debug>(what: &'static str, result: Result<T, KvError>) -> Result<(), ContractError> {
    match result {
        Err(KvError::Invalid(_)) => Ok(()),
        result => Err(ContractError::Broken {
            what,
            expected: "a refusal as invalid".to_owned(),
            found: brief(&result),
        }),
    }
}

/// A megabyte of zeros tells nobody anything.
fn brief(value: &impl Debug) -> String {
    const CHARS_MAX: usize = 400;
    let text = format!("{value:?}");
    match text.char_indices().nth(CHARS_MAX) {
        Some((end, _)) => format!("{}… ({} bytes)", &text[..end], text.len()),
        None => text,
    }
}
