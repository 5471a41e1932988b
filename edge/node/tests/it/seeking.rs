//! Parts that a fill brings late, and origins that break off again and again.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use reqwest::Method;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use crate::harness::{Node, wait_for, within};

const TOTAL_BYTES: usize = 4 << 20;

/// Has a strong validator or none, and knows ranges or not. Its first answers do not get past `breaks_at` before the gate opens, nor
/// at all when there is none.
#[derive(Clone)]
struct Film {
    body: Arc<[u8]>,
    knows_ranges: bool,
    has_validator: bool,
    /// Does a part's body wait for the gate too?
    holds_parts: bool,
    breaks_at: usize,
    broken_answers: usize,
    gate: Option<Arc<Semaphore>>,
    asked: Arc<AtomicUsize>,
}

impl Film {
    fn new(breaks_at: usize, gate: Option<Arc<Semaphore>>) -> Self {
        Self {
            body: (0..TOTAL_BYTES).map(|n| (n % 251) as u8).collect(),
            knows_ranges: true,
            has_validator: true,
            holds_parts: false,
            breaks_at,
            broken_answers: usize::MAX,
            gate,
            asked: Arc::default(),
        }
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    async fn node(&self) -> (Node, TempDir) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let film = self.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(film.clone().answer(stream));
            }
        });
        node_before(address).await
    }

    async fn answer(self, mut stream: TcpStream) -> std::io::Result<()> {
        let mut head = Vec::new();
        while !head.windows(4).any(|end| end == b"\r\n\r\n") {
            if stream.read_buf(&mut head).await? == 0 {
                return Ok(());
            }
        }
        let is_broken = self.asked.fetch_add(1, Ordering::SeqCst) < self.broken_answers;
        let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
        let range = head
            .split("\r\n")
            .find_map(|line| line.strip_prefix("range: bytes=")?.split_once('-'))
            .filter(|_| self.knows_ranges);
        let (first, last) = match range {
            Some((first, last)) => (first.parse().unwrap(), last.parse().unwrap_or(usize::MAX)),
            None => (0, usize::MAX),
        };
        let last = last.min(TOTAL_BYTES - 1);
        let status = match range {
            Some(_) => format!("206 X\r\nContent-Range: bytes {first}-{last}/{TOTAL_BYTES}"),
            None => "200 OK".to_owned(),
        };
        let length = last + 1 - first;
        let tag = if self.has_validator {
            "ETag: \"film\"\r\n"
        } else {
            ""
        };
        let head = format!(
            "HTTP/1.1 {status}\r\nCache-Control: max-age=600\r\n{tag}Content-Length: {length}\r\n\
             Connection: close\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await?;
        if let Some(gate) = self.gate.as_ref().filter(|_| self.holds_parts && first > 0) {
            drop(gate.acquire().await);
        }
        let body = &self.body;
        let mut at = first;
        if !is_broken {
            return stream.write_all(&body[first..=last]).await;
        }
        if first < self.breaks_at {
            at = self.breaks_at.min(last + 1);
            stream.write_all(&body[first..at]).await?;
            match &self.gate {
                Some(gate) => drop(gate.acquire().await),
                None => return Ok(()),
            }
        } else if self.gate.is_none() {
            return Ok(());
        }
        stream.write_all(&body[at..=last]).await
    }
}

async fn node_before(origin: SocketAddr) -> (Node, TempDir) {
    let dir = TempDir::new().unwrap();
    let text = format!(
        "state_dir = \"{}\"\nworker_threads = 2\n[admin]\naddress = \"127.0.0.1:0\"\n\
         [[listener]]\naddress = \"127.0.0.1:0\"\ntls = false\n\
         [[route]]\nname = \"old\"\nupstream = \"http://{origin}\"\n",
        dir.path().join("edge-state").display(),
    );
    let node = Node::start_from(dir.path(), "edge", &text).await;
    node.wait_ready().await;
    (node, dir)
}

