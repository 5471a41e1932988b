//! One exchange on a connection of HTTP/1: a request goes out, a head and a body come in.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use http::response::Parts;
use http::{Method, StatusCode};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::chunked::{ChunkDecoder, Decoded};
use crate::error::{Fault, FetchError, FetchErrorKind};
use crate::head::{self, BodyLength, HeadScanner};

/// Room for a head, and for a small body that comes with it.
const HEAD_ROOM_BYTES: usize = 8 << 10;
/// Large bodies are read into blocks of this size.
const BLOCK_BYTES: usize = 256 << 10;
/// A body of unknown length is read into blocks of this size.
const UNKNOWN_BLOCK_BYTES: usize = 64 << 10;
/// A read is not made for less room than this, where more may come.
const READ_BYTES_MIN: usize = 16 << 10;
/// Chunks smaller than this are put together, as far as they are there.
const PIECE_BYTES_MIN: usize = 16 << 10;

/// Called with each interim answer (1xx) but 101.
pub type OnInterim<'a> = &'a mut (dyn FnMut(Parts) + Send);

/// Bounds on a head.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HeadLimits {
    pub(crate) bytes_max: usize,
    pub(crate) fields_max: usize,
    pub(crate) interim_max: usize,
}

#[derive(Debug)]
enum Body {
    /// Bytes to come.
    Known(u64),
    Chunked(ChunkDecoder),
    UntilClose,
    Done,
}

