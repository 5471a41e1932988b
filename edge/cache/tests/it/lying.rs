//! Chunks that are sent from where they lie in the disk's blocks: only what was checked, and never what was written there later.

use std::fs;
use std::io::Read as _;
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use mcsp_edge_cache::disk::Disk;
use mcsp_edge_cache::engine::{DiskTier as _, Entity, PurgeSelector};
use mcsp_edge_mapped::{Owner, Part, Parts, Sent};
use mcsp_runtime::{SystemClock, SystemEntropy};
use prometheus::Registry;
use rustix::net::sockopt::set_socket_send_buffer_size;

use crate::disk_support::{CHUNK, Found, chunk, config, look, open, response, store};
use crate::support::{Harness, any, drain, pattern, small, whole};

const BOUND: Duration = Duration::from_secs(120);
const LEN: u64 = 3 * (256 << 10) + 777;

#[derive(Debug)]
struct Nobody;

impl Owner for Nobody {
    fn may_be_sent(&self) -> bool {
        true
    }
}

/// How a client reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pace {
    Quick,
    Slow,
    /// A little, and the rest once nothing more is sent: most of what it gets lies in sockets for long.
    Late,
}

struct Client {
    socket: TcpStream,
    nothing_more: Option<Sender<()>>,
    reading: JoinHandle<Vec<u8>>,
}

impl Client {
    fn new(pace: Pace) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut theirs = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (socket, _) = listener.accept().unwrap();
        socket.set_nonblocking(true).unwrap();
        // So that answers wait for their clients.
        set_socket_send_buffer_size(&socket, 200_000).unwrap();
        theirs.set_read_timeout(Some(BOUND)).unwrap();
        let (nothing_more, end) = channel();
        let reading = std::thread::spawn(move || {
            let (mut got, mut piece) = (Vec::new(), vec![0; 20_000]);
            loop {
                match theirs.read(&mut piece).unwrap() {
                    0 => return got,
                    read => got.extend_from_slice(&piece[..read]),
                }
                match pace {
                    Pace::Quick => {}
                    Pace::Slow => std::thread::sleep(Duration::from_millis(1)),
                    // When told so, or ever after.
                    Pace::Late => drop(end.recv()),
                }
            }
        });
        Self {
            socket,
            nothing_more: Some(nothing_more),
            reading,
        }
    }

    fn send(&self, parts: &Parts, from: u64) -> Sent {
        parts.send(self.socket.as_raw_fd(), b"", from, usize::MAX)
    }

    /// What it got.
    fn end(self) -> Vec<u8> {
        drop(self.socket);
        drop(self.nothing_more);
        self.reading.join().unwrap()
    }
}

fn sent(parts: &Parts) -> Vec<u8> {
    let client = Client::new(Pace::Quick);
    let began = Instant::now();
    let mut from = 0;
    while from < parts.bytes() {
        match client.send(parts, from) {
            Sent::Some(sent) => from += sent as u64,
            Sent::SocketFull => std::thread::yield_now(),
            other => panic!("{other:?} at {from}"),
        }
        assert!(began.elapsed() < BOUND);
    }
    client.end()
}

fn parts(part: Part) -> Parts {
    Parts::new(vec![part], Arc::new(Nobody))
}

/// Every chunk of a body, if all may be sent as they lie.
fn lying(disk: &Disk, body_id: u128, total_len: u64) -> Option<Vec<Part>> {
    let (_, chunks) = response("", body_id, total_len);
    (0..)
        .zip(&chunks)
        .map(|(index, chunk)| disk.chunk_lying(body_id, index, 0..chunk.len() as u32))
        .collect()
}

async fn reopen(disk: Disk, dir: &Path) -> Disk {
    disk.close().await;
    drop(disk);
    open(dir).await
}

