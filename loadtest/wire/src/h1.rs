//! HTTP/1.1 on one connection, one exchange after another.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf};
use tokio::time::{Instant, timeout_at};

use crate::chunked::Chunked;
use crate::connect::Stream;
use crate::failure::{Failure, FailureKind};
use crate::h1_head::{self, Head};
use crate::link::Link;
use crate::network::{Limits, Network, Origin};
use crate::request::{Answer, Framing, Request, Times};

const BUFFER_BYTES: usize = 32 << 10;
const UPLOAD_PIECE_BYTES: usize = 16 << 10;
/// Interim answers (RFC 9110 section 15.2) before the final one.
const INTERIM_MAX: u32 = 8;

thread_local! {
    /// Bodies of all users pass through it: it is lent for the length of one read and one call of the sink.
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; BUFFER_BYTES]);
}

/// Where a body's bytes go.
pub(crate) type Sink<'a> = &'a mut (dyn FnMut(&[u8]) + Send);

pub(crate) struct H1 {
    stream: Stream,
}

/// What an exchange is made with.
pub(crate) struct Exchange<'a> {
    pub(crate) network: &'a Network,
    pub(crate) origin: &'a Origin,
    pub(crate) request: &'a Request<'a>,
    pub(crate) link: &'a Link,
}

impl Exchange<'_> {
    pub(crate) fn limits(&self) -> Limits {
        self.network.limits
    }

    /// When a wait that begins now is over.
    pub(crate) fn until(&self, wait: Duration) -> Instant {
        let until = Instant::now() + wait;
        self.request
            .deadline
            .map_or(until, |deadline| until.min(deadline))
    }
}

/// An answer so far, and whether its connection can be used again.
struct Progress<'s> {
    sink: Sink<'s>,
    chunked: Option<Chunked>,
    body_bytes: u64,
}

impl H1 {
    pub(crate) fn new(stream: Stream) -> Self {
        Self { stream }
    }

    /// Sends the request and reads its whole answer; whether the connection can be used again.
    pub(crate) async fn exchange(
        &mut self,
        exchange: &Exchange<'_>,
        times: &mut Times,
        sink: Sink<'_>,
    ) -> Result<(Answer, bool), Box<Failure>> {
        let sent = self.send(exchange).await;
        if let Err(failure) = &sent
            && failure.kind != FailureKind::Reset
        {
            return Err(failure.clone());
        }
        // A node that refuses a request may answer and close before it has all of it (RFC 9112 section 9.5).
        let (head, early) = match self.head(exchange, times).await {
            Ok(head) => head,
            Err(failure) => return Err(sent.err().unwrap_or(failure)),
        };
        let mut progress = Progress {
            sink,
            chunked: (head.framing == Framing::Stream).then(Chunked::new),
            body_bytes: 0,
        };
        let body = self.body(exchange, &head, &early, &mut progress).await;
        let body_bytes = progress.body_bytes;
        if let Err(mut failure) = body {
            failure.status = Some(head.status);
            failure.body_bytes = body_bytes;
            if let Framing::Length(length) = head.framing {
                failure.declared_bytes = Some(length);
            }
            return Err(failure);
        }
        exchange.link.settle().await;
        times.last_byte_us = exchange.network.clock.now_us();
        let answer = Answer {
            status: head.status,
            headers: head.headers,
            body_bytes,
            framing: head.framing,
            times: *times,
            is_h2: false,
        };
        Ok((answer, head.is_kept && sent.is_ok()))
    }

    async fn send(&mut self, exchange: &Exchange<'_>) -> Result<(), Box<Failure>> {
        let head = h1_head::write(exchange.request, exchange.origin);
        self.write(exchange, &head).await?;
        let body = &exchange.request.body;
        let length = body.length().unwrap_or(0);
        let breaks_after = body.breaks_after();
        let end = breaks_after.unwrap_or(length).min(length);
        let mut at = 0;
        let mut piece = Vec::new();
        while at < end {
            let bytes = (end - at).min(UPLOAD_PIECE_BYTES as u64);
            piece.resize(usize::try_from(bytes).unwrap_or(UPLOAD_PIECE_BYTES), 0);
            body.read_at(at, &mut piece);
            self.write(exchange, &piece).await?;
            at += bytes;
        }
        if breaks_after.is_some() {
            return Err(Failure::new(
                FailureKind::BrokenOff,
                format!("after {end} of {length} bytes"),
            ));
        }
        Ok(())
    }

