//! Files sent from where they lie, over real sockets.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use mcsp_edge_mapped::{MappedFile, Owner, Part, Parts, Sent};
use rustix::fs::{Advice, fadvise};

const FILE_BYTES: usize = 3 << 20;
const BOUND: Duration = Duration::from_secs(120);

#[derive(Debug)]
struct Door(AtomicBool);

impl Owner for Door {
    fn may_be_sent(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

fn open() -> Arc<Door> {
    Arc::new(Door(AtomicBool::new(true)))
}

fn pattern(salt: u32) -> Vec<u8> {
    let byte = |n: u32| (n.wrapping_mul(2_654_435_761).wrapping_add(salt) >> 9) as u8;
    (0..FILE_BYTES as u32).map(byte).collect()
}

fn file(content: &[u8]) -> Arc<MappedFile> {
    let file = tempfile::tempfile().unwrap();
    file.write_all_at(content, 0).unwrap();
    Arc::new(MappedFile::new(file))
}

fn part(file: &Arc<MappedFile>, range: std::ops::Range<usize>) -> Part {
    Part {
        file: Arc::clone(file),
        range: range.start as u64..range.end as u64,
    }
}

/// Ours does not block, as a node's.
fn sockets() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let theirs = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (ours, _) = listener.accept().unwrap();
    ours.set_nonblocking(true).unwrap();
    theirs.set_read_timeout(Some(BOUND)).unwrap();
    (ours, theirs)
}

/// Sends all of it in pieces of `bytes` at the most to a client that reads meanwhile; what that gets.
fn send_all(parts: &Parts, before: &[u8], bytes: usize) -> Vec<u8> {
    let (ours, mut theirs) = sockets();
    let client = std::thread::spawn(move || {
        let mut got = Vec::new();
        theirs.read_to_end(&mut got).unwrap();
        got
    });
    let began = Instant::now();
    let (mut before, mut from) = (before, 0);
    while !before.is_empty() || from < parts.bytes() {
        match parts.send(ours.as_raw_fd(), before, from, bytes) {
            Sent::Some(sent) => {
                let of_before = sent.min(before.len());
                before = &before[of_before..];
                from += (sent - of_before) as u64;
            }
            Sent::SocketFull => std::thread::yield_now(),
            other => panic!("{other:?} at {from}"),
        }
        assert!(began.elapsed() < BOUND);
    }
    drop(ours);
    client.join().unwrap()
}

#[test]
fn parts_of_many_files_arrive_in_order_whatever_is_sent_at_once() {
    let contents = [pattern(1), pattern(2)];
    let files = contents.each_ref().map(|content| file(content));
    for file in &files {
        assert!(file.map().unwrap());
        assert!(!file.map().unwrap(), "it is there");
    }
    let ranges = [
        (0, 100..1_000_001),
        (1, 0..1),
        (0, 5000..5001),
        (1, 4096..FILE_BYTES),
        (0, FILE_BYTES - 1..FILE_BYTES),
    ];
    // More than fit in one call.
    let ranges: Vec<_> = (0..5).flat_map(|_| ranges.clone()).collect();
    let expected: Vec<u8> = ranges
        .iter()
        .flat_map(|(file, range)| contents[*file][range.clone()].iter().copied())
        .collect();
    let made = ranges
        .iter()
        .map(|(at, range)| part(&files[*at], range.clone()));
    let parts = Parts::new(made.collect(), open());
    assert_eq!(parts.bytes(), expected.len() as u64);
    for (before, bytes) in [
        (&b"head"[..], usize::MAX),
        (b"", 700_001),
        (b"longer", 64 << 10),
    ] {
        let got = send_all(&parts, before, bytes);
        assert!(got == [before, &expected].concat(), "{bytes} bytes at once");
    }
}

#[test]
fn what_was_sent_stays_as_it_was_when_the_file_is_written_over() {
    let content = pattern(1);
    let file = file(&content);
    file.map().unwrap();
    let parts = Parts::new(vec![part(&file, 0..FILE_BYTES)], open());
    let (ours, mut theirs) = sockets();
    let mut sent = 0;
    while sent < parts.bytes() {
        match parts.send(ours.as_raw_fd(), b"", sent, usize::MAX) {
            Sent::Some(more) => sent += more as u64,
            Sent::SocketFull => break,
            other => panic!("{other:?}"),
        }
    }
    assert!(sent > 0);
    file.file().write_all_at(&pattern(2), 0).unwrap();
    drop(ours);
    let mut got = Vec::new();
    theirs.read_to_end(&mut got).unwrap();
    assert_eq!(got.len() as u64, sent);
    assert!(got == content[..got.len()]);
}

#[test]
fn nothing_is_sent_of_a_file_that_was_given_up_or_whose_owner_says_no() {
    let (ours, _theirs) = sockets();
    let socket = ours.as_raw_fd();
    let content = pattern(1);
    let files = [file(&content), file(&content), file(&content)];
    files[0].map().unwrap();
    files[1].map().unwrap();
    let door = open();
    let ranges = [0, 1, 2].map(|at| part(&files[at], 0..1000));
    let parts = Parts::new(ranges.to_vec(), Arc::clone(&door) as _);
    // The third is not mapped.
    assert!(matches!(
        parts.send(socket, b"head", 0, usize::MAX),
        Sent::Some(2004)
    ));
    assert!(matches!(
        parts.send(socket, b"head", 2000, 9999),
        Sent::NotHere
    ));
    assert_eq!(parts.copy(2000, &mut [0; 10]), None);
    let mut copied = [0; 100];
    assert_eq!(parts.copy(990, &mut copied), Some(10));
    assert_eq!(copied[..10], content[990..1000]);

    files[0].give_up();
    assert!(!files[0].map().unwrap() && !files[0].is_mapped());
    assert!(matches!(parts.send(socket, b"", 0, 9999), Sent::NotHere));
    assert!(matches!(
        parts.send(socket, b"", 1000, 9999),
        Sent::Some(1000)
    ));
    assert_eq!(parts.copy(0, &mut copied), None);

    door.0.store(false, Ordering::Relaxed);
    assert!(matches!(parts.send(socket, b"", 1000, 9999), Sent::NotHere));
    assert_eq!(parts.copy(1000, &mut copied), None);
}

/// One that gives files up waits for those who send of them, and for nothing else: no client can hold it up.
#[test]
fn a_client_that_takes_nothing_holds_nobody_up() {
    let file = file(&pattern(1));
    file.map().unwrap();
    let parts = Parts::new(vec![part(&file, 0..FILE_BYTES); 8], open());
    let (ours, _theirs) = sockets();
    let mut sent = 0;
    loop {
        match parts.send(ours.as_raw_fd(), b"", sent, usize::MAX) {
            Sent::Some(more) => sent += more as u64,
            Sent::SocketFull => break,
            other => panic!("{other:?}"),
        }
    }
    assert!(sent < parts.bytes(), "it takes all of it");
    assert!(file.unmap() && !file.is_mapped());
    assert!(file.map().unwrap());
    file.give_up();
    assert!(matches!(
        parts.send(ours.as_raw_fd(), b"", sent, 9999),
        Sent::NotHere
    ));
}

#[test]
fn what_is_not_in_the_kernels_memory_is_not_sent() {
    let content = pattern(1);
    let mut file = tempfile::NamedTempFile::new_in(std::env::temp_dir()).unwrap();
    file.write_all(&content).unwrap();
    file.as_file().sync_all().unwrap();
    let mapped = Arc::new(MappedFile::new(File::open(file.path()).unwrap()));
    mapped.map().unwrap();
    let parts = Parts::new(vec![part(&mapped, 0..FILE_BYTES)], open());
    let first = part(&mapped, 100..200);
    let (ours, _theirs) = sockets();
    assert!(first.is_here());
    assert!(matches!(
        parts.send(ours.as_raw_fd(), b"", 100, 100),
        Sent::Some(100)
    ));
    // What is mapped by somebody stays.
    assert!(mapped.unmap());
    fadvise(file.as_file(), 0, None, Advice::DontNeed).unwrap();
    mapped.map().unwrap();
    if first.is_here() {
        // A file system that is all memory.
        return;
    }
    assert!(matches!(
        parts.send(ours.as_raw_fd(), b"", 100, 100),
        Sent::NotHere
    ));
    assert_eq!(parts.copy(100, &mut [0; 100]), None);
    // One page of many.
    file.as_file().read_exact_at(&mut [0; 10], 4096).unwrap();
    fadvise(file.as_file(), 1 << 20, None, Advice::DontNeed).unwrap();
    assert!(part(&mapped, 4096..4196).is_here());
    assert!(matches!(
        parts.send(ours.as_raw_fd(), b"", 4096, 2 << 20),
        Sent::NotHere
    ));
}

/// Kernels give back first what no process has mapped; here one is told to.
#[test]
fn what_was_populated_stays_in_memory_and_what_was_not_there_is_not_read() {
    const MIB: u64 = 1 << 20;
    let mut file = tempfile::NamedTempFile::new_in(std::env::temp_dir()).unwrap();
    file.write_all(&pattern(1)).unwrap();
    file.as_file().sync_all().unwrap();
    let mapped = Arc::new(MappedFile::new(File::open(file.path()).unwrap()));
    // Nothing happens before it is mapped, and none of what is beyond its end is looked at.
    mapped.populate(0..3 * MIB);
    mapped.map().unwrap();
    mapped.populate(2 * MIB..9 * MIB);
    mapped.populate(9 * MIB..10 * MIB);
    let give_back = |at: u64| fadvise(file.as_file(), at, None, Advice::DontNeed).unwrap();
    give_back(0);
    let is_here = |at: u64| part(&mapped, at as usize..at as usize + 5000).is_here();
    assert!(is_here(2 * MIB) && is_here(3 * MIB - 5000));
    if is_here(0) {
        // A file system that is all memory.
        return;
    }
    // Some pages at an odd place, and more than is entered at once.
    (file.as_file())
        .read_exact_at(&mut [0; 9000], 5000)
        .unwrap();
    mapped.populate(5000..14_000);
    mapped.populate(0..3 * MIB);
    give_back(0);
    assert!(part(&mapped, 5000..14_000).is_here());
    assert!(is_here(2 * MIB) && !is_here(MIB));
    // What leaves the address space may leave the memory.
    assert!(mapped.unmap());
    give_back(0);
    mapped.map().unwrap();
    assert!(!is_here(2 * MIB));
    mapped.populate(0..3 * MIB);
    assert!(!is_here(2 * MIB));
    mapped.give_up();
    mapped.populate(0..3 * MIB);
}

/// A page that is not there any more would kill a process that looked at it.
#[test]
fn a_file_that_was_cut_is_not_sent_and_harms_nobody() {
    let file = file(&pattern(1));
    file.map().unwrap();
    let parts = Parts::new(vec![part(&file, 0..FILE_BYTES)], open());
    let (ours, _theirs) = sockets();
    file.file().set_len(8192).unwrap();
    assert!(matches!(
        parts.send(ours.as_raw_fd(), b"", 4096, 4096),
        Sent::Some(4096)
    ));
    assert!(matches!(
        parts.send(ours.as_raw_fd(), b"", 4096, 8192),
        Sent::NotHere
    ));
    assert!(matches!(
        parts.send(ours.as_raw_fd(), b"", 8192, 10),
        Sent::NotHere
    ));
    let beyond = part(&file, FILE_BYTES..FILE_BYTES + 1);
    assert!(!beyond.is_here());
}

#[test]
fn what_cannot_be_mapped_or_is_no_socket_is_an_error() {
    let empty = MappedFile::new(tempfile::tempfile().unwrap());
    assert!(empty.map().is_err());
    assert!(!empty.map().unwrap(), "once");
    let file = file(&pattern(1));
    file.map().unwrap();
    let parts = Parts::new(vec![part(&file, 0..10)], open());
    let no_socket = OwnedFd::from(tempfile::tempfile().unwrap());
    assert!(matches!(
        parts.send(no_socket.as_raw_fd(), b"", 0, 10),
        Sent::Broken(_)
    ));
    let (ours, theirs) = sockets();
    drop(theirs);
    let began = Instant::now();
    // The first bytes are answered by a reset.
    while !matches!(parts.send(ours.as_raw_fd(), b"", 0, 10), Sent::Broken(_)) {
        assert!(began.elapsed() < BOUND);
        std::thread::yield_now();
    }
}
