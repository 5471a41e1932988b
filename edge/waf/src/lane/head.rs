//! Which heads the lane is for, and what of them is inspected.

use std::net::IpAddr;

use crate::bytemap::ByteSet;
use crate::transaction::SIGNALS;
use crate::transform::hex_pair;

/// Longest value of a field that is not inspected, bytes; longer ones are not ordinary.
const FIELD_BYTES_MAX: usize = 512;
/// Most fields of an ordinary head.
const FIELDS_MAX: usize = 40;

/// What players and browsers send with a request for media, beside the three fields that are inspected; by length.
const ORDINARY: [&str; 37] = [
    "te",
    "dnt",
    "via",
    "host",
    "accept",
    "origin",
    "pragma",
    "sec-gpc",
    "if-match",
    "if-range",
    "priority",
    "save-data",
    "sec-ch-ua",
    "connection",
    "keep-alive",
    "tracestate",
    "cmcd-object",
    "cmcd-status",
    "traceparent",
    "cmcd-request",
    "cmcd-session",
    "icy-metadata",
    "cache-control",
    "if-none-match",
    "sec-fetch-dest",
    "sec-fetch-mode",
    "sec-fetch-site",
    "sec-fetch-user",
    "accept-encoding",
    "accept-language",
    "sec-ch-ua-mobile",
    "if-modified-since",
    "sec-ch-ua-platform",
    "if-unmodified-since",
    "x-playback-session-id",
    "sec-fetch-storage-access",
    "upgrade-insecure-requests",
];

/// What an ordinary field may consist of: printable ASCII without what begins markup, substitutions and escapes, of URIs (`%`)
/// and of HTML (`&`) too, since rules undo them.
const ORDINARY_BYTES: ByteSet = ByteSet::EMPTY
    .with_range(b' ', b'"')
    .with_range(b'(', b';')
    .with_range(b'=', b'=')
    .with_range(b'?', b'[')
    .with_range(b']', b'_')
    .with_range(b'a', b'z')
    .with_range(b'~', b'~');

/// What the lane inspects of a request.
#[derive(Debug, Clone, Copy)]
pub struct MediaHead<'a> {
    /// `GET` or `HEAD`; others need every rule.
    pub method: &'a [u8],
    /// As rules see it: `HTTP/1.1`, `HTTP/2.0`, `HTTP/1.0`; others need every rule.
    pub protocol: &'a [u8],
    /// The client's address.
    pub client: IpAddr,
    /// What its connection tells, in the order of [`crate::SIGNALS`]; empty for what is not known.
    pub signals: [&'a [u8]; SIGNALS.len()],
    /// `User-Agent`, if there is one.
    pub user_agent: Option<&'a [u8]>,
    /// `Referer`, if there is one.
    pub referer: Option<&'a [u8]>,
    /// `Range`, if there is one.
    pub range: Option<&'a [u8]>,
}

impl<'a> MediaHead<'a> {
    /// Reads the fields of a request that has a media path, no query, no cookie and no body; names in any case. `line` is its
    /// method and its protocol. `None`: there is a field that is not ordinary, and the request needs every rule.
    #[must_use]
    pub fn of_fields(
        line: (&'a [u8], &'a [u8]),
        client: IpAddr,
        signals: [&'a [u8]; SIGNALS.len()],
        fields: impl IntoIterator<Item = (&'a [u8], &'a [u8])>,
    ) -> Option<Self> {
        let (method, protocol) = line;
        let mut head = Self {
            method,
            protocol,
            client,
            signals,
            user_agent: None,
            referer: None,
            range: None,
        };
        for (count, (name, value)) in fields.into_iter().enumerate() {
            if count >= FIELDS_MAX {
                return None;
            }
            let place = match name.len() {
                10 if name.eq_ignore_ascii_case(b"user-agent") => &mut head.user_agent,
                7 if name.eq_ignore_ascii_case(b"referer") => &mut head.referer,
                5 if name.eq_ignore_ascii_case(b"range") => &mut head.range,
                _ if is_ordinary(name, value) => continue,
                _ => return None,
            };
            if place.replace(value).is_some() {
                return None;
            }
        }
        Some(head)
    }
}

fn is_ordinary(name: &[u8], value: &[u8]) -> bool {
    let Some(known) = ordinary_name(name) else {
        return false;
    };
    value.len() <= FIELD_BYTES_MAX
        && (is_ordinary_text(value) || known.starts_with("cmcd-") && is_ordinary_escaped(value))
}

/// The name of [`ORDINARY`] that this is, in any case.
fn ordinary_name(name: &[u8]) -> Option<&'static str> {
    let first = *LENGTHS_BEGIN.get(name.len())?;
    let end = *LENGTHS_BEGIN.get(name.len() + 1)?;
    let of_length = ORDINARY.get(usize::from(first)..usize::from(end))?;
    let is_it = |known: &&&str| known.as_bytes().eq_ignore_ascii_case(name);
    of_length.iter().find(is_it).copied()
}

