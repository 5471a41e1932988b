//! JA4: a TLS client's fingerprint by FoxIO, of whose methods it is the one under a free licence (BSD 3-Clause). The order of
//! ciphers and extensions, which browsers shuffle, does not count.

use std::fmt;
use std::fmt::Write as _;

use aws_lc_rs::digest::{SHA256, digest};

use crate::hello::ClientHello;

const TEXT_BYTES: usize = 36;
const HASH_CHARS: usize = 12;
/// The hash of an empty list.
const HASH_NONE: &str = "000000000000";
const EXTENSION_SNI: u16 = 0x0000;
const EXTENSION_ALPN: u16 = 0x0010;

/// What carried the ClientHello.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Transport {
    /// TLS over TCP.
    Tcp,
    /// QUIC.
    Quic,
}

/// A fingerprint, such as `t13d1516h2_8daaf6152771_e5627efa2ab1`: transport, version, name or address, how many ciphers and
/// extensions, ALPN; a hash of the ciphers; a hash of the extensions and signature algorithms.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ja4([u8; TEXT_BYTES]);

impl Ja4 {
    /// The fingerprint of a ClientHello.
    #[must_use]
    pub fn of(hello: &ClientHello, transport: Transport) -> Self {
        let mut ciphers = hello.ciphers.clone();
        ciphers.sort_unstable();
        let text = format!(
            "{}_{}_{}",
            head(hello, transport),
            hash_of(&list(&ciphers)),
            hash_of(&extensions_of(hello)),
        );
        let mut bytes = [b'0'; TEXT_BYTES];
        // Every part has its length, whatever the hello says.
        for (byte, written) in bytes.iter_mut().zip(text.bytes()) {
            *byte = written;
        }
        Self(bytes)
    }

    /// The text: 36 characters of `a-z A-Z 0-9 _`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// What is hashed in it, for whoever looks into a fingerprint (`JA4_r`).
    #[must_use]
    pub fn raw(hello: &ClientHello, transport: Transport) -> String {
        let mut ciphers = hello.ciphers.clone();
        ciphers.sort_unstable();
        let head = head(hello, transport);
        format!("{head}_{}_{}", list(&ciphers), extensions_of(hello))
    }
}

impl fmt::Display for Ja4 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Ja4 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

fn head(hello: &ClientHello, transport: Transport) -> String {
    let transport = match transport {
        Transport::Tcp => 't',
        Transport::Quic => 'q',
    };
    let version = hello.supported_versions.iter().max();
    let name = if hello.has_sni { 'd' } else { 'i' };
    let (first, last) = alpn_ends(hello.alpn.as_deref().unwrap_or_default());
    format!(
        "{transport}{}{name}{:02}{:02}{first}{last}",
        version_text(*version.unwrap_or(&hello.version)),
        hello.ciphers.len().min(99),
        hello.extensions.len().min(99),
    )
}

fn version_text(version: u16) -> &'static str {
    match version {
        0x0304 => "13",
        0x0303 => "12",
        0x0302 => "11",
        0x0301 => "10",
        0x0300 => "s3",
        0x0002 => "s2",
        _ => "00",
    }
}

/// The first and last character of the first protocol, or of its hexadecimal form if one of them is no letter or digit.
fn alpn_ends(protocol: &[u8]) -> (char, char) {
    let (Some(first), Some(last)) = (protocol.first(), protocol.last()) else {
        return ('0', '0');
    };
    if first.is_ascii_alphanumeric() && last.is_ascii_alphanumeric() {
        return (char::from(*first), char::from(*last));
    }
    let digit = |value: u8| char::from_digit(value.into(), 16).unwrap_or('0');
    (digit(first >> 4), digit(last & 0x0f))
}

/// Sorted, without what the head tells already; then the signature algorithms as the client has them.
fn extensions_of(hello: &ClientHello) -> String {
    let mut extensions = hello.extensions.clone();
    extensions.retain(|kind| ![EXTENSION_SNI, EXTENSION_ALPN].contains(kind));
    extensions.sort_unstable();
    let mut text = list(&extensions);
    if !extensions.is_empty() && !hello.signature_algorithms.is_empty() {
        text.push('_');
        text.push_str(&list(&hello.signature_algorithms));
    }
    text
}

/// Four hexadecimal digits each, with commas.
fn list(values: &[u16]) -> String {
    let mut text = String::with_capacity(values.len() * 5);
    for value in values {
        if !text.is_empty() {
            text.push(',');
        }
        // Writing to a text never fails.
        let _ = write!(text, "{value:04x}");
    }
    text
}

fn hash_of(text: &str) -> String {
    if text.is_empty() {
        return HASH_NONE.to_owned();
    }
    let hash = digest(&SHA256, text.as_bytes());
    let mut hex = String::with_capacity(HASH_CHARS);
    for byte in hash.as_ref().iter().take(HASH_CHARS / 2) {
        let _ = write!(hex, "{byte:02x}");
    }
    hex
}
