//! Files of the disk tier that a disk has filled with ones, as worn flash and some controllers do.

use std::fs;
use std::path::{Path, PathBuf};

use mcsp_edge_cache::engine::{DiskState, DiskTier};

use crate::disk_support::{Found, look, open, store};

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

/// Opens a folder with damage and looks whether it works: what is found is right, what was written since is newer than what
/// was there, also after a restart.
async fn works(dir: &Path) {
    let disk = open(dir).await;
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
    let disk = open(dir).await;
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
    disk.remove(crate::disk_support::slot("/gone"));
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
