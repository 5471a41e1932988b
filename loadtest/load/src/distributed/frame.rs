//! Messages on a connection: a length of four bytes, the most significant first, and that many bytes of JSON.

use std::io;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// The largest message of somebody who has not proved anything, bytes.
pub(super) const STRANGER_BYTES_MAX: usize = 4 << 10;
/// The largest message, bytes: a scenario with a million items, or a second of all classes of requests, has less.
pub(super) const BYTES_MAX: usize = 64 << 20;
/// Room that is taken at once; more only as it comes, so that a length alone costs nobody memory.
const PIECE_BYTES: usize = 64 << 10;
/// How long a message may take to be taken.
const SEND_PATIENCE: Duration = Duration::from_secs(20);

/// Reads a message; none at the connection's end.
pub(super) async fn receive<T: DeserializeOwned>(
    io: &mut (impl AsyncRead + Unpin),
    bytes_max: usize,
) -> io::Result<Option<T>> {
    let mut length = [0; 4];
    match io.read_exact(&mut length).await {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
    if length > bytes_max {
        return Err(bad(format!(
            "a message of {length} bytes; at most {bytes_max} may be"
        )));
    }
    let mut bytes = Vec::new();
    while bytes.len() < length {
        let from = bytes.len();
        bytes.resize(length.min(from + PIECE_BYTES), 0);
        let room = bytes.get_mut(from..).unwrap_or_default();
        io.read_exact(room).await?;
    }
    serde_json::from_slice(&bytes)
        .map(Some)
        .map_err(|error| bad(format!("no message of this protocol: {error}")))
}

/// As [`receive`], within a time.
pub(super) async fn receive_within<T: DeserializeOwned>(
    io: &mut (impl AsyncRead + Unpin),
    bytes_max: usize,
    patience: Duration,
) -> io::Result<Option<T>> {
    tokio::time::timeout(patience, receive(io, bytes_max))
        .await
        .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "nothing came in time"))?
}

/// Sends a message.
pub(super) async fn send(
    io: &mut (impl AsyncWrite + Unpin),
    message: &impl Serialize,
) -> io::Result<()> {
    let body = serde_json::to_vec(message)?;
    let length = u32::try_from(body.len())
        .ok()
        .filter(|_| body.len() <= BYTES_MAX)
        .ok_or_else(|| bad(format!("a message of {} bytes", body.len())))?;
    let mut bytes = Vec::with_capacity(body.len() + 4);
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(&body);
    tokio::time::timeout(SEND_PATIENCE, io.write_all(&bytes))
        .await
        .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "nobody takes what is sent"))?
}

fn bad(why: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn messages_come_as_they_were_sent_and_end_with_the_connection() {
        let (mut here, mut there) = tokio::io::duplex(1 << 20);
        let long = "x".repeat(200_000);
        send(&mut here, &long).await.unwrap();
        send(&mut here, &7).await.unwrap();
        drop(here);
        let first: Option<String> = receive(&mut there, BYTES_MAX).await.unwrap();
        assert_eq!(first, Some(long));
        assert_eq!(receive(&mut there, BYTES_MAX).await.unwrap(), Some(7));
        assert_eq!(receive::<u32>(&mut there, BYTES_MAX).await.unwrap(), None);
    }

    #[tokio::test]
    async fn too_long_cut_and_foreign_messages_are_errors() {
        for (bytes, said) in [
            (&b"\xff\xff\xff\xff"[..], "4294967295 bytes"),
            (b"GET / HTTP/1.1\r\n", "bytes; at most"),
            (b"\0\0\0\x02{", "eof"),
            (b"\0\0\0\x02{]", "no message of this protocol"),
        ] {
            let mut io = bytes;
            let error = receive::<u32>(&mut io, STRANGER_BYTES_MAX)
                .await
                .unwrap_err();
            assert!(error.to_string().contains(said), "{error}");
        }
    }
}