#[tokio::test]
async fn a_seek_does_not_wait_for_what_a_fill_brings_before_it() {
    let gate = Arc::new(Semaphore::new(0));
    let film = Film::new(300 << 10, Some(Arc::clone(&gate)));
    let (node, _dir) = film.node().await;
    let whole = node.request(Method::GET, "/film").send().await.unwrap();
    assert_eq!(whole.status(), 200);
    let get = async |range: &str| {
        let request = node.request(Method::GET, "/film").header("range", range);
        let answer = within("a part", request.send()).await.unwrap();
        assert_eq!(answer.status(), 206, "{range}");
        let bytes = within("its bytes", answer.bytes()).await.unwrap();
        (bytes, film.asked())
    };
    let body = Arc::clone(&film.body);
    // The fill stands before the gate.
    let (near, asked) = get("bytes=1000-1999").await;
    assert!(near == body[1000..2000] && asked == 1, "{asked}");
    let (far, asked) = get("bytes=3000000-3000009").await;
    assert!(far == body[3_000_000..3_000_010] && asked == 2, "{asked}");
    // Of its slice all is held.
    let (again, asked) = get("bytes=3000100-3000109").await;
    assert!(
        again == body[3_000_100..3_000_110] && asked == 2,
        "{asked} requests"
    );
    let (end, asked) = get("bytes=-5").await;
    assert!(end == body[TOTAL_BYTES - 5..] && asked == 3, "{asked}");
    let (long, asked) = get("bytes=1000000-").await;
    assert!(long == body[1_000_000..] && asked <= 5, "{asked} requests");
    gate.close();
    let whole = within("the whole", whole.bytes()).await.unwrap();
    assert!(whole == body[..], "the whole is not whole");
}

#[tokio::test]
async fn an_origin_that_breaks_off_again_and_again_is_not_asked_for_ever() {
    let film = Film::new(1_500_000, None);
    let (node, _dir) = film.node().await;
    let cut = async || {
        let answer = node.request(Method::GET, "/film").send().await.unwrap();
        let is_refused = answer.status() == 503;
        let bytes = within("its end", answer.bytes()).await;
        assert!(
            is_refused || bytes.is_err(),
            "a body that broke off looks whole"
        );
    };
    let began = Instant::now();
    // Failures are counted together for two seconds: on a slow machine the origin is left alone more than once.
    let windows = || began.elapsed().as_secs() as usize / 2 + 1;
    cut().await;
    let asked = film.asked();
    assert!(asked <= 20 * windows(), "{asked} requests for one");
    let all = (0..20).map(|_| cut());
    futures::future::join_all(all).await;
    // One who asked already may be at it still when the others are told.
    let asked = film.asked();
    assert!(asked <= 60 * windows(), "{asked} requests for 21");
}

#[tokio::test]
async fn an_origin_without_ranges_is_asked_for_a_part_once() {
    let gate = Arc::new(Semaphore::new(0));
    let mut film = Film::new(300 << 10, Some(Arc::clone(&gate)));
    film.knows_ranges = false;
    let (node, _dir) = film.node().await;
    let whole = node.request(Method::GET, "/film").send().await.unwrap();
    let part = async |first: usize| {
        let range = format!("bytes={first}-{}", first + 9);
        let request = node.request(Method::GET, "/film").header("range", range);
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 206);
        let bytes = within("a part", answer.bytes()).await.unwrap();
        assert!(bytes == film.body[first..first + 10], "{first}");
    };
    let parts = async {
        // One asks; the others wait for the fill, as that one does then.
        let first = part(3_000_000);
        let others = async {
            wait_for("a request for a part", async || film.asked() == 2).await;
            let later = (0..5).map(|n| part(3_100_000 + n * 100_000));
            let later = futures::future::join_all(later);
            let opens = async {
                tokio::time::sleep(std::time::Duration::from_millis(200)).await;
                gate.close();
            };
            futures::join!(later, opens)
        };
        futures::join!(first, others)
    };
    parts.await;
    let whole = within("the whole", whole.bytes()).await.unwrap();
    assert!(whole == film.body[..], "the whole is not whole");
    part(2_000_000).await;
    assert!(film.asked() <= 3, "{} requests", film.asked());
}

#[tokio::test]
async fn a_body_that_broke_off_goes_on_with_the_same_whole() {
    let mut film = Film::new(1_500_000, None);
    film.knows_ranges = false;
    film.broken_answers = 1;
    let (node, _dir) = film.node().await;
    for asked in [2, 2] {
        let answer = node.request(Method::GET, "/film").send().await.unwrap();
        let bytes = within("its end", answer.bytes()).await.unwrap();
        assert!(bytes == film.body[..], "the whole is not whole");
        assert_eq!(film.asked(), asked);
    }
}

