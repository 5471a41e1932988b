//! Finding a ClientHello in the first bytes of a connection (RFC 8446 sections 4.1.2 and 5.1), before TLS takes them.

use thiserror::Error;

/// The longest ClientHello that is read, bytes.
pub const HELLO_BYTES_MAX: usize = 16 * 1024;
/// How much of a connection is worth peeking at: a ClientHello of that length in records of a hundred bytes or more.
pub const PEEK_BYTES_MAX: usize = HELLO_BYTES_MAX + 1024;

const RECORD_HEAD_BYTES: usize = 5;
const RECORD_BYTES_MAX: usize = 16 * 1024;
const RECORD_HANDSHAKE: u8 = 22;
const HANDSHAKE_HEAD_BYTES: usize = 4;
const CLIENT_HELLO: u8 = 1;

const EXTENSION_SNI: u16 = 0x0000;
const EXTENSION_SIGNATURE_ALGORITHMS: u16 = 0x000d;
const EXTENSION_ALPN: u16 = 0x0010;
const EXTENSION_SUPPORTED_VERSIONS: u16 = 0x002b;

/// Why there is no fingerprint of a connection. TLS will have its own say about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum HelloError {
    /// Not TLS, or TLS that begins with something else.
    #[error("the connection does not begin with a TLS ClientHello")]
    NotHello,
    /// Longer than [`HELLO_BYTES_MAX`], or in more records than it is worth.
    #[error("the ClientHello is too long")]
    TooLong,
    /// Lengths inside do not add up.
    #[error("the ClientHello is malformed")]
    Malformed,
}

/// What the bytes so far hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Peeked {
    /// A beginning. Ask again when there are at least this many bytes; never more than [`PEEK_BYTES_MAX`].
    More {
        /// The least number of bytes, from the start of the connection, with which there is something new to say.
        bytes_min: usize,
    },
    /// All of it.
    Hello(ClientHello),
}

/// What a ClientHello says that fingerprints are made of, in the order in which it says it, GREASE (RFC 8701) left out.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ClientHello {
    /// `legacy_version`.
    pub(crate) version: u16,
    pub(crate) ciphers: Vec<u16>,
    pub(crate) extensions: Vec<u16>,
    pub(crate) supported_versions: Vec<u16>,
    pub(crate) signature_algorithms: Vec<u16>,
    /// The first protocol of ALPN; `None` without the extension.
    pub(crate) alpn: Option<Vec<u8>>,
    pub(crate) has_sni: bool,
}

/// Reads the first bytes of a TCP connection, as many as have come, from the very first. Costs a pass over them, so call
/// it when `bytes_min` are there, not with every byte.
///
/// # Errors
/// [`HelloError`]: from then on no further byte will help.
pub fn peek(bytes: &[u8]) -> Result<Peeked, HelloError> {
    let mut rest = bytes;
    let mut message: Vec<u8> = Vec::new();
    loop {
        let more = |missing: usize| more(bytes.len() + missing);
        // The first byte alone tells TLS from most that is not.
        if rest.first().is_some_and(|kind| *kind != RECORD_HANDSHAKE)
            || rest.get(1).is_some_and(|major| *major != 3)
        {
            return Err(HelloError::NotHello);
        }
        let Some((head, tail)) = rest.split_at_checked(RECORD_HEAD_BYTES) else {
            return more(RECORD_HEAD_BYTES - rest.len());
        };
        let length = usize::from(u16::from_be_bytes([head[3], head[4]]));
        if length == 0 || length > RECORD_BYTES_MAX {
            return Err(HelloError::NotHello);
        }
        let (fragment, next) = tail.split_at(length.min(tail.len()));
        message.extend_from_slice(fragment);
        let wanted = wanted_bytes(&message)?;
        if wanted.is_some_and(|wanted| message.len() >= wanted) {
            // What follows in the record is another message, which no client of TLS sends here; it is not ours to judge.
            let hello = message.get(..wanted.unwrap_or(0));
            return ClientHello::from_handshake(hello.unwrap_or_default()).map(Peeked::Hello);
        }
        if fragment.len() < length {
            let of_record = length - fragment.len();
            let of_message = wanted.map_or(of_record, |wanted| wanted - message.len());
            return more(of_record.min(of_message));
        }
        rest = next;
    }
}

