//! How many writes an answer takes, on streams with vectored writes and without.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use async_trait::async_trait;
use mcsp_edge_h1::{Limits, serve_connection};
use pingora_core::protocols::raw_connect::ProxyDigest;
use pingora_core::protocols::{
    GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl,
    TimingDigest, UniqueID, UniqueIDType,
};
use tokio::io::{
    AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, DuplexStream, ReadBuf,
};
use tokio::sync::watch;

use crate::site::{Site, statuses};

/// A pipe that counts writes, and takes one slice at a time if told so.
#[derive(Debug)]
struct Counting {
    pipe: DuplexStream,
    is_vectored: bool,
    writes: Arc<AtomicUsize>,
}

impl AsyncRead for Counting {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.pipe).poll_read(context, out)
    }
}

impl AsyncWrite for Counting {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.writes.fetch_add(1, Ordering::Relaxed);
        Pin::new(&mut self.pipe).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.is_vectored {
            self.writes.fetch_add(1, Ordering::Relaxed);
            return Pin::new(&mut self.pipe).poll_write_vectored(context, slices);
        }
        let first = slices
            .iter()
            .find(|slice| !slice.is_empty())
            .map_or(&[][..], |slice| slice);
        self.poll_write(context, first)
    }

    fn is_write_vectored(&self) -> bool {
        self.is_vectored
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.pipe).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        AsyncWrite::poll_shutdown(Pin::new(&mut self.pipe), context)
    }
}

#[async_trait]
impl Shutdown for Counting {
    async fn shutdown(&mut self) {}
}

impl UniqueID for Counting {
    fn id(&self) -> UniqueIDType {
        0
    }
}

impl Ssl for Counting {}
impl Peek for Counting {}

impl GetTimingDigest for Counting {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        Vec::new()
    }
}

impl GetProxyDigest for Counting {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        None
    }
}

impl GetSocketDigest for Counting {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        None
    }
}

#[tokio::test(start_paused = true)]
async fn a_small_answer_is_one_write_whatever_the_stream() {
    let rows = [
        ("/full/1024", true, 1),
        ("/full/1024", false, 1),
        // Too large to be copied: the head, then the body.
        ("/full/100000", false, 2),
        ("/full/100000", true, 1),
        ("/full/0", false, 1),
        // Head and first chunk; twenty as one chunk; the end.
        ("/chunked/10", true, 3),
        // Too large to be copied: the twenty go sixteen and four at a time.
        ("/chunked/1000", true, 4),
    ];
    for (path, is_vectored, expected) in rows {
        let (mut client, pipe) = tokio::io::duplex(1 << 20);
        let writes = Arc::new(AtomicUsize::new(0));
        let stream = Counting {
            pipe,
            is_vectored,
            writes: Arc::clone(&writes),
        };
        let site = Site::new();
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        client.write_all(request.as_bytes()).await.unwrap();
        let (_stop, stopped) = watch::channel(false);
        serve_connection(Box::new(stream), &Limits::default(), &site, stopped).await;
        let mut output = Vec::new();
        client.read_to_end(&mut output).await.unwrap();
        assert_eq!(statuses(&output), [200], "{path}");
        assert_eq!(
            writes.load(Ordering::Relaxed),
            expected,
            "{path} {is_vectored}"
        );
    }
}
