//! The store beside a model of it, over random sequences of calls.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use mcsp_kv::{KvError, SharedKv, Swap};
use mcsp_runtime::{Clock, ManualClock};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use crate::open_sled;

#[derive(Debug, Clone)]
enum Call {
    Get(String),
    Put(String, String, Option<u64>),
    Delete(String),
    Increment(String, i64, Option<u64>),
    CompareAndSet(String, Option<String>, Option<String>, Option<u64>),
    Scan(String, String, u32),
    Advance(u64),
    Reopen,
}

fn call() -> impl Strategy<Value = Call> {
    // Few keys and values, so that calls meet; some are prefixes of others.
    let key =
        || prop::sample::select(vec!["a", "a/", "a/b", "a/é", "b", "b/c"]).prop_map(str::to_owned);
    let part =
        || prop::sample::select(vec!["", "a", "a/", "a/b", "b", "c"]).prop_map(str::to_owned);
    let value = || {
        prop::sample::select(vec!["", "1", "-7", "x", "9223372036854775807"])
            .prop_map(str::to_owned)
    };
    let ttl_ms = || option::of(1_u64..30);
    prop_oneof![
        3 => key().prop_map(Call::Get),
        3 => (key(), value(), ttl_ms()).prop_map(|(k, v, t)| Call::Put(k, v, t)),
        1 => key().prop_map(Call::Delete),
        3 => (key(), -3_i64..4, ttl_ms()).prop_map(|(k, b, t)| Call::Increment(k, b, t)),
        3 => (key(), option::of(value()), option::of(value()), ttl_ms())
            .prop_map(|(k, e, v, t)| Call::CompareAndSet(k, e, v, t)),
        2 => (part(), part(), 0_u32..5).prop_map(|(p, a, m)| Call::Scan(p, a, m)),
        2 => (0_u64..20).prop_map(Call::Advance),
        1 => Just(Call::Reopen),
    ]
}

/// What the store must be like: a map with ends and a clock.
#[derive(Default)]
struct Model {
    entries: BTreeMap<String, (Bytes, u64)>,
    now_ms: u64,
}

impl Model {
    fn live(&self, key: &str) -> Option<(Bytes, u64)> {
        self.entries
            .get(key)
            .filter(|(_, end_ms)| self.now_ms < *end_ms)
            .cloned()
    }

    fn value(&self, key: &str) -> Option<Bytes> {
        self.live(key).map(|(value, _)| value)
    }

    fn set(&mut self, key: &str, value: Bytes, ttl_ms: Option<u64>) {
        let end_ms = ttl_ms.map_or(u64::MAX, |ttl_ms| self.now_ms + ttl_ms);
        self.entries.insert(key.to_owned(), (value, end_ms));
    }

    fn increment(&mut self, key: &str, by: i64, ttl_ms: Option<u64>) -> Option<i64> {
        let Some((value, end_ms)) = self.live(key) else {
            self.set(key, by.to_string().into(), ttl_ms);
            return Some(by);
        };
        let sum = std::str::from_utf8(&value)
            .unwrap()
            .parse::<i64>()
            .ok()?
            .checked_add(by)?;
        self.entries
            .insert(key.to_owned(), (sum.to_string().into(), end_ms));
        Some(sum)
    }

    fn compare_and_set(
        &mut self,
        key: &str,
        expected: Option<Bytes>,
        value: Option<Bytes>,
        ttl_ms: Option<u64>,
    ) -> Swap {
        let swapped = self.value(key) == expected;
        if swapped {
            match value {
                Some(value) => self.set(key, value, ttl_ms),
                None => drop(self.entries.remove(key)),
            }
        }
        Swap {
            swapped,
            current: self.value(key),
        }
    }

    fn scan(&self, prefix: &str, after: &str, entries_max: u32) -> Vec<(String, Bytes)> {
        self.entries
            .keys()
            .filter(|key| key.starts_with(prefix) && key.as_str() > after)
            .filter_map(|key| Some((key.clone(), self.value(key)?)))
            .take(entries_max as usize)
            .collect()
    }
}

fn bytes(text: Option<&String>) -> Option<Bytes> {
    text.map(|text| Bytes::from(text.clone()))
}

async fn check(calls: Vec<Call>) -> Result<(), TestCaseError> {
    let folder = tempfile::tempdir().unwrap();
    let clock = ManualClock::new(0);
    let mut kv = open_sled(folder.path(), &clock).await;
    let mut model = Model::default();
    for (index, call) in calls.iter().enumerate() {
        if matches!(call, Call::Reopen) {
            drop(kv);
            kv = open_sled(folder.path(), &clock).await;
            continue;
        }
        step(&kv, &mut model, &clock, call)
            .await
            .map_err(|error| TestCaseError::fail(format!("call {index}, {call:?}: {error}")))?;
    }
    Ok(())
}

async fn step(
    kv: &SharedKv,
    model: &mut Model,
    clock: &ManualClock,
    call: &Call,
) -> Result<(), TestCaseError> {
    let ttl = |ttl_ms: &Option<u64>| ttl_ms.map(Duration::from_millis);
    match call {
        Call::Get(key) => prop_assert_eq!(kv.get(key).await.unwrap(), model.value(key)),
        Call::Put(key, value, ttl_ms) => {
            let value = Bytes::from(value.clone());
            kv.put(key, value.clone(), ttl(ttl_ms)).await.unwrap();
            model.set(key, value, *ttl_ms);
        }
        Call::Delete(key) => {
            let existed = model.value(key).is_some();
            model.entries.remove(key);
            prop_assert_eq!(kv.delete(key).await.unwrap(), existed);
        }
        Call::Increment(key, by, ttl_ms) => match (
            kv.increment(key, *by, ttl(ttl_ms)).await,
            model.increment(key, *by, *ttl_ms),
        ) {
            (Ok(found), Some(expected)) => prop_assert_eq!(found, expected),
            (Err(KvError::Invalid(_)), None) => {}
            different => prop_assert!(false, "{:?}", different),
        },
        Call::CompareAndSet(key, expected, value, ttl_ms) => {
            let expected_bytes = expected.as_deref().map(str::as_bytes);
            let found = kv
                .compare_and_set(key, expected_bytes, bytes(value.as_ref()), ttl(ttl_ms))
                .await
                .unwrap();
            let modelled = model.compare_and_set(
                key,
                bytes(expected.as_ref()),
                bytes(value.as_ref()),
                *ttl_ms,
            );
            prop_assert_eq!(found, modelled);
        }
        Call::Scan(prefix, after, entries_max) => {
            let found = kv.scan(prefix, after, *entries_max).await.unwrap();
            prop_assert_eq!(found, model.scan(prefix, after, *entries_max));
        }
        Call::Advance(by_ms) => {
            clock.advance(Duration::from_millis(*by_ms));
            model.now_ms = u64::try_from(clock.now_ms()).unwrap();
        }
        Call::Reopen => {}
    }
    Ok(())
}

#[test]
fn random_calls_do_what_the_model_does() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let config = ProptestConfig {
        cases: 60,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    proptest!(config, |(calls in vec(call(), 1..60))| {
        runtime.block_on(check(calls))?;
    });
}
