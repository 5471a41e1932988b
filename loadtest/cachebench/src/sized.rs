//! An origin of objects whose paths say how large they are: `…/v{bytes}/{number}.m4s`. It counts what it is asked for.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::error::BenchError;
use crate::wire::{Framing, WireReader};

/// The largest object, bytes.
pub(crate) const OBJECT_BYTES_MAX: usize = 8 << 20;
/// A life that no run outlasts.
pub(crate) const CACHE_CONTROL: &str = "public, max-age=86400";
/// Of every object.
pub(crate) const CONTENT_TYPE: &str = "video/iso.segment";
/// Of every object.
pub(crate) const LAST_MODIFIED: &str = "Mon, 02 Nov 2026 10:00:00 GMT";

/// The bytes of every object, as far as each goes.
pub(crate) fn bytes_of_objects() -> Vec<u8> {
    // Not zeros: a disk or a link may make less of those.
    let mut random = crate::random::Random::new(1);
    (0..OBJECT_BYTES_MAX / 8)
        .flat_map(|_| random.next().to_le_bytes())
        .collect()
}

/// The path below a route's prefix of object `number` of this size.
pub(crate) fn path_of(bytes: usize, number: usize) -> String {
    format!("v{bytes}/{number}.m4s")
}

/// The size that a path names; `None` for any other path.
pub(crate) fn size_in(path: &str) -> Option<usize> {
    let (folder, _) = path.rsplit_once('/')?;
    let (_, name) = folder.rsplit_once('/')?;
    let bytes = name.strip_prefix('v')?.parse().ok()?;
    (bytes <= OBJECT_BYTES_MAX).then_some(bytes)
}

/// What was asked of it.
#[derive(Debug, Default)]
struct Asked {
    requests: AtomicU64,
    bytes: AtomicU64,
}

/// The origin; ends when dropped.
#[derive(Debug)]
pub(crate) struct SizedOrigin {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    asked: Arc<Asked>,
    task: JoinHandle<()>,
}

impl Drop for SizedOrigin {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl SizedOrigin {
    /// Listens on a free loopback port.
    ///
    /// # Errors
    /// When there is none.
    pub(crate) async fn start() -> Result<Self, BenchError> {
        let fault = |source| BenchError::socket("the sized origin", source);
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(fault)?;
        let address = listener.local_addr().map_err(fault)?;
        let asked = Arc::new(Asked::default());
        let shared = Arc::clone(&asked);
        let body: Arc<[u8]> = bytes_of_objects().into();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&body), Arc::clone(&shared)));
            }
        });
        Ok(Self {
            address,
            asked,
            task,
        })
    }

    /// Requests and bytes of bodies so far.
    pub(crate) fn asked(&self) -> (u64, u64) {
        (
            self.asked.requests.load(Ordering::Relaxed),
            self.asked.bytes.load(Ordering::Relaxed),
        )
    }
}

async fn serve(stream: TcpStream, bytes: Arc<[u8]>, asked: Arc<Asked>) {
    let _ = stream.set_nodelay(true);
    let (read, mut write) = stream.into_split();
    let mut reader = WireReader::new(read);
    // An error is the client's going away.
    while let Ok(Some(head)) = reader.head().await {
        if !matches!(reader.body(Framing::of_request(&head)).await, Ok((_, true))) {
            return;
        }
        let (method, target) = head.request();
        let Some(size) = size_in(target) else {
            let _ = write
                .write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
                .await;
            continue;
        };
        let text = format!(
            "HTTP/1.1 200 OK\r\nDate: {}\r\nContent-Type: {CONTENT_TYPE}\r\nContent-Length: {size}\r\n\
             Cache-Control: {CACHE_CONTROL}\r\nLast-Modified: {LAST_MODIFIED}\r\nETag: \"v{size}\"\r\n\r\n",
            httpdate::fmt_http_date(std::time::SystemTime::now())
        );
        asked.requests.fetch_add(1, Ordering::Relaxed);
        let mut sent = write.write_all(text.as_bytes()).await;
        if sent.is_ok() && method != "HEAD" {
            asked.bytes.fetch_add(size as u64, Ordering::Relaxed);
            sent = write.write_all(&bytes[..size]).await;
        }
        if sent.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_say_their_sizes() {
        assert_eq!(size_in(&format!("/o/{}", path_of(1024, 7))), Some(1024));
        assert_eq!(size_in("/o/7.m4s"), None);
        assert_eq!(size_in("/v99999999999/7.m4s"), None);
    }
}
