//! Memory under a crowd: bounded by configuration, whatever comes.

use std::net::SocketAddr;
use std::time::Duration;

use futures::{StreamExt as _, stream};
use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, setrlimit};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use crate::harness::{Node, within};

const READERS: usize = 10_000;
/// File descriptors beside one for each reader: connections between node and origin, files, listeners.
const OTHERS: u64 = 3000;
/// What most want.
const HOT_OBJECTS: usize = 50;
/// One in so many wants what nobody else does: more than fits, so that what readers still take has to leave the cache.
const COLD_ONE_IN: usize = 11;
const OBJECT_BYTES: usize = 256 << 10;
const MEMORY_BYTES: u64 = 32 << 20;
/// What one connection costs beside the cache: as the documented configuration says (`[connections] max`).
const CONNECTION_BYTES: u64 = 32 << 10;
/// What an answer that passes through costs (`[fetch]`), and how many may at once.
const PASSING_BYTES: u64 = 256 << 10;
const PASSING: u64 = 1024;
/// Connections that are opened at once.
const OPENING: usize = 256;
/// The sockets' own buffers are the kernel's; small ones, so that what the node cannot send stays with it.
const RECEIVE_BYTES: u32 = 4096;

/// Lets this process and the node that it starts have as many sockets as both need.
fn raise_limit() {
    let raised = raised(getrlimit(Resource::Nofile)).unwrap_or_else(|fault| panic!("{fault}"));
    setrlimit(Resource::Nofile, raised).unwrap();
}

/// All that a process may have, or what is wrong where that is not enough: fewer readers would prove less.
fn raised(limit: Rlimit) -> Result<Rlimit, String> {
    let wanted = READERS as u64 + OTHERS;
    match limit.maximum {
        Some(hard) if hard < wanted => Err(format!(
            "{READERS} readers take {wanted} file descriptors, and the hard limit of this process (RLIMIT_NOFILE, \
             `ulimit -Hn`) is {hard}: raise it"
        )),
        hard => Ok(Rlimit {
            current: hard,
            maximum: hard,
        }),
    }
}

#[test]
fn too_low_a_limit_is_named_and_never_means_fewer_readers() {
    let limit = |current, maximum| Rlimit {
        current: Some(current),
        maximum,
    };
    let said = raised(limit(1024, Some(4096))).unwrap_err();
    assert!(
        said.contains("RLIMIT_NOFILE") && said.contains("is 4096") && said.contains("13000"),
        "{said}"
    );
    assert_eq!(
        raised(limit(1024, Some(13_000))),
        Ok(limit(13_000, Some(13_000)))
    );
    assert_eq!(
        raised(limit(1024, Some(1 << 20))),
        Ok(limit(1 << 20, Some(1 << 20)))
    );
    let unbounded = raised(limit(1024, None)).unwrap();
    assert_eq!(unbounded.current, None);
}

/// Answers every path with an object of its own.
async fn origin() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    });
    address
}

async fn serve(mut stream: TcpStream) {
    let answer = [
        format!("HTTP/1.1 200 OK\r\nCache-Control: max-age=600\r\nContent-Length: {OBJECT_BYTES}\r\n\r\n")
            .into_bytes(),
        vec![b'o'; OBJECT_BYTES],
    ]
    .concat();
    let mut head = Vec::new();
    while stream.read_buf(&mut head).await.unwrap_or(0) > 0 {
        while let Some(end) = head.windows(4).position(|end| end == b"\r\n\r\n") {
            head.drain(..end + 4);
            if stream.write_all(&answer).await.is_err() {
                return;
            }
        }
    }
}

async fn node(origin: SocketAddr) -> (Node, TempDir) {
    let dir = TempDir::new().unwrap();
    let state = dir.path().join("edge-state");
    let text = format!(
        "state_dir = \"{}\"\nworker_threads = 2\n[admin]\naddress = \"127.0.0.1:0\"\n\
         [[listener]]\naddress = \"127.0.0.1:0\"\ntls = false\n\
         [limits]\nexempt = [\"127.0.0.0/8\"]\n\
         [cache]\nmemory_bytes = {MEMORY_BYTES}\nobject_bytes_max = 1048576\nfill_bytes_max = 8388608\n\
         pinned_bytes_max = 8388608\nstream_window_bytes = 65536\n\
         [fetch]\nturn_timeout_ms = 100\n\
         [[route]]\nname = \"crowd\"\nupstream = \"http://{origin}\"\n",
        state.display(),
    );
    let node = Node::start_from(dir.path(), "edge", &text).await;
    node.wait_ready().await;
    (node, dir)
}

