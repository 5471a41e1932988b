//! `Host` and the authority of an absolute target (RFC 9110 7.2, RFC 3986 3.2).

/// Whether these bytes are `uri-host [ ":" port ]` with a host that is not empty. User information is refused with the
/// rest: `@` is in none of the sets (RFC 9110 4.2.4).
#[must_use]
pub fn is_authority(bytes: &[u8]) -> bool {
    let (host, port) = match bytes {
        [b'[', ..] => match memchr::memchr(b']', bytes) {
            Some(end) if is_ip_literal(&bytes[1..end]) => bytes.split_at(end + 1),
            _ => return false,
        },
        _ => {
            let end = memchr::memchr(b':', bytes).unwrap_or(bytes.len());
            let (host, port) = bytes.split_at(end);
            if !is_reg_name(host) {
                return false;
            }
            (host, port)
        }
    };
    !host.is_empty() && is_port(port)
}

fn is_port(bytes: &[u8]) -> bool {
    match bytes {
        [] => true,
        // An empty port is the scheme's own (RFC 3986 3.2.3).
        [b':', digits @ ..] => digits.len() <= 5 && digits.iter().all(u8::is_ascii_digit),
        _ => false,
    }
}

fn is_ip_literal(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok_and(|text| text.parse::<std::net::Ipv6Addr>().is_ok())
}

/// `*( unreserved / pct-encoded / sub-delims )`, without escapes of control characters: no host has them, and what decodes them
/// may take the name to end there.
fn is_reg_name(bytes: &[u8]) -> bool {
    let mut rest = bytes;
    while let [first, tail @ ..] = rest {
        rest = match (*first, tail) {
            (b'%', [high, low, tail @ ..])
                if matches!(high, b'2'..=b'9' | b'a'..=b'f' | b'A'..=b'F')
                    && low.is_ascii_hexdigit()
                    && !(*high == b'7' && low.eq_ignore_ascii_case(&b'f')) =>
            {
                tail
            }
            (byte, tail) if byte != b'%' && is_name_byte(byte) => tail,
            _ => return false,
        };
    }
    true
}

const fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'-' | b'.'
                | b'_'
                | b'~'
                | b'!'
                | b'$'
                | b'&'
                | b'\''
                | b'('
                | b')'
                | b'*'
                | b'+'
                | b','
                | b';'
                | b'='
        )
}
