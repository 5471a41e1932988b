//! The purge history in a file: a line of JSON for each record, each with a checksum.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Read as _, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use twox_hash::XxHash3_128;

use crate::history::PurgeRecord;
use crate::key::KeyHash;
use crate::past::{InvalidationRecord, LogRecord};
use crate::purge_log::{PurgeSnapshot, PurgeStore};

/// The largest log that is read whole; what is written stays below. A longer one counts as damaged.
const FILE_BYTES_MAX: u64 = 64 << 20;

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    Run {
        epoch: u64,
        floor: u64,
        #[serde(default)]
        plain_floor: u64,
    },
    Purge(PurgeRecord),
    Invalidated {
        /// The key's hash in hexadecimal digits.
        key: String,
        generation: u64,
    },
}

impl Line {
    fn purge(record: &PurgeRecord) -> Self {
        Self::Purge(record.clone())
    }

    fn invalidated(record: &InvalidationRecord) -> Self {
        Self::Invalidated {
            key: format!("{:032x}", record.key.0),
            generation: record.generation,
        }
    }
}

/// A purge store in one file.
#[derive(Debug)]
pub struct PurgeFile {
    path: PathBuf,
    file: Option<File>,
}

impl PurgeFile {
    /// The store at `path`, which need not exist; its folder must.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            file: None,
        }
    }
}

impl PurgeStore for PurgeFile {
    fn load(&mut self) -> io::Result<PurgeSnapshot> {
        match File::open(&self.path) {
            Ok(file) => read(file, FILE_BYTES_MAX),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(PurgeSnapshot::default()),
            Err(error) => Err(error),
        }
    }

    fn replace(&mut self, snapshot: &PurgeSnapshot) -> io::Result<()> {
        self.file = None;
        let temporary = self.path.with_extension("new");
        let mut out = BufWriter::new(File::create(&temporary)?);
        let run = Line::Run {
            epoch: snapshot.epoch,
            floor: snapshot.floor,
            plain_floor: snapshot.plain_floor,
        };
        encode(&mut out, &run)?;
        for record in &snapshot.records {
            encode(&mut out, &Line::purge(record))?;
        }
        for record in &snapshot.invalidated {
            encode(&mut out, &Line::invalidated(record))?;
        }
        out.into_inner()
            .map_err(io::IntoInnerError::into_error)?
            .sync_all()?;
        std::fs::rename(&temporary, &self.path)?;
        sync_folder(&self.path)?;
        self.file = Some(OpenOptions::new().append(true).open(&self.path)?);
        Ok(())
    }

    fn append(&mut self, records: &[LogRecord]) -> io::Result<()> {
        let mut text = Vec::new();
        for record in records {
            let line = match record {
                LogRecord::Purge(record) => Line::purge(record),
                LogRecord::Invalidation(record) => Line::invalidated(record),
            };
            encode(&mut text, &line)?;
        }
        let file = self
            .file
            .as_mut()
            .ok_or_else(|| io::Error::other("the purge log was not opened"))?;
        file.write_all(&text)?;
        file.sync_data()
    }
}

fn sync_folder(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => File::open(folder)?.sync_all(),
        _ => File::open(".")?.sync_all(),
    }
}

fn encode(out: &mut impl Write, line: &Line) -> io::Result<()> {
    let json = serde_json::to_vec(line)?;
    let sum = XxHash3_128::oneshot(&json);
    write!(out, "{sum:032x} ")?;
    out.write_all(&json)?;
    out.write_all(b"\n")
}

/// Reads at most `bytes_max`. What lies beyond was not written by this, and what it says is not known.
fn read(file: impl io::Read, bytes_max: u64) -> io::Result<PurgeSnapshot> {
    let mut text = Vec::new();
    file.take(bytes_max + 1).read_to_end(&mut text)?;
    let mut found = parse(&text);
    found.is_damaged |= text.len() as u64 > bytes_max;
    Ok(found)
}

fn decode(line: &[u8]) -> Option<Line> {
    let (sum, json) = line.split_at_checked(33)?;
    let sum = std::str::from_utf8(sum.strip_suffix(b" ")?).ok()?;
    if u128::from_str_radix(sum, 16).ok()? != XxHash3_128::oneshot(json) {
        return None;
    }
    serde_json::from_slice(json).ok()
}