/// Asks for an object and takes the beginning of what comes; nothing when the node has more to do than it can.
async fn begin(address: SocketAddr, number: usize) -> Option<TcpStream> {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(RECEIVE_BYTES).unwrap();
    let mut reader = socket.connect(address).await.unwrap();
    let path = if number.is_multiple_of(COLD_ONE_IN) {
        format!("/cold/{number}")
    } else {
        format!("/hot/{}", number % HOT_OBJECTS)
    };
    let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
    reader.write_all(request.as_bytes()).await.unwrap();
    let mut some = [0; 64];
    let began = within("an answer", reader.read(&mut some)).await.unwrap();
    let status = String::from_utf8_lossy(&some[..began]).into_owned();
    let is_begun = status.starts_with("HTTP/1.1 200");
    assert!(is_begun || status.starts_with("HTTP/1.1 503"), "{status}");
    is_begun.then_some(reader)
}

/// A few bytes more, if there are any: a reader that is slow, not gone.
async fn take_some(reader: &mut TcpStream) {
    let mut some = [0; 64];
    let _ = tokio::time::timeout(Duration::from_millis(1), reader.read(&mut some)).await;
}

/// Bytes.
fn resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib << 10
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_slow_readers_take_no_more_memory_than_is_configured() {
    raise_limit();
    let (node, _dir) = node(origin().await).await;
    let before = resident(node.pid());
    let address = node.plain;
    let mut readers: Vec<TcpStream> = stream::iter(0..READERS)
        .map(|number| begin(address, number))
        .buffer_unordered(OPENING)
        .filter_map(std::future::ready)
        .collect()
        .await;
    assert!(
        readers.len() > READERS / 10 * 9,
        "{} of {READERS}",
        readers.len()
    );
    let mut most = 0;
    for _ in 0..3 {
        for reader in &mut readers {
            take_some(reader).await;
        }
        most = most.max(resident(node.pid()));
    }
    let used = node.metric("mcsp_cache_used_bytes", &[]).await;
    assert!(used <= MEMORY_BYTES as f64, "the cache counts {used} bytes");
    let bound = before + MEMORY_BYTES + READERS as u64 * CONNECTION_BYTES + PASSING * PASSING_BYTES;
    eprintln!(
        "{} readers: {} MiB resident, {} MiB before, {} MiB allowed, {:.0} MiB in the cache",
        readers.len(),
        most >> 20,
        before >> 20,
        bound >> 20,
        used / f64::from(1 << 20),
    );
    assert!(most <= bound, "{most} bytes resident, {bound} allowed");
    // It still serves.
    drop(readers);
    let answer = node
        .request(reqwest::Method::GET, "/new")
        .send()
        .await
        .unwrap();
    assert_eq!(answer.bytes().await.unwrap().len(), OBJECT_BYTES);
}

/// Whoever finds the line full tries again a second later: here never with success, for the node accepts nobody meanwhile.
#[tokio::test]
async fn a_crowd_that_comes_at_once_stands_in_line() {
    const CROWD: usize = 400;
    let allowed = std::fs::read_to_string("/proc/sys/net/core/somaxconn").unwrap();
    let crowd = CROWD.min(allowed.trim().parse().unwrap());
    let (node, _dir) = node(origin().await).await;
    let pid = Pid::from_raw(i32::try_from(node.pid()).unwrap()).unwrap();
    kill_process(pid, Signal::STOP).unwrap();
    let address = node.plain;
    let coming = (0..crowd).map(|_| TcpStream::connect(address));
    let connected = within("the crowd", futures::future::join_all(coming)).await;
    kill_process(pid, Signal::CONT).unwrap();
    assert!(connected.iter().all(Result::is_ok));
    let answer = node
        .request(reqwest::Method::GET, "/new")
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 200);
}
