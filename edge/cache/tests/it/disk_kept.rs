//! What the disk tier has the kernel keep in memory.

use std::fs::{self, File};
use std::path::Path;
use std::time::Duration;

use mcsp_edge_cache::disk::Disk;
use mcsp_edge_cache::engine::{DiskRecord, DiskTier as _};
use rustix::fs::{Advice, fadvise};

use crate::disk_support::{Found, chunk, look, open, slot, store};

/// Has the kernel give back what it may of all blocks, as it does by itself with what no process has mapped.
fn give_back(dir: &Path) {
    let mut blocks = 0;
    for entry in fs::read_dir(dir.join("blocks")).unwrap() {
        let file = File::open(entry.unwrap().path()).unwrap();
        file.sync_all().unwrap();
        fadvise(&file, 0, None, Advice::DontNeed).unwrap();
        blocks += 1;
    }
    assert!(blocks > 0);
}

/// How many of the names are read without waiting, with the first bytes of their first chunk.
fn at_once(disk: &Disk, names: &[(String, u128)]) -> usize {
    let is_at_once = |(name, body_id): &&(String, u128)| {
        let Some(DiskRecord::Head(head)) = disk.load_now(slot(name)) else {
            return false;
        };
        assert_eq!(head.body_id, *body_id);
        let expected = chunk(&head, 0);
        let within = 0..u32::try_from(expected.len()).unwrap();
        match disk.load_chunk_now(*body_id, 0, within) {
            Some(found) => {
                assert!(found == expected, "{name}");
                true
            }
            None => false,
        }
    };
    names.iter().filter(is_at_once).count()
}

/// A kernel that is short of memory, or that takes away what nobody has touched of late, may take what is mapped too, and one that
/// is asked to give something back may keep some of it: now and then, and not each time.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_written_and_what_was_read_stays_where_it_is_read_at_once() {
    let root = tempfile::tempdir().unwrap();
    let mut told = Vec::new();
    for attempt in 0..10 {
        match stays(&root.path().join(attempt.to_string())).await {
            Ok(()) => return,
            Err(why) => told.push(why),
        }
    }
    panic!("{told:?}");
}

fn are(what: &str, found: usize, wanted: usize) -> Result<(), String> {
    let why = || format!("{what}: {found} of {wanted}");
    (found == wanted).then_some(()).ok_or_else(why)
}

async fn stays(dir: &Path) -> Result<(), String> {
    let disk = open(dir).await;
    // Some blocks of 4 MiB become full, and one does not.
    let names: Vec<_> = (1..60_u128).map(|n| (format!("/{n}"), n)).collect();
    for (name, body_id) in &names {
        store(&disk, name, *body_id, 100_000 + *body_id as u64 * 3000).await;
    }
    give_back(dir);
    are("written", at_once(&disk, &names), names.len())?;
    disk.close().await;
    drop(disk);
    give_back(dir);

    let disk = open(dir).await;
    // Even to ask for it may have it fetched.
    if at_once(&disk, &names[20..21]) > 0 {
        // A file system that is all memory.
        return Ok(());
    }
    let read = &names[..10];
    for (name, body_id) in read {
        assert_eq!(look(&disk, name).await, Found::Whole(*body_id));
    }
    give_back(dir);
    are("read", at_once(&disk, read), read.len())?;
    are("nobody asked for it", at_once(&disk, &names[30..]), 0)?;
    // A later one is found as what it is.
    store(&disk, "/1", 100, 5000).await;
    give_back(dir);
    are("a later one", at_once(&disk, &[("/1".to_owned(), 100)]), 1)?;
    disk.close().await;
    Ok(())
}

/// Records of some hundred bytes, as playlists and images have: to go to the disk for each is what makes them dear.
#[tokio::test(flavor = "multi_thread")]
async fn what_follows_what_is_read_in_the_order_of_writing_is_fetched_with_it() {
    let root = tempfile::tempdir().unwrap();
    let mut told = Vec::new();
    for attempt in 0..10 {
        match follows(&root.path().join(attempt.to_string())).await {
            Ok(()) => return,
            Err(why) => told.push(why),
        }
    }
    panic!("{told:?}");
}

async fn follows(dir: &Path) -> Result<(), String> {
    let disk = open(dir).await;
    let names: Vec<_> = (1..60_u128).map(|n| (format!("/{n}"), n)).collect();
    for (name, body_id) in &names {
        store(&disk, name, *body_id, 1000).await;
    }
    disk.close().await;
    drop(disk);
    give_back(dir);

    let disk = open(dir).await;
    // Even to ask for it may have it fetched.
    if at_once(&disk, &names[58..]) > 0 {
        // A file system that is all memory.
        return Ok(());
    }
    // One alone says nothing of others.
    assert_eq!(look(&disk, "/1").await, Found::Whole(1));
    are("after one", at_once(&disk, &names[2..3]), 0)?;
    assert_eq!(look(&disk, "/4").await, Found::Whole(4));
    // The kernel tells nobody when it has fetched something, and may fetch what it is asked for: each is asked for once.
    let mut after = names[4..14].iter();
    while at_once(
        &disk,
        after.next().map(std::slice::from_ref).unwrap_or_default(),
    ) == 0
    {
        if after.len() == 0 {
            return Err("nothing was fetched".to_owned());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let rest = after.as_slice();
    are("the rest of them", at_once(&disk, rest), rest.len())?;
    are("far behind it", at_once(&disk, &names[40..50]), 0)?;
    disk.close().await;
    Ok(())
}