/// A connection in the course of an exchange.
#[derive(Debug)]
pub(crate) struct Connection<S> {
    stream: S,
    /// Read and not yet taken: a head and what came with it, or chunks.
    buffer: BytesMut,
    /// Where a body goes that is taken as it comes; empty between two reads.
    block: BytesMut,
    body: Body,
    has_received: bool,
    keeps_alive: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self {
            stream,
            buffer: BytesMut::new(),
            block: BytesMut::new(),
            body: Body::Done,
            has_received: false,
            keeps_alive: false,
        }
    }

    pub(crate) async fn send(&mut self, request: &[u8]) -> Result<(), FetchError> {
        let broken = |error: std::io::Error| FetchError::because(FetchErrorKind::Reset, error);
        self.stream.write_all(request).await.map_err(broken)?;
        self.stream.flush().await.map_err(broken)
    }

    /// Has anything come in since the request? If not, a connection that was kept may have been closed before it.
    pub(crate) fn has_received(&self) -> bool {
        self.has_received
    }

    /// The final head, and how its body is delimited.
    pub(crate) async fn read_head(
        &mut self,
        method: &Method,
        limits: HeadLimits,
        on_interim: OnInterim<'_>,
    ) -> Result<(Parts, BodyLength), FetchError> {
        self.buffer.reserve(HEAD_ROOM_BYTES);
        let mut interim_left = limits.interim_max;
        loop {
            let mut head = self.read_one_head(limits).await?;
            if head.status == StatusCode::SWITCHING_PROTOCOLS {
                return Err(Fault::Switch.into());
            }
            if head.status.is_informational() {
                interim_left = interim_left.checked_sub(1).ok_or(Fault::Interim)?;
                on_interim(head);
                continue;
            }
            let length = head::body_length(method, &mut head)?;
            self.keeps_alive = head::keeps_alive(&head);
            self.body = match length {
                BodyLength::None | BodyLength::Known(0) => Body::Done,
                BodyLength::Known(length) => Body::Known(length),
                BodyLength::Marked => Body::Chunked(ChunkDecoder::default()),
                BodyLength::UntilClose => Body::UntilClose,
            };
            return Ok((head, length));
        }
    }

    async fn read_one_head(&mut self, limits: HeadLimits) -> Result<Parts, FetchError> {
        let mut scanner = HeadScanner::default();
        loop {
            if let Some(length) = scanner.scan(&self.buffer, limits.bytes_max)? {
                let parts = head::parse(
                    self.buffer.get(..length).unwrap_or_default(),
                    limits.fields_max,
                )?;
                self.buffer.advance(length);
                return Ok(parts);
            }
            match self.stream.read_buf(&mut self.buffer).await {
                Ok(0) => return Err(FetchError::new(FetchErrorKind::Reset)),
                Ok(_) => self.has_received = true,
                Err(error) => return Err(FetchError::because(FetchErrorKind::Reset, error)),
            }
        }
    }

    /// Some more of the body; `None` at its end. May be dropped while it waits, and called again.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, FetchError> {
        match &mut self.body {
            Body::Done => Ok(None),
            Body::Known(left) => {
                let left_before = *left;
                let piece = self.next_raw(left_before).await?;
                let Some(piece) = piece else {
                    return Err(FetchError::because(
                        FetchErrorKind::Truncated,
                        format!("{left_before} bytes of Content-Length missing"),
                    ));
                };
                self.body = match left_before.saturating_sub(piece.len() as u64) {
                    0 => Body::Done,
                    left => Body::Known(left),
                };
                Ok(Some(piece))
            }
            Body::UntilClose => {
                let piece = self.next_raw(u64::MAX).await?;
                if piece.is_none() {
                    self.body = Body::Done;
                }
                Ok(piece)
            }
            Body::Chunked(_) => self.next_chunked().await,
        }
    }

    /// At most `bytes_max` bytes as they came; `None` when the connection closed.
    async fn next_raw(&mut self, bytes_max: u64) -> Result<Option<Bytes>, FetchError> {
        let wanted = usize::try_from(bytes_max).unwrap_or(usize::MAX);
        if !self.buffer.is_empty() {
            // What came with the head: copied, so that a small body does not keep the room that was made for the head.
            let length = wanted.min(self.buffer.len());
            return Ok(Some(copy_out(&mut self.buffer, length)));
        }
        if self.block.capacity() < READ_BYTES_MIN.min(wanted) {
            let bytes = if bytes_max == u64::MAX {
                UNKNOWN_BLOCK_BYTES
            } else {
                BLOCK_BYTES
            };
            self.block = BytesMut::with_capacity(bytes.min(wanted));
        }
        let room = self.block.capacity().min(wanted);
        let read = self
            .stream
            .read_buf(&mut (&mut self.block).limit(room))
            .await
            .map_err(|error| FetchError::because(FetchErrorKind::Truncated, error))?;
        Ok((read > 0).then(|| self.block.split().freeze()))
    }

    async fn next_chunked(&mut self) -> Result<Option<Bytes>, FetchError> {
        let mut gathered = BytesMut::new();
        loop {
            let Body::Chunked(decoder) = &mut self.body else {
                return Ok(None);
            };
            match decoder.decode(&mut self.buffer)? {
                Decoded::Data(piece) if gathered.is_empty() && piece.len() >= PIECE_BYTES_MIN => {
                    return Ok(Some(piece));
                }
                Decoded::Data(piece) => {
                    if gathered.is_empty() {
                        // No more can come before the buffer is read into again.
                        gathered.reserve(piece.len() + self.buffer.len());
                    }
                    gathered.put_slice(&piece);
                    if gathered.len() >= UNKNOWN_BLOCK_BYTES {
                        return Ok(Some(gathered.freeze()));
                    }
                }
                Decoded::End => {
                    self.body = Body::Done;
                    return Ok((!gathered.is_empty()).then(|| gathered.freeze()));
                }
                Decoded::NeedsMore if !gathered.is_empty() => return Ok(Some(gathered.freeze())),
                Decoded::NeedsMore => {
                    if self.buffer.capacity() - self.buffer.len() < READ_BYTES_MIN {
                        self.buffer.reserve(UNKNOWN_BLOCK_BYTES);
                    }
                    let read = self
                        .stream
                        .read_buf(&mut self.buffer)
                        .await
                        .map_err(|error| FetchError::because(FetchErrorKind::Truncated, error))?;
                    if read == 0 {
                        return Err(FetchError::because(
                            FetchErrorKind::Truncated,
                            "last chunk missing",
                        ));
                    }
                }
            }
        }
    }

    /// Was the last byte of the body taken?
    pub(crate) fn is_done(&self) -> bool {
        matches!(self.body, Body::Done)
    }

    /// The stream, if another exchange may be made on it: this one is over, and nothing came after it.
    pub(crate) fn into_reusable(self) -> Option<S> {
        (self.is_done() && self.keeps_alive && self.buffer.is_empty()).then_some(self.stream)
    }
}

