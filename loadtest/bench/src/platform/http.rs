//! HTTP/1.1 (RFC 9112), as far as load generators speak it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::Shared;

/// The longest head, bytes.
const HEAD_BYTES_MAX: usize = 16 << 10;
/// What is read at once.
const READ_BYTES: usize = 2 << 10;

/// Answers on a connection until it ends, or says what this does not understand.
pub(crate) async fn speak(mut stream: TcpStream, shared: Arc<Shared>) {
    let mut buffer = Vec::new();
    loop {
        let Some(head_bytes) = head(&mut stream, &mut buffer).await else {
            return;
        };
        let came_us = shared.now_us();
        let text = String::from_utf8_lossy(buffer.get(..head_bytes).unwrap_or_default());
        let path = text.split(' ').nth(1).unwrap_or_default().to_owned();
        let length = length_of(&text);
        drop(text);
        buffer.drain(..head_bytes);
        if !skip(&mut stream, &mut buffer, length).await {
            return;
        }
        let number = shared.requests.fetch_add(1, Ordering::Relaxed);
        shared.delay(&path, number, came_us).await;
        let answer = shared.answer(&path, number);
        let bytes = answer.body.len() + answer.rest.len();
        let reason = if answer.status == 200 { "OK" } else { "Other" };
        let head = format!(
            "HTTP/1.1 {} {reason}\r\n{}content-length: {bytes}\r\n\r\n",
            answer.status, answer.fields
        );
        let rest = if answer.is_cut {
            answer.rest.get(..answer.rest.len() / 2).unwrap_or_default()
        } else {
            answer.rest
        };
        let whole = [head.as_bytes(), &answer.body, rest].concat();
        let sent = whole.len() as u64;
        shared.sent.fetch_add(sent, Ordering::Relaxed);
        let bodies = sent.saturating_sub(head.len() as u64);
        shared.bodies.fetch_add(bodies, Ordering::Relaxed);
        if stream.write_all(&whole).await.is_err() || answer.is_cut {
            return;
        }
        // Idle connections have no buffers.
        if buffer.is_empty() {
            buffer = Vec::new();
        }
    }
}

/// The length of the head that the buffer begins with, when it is whole; none at the connection's end.
async fn head(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<usize> {
    loop {
        let end = buffer.windows(4).position(|end| end == b"\r\n\r\n");
        if let Some(end) = end {
            return Some(end + 4);
        }
        if buffer.len() > HEAD_BYTES_MAX {
            return None;
        }
        if buffer.is_empty() {
            stream.readable().await.ok()?;
        }
        buffer.reserve(READ_BYTES);
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
}

fn length_of(head: &str) -> usize {
    head.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .and_then(|(_, value)| value.trim().parse().ok())
        .unwrap_or(0)
}

/// Reads a request's body; false at the connection's end.
async fn skip(stream: &mut TcpStream, buffer: &mut Vec<u8>, mut left: usize) -> bool {
    loop {
        let held = buffer.len().min(left);
        buffer.drain(..held);
        left -= held;
        if left == 0 {
            return true;
        }
        buffer.reserve(READ_BYTES);
        if !stream.read_buf(buffer).await.is_ok_and(|read| read > 0) {
            return false;
        }
    }
}