/// A film that no part can be put together of, whose fill stands before a gate: the node, and the answer that fills.
async fn standing(knows_ranges: bool) -> (Film, Arc<Semaphore>, Node, TempDir, reqwest::Response) {
    let gate = Arc::new(Semaphore::new(0));
    let mut film = Film::new(300 << 10, Some(Arc::clone(&gate)));
    film.has_validator = false;
    film.knows_ranges = knows_ranges;
    film.broken_answers = 1;
    let (node, dir) = film.node().await;
    let whole = node.request(Method::GET, "/film").send().await.unwrap();
    assert_eq!(whole.status(), 200);
    (film, gate, node, dir, whole)
}

async fn part(node: &Node, range: &str) -> (String, bytes::Bytes) {
    let request = node.request(Method::GET, "/film").header("range", range);
    let answer = within("a part", request.send()).await.unwrap();
    assert_eq!(answer.status(), 206, "{range}");
    let said = answer.headers()["content-range"]
        .to_str()
        .unwrap()
        .to_owned();
    (said, within("its bytes", answer.bytes()).await.unwrap())
}

#[tokio::test]
async fn a_seek_into_what_has_no_validator_is_an_answer_by_itself() {
    let (film, gate, node, _dir, whole) = standing(true).await;
    let (said, far) = part(&node, "bytes=3000000-3000009").await;
    assert_eq!(said, format!("bytes 3000000-3000009/{TOTAL_BYTES}"));
    assert!(far == film.body[3_000_000..3_000_010] && film.asked() == 2);
    // What is near waits for the fill, and nothing of the rest is kept.
    let (_, near) = part(&node, "bytes=1000-1009").await;
    assert!(near == film.body[1000..1010] && film.asked() == 2);
    let (_, again) = part(&node, "bytes=3000000-3000009").await;
    assert!(again == far && film.asked() == 3);
    let (_, end) = part(&node, "bytes=4194299-").await;
    assert!(end == film.body[TOTAL_BYTES - 5..] && film.asked() == 4);
    let past = node.metric("mcsp_edge_seeks_past_total", &[]).await;
    assert!((past - 3.0).abs() < 0.1, "{past}");
    gate.close();
    let whole = within("the whole", whole.bytes()).await.unwrap();
    assert!(whole == film.body[..], "the whole is not whole");
    let (_, held) = part(&node, "bytes=3000000-3000009").await;
    assert!(held == far && film.asked() == 4, "it is stored");
}

#[tokio::test]
async fn a_seek_that_an_origin_without_ranges_cannot_answer_waits_for_the_fill() {
    let (film, gate, node, _dir, whole) = standing(false).await;
    let parts = async {
        let first = part(&node, "bytes=3000000-3000009");
        let later = async {
            wait_for("a request for a part", async || film.asked() == 2).await;
            let later = (0..5).map(|_| part(&node, "bytes=3000000-3000009"));
            let opens = async {
                tokio::time::sleep(std::time::Duration::from_millis(300)).await;
                gate.close();
            };
            futures::join!(futures::future::join_all(later), opens).0
        };
        futures::join!(first, later)
    };
    let (first, later) = parts.await;
    for (_, bytes) in later.into_iter().chain([first]) {
        assert!(bytes == film.body[3_000_000..3_000_010]);
    }
    let whole = within("the whole", whole.bytes()).await.unwrap();
    assert!(whole == film.body[..], "the whole is not whole");
    // Some may have asked before the first was known to be in vain.
    assert!(film.asked() <= 5, "{} requests", film.asked());
}

/// Each takes a fetch, and keeps it for as long as its client takes: few at once.
#[tokio::test]
async fn few_seek_past_a_fill_at_once() {
    const SEEKS: usize = 4;
    let gate = Arc::new(Semaphore::new(0));
    let mut film = Film::new(300 << 10, Some(Arc::clone(&gate)));
    film.has_validator = false;
    film.holds_parts = true;
    let (node, _dir) = film.node().await;
    let whole = node.request(Method::GET, "/film").send().await.unwrap();
    // Those that come past stand before the gate with a head and no byte.
    let parts = futures::future::join_all((0..12).map(|_| part(&node, "bytes=3000000-3000009")));
    let opens = async {
        wait_for("those that may", async || film.asked() == 1 + SEEKS).await;
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        assert_eq!(film.asked(), 1 + SEEKS);
        gate.close();
    };
    let (parts, ()) = futures::join!(parts, opens);
    for (_, bytes) in parts {
        assert!(bytes == film.body[3_000_000..3_000_010]);
    }
    let whole = within("the whole", whole.bytes()).await.unwrap();
    assert!(whole == film.body[..], "the whole is not whole");
}
