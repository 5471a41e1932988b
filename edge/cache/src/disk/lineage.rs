//! What binds the disk's content to the purge history.
//!
//! A response on the disk may be served because the history says that it was not purged, and its body's id is its own
//! because the history counts the runs. So content is worth nothing without the history that it was written under: one
//! that was lost, damaged beyond its run's number, or put back from a copy makes a new lineage, and a folder of another
//! lineage is emptied when it is opened.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use mcsp_runtime::Entropy;

use crate::purge_file::PurgeFile;
use crate::purge_log::PurgeStore;

/// The lineage of the purge history at `purges`, which is about to begin another run. Kept in the file `lineage`.
///
/// # Errors
/// When either cannot be read, or the lineage cannot be written.
pub(super) fn lineage_of(purges: &Path, lineage: &Path, entropy: &dyn Entropy) -> io::Result<u128> {
    let epoch = PurgeFile::new(purges).load()?.epoch;
    let known = match fs::read_to_string(lineage) {
        Ok(text) => parse(&text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) if error.kind() == io::ErrorKind::InvalidData => None,
        Err(error) => return Err(error),
    };
    let number = match known {
        // The run that was noted was begun.
        Some((number, noted_epoch)) if epoch >= noted_epoch => number,
        _ => {
            let mut bytes = [0; 16];
            entropy.fill(&mut bytes);
            u128::from_be_bytes(bytes)
        }
    };
    let next = lineage.with_extension("new");
    let mut file = File::create(&next)?;
    write!(file, "{number:032x} {}", epoch + 1)?;
    file.sync_all()?;
    fs::rename(&next, lineage)?;
    if let Some(folder) = lineage.parent() {
        File::open(folder)?.sync_all()?;
    }
    Ok(number)
}

fn parse(text: &str) -> Option<(u128, u64)> {
    let (number, epoch) = text.split_once(' ')?;
    if number.len() != 32 {
        return None;
    }
    Some((u128::from_str_radix(number, 16).ok()?, epoch.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use mcsp_runtime::SeededEntropy;

    use super::*;
    use crate::purge_log::PurgeSnapshot;

    #[test]
    fn a_history_that_was_lost_damaged_or_put_back_is_another_lineage() {
        let dir = tempfile::tempdir().unwrap();
        let purges = dir.path().join("purges");
        let entropy = SeededEntropy::new(1);
        // As a start of the cache does: first the lineage, then another run of the history.
        let start = || {
            let number = lineage_of(&purges, &dir.path().join("lineage"), &*entropy).unwrap();
            let mut store = PurgeFile::new(&purges);
            let epoch = store.load().unwrap().epoch + 1;
            store
                .replace(&PurgeSnapshot {
                    epoch,
                    ..PurgeSnapshot::default()
                })
                .unwrap();
            number
        };
        let first = start();
        assert_eq!([start(), start()], [first, first]);
        let copy = fs::read(&purges).unwrap();
        assert_eq!(start(), first);

        fs::write(&purges, copy).unwrap();
        let second = start();
        assert_ne!(second, first, "put back from a copy");
        assert_eq!(start(), second);

        fs::write(&purges, "damaged\n").unwrap();
        let third = start();
        assert_ne!(third, second, "damaged");
        fs::remove_file(&purges).unwrap();
        let fourth = start();
        assert_ne!(fourth, third, "lost");
        fs::write(dir.path().join("lineage"), "damaged").unwrap();
        assert_ne!(start(), fourth, "the lineage itself is damaged");
    }
}
