//! Files of the disk tier that a disk has filled with ones, as worn flash and some controllers do.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use mcsp_edge_cache::disk::Disk;
use mcsp_edge_cache::engine::{DiskState, DiskTier};
use mcsp_runtime::SystemClock;
use prometheus::Registry;

use crate::disk_support::{Found, LINEAGE, config, look, open, slot, store};

/// Every file of the storage engine, the log of what was deleted first.
fn files(dir: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(dir.join("blocks")).unwrap();
    let mut files: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
    files.sort();
    files
}

fn fill_with_ones(file: &Path) {
    let length = fs::metadata(file).unwrap().len();
    fs::write(file, vec![0xff; usize::try_from(length).unwrap()]).unwrap();
}

/// Opens a folder that was closed a moment ago: what had it lets go of it on a thread of its own.
async fn reopen(dir: &Path) -> Disk {
    for _ in 0..6_000 {
        let (config, registry) = (config(dir), Registry::new());
        let disk = Disk::open(&config, LINEAGE, SystemClock::shared(), &registry);
        let disk = disk.await.unwrap();
        let reason = disk.health().reason.unwrap_or_default();
        if !reason.contains("another process uses the folder") {
            assert_eq!(disk.state(), DiskState::Healthy);
            return disk;
        }
        disk.close().await;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("nobody lets go of it");
}

/// Opens a folder with damage and looks whether it works: what is found is right, what was written since is newer than what
/// was there, also after a restart.
async fn works(dir: &Path) {
    let disk = reopen(dir).await;
    for name in ["/a", "/b"] {
        let found = look(&disk, name).await;
        assert!(
            matches!(found, Found::Whole(1) | Found::Holes(1, _) | Found::Nothing),
            "{found:?}"
        );
        store(&disk, name, 2, 3 << 20).await;
    }
    assert_eq!(disk.state(), DiskState::Healthy);
    disk.close().await;
    drop(disk);
    let disk = reopen(dir).await;
    for name in ["/a", "/b"] {
        assert_eq!(look(&disk, name).await, Found::Whole(2));
    }
    disk.close().await;
}

async fn filled(dir: &Path) -> Vec<PathBuf> {
    let disk = open(dir).await;
    for name in ["/a", "/b"] {
        store(&disk, name, 1, 3 << 20).await;
    }
    disk.remove(slot("/gone"));
    disk.close().await;
    drop(disk);
    // Nothing is written to them any more.
    let disk = reopen(dir).await;
    disk.close().await;
    files(dir)
}

#[tokio::test]
async fn a_log_of_deletions_full_of_ones_is_an_empty_one() {
    let dir = tempfile::tempdir().unwrap();
    let files = filled(dir.path()).await;
    fill_with_ones(&files[0]);
    works(dir.path()).await;
}

#[tokio::test]
async fn blocks_full_of_ones_are_empty_ones() {
    let dir = tempfile::tempdir().unwrap();
    let files = filled(dir.path()).await;
    for block in &files[1..4] {
        fill_with_ones(block);
    }
    works(dir.path()).await;
}

#[tokio::test]
async fn all_files_full_of_ones_are_an_empty_folder() {
    let dir = tempfile::tempdir().unwrap();
    for file in filled(dir.path()).await {
        fill_with_ones(&file);
    }
    works(dir.path()).await;
}
