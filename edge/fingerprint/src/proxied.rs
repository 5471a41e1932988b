//! What a load balancer says of the client whose connection it passes on: HAProxy's PROXY protocol, versions 1 and 2
//! (`doc/proxy-protocol.txt`, 2020-03-05). Only a sender that is trusted may say it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use thiserror::Error;

/// The longest header that is read, bytes: version 1 has at most 107, version 2 some hundreds with a certificate's name in it.
pub const PROXIED_BYTES_MAX: usize = 4096;

/// With which a header of version 2 begins.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
const V2_HEAD_BYTES: usize = 16;
const V1_BYTES_MAX: usize = 107;
const V1_BEGIN: &[u8] = b"PROXY ";
/// Fewer than any header has, and enough to tell which it is.
const TOLD_APART_BYTES: usize = SIGNATURE.len();

const LOCAL: u8 = 0;
const PROXY: u8 = 1;
const UNSPECIFIED: u8 = 0x00;
const TCP_V4: u8 = 0x11;
const TCP_V6: u8 = 0x21;
const TLV_CRC32C: u8 = 0x03;

/// Why there is no header. The connection is of no use then: nobody knows whose it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ProxiedError {
    /// It begins with something else.
    #[error("the connection does not begin with a PROXY header")]
    None,
    /// Longer than version 1 may be, or than [`PROXIED_BYTES_MAX`].
    #[error("the PROXY header is too long")]
    TooLong,
    /// Not as the protocol has it.
    #[error("the PROXY header is malformed")]
    Malformed,
    /// A command, or a kind of address, that is not for TCP.
    #[error("the PROXY header tells of something else than a TCP connection")]
    Unsupported,
    /// The checksum is another.
    #[error("the PROXY header's checksum is wrong")]
    Checksum,
}

/// What a header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proxied {
    /// The connection is the sender's own, or it does not know whose: the socket's addresses count.
    Own,
    /// A client's.
    Client {
        /// Its address.
        client: SocketAddr,
        /// The address that it connected to.
        server: SocketAddr,
    },
}

/// How far the bytes so far go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxiedStep {
    /// At least this many more bytes are the header's, so that who reads them reads nothing that is not.
    More(usize),
    /// They are a header, all of it and nothing else.
    Done(Proxied),
}

/// Looks at what a connection begins with. To be asked with no bytes first, and then with as many more as it wants, until it is
/// done.
///
/// # Errors
/// [`ProxiedError`] as soon as the bytes cannot be the beginning of a header.
pub fn proxied(bytes: &[u8]) -> Result<ProxiedStep, ProxiedError> {
    if bytes.len() < TOLD_APART_BYTES {
        if SIGNATURE.starts_with(bytes) || is_v1(bytes) {
            return Ok(ProxiedStep::More(TOLD_APART_BYTES - bytes.len()));
        }
        return Err(ProxiedError::None);
    }
    if bytes.starts_with(SIGNATURE) {
        return v2(bytes);
    }
    if is_v1(bytes) {
        return v1(bytes);
    }
    Err(ProxiedError::None)
}

fn is_v1(bytes: &[u8]) -> bool {
    let length = bytes.len().min(V1_BEGIN.len());
    bytes.get(..length) == V1_BEGIN.get(..length)
}

/// `PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n` (section 2.1).
fn v1(bytes: &[u8]) -> Result<ProxiedStep, ProxiedError> {
    let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else {
        return match bytes.len() {
            V1_BYTES_MAX.. => Err(ProxiedError::TooLong),
            // Of a line that has begun to end, one byte is missing.
            _ if bytes.ends_with(b"\r") => Ok(ProxiedStep::More(1)),
            length => Ok(ProxiedStep::More(2.min(V1_BYTES_MAX - length))),
        };
    };
    let line = bytes.get(..end).and_then(|line| line.strip_suffix(b"\r"));
    if end + 1 != bytes.len() {
        return Err(ProxiedError::Malformed);
    }
    let line = line.and_then(|line| line.strip_prefix(V1_BEGIN));
    let line = line.and_then(|line| std::str::from_utf8(line).ok());
    let line = line.ok_or(ProxiedError::Malformed)?;
    if line == "UNKNOWN" || line.starts_with("UNKNOWN ") {
        return Ok(ProxiedStep::Done(Proxied::Own));
    }
    let told = of_line(line).ok_or(ProxiedError::Malformed)?;
    Ok(ProxiedStep::Done(told))
}

fn of_line(line: &str) -> Option<Proxied> {
    let mut words = line.split(' ');
    let family = words.next()?;
    let address = |word: &str| -> Option<IpAddr> {
        match family {
            "TCP4" => Some(IpAddr::V4(word.parse::<Ipv4Addr>().ok()?)),
            "TCP6" => Some(IpAddr::V6(word.parse::<Ipv6Addr>().ok()?)),
            _ => None,
        }
    };
    let (client, server) = (address(words.next()?)?, address(words.next()?)?);
    let (client_port, server_port) = (port(words.next()?)?, port(words.next()?)?);
    words.next().is_none().then_some(Proxied::Client {
        client: SocketAddr::new(client, client_port),
        server: SocketAddr::new(server, server_port),
    })
}

