//! The purge history in a file: a line of JSON for each record, each with a checksum.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use twox_hash::XxHash3_128;

use crate::history::PurgeRecord;
use crate::purge_log::{PurgeSnapshot, PurgeStore};

/// The largest log that is read; a log holds the history twice at most.
const FILE_BYTES_MAX: u64 = 256 << 20;

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    Run { epoch: u64, floor: u64 },
    Purge(PurgeRecord),
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
        let mut text = Vec::new();
        match File::open(&self.path) {
            Ok(file) => {
                file.take(FILE_BYTES_MAX).read_to_end(&mut text)?;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(PurgeSnapshot::default());
            }
            Err(error) => return Err(error),
        }
        Ok(parse(&text))
    }

    fn replace(&mut self, snapshot: &PurgeSnapshot) -> io::Result<()> {
        self.file = None;
        let temporary = self.path.with_extension("new");
        let mut text = Vec::new();
        let run = Line::Run {
            epoch: snapshot.epoch,
            floor: snapshot.floor,
        };
        encode(&mut text, &run)?;
        for record in &snapshot.records {
            encode(&mut text, &Line::Purge(record.clone()))?;
        }
        let mut file = File::create(&temporary)?;
        file.write_all(&text)?;
        file.sync_all()?;
        std::fs::rename(&temporary, &self.path)?;
        sync_folder(&self.path)?;
        self.file = Some(OpenOptions::new().append(true).open(&self.path)?);
        Ok(())
    }

    fn append(&mut self, records: &[PurgeRecord]) -> io::Result<()> {
        let mut text = Vec::new();
        for record in records {
            encode(&mut text, &Line::Purge(record.clone()))?;
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

fn encode(text: &mut Vec<u8>, line: &Line) -> io::Result<()> {
    let json = serde_json::to_vec(line)?;
    let sum = XxHash3_128::oneshot(&json);
    write!(text, "{sum:032x} ")?;
    text.extend_from_slice(&json);
    text.push(b'\n');
    Ok(())
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
            Some(Line::Run { epoch, floor }) => {
                has_run = true;
                snapshot.epoch = snapshot.epoch.max(epoch);
                snapshot.floor = snapshot.floor.max(floor);
            }
            Some(Line::Purge(record)) => snapshot.records.push(record),
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

    fn record(generation: u64) -> PurgeRecord {
        PurgeRecord {
            generation,
            purge: Purge {
                selector: PurgeSelector::Key(format!("/ä {generation}\n").into()),
                soft: generation.is_multiple_of(2),
            },
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
            records: vec![record(5)],
            is_damaged: false,
        };
        store.replace(&snapshot).unwrap();
        store.append(&[record(6), record(7)]).unwrap();
        snapshot.records = vec![record(5), record(6), record(7)];
        assert_eq!(PurgeFile::new(&path).load().unwrap(), snapshot);
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
                floor: 0,
                records: records.clone(),
                is_damaged: false,
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
