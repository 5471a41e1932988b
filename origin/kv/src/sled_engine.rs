//! The store in this process, on `sled`.
//!
//! A kill of the process loses nothing acknowledged; a loss of power may, because `sled` does not wait for the disk. A
//! reader may see a write a moment before it is flushed and acknowledged to its writer.

use std::fs;
use std::ops::Bound;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use mcsp_runtime::{EngineUri, EngineUriError, SharedClock};
use sled::Tree;
use tokio::task::{JoinHandle, spawn_blocking};

use crate::record::Record;
use crate::sweep;
use crate::writer::{Change, Writer, from_sled};
use crate::{
    KeyValue, KvError, KvOpenError, SCAN_BYTES_MAX, SCAN_ENTRIES_MAX, Swap, check_key, check_ttl,
    check_value,
};

const CACHE_MIB_DEFAULT: u64 = 64;
const CACHE_MIB_MAX: u64 = 4096;
/// The name carries the version of [`Record`]'s form.
const TREE: &str = "records-1";
/// How long an opening waits for the last owner's lock, and how often it looks.
const LOCK_WAIT: Duration = Duration::from_secs(2);
const LOCK_POLL: Duration = Duration::from_millis(10);

#[derive(Debug)]
pub(crate) struct SledKv {
    tree: Tree,
    writer: Writer,
    clock: SharedClock,
    sweeper: JoinHandle<()>,
}

impl SledKv {
    pub(crate) async fn open(uri: &EngineUri, clock: SharedClock) -> Result<Self, KvOpenError> {
        let cache_mib = cache_mib(uri)?;
        let path = uri.rest.strip_prefix("//").unwrap_or(&uri.rest).to_owned();
        let failed = |source| KvOpenError::Engine {
            uri: uri.uri.clone(),
            source,
        };
        if path.is_empty() {
            let reason = "has no path; write for example \"sled:/var/lib/mcsp/kv\"".to_owned();
            return Err(failed(KvError::Invalid(reason)));
        }
        // Reading the log back takes a while after a kill.
        let tree = spawn_blocking(move || open_tree(Path::new(&path), cache_mib))
            .await
            .map_err(|error| failed(KvError::Unavailable(error.to_string())))?
            .map_err(failed)?;
        let writer = Writer::start(tree.clone()).map_err(failed)?;
        let sweeper = sweep::start(&writer, clock.clone());
        Ok(Self {
            tree,
            writer,
            clock,
            sweeper,
        })
    }
}

impl Drop for SledKv {
    fn drop(&mut self) {
        self.sweeper.abort();
    }
}

#[async_trait]
impl KeyValue for SledKv {
    async fn get(&self, key: &str) -> Result<Option<Bytes>, KvError> {
        check_key(key)?;
        let record = live(&self.tree, key.as_bytes(), self.clock.now_ms())?;
        Ok(record.map(|record| record.value))
    }

    async fn put(&self, key: &str, value: Bytes, ttl: Option<Duration>) -> Result<(), KvError> {
        check_key(key)?;
        check_value(&value)?;
        let ttl_ms = check_ttl(ttl)?;
        let (key, clock) = (key.to_owned(), self.clock.clone());
        self.writer
            .write(move |tree| {
                set(tree, &key, &Record::new(value, ttl_ms, clock.now_ms()))?;
                Ok(Change::written(()))
            })
            .await
    }

    async fn delete(&self, key: &str) -> Result<bool, KvError> {
        check_key(key)?;
        let (key, clock) = (key.to_owned(), self.clock.clone());
        self.writer
            .write(move |tree| match tree.remove(&key).map_err(from_sled)? {
                Some(bytes) => Ok(Change::written(
                    Record::decode(&bytes)?.is_live(clock.now_ms()),
                )),
                None => Ok(Change::nothing(false)),
            })
            .await
    }

    async fn increment(&self, key: &str, by: i64, ttl: Option<Duration>) -> Result<i64, KvError> {
        check_key(key)?;
        let ttl_ms = check_ttl(ttl)?;
        let (key, clock) = (key.to_owned(), self.clock.clone());
        self.writer
            .write(move |tree| {
                let now_ms = clock.now_ms();
                let known = live(tree, key.as_bytes(), now_ms)?;
                let sum = add(known.as_ref(), by)?;
                let mut record = Record::new(sum.to_string().into(), ttl_ms, now_ms);
                if let Some(known) = known {
                    record.end_ms = known.end_ms;
                }
                set(tree, &key, &record)?;
                Ok(Change::written(sum))
            })
            .await
    }

    async fn compare_and_set(
        &self,
        key: &str,
        expected: Option<&[u8]>,
        value: Option<Bytes>,
        ttl: Option<Duration>,
    ) -> Result<Swap, KvError> {
        check_key(key)?;
        check_value(expected.unwrap_or_default())?;
        check_value(value.as_deref().unwrap_or_default())?;
        let ttl_ms = check_ttl(ttl)?;
        let expected = expected.map(Bytes::copy_from_slice);
        let (key, clock) = (key.to_owned(), self.clock.clone());
        self.writer
            .write(move |tree| {
                let now_ms = clock.now_ms();
                let current = live(tree, key.as_bytes(), now_ms)?.map(|record| record.value);
                if current != expected {
                    return Ok(Change::nothing(Swap {
                        swapped: false,
                        current,
                    }));
                }
                match value.clone() {
                    Some(value) => set(tree, &key, &Record::new(value, ttl_ms, now_ms))?,
                    None => tree.remove(&key).map(drop).map_err(from_sled)?,
                }
                Ok(Change::written(Swap {
                    swapped: true,
                    current: value,
                }))
            })
            .await
    }