fn more(bytes_min: usize) -> Result<Peeked, HelloError> {
    if bytes_min > PEEK_BYTES_MAX {
        Err(HelloError::TooLong)
    } else {
        Ok(Peeked::More { bytes_min })
    }
}

/// How long the handshake message is with its head, once that can be told.
fn wanted_bytes(message: &[u8]) -> Result<Option<usize>, HelloError> {
    if message.first().is_some_and(|kind| *kind != CLIENT_HELLO) {
        return Err(HelloError::NotHello);
    }
    let Some(&[_, a, b, c]) = message.get(..HANDSHAKE_HEAD_BYTES) else {
        return Ok(None);
    };
    let length = u32::from_be_bytes([0, a, b, c]) as usize;
    if length > HELLO_BYTES_MAX - HANDSHAKE_HEAD_BYTES {
        return Err(HelloError::TooLong);
    }
    Ok(Some(HANDSHAKE_HEAD_BYTES + length))
}

impl ClientHello {
    /// Reads a whole handshake message without records: what QUIC's CRYPTO frames carry (RFC 9001 section 4).
    ///
    /// # Errors
    /// [`HelloError`].
    pub fn from_handshake(message: &[u8]) -> Result<Self, HelloError> {
        let wanted = wanted_bytes(message)?;
        if wanted != Some(message.len()) {
            return Err(HelloError::Malformed);
        }
        let body = message.get(HANDSHAKE_HEAD_BYTES..).unwrap_or_default();
        Self::read(Reader(body)).ok_or(HelloError::Malformed)
    }

    fn read(mut body: Reader<'_>) -> Option<Self> {
        let version = body.u16()?;
        // Random, session id.
        body.take(32)?;
        body.short_list()?;
        let ciphers = numbers(body.long_list()?)?;
        // Compression methods.
        body.short_list()?;
        let mut hello = Self {
            version,
            ciphers,
            ..Self::default()
        };
        // TLS 1.2 and before may have no extensions at all (RFC 5246 section 7.4.1.2).
        if body.0.is_empty() {
            return Some(hello);
        }
        let mut extensions = Reader(body.long_list()?);
        if !body.0.is_empty() {
            return None;
        }
        while !extensions.0.is_empty() {
            let kind = extensions.u16()?;
            let data = Reader(extensions.long_list()?);
            if !is_grease(kind) {
                hello.extensions.push(kind);
                hello.extension(kind, data)?;
            }
        }
        Some(hello)
    }

    fn extension(&mut self, kind: u16, mut data: Reader<'_>) -> Option<()> {
        match kind {
            EXTENSION_SNI => self.has_sni = true,
            EXTENSION_SUPPORTED_VERSIONS => self.supported_versions = numbers(data.short_list()?)?,
            EXTENSION_SIGNATURE_ALGORITHMS => {
                self.signature_algorithms = numbers(data.long_list()?)?;
            }
            EXTENSION_ALPN => {
                let mut protocols = Reader(data.long_list()?);
                let first = if protocols.0.is_empty() {
                    &[]
                } else {
                    protocols.short_list()?
                };
                self.alpn = Some(first.to_vec());
            }
            _ => {}
        }
        Some(())
    }
}

/// RFC 8701: values that mean nothing, sent so that servers learn to ignore the unknown. They change with every hello.
fn is_grease(value: u16) -> bool {
    let [high, low] = value.to_be_bytes();
    high == low && high & 0x0f == 0x0a
}

/// Two bytes each, GREASE left out.
fn numbers(bytes: &[u8]) -> Option<Vec<u16>> {
    let pairs = bytes.chunks_exact(2);
    if !pairs.remainder().is_empty() {
        return None;
    }
    let value = |pair: &[u8]| u16::from_be_bytes([pair[0], pair[1]]);
    Some(
        pairs
            .map(value)
            .filter(|value| !is_grease(*value))
            .collect(),
    )
}

/// Bytes that get fewer.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn u16(&mut self) -> Option<u16> {
        let bytes = self.take(2)?;
        Some(u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    /// A list with its length in one byte.
    fn short_list(&mut self) -> Option<&'a [u8]> {
        let length = usize::from(*self.take(1)?.first()?);
        self.take(length)
    }

    /// A list with its length in two bytes.
    fn long_list(&mut self) -> Option<&'a [u8]> {
        let length = usize::from(self.u16()?);
        self.take(length)
    }
}