fn copy_out(buffer: &mut BytesMut, length: usize) -> Bytes {
    let copy = Bytes::copy_from_slice(buffer.get(..length).unwrap_or_default());
    buffer.advance(copy.len());
    copy
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio::io::AsyncWriteExt;

    use super::*;

    const LIMITS: HeadLimits = HeadLimits {
        bytes_max: 4_096,
        fields_max: 32,
        interim_max: 4,
    };

    /// What comes of `raw` when it arrives at most `step` bytes at a time.
    async fn take(raw: Vec<u8>, step: usize) -> (Vec<u8>, Result<u16, FetchErrorKind>, bool) {
        let (near, mut far) = tokio::io::duplex(step.max(1));
        let writer = tokio::spawn(async move {
            let _ = far.write_all(&raw).await;
        });
        let mut connection = Connection::new(near);
        let mut body = Vec::new();
        let result = async {
            let (head, _) = connection
                .read_head(&Method::GET, LIMITS, &mut |_| {})
                .await?;
            while let Some(piece) = connection.next().await? {
                assert!(!piece.is_empty());
                body.extend_from_slice(&piece);
            }
            Ok(head.status.as_u16())
        }
        .await
        .map_err(|error: FetchError| error.kind);
        drop(connection.into_reusable());
        writer.await.unwrap();
        let is_whole = result.is_ok();
        (body, result, is_whole)
    }

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap()
    }

    #[test]
    fn where_the_bytes_are_split_makes_no_difference() {
        let answers = [
            "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello",
            "HTTP/1.1 103 E\r\nlink: a\r\n\r\nHTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n2\r\nde\r\n0\r\nt: u\r\n\r\n",
            "HTTP/1.0 200 OK\r\n\r\nuntil the end",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabcX\r\n0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nx: a\r\n b\r\n\r\n",
            "HTTP/1.1 200 OK\r\nx: a\n\r\n",
        ];
        let runtime = runtime();
        for answer in answers {
            let whole = runtime.block_on(take(answer.into(), answer.len()));
            for step in 1..answer.len() {
                let split = runtime.block_on(take(answer.into(), step));
                assert_eq!(split.1, whole.1, "{answer:?} by {step}");
                if whole.2 {
                    assert_eq!(split.0, whole.0, "{answer:?} by {step}");
                }
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(192))]

        #[test]
        fn no_bytes_make_it_fail_otherwise_than_by_an_error(
            start in prop::sample::select(vec![
                "HTTP/1.1 200 OK\r\n",
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
                "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n",
                "",
            ]),
            rest in prop::collection::vec(
                prop_oneof![
                    any::<u8>(),
                    prop::sample::select(b"\r\n\r\n:;, 0123abf".to_vec()),
                ],
                0..200,
            ),
            step in 1_usize..64,
        ) {
            let mut raw = start.as_bytes().to_vec();
            raw.extend_from_slice(&rest);
            let runtime = runtime();
            let split = runtime.block_on(take(raw.clone(), step));
            let whole = runtime.block_on(take(raw, 1 << 16));
            prop_assert_eq!(&split.1, &whole.1);
            if whole.2 {
                prop_assert_eq!(split.0, whole.0);
            }
        }

        #[test]
        fn chunks_of_any_size_come_out_as_they_went_in(
            chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..20_000), 0..4),
            step in 5_usize..60_000,
        ) {
            let mut raw = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
            for chunk in &chunks {
                raw.extend_from_slice(format!("{:X}\r\n", chunk.len()).as_bytes());
                raw.extend_from_slice(chunk);
                raw.extend_from_slice(b"\r\n");
            }
            raw.extend_from_slice(b"0\r\n\r\n");
            let (body, result, _) = runtime().block_on(take(raw, step));
            prop_assert_eq!(result, Ok(200));
            prop_assert_eq!(body, chunks.concat());
        }
    }
}
