//! HTTP/1.1 messages as they are on the wire (RFC 9112), read without judging them: the suite's client and origin must be
//! able to say and to hear what a library would refuse.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt as _};

/// Longest head that is read, bytes.
const HEAD_BYTES_MAX: usize = 256 * 1024;
/// Longest body that is read, bytes.
const BODY_BYTES_MAX: usize = 64 << 20;

/// Header fields in the order of the wire.
#[derive(Debug, Clone, Default)]
pub struct Fields(pub Vec<(String, String)>);

impl Fields {
    /// The first field of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        let mut of_name = self
            .0
            .iter()
            .filter(|(found, _)| found.eq_ignore_ascii_case(name));
        of_name.next().map(|(_, value)| value.as_str())
    }

    /// All fields of this name.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0
            .iter()
            .filter(move |(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// All fields of this name as one list, comma-separated; empty where there is none.
    #[must_use]
    pub fn joined(&self, name: &str) -> String {
        self.all(name).collect::<Vec<_>>().join(", ")
    }
}

/// A start line and its fields.
#[derive(Debug, Clone, Default)]
pub struct Head {
    /// The request line or status line.
    pub start: String,
    /// The fields.
    pub fields: Fields,
}

impl Head {
    /// The status of a response; 0 when the line is none.
    #[must_use]
    pub fn status(&self) -> u16 {
        let word = self.start.split(' ').nth(1).unwrap_or_default();
        word.parse().unwrap_or(0)
    }

    /// Method and target of a request.
    #[must_use]
    pub fn request(&self) -> (&str, &str) {
        let mut words = self.start.split(' ');
        (
            words.next().unwrap_or_default(),
            words.next().unwrap_or_default(),
        )
    }
}

/// How the end of a body is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    /// There is none.
    None,
    /// `Content-Length`.
    Length(usize),
    /// `Transfer-Encoding: chunked`.
    Chunked,
    /// The connection's end.
    Close,
}

impl Framing {
    /// Of a response to `method`.
    pub(crate) fn of_response(method: &str, head: &Head) -> Self {
        let status = head.status();
        if method == "HEAD" || status < 200 || status == 204 || status == 304 {
            return Self::None;
        }
        Self::said_by(&head.fields).unwrap_or(Self::Close)
    }

    /// Of a request.
    pub(crate) fn of_request(head: &Head) -> Self {
        Self::said_by(&head.fields).unwrap_or(Self::None)
    }

    fn said_by(fields: &Fields) -> Option<Self> {
        if fields.get("transfer-encoding").is_some() {
            return Some(Self::Chunked);
        }
        let length = fields.get("content-length")?;
        length.trim().parse().ok().map(Self::Length)
    }
}

/// Reads messages from a stream.
#[derive(Debug)]
pub(crate) struct WireReader<R> {
    stream: R,
    buffer: Vec<u8>,
}

impl<R: AsyncRead + Unpin> WireReader<R> {
    /// Begins with an empty buffer.
    pub(crate) fn new(stream: R) -> Self {
        Self {
            stream,
            buffer: Vec::new(),
        }
    }

    /// Reads more; false at the end of the stream.
    async fn more(&mut self) -> io::Result<bool> {
        self.buffer.reserve(64 * 1024);
        Ok(self.stream.read_buf(&mut self.buffer).await? > 0)
    }

    /// The next head; `None` when the stream ends before a byte of it.
    ///
    /// # Errors
    /// When the stream fails or ends inside the head, or the head is longer than 256 KiB.
    pub(crate) async fn head(&mut self) -> io::Result<Option<Head>> {
        let end = loop {
            if let Some(at) = find(&self.buffer, b"\r\n\r\n") {
                break at;
            }
            if self.buffer.len() > HEAD_BYTES_MAX {
                return Err(io::Error::other("head too long"));
            }
            if !self.more().await? {
                return match self.buffer.is_empty() {
                    true => Ok(None),
                    false => Err(io::ErrorKind::UnexpectedEof.into()),
                };
            }
        };
        let text = String::from_utf8_lossy(&self.buffer[..end]).into_owned();
        self.buffer.drain(..end + 4);
        let mut lines = text.split("\r\n");
        let start = lines.next().unwrap_or_default().to_owned();
        let fields = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
            .collect();
        Ok(Some(Head {
            start,
            fields: Fields(fields),
        }))
    }

