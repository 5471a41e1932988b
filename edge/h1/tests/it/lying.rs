//! Bodies that are sent from where they lie in files.

use std::os::fd::AsRawFd as _;
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use mcsp_edge_h1::{
    BodyLength, CloseReason, Closed, Delegation, Exchange, Handler, Head, Limits, Next, Peer,
    Refusal, SendError, serve_connection,
};
use mcsp_edge_mapped::{MappedFile, Owner, Part, Parts};
use mcsp_edge_traffic::{TcpConnection, Traffic};
use pingora_core::protocols::Stream;
use prometheus::Registry;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

const BOUND: Duration = Duration::from_secs(60);
const BODY_BYTES: usize = (5 << 20) + 77;

#[derive(Debug)]
struct Door(AtomicBool);

impl Owner for Door {
    fn may_be_sent(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Answers with what lies in a file, and with a copy of it where that cannot be sent so. `/chunked` declares no length.
struct Shelf {
    content: Bytes,
    file: Arc<MappedFile>,
    door: Arc<Door>,
    /// Bytes that were sent as they lie.
    lying: AtomicU64,
    errors: Mutex<Vec<SendError>>,
}

impl Shelf {
    fn new() -> Arc<Self> {
        let byte = |n: usize| ((n.wrapping_mul(2_654_435_761)) >> 11) as u8;
        let content: Vec<u8> = (0..BODY_BYTES).map(byte).collect();
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(&content, 0).unwrap();
        let file = Arc::new(MappedFile::new(file));
        file.map().unwrap();
        Arc::new(Self {
            content: content.into(),
            file,
            door: Arc::new(Door(AtomicBool::new(true))),
            lying: AtomicU64::new(0),
            errors: Mutex::default(),
        })
    }

    async fn answer(&self, exchange: &mut Exchange<'_>) -> Result<(), SendError> {
        const PIECE_BYTES: usize = 2_000_001;
        let head = exchange.head(StatusCode::OK);
        let is_chunked = exchange.request().uri.path() == "/chunked";
        exchange.begin(
            head,
            if is_chunked {
                BodyLength::Chunked
            } else {
                BodyLength::Known(BODY_BYTES as u64)
            },
        )?;
        let mut at = 0;
        while at < BODY_BYTES {
            let end = BODY_BYTES.min(at + PIECE_BYTES);
            let part = Part {
                file: Arc::clone(&self.file),
                range: at as u64..end as u64,
            };
            let parts = Parts::new(vec![part], Arc::clone(&self.door) as _);
            if exchange.takes_parts() {
                let sent = exchange.write_parts(&parts).await?;
                self.lying.fetch_add(sent, Ordering::Relaxed);
                at += usize::try_from(sent).unwrap();
            }
            exchange.write(self.content.slice(at..end)).await?;
            at = end;
        }
        exchange.finish().await
    }

    fn lying(&self) -> u64 {
        self.lying.load(Ordering::Relaxed)
    }
}

impl Handler for Shelf {
    async fn on_request(&self, exchange: &mut Exchange<'_>) -> Next {
        if let Err(error) = self.answer(exchange).await {
            self.errors.lock().unwrap().push(error);
        }
        Next::KeepAlive
    }

    async fn delegate(&self, _: Delegation) -> Option<Stream> {
        None
    }

    fn on_refused(&self, _: Refusal, _: &Peer) {}

    fn fields(&self, _: &mut Head) {}
}

/// A connection to the shelf; the server's socket holds little, so that it waits for its client often.
async fn connect(
    shelf: &Arc<Shelf>,
    limits: Limits,
    traffic: Option<Traffic>,
) -> (TcpStream, JoinHandle<Closed>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap())
        .await
        .unwrap();
    let (stream, _) = listener.accept().await.unwrap();
    let stream = TcpConnection::from(stream);
    let stream: Stream = match traffic {
        Some(traffic) => traffic.count_unboxed(stream),
        None => Box::new(stream),
    };
    let shelf = Arc::clone(shelf);
    let served = tokio::spawn(async move {
        let (_stop, stopped) = watch::channel(false);
        serve_connection(stream, &limits, &shelf, stopped).await
    });
    (client, served)
}

fn request(path: &str, more: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\n{more}\r\n").into_bytes()
}

/// An answer's head and body. Reads as slowly as it is told to.
async fn read_answer(client: &mut TcpStream, length: usize, pause: Duration) -> (String, Vec<u8>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await.unwrap());
    }
    let mut body = vec![0; length];
    for piece in body.chunks_mut(300_000) {
        client.read_exact(piece).await.unwrap();
        tokio::time::sleep(pause).await;
    }
    (String::from_utf8(head).unwrap(), body)
}

async fn within_bound<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(BOUND, work).await.unwrap()
}

