//! Does a process, or a folder, hold these bytes? For the invariant that no byte of `NG` content is on a node outside
//! Nigeria.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use crate::error::ClusterError;

/// Memory is read in pieces of this size.
const PIECE_BYTES: usize = 4 * 1024 * 1024;

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    let Some((first, _)) = needle.split_first() else {
        return true;
    };
    let mut from = 0;
    while let Some(at) = haystack[from..].iter().position(|byte| byte == first) {
        let start = from + at;
        if haystack[start..].starts_with(needle) {
            return true;
        }
        from = start + 1;
    }
    false
}

/// Reads on to the end, or to an error, in overlapping pieces, and says whether the bytes are there.
fn stream_contains(reader: &mut impl Read, needle: &[u8]) -> bool {
    let mut window = Vec::with_capacity(PIECE_BYTES + needle.len());
    loop {
        let keep = window.len().min(needle.len().saturating_sub(1));
        window.drain(..window.len() - keep);
        let mut piece = Vec::with_capacity(PIECE_BYTES);
        let read = reader
            .by_ref()
            .take(PIECE_BYTES as u64)
            .read_to_end(&mut piece);
        window.extend_from_slice(&piece);
        if contains(&window, needle) {
            return true;
        }
        if read.is_err() || piece.is_empty() {
            return false;
        }
    }
}

/// Does the process hold `needle` anywhere in memory that it can write?
///
/// # Errors
/// When its memory cannot be read: it is gone, or belongs to someone else.
pub fn process_holds(pid: u32, needle: &[u8]) -> Result<bool, ClusterError> {
    let maps_path = format!("/proc/{pid}/maps");
    let maps = std::fs::read_to_string(&maps_path)
        .map_err(|source| ClusterError::file(Path::new(&maps_path), source))?;
    let mem_path = format!("/proc/{pid}/mem");
    let mut memory =
        File::open(&mem_path).map_err(|source| ClusterError::file(Path::new(&mem_path), source))?;
    for line in maps.lines() {
        let mut words = line.split_ascii_whitespace();
        let (Some(range), Some(rights)) = (words.next(), words.next()) else {
            continue;
        };
        let bounds = range.split_once('-').and_then(|(from, to)| {
            Some((
                u64::from_str_radix(from, 16).ok()?,
                u64::from_str_radix(to, 16).ok()?,
            ))
        });
        let Some((from, to)) = bounds.filter(|_| rights.starts_with("rw")) else {
            continue;
        };
        // Memory that was given back since the list was made cannot be read, and holds nothing.
        if memory.seek(SeekFrom::Start(from)).is_ok()
            && stream_contains(&mut (&memory).take(to - from), needle)
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Does any file below the folder hold `needle`? A folder that does not exist holds nothing.
///
/// # Errors
/// When a file cannot be read.
pub fn folder_holds(folder: &Path, needle: &[u8]) -> Result<bool, ClusterError> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(ClusterError::file(folder, error)),
    };
    for entry in entries {
        let entry = entry.map_err(|source| ClusterError::file(folder, source))?;
        let path = entry.path();
        let kind = entry
            .file_type()
            .map_err(|source| ClusterError::file(&path, source))?;
        let holds = if kind.is_dir() {
            folder_holds(&path, needle)?
        } else if kind.is_file() {
            let mut file = File::open(&path).map_err(|source| ClusterError::file(&path, source))?;
            stream_contains(&mut file, needle)
        } else {
            false
        };
        if holds {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_memory_holds_what_we_hold() {
        let pid = std::process::id();
        let held: Vec<u8> = (0..64u32)
            .map(|i| (i.wrapping_mul(pid) >> 3) as u8)
            .collect();
        assert!(process_holds(pid, &held).expect("our own memory"));
    }

    #[test]
    fn another_process_does_not_hold_what_we_hold() {
        let mut sleeper = std::process::Command::new("sleep")
            .arg("30")
            .spawn()
            .expect("a process");
        let held: Vec<u8> = (0..64u32)
            .map(|i| (i.wrapping_mul(sleeper.id()) >> 3) as u8)
            .collect();
        let holds = process_holds(sleeper.id(), &held);
        sleeper.kill().expect("it runs");
        sleeper.wait().expect("it ended");
        assert!(!holds.expect("its memory"));
    }

    #[test]
    fn a_needle_across_two_pieces_is_found() {
        let mut bytes = vec![0u8; PIECE_BYTES + 100];
        bytes[PIECE_BYTES - 3..PIECE_BYTES + 3].copy_from_slice(b"needle");
        assert!(stream_contains(&mut bytes.as_slice(), b"needle"));
        assert!(!stream_contains(&mut bytes.as_slice(), b"absent"));
    }
}