#[tokio::test]
async fn what_was_read_whole_may_be_sent_as_it_lies_in_any_part() {
    let dir = tempfile::tempdir().unwrap();
    let disk = open(dir.path()).await;
    store(&disk, "/a", 1, LEN).await;
    store(&disk, "/b", 2, LEN).await;
    let disk = reopen(disk, dir.path()).await;
    assert!(lying(&disk, 1, LEN).is_none(), "nobody has looked at it");
    // A slice alone is no look at all of it.
    disk.load_chunk(1, 0, 0..100).await.unwrap().unwrap();
    assert!(disk.chunk_lying(1, 0, 0..100).is_none());
    for round in 0..2 {
        assert_eq!(look(&disk, "/a").await, Found::Whole(1));
        let found = lying(&disk, 1, LEN).unwrap_or_else(|| panic!("round {round}"));
        let (_, chunks) = response("/a", 1, LEN);
        for (part, chunk) in found.into_iter().zip(&chunks) {
            // A kernel that takes away what nobody has touched of late has it again when it is read.
            for _ in 0..100 {
                if part.is_here() {
                    break;
                }
                look(&disk, "/a").await;
            }
            assert!(part.is_here());
            assert!(sent(&parts(part)) == *chunk);
        }
        for within in [0..1, 5..100_000, CHUNK - 1..CHUNK, 32_768..65_536] {
            let part = disk.chunk_lying(1, 1, within.clone()).unwrap();
            let range = within.start as usize..within.end as usize;
            assert!(sent(&parts(part)) == chunks[1][range], "{within:?}");
        }
    }
    for beyond in [0..0, 0..CHUNK + 1, CHUNK..CHUNK + 1] {
        assert!(disk.chunk_lying(1, 1, beyond).is_none());
    }
    assert!(disk.chunk_lying(1, 4, 0..1).is_none(), "there is none");
    assert!(
        disk.chunk_lying(2, 0, 0..1).is_none(),
        "the other was not read"
    );
    disk.close().await;
}

/// Changes each byte of a content where it lies.
fn damage(dir: &Path, content: &Bytes) {
    for entry in fs::read_dir(dir.join("blocks")).unwrap() {
        let path = entry.unwrap().path();
        let bytes = fs::read(&path).unwrap();
        let needle = &content[..64];
        let Some(at) = bytes.windows(64).position(|window| window == needle) else {
            continue;
        };
        let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
        file.write_all_at(&[0x5a; 10], at as u64 + 40_000).unwrap();
        return;
    }
    panic!("it is not there");
}

#[tokio::test]
async fn what_is_damaged_is_never_sent_as_it_lies() {
    let dir = tempfile::tempdir().unwrap();
    let disk = open(dir.path()).await;
    store(&disk, "/a", 1, LEN).await;
    let (head, _) = response("/a", 1, LEN);
    damage(dir.path(), &chunk(&head, 1));
    let disk = reopen(disk, dir.path()).await;
    for _ in 0..2 {
        look(&disk, "/a").await;
        let damaged = disk.load_chunk(1, 1, 0..CHUNK).await.unwrap();
        assert!(damaged.is_none());
        assert!(disk.chunk_lying(1, 0, 0..CHUNK).is_some());
        assert!(disk.chunk_lying(1, 1, 0..CHUNK).is_none());
        assert!(disk.chunk_lying(1, 1, 0..10).is_none());
    }
    disk.close().await;
}