/// By length, where names of that length begin in [`ORDINARY`]: few have the same.
const LENGTHS_BEGIN: [u8; NAME_BYTES_MAX + 2] = {
    let mut begin = [ORDINARY.len() as u8; NAME_BYTES_MAX + 2];
    let mut place = ORDINARY.len();
    while place > 0 {
        place -= 1;
        let mut length = 0;
        while length <= ORDINARY[place].len() {
            begin[length] = place as u8;
            length += 1;
        }
    }
    begin
};
/// The longest name of [`ORDINARY`].
const NAME_BYTES_MAX: usize = 25;

/// By byte, what [`ORDINARY_BYTES`] has: one look each.
const IS_ORDINARY: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = ORDINARY_BYTES.has(byte as u8);
        byte += 1;
    }
    table
};

/// Of ordinary bytes, and no step out of a folder.
fn is_ordinary_text(value: &[u8]) -> bool {
    let mut before = 0;
    value.iter().all(|&byte| {
        let is_step = byte == b'.' && before == b'.';
        before = byte;
        IS_ORDINARY[usize::from(byte)] && !is_step
    })
}

/// Players escape the path of what they will ask for next (CTA-5004): with what the escapes stand for, it is ordinary.
fn is_ordinary_escaped(value: &[u8]) -> bool {
    let mut rest = value;
    let mut before = 0;
    while let Some((byte, after)) = rest.split_first() {
        let (byte, after) = match byte {
            b'%' => match hex_pair(rest, 1) {
                Some(decoded) => (decoded, &rest[3..]),
                None => return false,
            },
            byte => (*byte, after),
        };
        if !IS_ORDINARY[usize::from(byte)] || byte == b'.' && before == b'.' {
            return false;
        }
        before = byte;
        rest = after;
    }
    true
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn of(fields: &[(&str, &str)]) -> bool {
        let bytes = fields
            .iter()
            .map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        let line = (&b"GET"[..], &b"HTTP/1.1"[..]);
        MediaHead::of_fields(line, IpAddr::V4(Ipv4Addr::LOCALHOST), [b""; 3], bytes).is_some()
    }

    #[test]
    fn the_list_can_be_searched() {
        assert!(ORDINARY.is_sorted_by_key(|name| name.len()));
        for name in ORDINARY {
            assert_eq!(ordinary_name(name.as_bytes()), Some(name));
            let upper = name.to_ascii_uppercase();
            assert_eq!(ordinary_name(upper.as_bytes()), Some(name));
            assert_eq!(ordinary_name(&name.as_bytes()[1..]), None, "{name}");
            assert_eq!(ordinary_name(format!("{name}s").as_bytes()), None);
        }
        let longest = ORDINARY.iter().map(|name| name.len()).max();
        assert_eq!(longest, Some(NAME_BYTES_MAX));
        assert_eq!(ordinary_name(b""), None);
        assert_eq!(ordinary_name(&[b'a'; 300]), None);
    }

    #[test]
    fn what_is_not_ordinary_needs_every_rule() {
        assert!(of(&[
            ("Host", "media.example.org"),
            ("User-Agent", "${jndi:ldap://x}"),
            ("range", "bytes=0-1"),
            (
                "sec-ch-ua",
                "\"Not(A:Brand\";v=\"8\", \"Chromium\";v=\"138\""
            ),
            ("CMCD-Request", "bl=21300,nor=\"v360%2F35.m4s\""),
        ]));
        for fields in [
            &[("Cookie", "a=b")][..],
            &[("X-Forwarded-For", "1.2.3.4")],
            &[("Content-Length", "0")],
            &[("Accept", "${jndi:ldap://x}")],
            &[("Accept", "a\x7f")],
            &[("Accept", "v360%2F35.m4s")],
            &[("CMCD-Request", "%3Cscript%3E")],
            &[("CMCD-Request", "%252F")],
            &[("CMCD-Request", "..%2Fv360%2F35.m4s")],
            &[("Accept", "a/../b")],
            &[("CMCD-Request", "%2")],
            &[("If-None-Match", "&#36;")],
            &[("Accept", "<script>")],
            &[("User-Agent", "a"), ("user-agent", "b")],
        ] {
            assert!(!of(fields), "{fields:?}");
        }
        assert!(!of(&[("Accept", &"a".repeat(FIELD_BYTES_MAX + 1))]));
        assert!(!of(&vec![("Accept", "a"); FIELDS_MAX + 1]));
    }
}
