//! The storage engine's log of what was deleted, looked through before the engine opens it.
//!
//! It is a list of a key's hash (8 bytes) and a sequence (8), big-endian, without a checksum; zeros are free places. The engine
//! goes on counting from the highest sequence that it finds, and the highest there is would make it begin again from zero: what
//! it then writes would count as older than what is there, and the old be found in its place (and in a debug build it panics).
//! No process counts that far, so such an entry is what a disk made of it, and is cleared.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use bytes::Buf;
use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;

/// The log's file among the blocks.
const FILE: &str = "foyer-storage-direct-fs-00000000";
const ENTRY_BYTES: usize = 16;
/// Read and written at once.
const PIECE_BYTES: usize = 64 << 10;
/// No sequence gets as far: one for each record that was written or deleted, a billion in a second take 292 years.
const SEQUENCE_MAX: u64 = 1 << 63;

/// Clears entries that no process has written, and returns how many there were. Blocks its thread.
///
/// # Errors
/// When the log is there and cannot be read or written.
pub(super) fn clear_impossible(blocks: &Path) -> io::Result<u64> {
    let log = match OpenOptions::new()
        .read(true)
        .write(true)
        .open(blocks.join(FILE))
    {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        log => log?,
    };
    let mut cleared = 0;
    let mut at = 0;
    // Most of it was never written.
    while let Some(data_at) = next_data(&log, at)? {
        at = data_at / PIECE_BYTES as u64 * PIECE_BYTES as u64;
        let mut piece = vec![0; PIECE_BYTES];
        let read = read_some(&log, &mut piece, at)?;
        piece.truncate(read);
        let found = clear(&mut piece);
        if found > 0 {
            log.write_all_at(&piece, at)?;
            cleared += found;
        }
        at += PIECE_BYTES as u64;
    }
    if cleared > 0 {
        log.sync_all()?;
    }
    Ok(cleared)
}

/// Where the next bytes are that were written, from `at` on.
fn next_data(log: &File, at: u64) -> io::Result<Option<u64>> {
    match seek(log, SeekFrom::Data(at)) {
        Ok(data_at) => Ok(Some(data_at)),
        Err(Errno::NXIO) => Ok(None),
        // The file system does not tell.
        Err(Errno::INVAL | Errno::OPNOTSUPP) => Ok((at < log.metadata()?.len()).then_some(at)),
        Err(error) => Err(error.into()),
    }
}

fn read_some(log: &File, piece: &mut [u8], at: u64) -> io::Result<usize> {
    let mut read = 0;
    while let Some(rest) = piece.get_mut(read..).filter(|rest| !rest.is_empty()) {
        match log.read_at(rest, at + read as u64) {
            Ok(0) => break,
            Ok(more) => read += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(read)
}

fn clear(piece: &mut [u8]) -> u64 {
    let mut cleared = 0;
    for entry in piece.chunks_exact_mut(ENTRY_BYTES) {
        let (_, mut sequence) = entry.split_at(ENTRY_BYTES / 2);
        if sequence.get_u64() >= SEQUENCE_MAX {
            entry.fill(0);
            cleared += 1;
        }
    }
    cleared
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(hash: u64, sequence: u64) -> Vec<u8> {
        [hash.to_be_bytes(), sequence.to_be_bytes()].concat()
    }

    #[test]
    fn what_no_process_counts_is_cleared_and_all_else_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILE);
        assert_eq!(clear_impossible(dir.path()).unwrap(), 0);
        let log = File::create(&path).unwrap();
        // Most of it is a hole, and its end no whole piece.
        let far_at = 40 * PIECE_BYTES as u64;
        log.set_len(far_at + 4096).unwrap();
        let near = [entry(7, 8), entry(u64::MAX, u64::MAX), entry(9, 10)].concat();
        log.write_all_at(&near, 4096).unwrap();
        let far = [entry(1, SEQUENCE_MAX), entry(2, SEQUENCE_MAX - 1)].concat();
        log.write_all_at(&far, far_at).unwrap();
        assert_eq!(clear_impossible(dir.path()).unwrap(), 2);
        let content = std::fs::read(&path).unwrap();
        assert_eq!(content.len() as u64, far_at + 4096);
        let near = [entry(7, 8), entry(0, 0), entry(9, 10)].concat();
        assert_eq!(content[4096..4096 + near.len()], near);
        let far = [entry(0, 0), entry(2, SEQUENCE_MAX - 1)].concat();
        assert_eq!(content[far_at as usize..][..far.len()], far);
        assert_eq!(clear_impossible(dir.path()).unwrap(), 0);
    }
}