    /// Waits until a byte after the head is there; false at the end of the stream.
    ///
    /// # Errors
    /// When the stream fails.
    pub(crate) async fn has_byte(&mut self) -> io::Result<bool> {
        Ok(!self.buffer.is_empty() || self.more().await?)
    }

    /// The body, and whether it was complete: one that breaks off is returned as far as it came.
    ///
    /// # Errors
    /// When the body is longer than 64 MiB.
    pub(crate) async fn body(&mut self, framing: Framing) -> io::Result<(Vec<u8>, bool)> {
        let mut body = Vec::new();
        let is_complete = match framing {
            Framing::None => true,
            Framing::Length(length) => self.take(length, &mut body).await?,
            Framing::Chunked => self.chunks(&mut body).await?,
            Framing::Close => {
                // A reset is not an end.
                let mut is_end = true;
                while match self.more().await {
                    Ok(more) => more,
                    Err(_) => {
                        is_end = false;
                        false
                    }
                } {
                    bounded(self.buffer.len())?;
                }
                body.append(&mut self.buffer);
                is_end
            }
        };
        Ok((body, is_complete))
    }

    async fn take(&mut self, length: usize, into: &mut Vec<u8>) -> io::Result<bool> {
        bounded(into.len() + length)?;
        while self.buffer.len() < length {
            if !self.more().await.unwrap_or(false) {
                into.append(&mut self.buffer);
                return Ok(false);
            }
        }
        into.extend(self.buffer.drain(..length));
        Ok(true)
    }

    async fn chunks(&mut self, body: &mut Vec<u8>) -> io::Result<bool> {
        loop {
            let line = loop {
                if let Some(at) = find(&self.buffer, b"\r\n") {
                    let line = String::from_utf8_lossy(&self.buffer[..at]).into_owned();
                    self.buffer.drain(..at + 2);
                    break line;
                }
                if self.buffer.len() > HEAD_BYTES_MAX || !self.more().await.unwrap_or(false) {
                    return Ok(false);
                }
            };
            let size = line.split(';').next().unwrap_or_default().trim();
            let Ok(size) = usize::from_str_radix(size, 16) else {
                return Ok(false);
            };
            let mut end = Vec::new();
            if size > 0 {
                if !self.take(size, body).await? || !self.take(2, &mut end).await? {
                    return Ok(false);
                }
                continue;
            }
            // Trailers, if any, end as a head does.
            if self.buffer.is_empty() && !self.more().await.unwrap_or(false) {
                return Ok(false);
            }
            if self.buffer.starts_with(b"\r\n") {
                self.buffer.drain(..2);
                return Ok(true);
            }
            return Ok(self.head().await.is_ok_and(|trailers| trailers.is_some()));
        }
    }
}

fn bounded(bytes: usize) -> io::Result<()> {
    match bytes <= BODY_BYTES_MAX {
        true => Ok(()),
        false => Err(io::Error::other("body too long")),
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack
        .windows(needle.len())
        .position(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn reads_a_chunked_message_and_the_one_after_it() {
        let wire = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nT: 1\r\n\r\n\
                     HTTP/1.1 404 Not Found\r\nContent-Length: 1\r\n\r\nx";
        let mut reader = WireReader::new(&wire[..]);
        let head = reader.head().await.unwrap().unwrap();
        let framing = Framing::of_response("GET", &head);
        assert_eq!(
            reader.body(framing).await.unwrap(),
            (b"abcde".to_vec(), true)
        );
        let head = reader.head().await.unwrap().unwrap();
        assert_eq!(head.status(), 404);
        let framing = Framing::of_response("GET", &head);
        assert_eq!(reader.body(framing).await.unwrap(), (b"x".to_vec(), true));
        assert!(reader.head().await.unwrap().is_none());
    }

    #[tokio::test]
    async fn what_breaks_off_is_not_complete() {
        for wire in [
            &b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc"[..],
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
        ] {
            let mut reader = WireReader::new(wire);
            let head = reader.head().await.unwrap().unwrap();
            let framing = Framing::of_response("GET", &head);
            assert_eq!(
                reader.body(framing).await.unwrap(),
                (b"abc".to_vec(), false)
            );
        }
    }
}