/// A last line without its end was never acknowledged, so it is left out; any other that cannot be read is damage.
fn parse(text: &[u8]) -> PurgeSnapshot {
    let mut snapshot = PurgeSnapshot::default();
    let mut has_run = false;
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        let Some(line) = line.strip_suffix(b"\n") else {
            break;
        };
        match decode(line) {
            Some(Line::Run {
                epoch,
                floor,
                plain_floor,
            }) => {
                has_run = true;
                snapshot.epoch = snapshot.epoch.max(epoch);
                snapshot.floor = snapshot.floor.max(floor);
                snapshot.plain_floor = snapshot.plain_floor.max(plain_floor);
            }
            Some(Line::Purge(record)) => snapshot.records.push(record),
            Some(Line::Invalidated { key, generation }) => match u128::from_str_radix(&key, 16) {
                Ok(key) => snapshot.invalidated.push(InvalidationRecord {
                    key: KeyHash(key),
                    generation,
                }),
                Err(_) => snapshot.is_damaged = true,
            },
            None => snapshot.is_damaged = true,
        }
    }
    snapshot.is_damaged |= !has_run;
    snapshot
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::purge::{Purge, PurgeSelector};
    use crate::purge_log::INVALIDATION_BYTES;

    fn record(generation: u64) -> PurgeRecord {
        PurgeRecord {
            generation,
            purge: Purge {
                selector: PurgeSelector::Key(format!("/ä {generation}\n").into()),
                soft: generation.is_multiple_of(2),
            },
        }
    }

    fn invalidation(generation: u64) -> InvalidationRecord {
        InvalidationRecord {
            key: KeyHash(u128::MAX - u128::from(generation)),
            generation,
        }
    }

    #[test]
    fn it_reads_back_what_it_wrote() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("purges");
        let mut store = PurgeFile::new(&path);
        assert_eq!(store.load().unwrap(), PurgeSnapshot::default());
        let mut snapshot = PurgeSnapshot {
            epoch: 3,
            floor: 2,
            plain_floor: 4,
            records: vec![record(5)],
            invalidated: vec![invalidation(6)],
            is_damaged: false,
        };
        store.replace(&snapshot).unwrap();
        let added = [
            LogRecord::Purge(record(7)),
            LogRecord::Invalidation(invalidation(8)),
            LogRecord::Purge(record(9)),
        ];
        store.append(&added).unwrap();
        snapshot.records = vec![record(5), record(7), record(9)];
        snapshot.invalidated = vec![invalidation(6), invalidation(8)];
        assert_eq!(PurgeFile::new(&path).load().unwrap(), snapshot);
    }

    #[test]
    fn an_invalidation_takes_no_more_than_it_is_counted_as() {
        let mut line = Vec::new();
        encode(&mut line, &Line::invalidated(&invalidation(u64::MAX))).unwrap();
        assert!(line.len() <= INVALIDATION_BYTES, "{}", line.len());
    }

    #[test]
    fn a_log_that_is_too_long_counts_as_damaged_and_never_as_a_shorter_one() {
        let mut log = Vec::new();
        let run = Line::Run {
            epoch: 7,
            floor: 0,
            plain_floor: 0,
        };
        encode(&mut log, &run).unwrap();
        encode(&mut log, &Line::purge(&record(1))).unwrap();
        let end_of_first = log.len() as u64;
        encode(&mut log, &Line::purge(&record(2))).unwrap();
        assert!(!read(log.as_slice(), log.len() as u64).unwrap().is_damaged);
        // Wherever it is cut, between two lines too.
        for bytes_max in [end_of_first - 1, end_of_first, log.len() as u64 - 1] {
            let found = read(log.as_slice(), bytes_max).unwrap();
            assert!(found.is_damaged, "{bytes_max}");
            assert_eq!(found.epoch, 7);
        }
    }

    #[test]
    fn cut_anywhere_it_has_the_records_before_the_cut_or_says_that_it_is_damaged() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("purges");
        let mut store = PurgeFile::new(&path);
        let records: Vec<_> = (1..5).map(record).collect();
        store
            .replace(&PurgeSnapshot {
                epoch: 1,
                records: records.clone(),
                ..PurgeSnapshot::default()
            })
            .unwrap();
        let whole = std::fs::read(&path).unwrap();
        for cut in 0..whole.len() {
            let found = parse(&whole[..cut]);
            assert_eq!(found.records, records[..found.records.len()]);
            let has_run = whole[..cut].contains(&b'\n');
            assert_eq!(found.is_damaged, !has_run, "cut at {cut}");
        }
        for at in 0..whole.len() {
            let mut bent = whole.clone();
            bent[at] ^= 1;
            let found = parse(&bent);
            let is_last_border = at == whole.len() - 1;
            assert!(found.is_damaged || is_last_border, "bent at {at}");
        }
    }
}