    async fn scan(
        &self,
        prefix: &str,
        after: &str,
        entries_max: u32,
    ) -> Result<Vec<(String, Bytes)>, KvError> {
        let entries_max = usize::try_from(entries_max.min(SCAN_ENTRIES_MAX)).unwrap_or_default();
        let (prefix, after) = (prefix.to_owned(), after.to_owned());
        let (tree, now_ms) = (self.tree.clone(), self.clock.now_ms());
        spawn_blocking(move || scan(&tree, &prefix, &after, entries_max, now_ms))
            .await
            .map_err(|error| KvError::Unavailable(error.to_string()))?
    }
}

fn cache_mib(uri: &EngineUri) -> Result<u64, EngineUriError> {
    let mut cache_mib = CACHE_MIB_DEFAULT;
    for (name, value) in &uri.params {
        if name != "cache_mib" {
            return Err(uri.bad_parameter(name, "there is cache_mib only"));
        }
        cache_mib = match value.parse() {
            Ok(number) if (1..=CACHE_MIB_MAX).contains(&number) => number,
            _ => {
                return Err(uri.bad_parameter(
                    name,
                    format!("{value:?} is not a whole number from 1 to {CACHE_MIB_MAX}"),
                ));
            }
        };
    }
    Ok(cache_mib)
}

fn open_tree(path: &Path, cache_mib: u64) -> Result<Tree, KvError> {
    // `sled` would let everybody on the machine read what it keeps.
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|error| from_sled(error.into()))?;
    let config = sled::Config::new()
        .path(path)
        .cache_capacity(cache_mib * 1024 * 1024)
        // The writer flushes before it acknowledges.
        .flush_every_ms(None);
    let until = Instant::now() + LOCK_WAIT;
    loop {
        match config.open() {
            // Whoever had it open may still be letting go: `sled` closes on threads of its own.
            Err(error) if is_locked(&error) && Instant::now() < until => thread::sleep(LOCK_POLL),
            opened => {
                return opened
                    .and_then(|store| store.open_tree(TREE))
                    .map_err(from_sled);
            }
        }
    }
}

/// Does someone else have the folder open? `sled` says so in words only.
fn is_locked(error: &sled::Error) -> bool {
    matches!(error, sled::Error::Io(io) if io.to_string().contains("could not acquire lock"))
}

/// The record, unless its lifetime has ended.
fn live(tree: &Tree, key: &[u8], now_ms: i64) -> Result<Option<Record>, KvError> {
    let Some(bytes) = tree.get(key).map_err(from_sled)? else {
        return Ok(None);
    };
    let record = Record::decode(&bytes)?;
    Ok(record.is_live(now_ms).then_some(record))
}

fn set(tree: &Tree, key: &str, record: &Record) -> Result<(), KvError> {
    tree.insert(key, record.encode())
        .map(drop)
        .map_err(from_sled)
}

fn add(known: Option<&Record>, by: i64) -> Result<i64, KvError> {
    let count = match known {
        None => 0,
        Some(record) => std::str::from_utf8(&record.value)
            .ok()
            .and_then(|text| text.parse::<i64>().ok())
            .ok_or_else(|| KvError::Invalid("the value is not a counter".to_owned()))?,
    };
    count
        .checked_add(by)
        .ok_or_else(|| KvError::Invalid(format!("counter {count} cannot hold {by} more")))
}

fn scan(
    tree: &Tree,
    prefix: &str,
    after: &str,
    entries_max: usize,
    now_ms: i64,
) -> Result<Vec<(String, Bytes)>, KvError> {
    let from = if after < prefix {
        Bound::Included(prefix.as_bytes())
    } else {
        Bound::Excluded(after.as_bytes())
    };
    let mut entries = Vec::new();
    let mut value_bytes = 0;
    for entry in tree.range::<&[u8], _>((from, Bound::Unbounded)) {
        let (key, bytes) = entry.map_err(from_sled)?;
        if entries.len() == entries_max || !key.starts_with(prefix.as_bytes()) {
            break;
        }
        let record = Record::decode(&bytes)?;
        if !record.is_live(now_ms) {
            continue;
        }
        value_bytes += record.value.len();
        if value_bytes > SCAN_BYTES_MAX && !entries.is_empty() {
            break;
        }
        let key = String::from_utf8(key.to_vec())
            .map_err(|_| KvError::Corrupt("a key is not UTF-8".to_owned()))?;
        entries.push((key, record.value));
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_that_is_cut_short_is_damage_and_not_a_value() {
        let store = sled::Config::new().temporary(true).open().unwrap();
        let tree = store.open_tree(TREE).unwrap();
        tree.insert("a", b"short".as_slice()).unwrap();
        assert!(matches!(live(&tree, b"a", 0), Err(KvError::Corrupt(_))));
        assert!(matches!(
            scan(&tree, "", "", 10, 0),
            Err(KvError::Corrupt(_))
        ));
    }

    #[tokio::test]
    async fn the_sweeper_goes_round_by_itself() {
        const WAIT_MAX: Duration = Duration::from_secs(120);
        let folder = tempfile::tempdir().unwrap();
        let uri = format!("sled:{}", folder.path().display());
        let clock = mcsp_runtime::ManualClock::new(0);
        let kv = SledKv::open(&EngineUri::parse(&uri).unwrap(), clock.clone())
            .await
            .unwrap();
        kv.put("ends", Bytes::new(), Some(Duration::from_millis(1)))
            .await
            .unwrap();
        kv.put("stays", Bytes::new(), None).await.unwrap();
        clock.advance(Duration::from_millis(1));
        let swept = async {
            while kv.tree.contains_key("ends").unwrap() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(WAIT_MAX, swept)
            .await
            .expect("the ended record is still there");
        assert_eq!(kv.get("stays").await.unwrap(), Some(Bytes::new()));
    }
}