/// Decimal, without a sign and without leading zeros.
fn port(word: &str) -> Option<u16> {
    let is_plain = word.bytes().all(|byte| byte.is_ascii_digit());
    let is_short = word == "0" || !word.starts_with('0');
    word.parse().ok().filter(|_| is_plain && is_short)
}

/// Section 2.2.
fn v2(bytes: &[u8]) -> Result<ProxiedStep, ProxiedError> {
    let Some(([.., command, kind, high, low], rest)) = bytes.split_first_chunk::<V2_HEAD_BYTES>()
    else {
        return Ok(ProxiedStep::More(V2_HEAD_BYTES - bytes.len()));
    };
    let length = usize::from(u16::from_be_bytes([*high, *low]));
    if V2_HEAD_BYTES + length > PROXIED_BYTES_MAX {
        return Err(ProxiedError::TooLong);
    }
    let (version, command) = (command >> 4, command & 0x0f);
    if version != 2 {
        return Err(ProxiedError::Malformed);
    }
    if !matches!(command, LOCAL | PROXY) {
        return Err(ProxiedError::Unsupported);
    }
    match length.checked_sub(rest.len()) {
        Some(0) => {}
        Some(missing) => return Ok(ProxiedStep::More(missing)),
        None => return Err(ProxiedError::Malformed),
    }
    // Of the sender's own connections all else is to be passed over.
    if command == LOCAL {
        return Ok(ProxiedStep::Done(Proxied::Own));
    }
    let (told, extras) = match *kind {
        UNSPECIFIED => (Proxied::Own, rest),
        TCP_V4 => of_v4(rest).ok_or(ProxiedError::Malformed)?,
        TCP_V6 => of_v6(rest).ok_or(ProxiedError::Malformed)?,
        _ => return Err(ProxiedError::Unsupported),
    };
    check_extras(bytes, extras)?;
    Ok(ProxiedStep::Done(told))
}

fn of_v4(bytes: &[u8]) -> Option<(Proxied, &[u8])> {
    let (client, rest) = bytes.split_first_chunk::<4>()?;
    let (server, rest) = rest.split_first_chunk::<4>()?;
    with_ports(IpAddr::from(*client), IpAddr::from(*server), rest)
}

fn of_v6(bytes: &[u8]) -> Option<(Proxied, &[u8])> {
    let (client, rest) = bytes.split_first_chunk::<16>()?;
    let (server, rest) = rest.split_first_chunk::<16>()?;
    with_ports(IpAddr::from(*client), IpAddr::from(*server), rest)
}

fn with_ports(client: IpAddr, server: IpAddr, bytes: &[u8]) -> Option<(Proxied, &[u8])> {
    let (client_port, rest) = bytes.split_first_chunk::<2>()?;
    let (server_port, rest) = rest.split_first_chunk::<2>()?;
    let told = Proxied::Client {
        client: SocketAddr::new(client, u16::from_be_bytes(*client_port)),
        server: SocketAddr::new(server, u16::from_be_bytes(*server_port)),
    };
    Some((told, rest))
}

/// Each has a type, a length and a value (section 2.2, TLVs). Of a checksum there is one at most, and it must be right.
fn check_extras(whole: &[u8], mut extras: &[u8]) -> Result<(), ProxiedError> {
    let mut is_checked = false;
    while let Some((kind, rest)) = extras.split_first() {
        let (length, rest) = rest
            .split_first_chunk::<2>()
            .ok_or(ProxiedError::Malformed)?;
        let length = usize::from(u16::from_be_bytes(*length));
        let (value, rest) = rest
            .split_at_checked(length)
            .ok_or(ProxiedError::Malformed)?;
        if *kind == TLV_CRC32C {
            let told: [u8; 4] = value.try_into().map_err(|_| ProxiedError::Malformed)?;
            if is_checked {
                return Err(ProxiedError::Malformed);
            }
            is_checked = true;
            // The checksum counts as zeros.
            let at = whole.len() - rest.len() - value.len();
            let before = whole.get(..at).unwrap_or_default();
            let sum = !crc32c(crc32c(crc32c(!0, before), &[0; 4]), rest);
            if sum != u32::from_be_bytes(told) {
                return Err(ProxiedError::Checksum);
            }
        }
        extras = rest;
    }
    Ok(())
}

/// CRC-32C (RFC 3385), bit by bit: a header is short.
fn crc32c(state: u32, bytes: &[u8]) -> u32 {
    bytes.iter().fold(state, |state, byte| {
        (0..8).fold(state ^ u32::from(*byte), |state, _| {
            (state >> 1) ^ (0x82f6_3b78 & (state & 1).wrapping_neg())
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_the_standards() {
        // RFC 3720 appendix B.4.
        assert_eq!(!crc32c(!0, &[0; 32]), 0x8a91_36aa);
        assert_eq!(!crc32c(!0, b"123456789"), 0xe306_9283);
    }
}