/// Requests that came with the first one are answered after it, on the same connection.
#[tokio::test]
async fn answers_from_files_are_whole_one_after_the_other_and_counted() {
    let shelf = Shelf::new();
    let registry = Registry::new();
    let traffic = Traffic::register(&registry, "clients").unwrap();
    let (mut client, served) = connect(&shelf, Limits::default(), Some(traffic)).await;
    within_bound(async {
        let requests = [
            request("/a", ""),
            request("/b", ""),
            request("/c", "Connection: close\r\n"),
        ];
        client.write_all(&requests.concat()).await.unwrap();
        for pause in [0, 3, 0].map(Duration::from_millis) {
            let (head, body) = read_answer(&mut client, BODY_BYTES, pause).await;
            assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
            assert!(head.contains(&format!("Content-Length: {BODY_BYTES}\r\n")));
            assert!(body == shelf.content);
        }
        assert_eq!(client.read_to_end(&mut Vec::new()).await.unwrap(), 0);
        drop(client);
        assert_eq!(served.await.unwrap().reason, CloseReason::Answered);
    })
    .await;
    // But for what goes out while a socket is waited for.
    assert!(shelf.lying() > 2 * BODY_BYTES as u64, "{}", shelf.lying());
    let families = registry.gather();
    let sent = (families.iter())
        .find(|family| family.name() == "mcsp_edge_network_sent_bytes_total")
        .unwrap();
    let sent = sent.get_metric()[0].get_counter().get_value();
    assert!(sent >= 3.0 * BODY_BYTES as f64, "{sent}");
}

#[tokio::test]
async fn a_file_that_is_given_up_within_an_answer_leaves_it_whole() {
    let shelf = Shelf::new();
    let (mut client, _served) = connect(&shelf, Limits::default(), None).await;
    within_bound(async {
        client.write_all(&request("/a", "")).await.unwrap();
        client.readable().await.unwrap();
        shelf.file.give_up();
        // Whoever writes over it does so now; what was sent of it waits in the socket.
        let other = vec![0; BODY_BYTES];
        shelf.file.file().write_all_at(&other, 0).unwrap();
        let (_, body) = read_answer(&mut client, BODY_BYTES, Duration::ZERO).await;
        assert!(body == shelf.content);
        assert!(shelf.lying() < BODY_BYTES as u64);
        // The next has nothing of it from there.
        let lying = shelf.lying();
        client.write_all(&request("/b", "")).await.unwrap();
        let (_, body) = read_answer(&mut client, BODY_BYTES, Duration::ZERO).await;
        assert!(body == shelf.content);
        assert_eq!(shelf.lying(), lying);
    })
    .await;
}

#[tokio::test]
async fn where_it_cannot_be_told_or_sent_so_bodies_are_written() {
    let shelf = Shelf::new();
    let (mut client, served) = connect(&shelf, Limits::default(), None).await;
    within_bound(async {
        let more = "Connection: close\r\n";
        client.write_all(&request("/chunked", more)).await.unwrap();
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).await.unwrap();
        assert!(answer.len() > BODY_BYTES && answer.ends_with(b"\r\n0\r\n\r\n"));
        assert_eq!(served.await.unwrap().reason, CloseReason::Answered);
    })
    .await;
    assert_eq!(shelf.lying(), 0);

    // A stream that is no socket.
    let (mut client, stream) = tokio::io::duplex(100_000);
    let served = Arc::clone(&shelf);
    let served = tokio::spawn(async move {
        let (_stop, stopped) = watch::channel(false);
        serve_connection(Box::new(stream), &Limits::default(), &served, stopped).await
    });
    within_bound(async {
        let request = request("/", "Connection: close\r\n");
        client.write_all(&request).await.unwrap();
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).await.unwrap();
        assert!(answer.ends_with(&shelf.content));
        assert_eq!(served.await.unwrap().reason, CloseReason::Answered);
    })
    .await;
    assert_eq!(shelf.lying(), 0);

    let (mut client, _served) = connect(&shelf, Limits::default(), None).await;
    let head = b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n";
    client
        .write_all(&[head, &request("/", "")[..]].concat())
        .await
        .unwrap();
    let (head, _) = within_bound(read_answer(&mut client, 0, Duration::ZERO)).await;
    assert!(head.contains(&format!("Content-Length: {BODY_BYTES}\r\n")));
    let (_, body) = within_bound(read_answer(&mut client, BODY_BYTES, Duration::ZERO)).await;
    assert!(body == shelf.content);
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_given_up_and_one_that_leaves_is_seen_to() {
    let shelf = Shelf::new();
    let limits = Limits {
        write_timeout_ms: 1000,
        ..Limits::default()
    };
    let (mut client, served) = connect(&shelf, limits, None).await;
    // More than sockets hold.
    let requests = request("/", "").repeat(8);
    client.write_all(&requests).await.unwrap();
    within_bound(served).await.unwrap();
    assert!(matches!(
        shelf.errors.lock().unwrap()[..],
        [SendError::TooSlow]
    ));
    drop(client);

    let (mut client, served) = connect(&shelf, Limits::default(), None).await;
    client.write_all(&requests).await.unwrap();
    read_answer(&mut client, 1_000_000, Duration::ZERO).await;
    drop(client);
    within_bound(served).await.unwrap();
    let errors = shelf.errors.lock().unwrap();
    assert!(
        matches!(errors[..], [_, SendError::Disconnected(_)]),
        "{errors:?}"
    );
}

/// Whatever else has a number, nothing is sent past the stream that is not known to be a bare one.
#[tokio::test]
async fn a_wrapped_socket_is_not_bare() {
    let (client, _served) = connect(&Shelf::new(), Limits::default(), None).await;
    let number = client.as_raw_fd();
    let boxed: Stream = Box::new(TcpConnection::from(client));
    let bare = mcsp_edge_traffic::bare_socket(&boxed).map(|socket| socket.descriptor());
    assert_eq!(bare, Some(number));
    let traffic = Traffic::register(&Registry::new(), "clients").unwrap();
    let boxed_twice = traffic.count(boxed);
    assert!(mcsp_edge_traffic::bare_socket(&boxed_twice).is_none());
}