    async fn write(&mut self, exchange: &Exchange<'_>, bytes: &[u8]) -> Result<(), Box<Failure>> {
        let until = exchange.until(exchange.limits().read_timeout);
        let written = timeout_at(until, async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        });
        match written.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(Failure::new(FailureKind::Reset, error.to_string())),
            Err(_) => Err(Failure::new(
                FailureKind::HeadTimeout,
                "the request was not taken in time",
            )),
        }
    }

    /// The head of the final answer, and what came after it.
    async fn head(
        &mut self,
        exchange: &Exchange<'_>,
        times: &mut Times,
    ) -> Result<(Head, Vec<u8>), Box<Failure>> {
        let limits = exchange.limits();
        let until = exchange.until(limits.read_timeout);
        let mut bytes: Vec<u8> = Vec::new();
        let mut interim = 0;
        loop {
            let mut keep = |part: &[u8]| bytes.extend_from_slice(part);
            let count = timeout_at(until, read(&mut self.stream, &mut keep))
                .await
                .map_err(|_| Failure::new(FailureKind::HeadTimeout, "no head in time"))?
                .map_err(|error| Failure::new(FailureKind::Reset, error.to_string()))?;
            if times.first_byte_us == 0 && count > 0 {
                times.first_byte_us = exchange.network.clock.now_us();
            }
            while let Some((head, length)) = h1_head::read(&bytes, &exchange.request.method)? {
                bytes.drain(..length);
                if head.status >= 200 {
                    return Ok((head, bytes));
                }
                interim += 1;
                if head.status == 101 || interim > INTERIM_MAX {
                    return Err(Failure::new(
                        FailureKind::BadHead,
                        format!("an interim answer too many: {}", head.status),
                    ));
                }
                if bytes.is_empty() {
                    break;
                }
            }
            if count == 0 {
                let (kind, detail) = if bytes.is_empty() {
                    (FailureKind::Reset, "closed without an answer")
                } else {
                    (FailureKind::Truncated, "closed within the head")
                };
                return Err(Failure::new(kind, detail));
            }
            // One read may bring the body's beginning with it; a head alone must not be that long.
            if bytes.len() > limits.head_bytes_max {
                return Err(Failure::new(
                    FailureKind::HeadTooLarge,
                    format!("more than {} bytes", limits.head_bytes_max),
                ));
            }
        }
    }

    async fn body(
        &mut self,
        exchange: &Exchange<'_>,
        head: &Head,
        early: &[u8],
        progress: &mut Progress<'_>,
    ) -> Result<(), Box<Failure>> {
        let mut fault = None;
        let mut is_done = take(head.framing, progress, early, &mut fault);
        loop {
            if let Some(failure) = fault {
                return Err(failure);
            }
            if is_done {
                return Ok(());
            }
            let until = exchange.until(exchange.limits().read_timeout);
            let framing = head.framing;
            let mut sink = |part: &[u8]| is_done = take(framing, progress, part, &mut fault);
            let outcome = timeout_at(until, read(&mut self.stream, &mut sink)).await;
            match outcome {
                Ok(Ok(0)) if framing == Framing::Close => return Ok(()),
                Ok(Ok(0)) => {
                    return Err(Failure::new(
                        FailureKind::Truncated,
                        "closed within the body",
                    ));
                }
                Ok(Ok(_)) => {}
                Ok(Err(error)) => {
                    return Err(Failure::new(FailureKind::Truncated, error.to_string()));
                }
                Err(_) => {
                    return Err(Failure::new(
                        FailureKind::BodyTimeout,
                        "the body paused for too long",
                    ));
                }
            }
        }
    }
}

/// Takes a piece of a body; whether it is whole.
fn take(
    framing: Framing,
    progress: &mut Progress<'_>,
    part: &[u8],
    fault: &mut Option<Box<Failure>>,
) -> bool {
    let surplus = || Some(Failure::new(FailureKind::BadBody, "bytes after the answer"));
    match framing {
        Framing::None => {
            if !part.is_empty() {
                *fault = surplus();
            }
            true
        }
        Framing::Length(length) => {
            let left = usize::try_from(length - progress.body_bytes).unwrap_or(usize::MAX);
            let piece = part.get(..left).unwrap_or(part);
            give(progress, piece);
            if piece.len() < part.len() {
                *fault = surplus();
            }
            progress.body_bytes == length
        }
        Framing::Close => {
            give(progress, part);
            false
        }
        Framing::Stream => {
            let Some(mut chunked) = progress.chunked.take() else {
                return true;
            };
            let taken = chunked.feed(part, |piece| give(progress, piece));
            match taken {
                Err(error) => *fault = Some(Failure::new(FailureKind::BadBody, error.to_string())),
                Ok(taken) if taken < part.len() => *fault = surplus(),
                Ok(_) => {}
            }
            let is_done = chunked.is_done();
            progress.chunked = Some(chunked);
            is_done
        }
    }
}

fn give(progress: &mut Progress<'_>, piece: &[u8]) {
    if !piece.is_empty() {
        (progress.sink)(piece);
        progress.body_bytes += piece.len() as u64;
    }
}

/// Reads once, into the thread's buffer, and gives what came to the sink; how much it was, 0 at the end.
async fn read(stream: &mut Stream, sink: &mut (dyn FnMut(&[u8]) + Send)) -> io::Result<usize> {
    std::future::poll_fn(|cx| {
        BUFFER.with_borrow_mut(|buffer| {
            let mut read = ReadBuf::new(buffer);
            ready!(Pin::new(&mut *stream).poll_read(cx, &mut read))?;
            let filled = read.filled();
            if !filled.is_empty() {
                sink(filled);
            }
            Poll::Ready(Ok(filled.len()))
        })
    })
    .await
}
