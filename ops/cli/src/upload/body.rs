//! A part's bytes on their way from the file to the network, a chunk at a time.

use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use indicatif::ProgressBar;
use tokio::fs::File;
use tokio::io::{AsyncRead, AsyncSeekExt, ReadBuf};

const CHUNK_BYTES: u64 = 128 << 10;

/// A slice of a file as a request's body of known length. The bar moves with it, and back when it is not sent whole.
#[derive(Debug)]
pub(crate) struct PartBody {
    file: File,
    left: u64,
    buffer: BytesMut,
    progress: Progress,
}

/// What a body has added to a bar, taken back unless it is kept.
#[derive(Debug)]
struct Progress {
    bar: ProgressBar,
    added: u64,
}

impl PartBody {
    pub(crate) async fn open(
        path: &Path,
        start: u64,
        bytes: u64,
        bar: ProgressBar,
    ) -> std::io::Result<Self> {
        let mut file = File::open(path).await?;
        file.seek(std::io::SeekFrom::Start(start)).await?;
        Ok(Self {
            file,
            left: bytes,
            buffer: BytesMut::new(),
            progress: Progress { bar, added: 0 },
        })
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        // Whether the part counts is decided by the server's answer, and counted there.
        self.bar
            .set_position(self.bar.position().saturating_sub(self.added));
    }
}

impl Body for PartBody {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        let this = self.get_mut();
        if this.left == 0 {
            return Poll::Ready(None);
        }
        let wanted = usize::try_from(this.left.min(CHUNK_BYTES)).unwrap_or(usize::MAX);
        this.buffer.resize(wanted, 0);
        let mut read = ReadBuf::new(&mut this.buffer);
        match Pin::new(&mut this.file).poll_read(cx, &mut read) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Err(error)) => return Poll::Ready(Some(Err(error))),
            Poll::Ready(Ok(())) => {}
        }
        let filled = read.filled().len();
        if filled == 0 {
            let error =
                std::io::Error::new(std::io::ErrorKind::UnexpectedEof, "the file became shorter");
            return Poll::Ready(Some(Err(error)));
        }
        let bytes = u64::try_from(filled).unwrap_or(u64::MAX);
        this.left = this.left.saturating_sub(bytes);
        this.progress.added += bytes;
        this.progress.bar.inc(bytes);
        Poll::Ready(Some(Ok(Frame::data(this.buffer.split_to(filled).freeze()))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