/// Objects come and go in a folder that holds few of them, while clients that are slow or fast are sent what lies there. Whatever
/// they get is what they asked for, from its first byte to where it ended.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_clients_get_no_byte_of_what_is_written_over_their_answers() {
    const BODY: u64 = (3 << 20) + 5;
    const BODIES: u128 = 44;
    struct Answer {
        body_id: u128,
        parts: Parts,
        from: u64,
        client: Client,
    }
    impl Answer {
        /// Its client reads on, and it is sent as far as it can be.
        fn finish(&mut self) {
            let began = Instant::now();
            self.client.nothing_more = None;
            while self.from < BODY {
                match self.client.send(&self.parts, self.from) {
                    Sent::Some(sent) => self.from += sent as u64,
                    Sent::SocketFull => std::thread::yield_now(),
                    Sent::NotHere => return,
                    Sent::Broken(error) => panic!("{error}"),
                }
                assert!(began.elapsed() < BOUND);
            }
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let disk = open(dir.path()).await;
    let (mut answers, mut whole, mut cut) = (Vec::<Answer>::new(), 0, 0);
    let mut end = |answer: Answer| {
        let expected = response("", answer.body_id, BODY).1.concat();
        let got = answer.client.end();
        assert_eq!(got.len() as u64, answer.from);
        assert!(got == expected[..got.len()], "body {}", answer.body_id);
        if answer.from == BODY {
            whole += 1;
        } else {
            cut += 1;
        }
    };
    for body_id in 1..=BODIES {
        store(&disk, &format!("/{body_id}"), body_id, BODY).await;
        // What is full is known after the first look, and may be sent after the second.
        let older = body_id.saturating_sub(4).max(1);
        for _ in 0..2 {
            look(&disk, &format!("/{older}")).await;
        }
        if let Some(found) = lying(&disk, older, BODY) {
            for pace in [Pace::Quick, Pace::Slow, Pace::Late] {
                answers.push(Answer {
                    body_id: older,
                    parts: Parts::new(found.clone(), Arc::new(Nobody)),
                    from: 0,
                    client: Client::new(pace),
                });
            }
        }
        for mut answer in std::mem::take(&mut answers) {
            let has_ended = loop {
                match answer.client.send(&answer.parts, answer.from) {
                    Sent::Some(sent) => answer.from += sent as u64,
                    Sent::SocketFull => break false,
                    Sent::NotHere => break true,
                    Sent::Broken(error) => panic!("{error}"),
                }
                if answer.from == BODY {
                    break true;
                }
            };
            if has_ended {
                end(answer);
            } else {
                answers.push(answer);
            }
        }
        // By now something else is written where the oldest of them began.
        while answers.len() > 20 {
            let mut oldest = answers.remove(0);
            oldest.finish();
            end(oldest);
        }
    }
    disk.close().await;
    for answer in answers {
        assert!(matches!(
            answer.client.send(&answer.parts, answer.from),
            Sent::NotHere
        ));
        end(answer);
    }
    assert!(whole > 10 && cut > 10, "{whole} whole, {cut} cut");
}

/// Whoever opens the folder next writes to the same blocks.
#[tokio::test]
async fn nothing_is_sent_of_a_folder_that_was_closed() {
    let dir = tempfile::tempdir().unwrap();
    let disk = open(dir.path()).await;
    store(&disk, "/a", 1, LEN).await;
    let disk = reopen(disk, dir.path()).await;
    look(&disk, "/a").await;
    let part = disk.chunk_lying(1, 0, 0..CHUNK).unwrap();
    let held = parts(part.clone());
    assert!(part.is_here());
    disk.close().await;
    assert!(!part.is_here());
    assert!(disk.chunk_lying(1, 0, 0..CHUNK).is_none());
    let client = Client::new(Pace::Quick);
    assert!(matches!(client.send(&held, 0), Sent::NotHere));
    assert_eq!(held.copy(0, &mut [0; 10]), None);
}

/// The engine on a disk, with an object that is read past the memory.
async fn engine(dir: &Path, body: &[u8]) -> (Harness, Arc<Disk>, Arc<Entity>) {
    let open = || async {
        let (disk, backing) = Disk::backing(
            &config(&dir.join("cache")),
            SystemClock::shared(),
            &SystemEntropy,
            &Registry::new(),
        )
        .await
        .unwrap();
        (Harness::backed(small(), backing), disk)
    };
    let (harness, disk) = open().await;
    harness.store("/a", body, &[]).await;
    disk.settled().await;
    harness.cache.flush_purges().await.unwrap();
    harness.cache.close().await;
    drop((harness, disk));
    let (harness, disk) = open().await;
    // Memory is full of what is read more often, so that it passes.
    for n in 0..7 {
        harness
            .store(&format!("/f/{n}"), &pattern(1 << 20), &[])
            .await;
    }
    disk.settled().await;
    let entity = harness.hit_or_load("/a", &any()).await.unwrap();
    assert!(drain(whole(&entity)).await.unwrap() == body);
    assert_eq!(entity.held_bytes(), 0, "it is held in memory");
    (harness, disk, entity)
}

#[tokio::test]
async fn a_reader_goes_on_behind_what_was_sent_as_it_lies() {
    let dir = tempfile::tempdir().unwrap();
    let body = pattern(7 * 256 * 1024 + 13);
    let (harness, _disk, entity) = engine(dir.path(), &body).await;
    let total = body.len() as u64;
    for range in [0..total, 300_000..1_800_000, 5..40_005] {
        let mut reader = entity.reader(range.clone());
        let mut got = Vec::new();
        while reader.position() < range.end {
            match reader.try_lying() {
                // Half of it each time, and what is left is too little at the end.
                Some(found) => {
                    let half = (found.bytes() / 2).max(1);
                    got.extend_from_slice(&sent(&found)[..usize::try_from(half).unwrap()]);
                    reader.skip(half);
                }
                None => got.extend_from_slice(&reader.next().await.unwrap().unwrap()),
            }
        }
        assert_eq!(reader.next().await.unwrap(), None);
        assert!(
            got == body[range.start as usize..range.end as usize],
            "{range:?}"
        );
    }
    let small = entity.reader(0..1000);
    assert!(small.try_lying().is_none(), "not worth it");
    harness.cache.close().await;
}

/// Memory holds what would have to be copied otherwise: what is sent as it lies costs no more than from there.
#[tokio::test]
async fn what_is_sent_as_it_lies_is_not_copied_into_memory_however_often() {
    let dir = tempfile::tempdir().unwrap();
    let body = pattern(1 << 20);
    let (harness, disk, entity) = engine(dir.path(), &body).await;
    drop(entity);
    // It was copied once, to be checked. That is long ago once so much else was read as memory holds.
    for n in (0..7).chain(0..7) {
        harness.hit_or_load(&format!("/f/{n}"), &any()).await;
        let key = format!("/g/{n}");
        harness.store(&key, &pattern(1 << 20), &[]).await;
        // Memory is given back once it was written.
        disk.settled().await;
    }
    for round in 0..20 {
        let entity = harness.hit_or_load("/a", &any()).await.unwrap();
        let found = entity.reader(0..1 << 20).try_lying().unwrap();
        assert_eq!(found.bytes(), 1 << 20);
        assert!(sent(&found) == body);
        assert_eq!(entity.held_bytes(), 0, "round {round}");
    }
    // Who cannot send it so copies it, and is not the only one.
    for is_stored in [false, true] {
        let entity = harness.hit_or_load("/a", &any()).await.unwrap();
        assert!(drain(whole(&entity)).await.unwrap() == body);
        assert_eq!(entity.held_bytes() > 0, is_stored);
    }
    harness.cache.close().await;
}

#[tokio::test]
async fn what_is_purged_is_sent_no_further() {
    let dir = tempfile::tempdir().unwrap();
    let body = pattern(1 << 20);
    let (harness, _disk, entity) = engine(dir.path(), &body).await;
    let reader = entity.reader(0..1 << 20);
    let found = reader.try_lying().unwrap();
    let client = Client::new(Pace::Quick);
    let first = found.send(client.socket.as_raw_fd(), b"", 0, 1000);
    assert!(matches!(first, Sent::Some(1000)));
    harness.purge(PurgeSelector::Key("/a".into()), false);
    assert!(matches!(client.send(&found, 1000), Sent::NotHere));
    assert_eq!(found.copy(1000, &mut [0; 10]), None);
    assert!(reader.try_lying().is_none());
    assert!(client.end() == body[..1000]);
    harness.cache.close().await;
}
