//! The suite's origin: says on the wire exactly what a row tells it to, and remembers what it was asked.

mod answer;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::sleep;

pub use answer::{Answer, Told, with_dates};

use crate::error::BenchError;
use crate::wire::{Fields, Framing, Head, WireReader};

/// Pieces that a dripped body is sent in.
const DRIP_PIECES: usize = 20;

/// A request as it came to the origin.
#[derive(Debug, Clone)]
pub struct Seen {
    /// The method.
    pub method: String,
    /// The target.
    pub target: String,
    /// The fields.
    pub fields: Fields,
    /// When the first byte of its answer's body was sent.
    pub first_byte: Option<Instant>,
}

#[derive(Debug, Default)]
struct PathScript {
    answers: Vec<Answer>,
    seen: Vec<Seen>,
}

#[derive(Debug, Default)]
struct Scripts(Mutex<HashMap<String, PathScript>>);

/// The origin; ends when dropped.
#[derive(Debug)]
pub struct Origin {
    address: SocketAddr,
    scripts: Arc<Scripts>,
    task: JoinHandle<()>,
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Origin {
    /// Listens on a free loopback port.
    ///
    /// # Errors
    /// When there is none.
    pub async fn start() -> Result<Self, BenchError> {
        let fault = |source| BenchError::socket("the suite's origin", source);
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(fault)?;
        let address = listener.local_addr().map_err(fault)?;
        let scripts = Arc::new(Scripts::default());
        let shared = Arc::clone(&scripts);
        let task = tokio::spawn(async move {
            // A connection that cannot be accepted is the peer's to notice.
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(connection(stream, Arc::clone(&shared)));
            }
        });
        Ok(Self {
            address,
            scripts,
            task,
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on requests for this path are answered so, the query whatever it is.
    pub fn answer(&self, path: &str, answer: Answer) {
        self.answers(path, vec![answer]);
    }

    /// From now on requests for this path are answered by these in turn, and then by the last of them.
    pub fn answers(&self, path: &str, mut answers: Vec<Answer>) {
        answers.reverse();
        let mut scripts = self.scripts.0.lock();
        scripts.entry(path.to_owned()).or_default().answers = answers;
    }

    /// What this path was asked.
    #[must_use]
    pub fn seen(&self, path: &str) -> Vec<Seen> {
        let scripts = self.scripts.0.lock();
        scripts
            .get(path)
            .map(|script| script.seen.clone())
            .unwrap_or_default()
    }
}

async fn connection(stream: TcpStream, scripts: Arc<Scripts>) {
    // Every head and every piece of a body is on its way at once.
    let _ = stream.set_nodelay(true);
    let (read, mut write) = stream.into_split();
    let mut reader = WireReader::new(read);
    // An error is the client's going away, or a row's own doing.
    while let Ok(Some(head)) = reader.head().await {
        let Ok((_, true)) = reader.body(Framing::of_request(&head)).await else {
            return;
        };
        let stays = exchange(&head, &scripts, &mut write).await;
        if !stays.unwrap_or(false) {
            return;
        }
    }
}

/// Answers one request; false when the connection ends with it.
async fn exchange(
    head: &Head,
    scripts: &Scripts,
    write: &mut (impl tokio::io::AsyncWrite + Unpin),
) -> std::io::Result<bool> {
    let (method, target) = head.request();
    let path = target.split('?').next().unwrap_or_default().to_owned();
    let (answer, index) = {
        let mut scripts = scripts.0.lock();
        let script = scripts.entry(path.clone()).or_default();
        script.seen.push(Seen {
            method: method.to_owned(),
            target: target.to_owned(),
            fields: head.fields.clone(),
            first_byte: None,
        });
        let answer = match script.answers.len() {
            0 => Answer::new(404).body("no such row"),
            1 => script.answers[0].clone(),
            _ => script.answers.pop().unwrap_or_else(|| Answer::new(404)),
        };
        (answer, script.seen.len())
    };
    sleep(answer.think).await;
    if answer.hangs_up {
        return Ok(false);
    }
    if let Some(raw) = &answer.raw {
        write.write_all(raw).await?;
        return Ok(false);
    }
    for (status, fields) in &answer.interim {
        let mut text = format!("HTTP/1.1 {status} Interim\r\n");
        for (name, value) in fields {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text.push_str("\r\n");
        write.write_all(text.as_bytes()).await?;
    }
    let whole = match &answer.body {
        Some(body) => body.clone(),
        None => format!("{target} answer {index}").into_bytes(),
    };
    let (status, extra, body) = shape(&answer, head, whole);
    let folder = path.rfind('/').map_or("/", |at| &path[..=at]);
    let mut text = format!("HTTP/1.1 {status} Told\r\n");
    for (name, value) in answer.fields.iter().chain(&extra) {
        let value = with_dates(value).replace("{folder}", folder);
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    if !answer
        .fields
        .iter()
        .any(|(name, _)| name.eq_ignore_ascii_case("date"))
    {
        text.push_str(&format!("Date: {}\r\n", with_dates("{date:0}")));
    }
    let is_bodiless = matches!(status, 204 | 304);
    match answer.told {
        Told::Length | Told::Cut(_) if !is_bodiless => {
            text.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        Told::Chunked | Told::ChunkedCut if !is_bodiless => {
            text.push_str("Transfer-Encoding: chunked\r\n");
        }
        Told::Close => text.push_str("Connection: close\r\n"),
        _ => {}
    }
    text.push_str("\r\n");
    write.write_all(text.as_bytes()).await?;
    if method == "HEAD" || is_bodiless {
        return Ok(answer.told != Told::Close);
    }
    {
        let mut scripts = scripts.0.lock();
        let seen = scripts
            .get_mut(&path)
            .and_then(|s| s.seen.get_mut(index - 1));
        if let Some(seen) = seen {
            seen.first_byte = Some(Instant::now());
        }
    }
    send_body(&answer, &body, write).await
}

/// The status, further fields and body that this request gets: 304, 206 or the whole.
fn shape(answer: &Answer, head: &Head, whole: Vec<u8>) -> (u16, Vec<(String, String)>, Vec<u8>) {
    let names_it = |request: &str, ours: &str| {
        let (asked, held) = (head.fields.get(request), answer.field(ours));
        match (asked, held) {
            (Some(asked), Some(held)) => asked.split(',').any(|one| one.trim() == held),
            _ => false,
        }
    };
    let is_same_date = answer.field("last-modified").as_deref()
        == head.fields.get("if-modified-since")
        && head.fields.get("if-modified-since").is_some();
    if answer.validates && (names_it("if-none-match", "etag") || is_same_date) {
        return (304, Vec::new(), Vec::new());
    }
    let range = head.fields.get("range").filter(|_| answer.ranges);
    if let Some((first, last)) = range.and_then(|range| one_range(range, whole.len())) {
        let field = format!("bytes {first}-{last}/{}", whole.len());
        let part = whole[first..=last].to_vec();
        return (206, vec![("Content-Range".to_owned(), field)], part);
    }
    (answer.status, Vec::new(), whole)
}

/// First and last byte of a single range; `None` where it is several, or beyond the end.
fn one_range(range: &str, length: usize) -> Option<(usize, usize)> {
    let (first, last) = range.trim().strip_prefix("bytes=")?.split_once('-')?;
    if first.is_empty() {
        let suffix: usize = last.parse().ok()?;
        return Some((length.saturating_sub(suffix), length.checked_sub(1)?));
    }
    let first: usize = first.parse().ok()?;
    let last = match last {
        "" => length.checked_sub(1)?,
        last => last.parse::<usize>().ok()?.min(length.checked_sub(1)?),
    };
    (first <= last).then_some((first, last))
}

async fn send_body(
    answer: &Answer,
    body: &[u8],
    write: &mut (impl tokio::io::AsyncWrite + Unpin),
) -> std::io::Result<bool> {
    let sent = match answer.told {
        Told::Cut(bytes) => &body[..bytes.min(body.len())],
        _ => body,
    };
    let pieces = if answer.drip.is_zero() {
        1
    } else {
        DRIP_PIECES
    };
    let size = sent.len().div_ceil(pieces).max(1);
    let is_chunked = matches!(answer.told, Told::Chunked | Told::ChunkedCut);
    for (at, piece) in sent.chunks(size).enumerate() {
        if at > 0 {
            sleep(answer.drip / DRIP_PIECES as u32).await;
        }
        if is_chunked {
            write
                .write_all(format!("{:x}\r\n", piece.len()).as_bytes())
                .await?;
        }
        write.write_all(piece).await?;
        if is_chunked {
            write.write_all(b"\r\n").await?;
        }
    }
    if answer.told == Told::Chunked {
        write.write_all(b"0\r\n\r\n").await?;
    }
    write.flush().await?;
    Ok(matches!(answer.told, Told::Length | Told::Chunked))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::{Request, send};

    #[tokio::test]
    async fn answers_in_turn_by_length_chunks_and_halves() {
        let origin = Origin::start().await.unwrap();
        origin.answers(
            "/a",
            vec![
                Answer::new(200).body("whole"),
                Answer::new(203).body("chunks").told(Told::Chunked),
                Answer::new(200).body("broken").told(Told::Cut(3)),
            ],
        );
        let ask = Request::new("GET", "/a?x=1");
        let answer = send(origin.address(), &ask).await.unwrap();
        assert_eq!((answer.status, answer.text().as_str()), (200, "whole"));
        let answer = send(origin.address(), &ask).await.unwrap();
        assert_eq!((answer.status, answer.text().as_str()), (203, "chunks"));
        for _ in 0..2 {
            let answer = send(origin.address(), &ask).await.unwrap();
            assert_eq!((answer.is_complete, answer.text().as_str()), (false, "bro"));
        }
        assert_eq!(origin.seen("/a").len(), 4);
    }

    #[tokio::test]
    async fn validates_and_ranges_where_it_is_told_to() {
        let origin = Origin::start().await.unwrap();
        let answer = Answer::new(200).with("ETag", "\"v1\"").body("0123456789");
        origin.answer("/a", answer.validating().ranging());
        let ask = Request::new("GET", "/a").with("If-None-Match", "\"v0\", \"v1\"");
        assert_eq!(send(origin.address(), &ask).await.unwrap().status, 304);
        let ask = Request::new("GET", "/a").with("Range", "bytes=2-4");
        let answer = send(origin.address(), &ask).await.unwrap();
        assert_eq!((answer.status, answer.text().as_str()), (206, "234"));
        assert_eq!(answer.fields.get("content-range"), Some("bytes 2-4/10"));
    }
}
