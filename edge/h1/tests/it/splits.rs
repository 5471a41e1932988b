//! The parser against an independent strict reader, on bytes that mean harm, cut in every way.

use mcsp_edge_h1::{Limits, parse_head};
use proptest::prelude::*;
use tokio::runtime::Builder;

use crate::site::{Talk, talk_in_pieces};

/// A reader of requests with nothing in common with the crate: whole input, no state, text by text. It stops at the
/// first thing that is odd.
mod reference {
    /// Method, target and host of each request, up to the first that is not flawless.
    pub(super) fn requests(input: &[u8]) -> Vec<String> {
        let mut rest = input;
        let mut seen = Vec::new();
        while let Some((line, after, goes_on)) = request(rest) {
            seen.push(line);
            match after {
                Some(after) if goes_on => rest = after,
                _ => break,
            }
        }
        seen
    }

    /// One request; what follows its body, `None` where that is cut or broken.
    fn request(input: &[u8]) -> Option<(String, Option<&[u8]>, bool)> {
        let mut input = input;
        for _ in 0..2 {
            input = input.strip_prefix(b"\r\n").unwrap_or(input);
        }
        let end = find(input, b"\r\n\r\n")?;
        let head: String = input[..end].iter().map(|byte| char::from(*byte)).collect();
        let body = &input[end + 4..];
        let mut lines = head.split("\r\n");
        let words: Vec<&str> = lines.next()?.split(' ').collect();
        let [method, target, version] = words[..] else {
            return None;
        };
        let minor = version.strip_prefix("HTTP/1.")?;
        if minor.len() != 1 || !minor.chars().all(|c| c.is_ascii_digit()) {
            return None;
        }
        let is_old = minor == "0";
        if method.is_empty()
            || !method.chars().all(is_token)
            || method == "CONNECT"
            || !target.starts_with('/')
        {
            return None;
        }
        // Each character stands for a byte.
        let target: Vec<u8> = target.chars().map(|c| c as u8).collect();
        let target = String::from_utf8(target).ok()?;
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        let is_odd = |c: char| c <= ' ' || c == '\u{7f}' || "#<>".contains(c);
        if target.chars().any(is_odd) || path.contains('`') || query.contains('"') {
            return None;
        }
        let mut fields = Vec::new();
        for line in lines {
            let (name, value) = line.split_once(':')?;
            if name.is_empty() || !name.chars().all(is_token) {
                return None;
            }
            if value
                .chars()
                .any(|c| (c < ' ' && c != '\t') || c == '\u{7f}')
            {
                return None;
            }
            fields.push((
                name.to_ascii_lowercase(),
                value.trim_matches([' ', '\t']).to_owned(),
            ));
        }
        let all = |name: &str| -> Vec<&str> {
            let named = fields.iter().filter(|(field, _)| field == name);
            named.map(|(_, value)| value.as_str()).collect()
        };
        let hosts = all("host");
        let is_host_fine = match hosts[..] {
            [] => is_old,
            [host] => is_host(host),
            _ => false,
        };
        if !is_host_fine
            || all("expect")
                .iter()
                .any(|value| !value.eq_ignore_ascii_case("100-continue"))
        {
            return None;
        }
        let after = match (&all("content-length")[..], &all("transfer-encoding")[..]) {
            ([], []) => Some(body),
            ([length], []) => {
                if length.is_empty() || !length.chars().all(|c| c.is_ascii_digit()) {
                    return None;
                }
                let length = length
                    .parse::<u64>()
                    .ok()
                    .filter(|length| *length < 1 << 63)?;
                usize::try_from(length)
                    .ok()
                    .and_then(|length| body.get(length..))
            }
            ([], [coding]) if coding.eq_ignore_ascii_case("chunked") && !is_old => chunked(body),
            _ => return None,
        };
        let options: Vec<String> = all("connection")
            .iter()
            .flat_map(|value| value.split(','))
            .map(|option| option.trim().to_ascii_lowercase())
            .collect();
        let has = |option: &str| options.iter().any(|other| other == option);
        let goes_on = !has("close") && (!is_old || has("keep-alive"));
        let waits = !is_old
            && !all("expect").is_empty()
            && !all("content-length")
                .iter()
                .all(|length| length.parse() == Ok(0));
        let waits =
            waits || !is_old && !all("expect").is_empty() && !all("transfer-encoding").is_empty();
        let host = hosts.first().unwrap_or(&"-");
        Some((
            format!("{method} {target} {host}"),
            after,
            goes_on && !waits,
        ))
    }

    fn chunked(body: &[u8]) -> Option<&[u8]> {
        let mut rest = body;
        loop {
            let end = find(rest, b"\r\n")?;
            let line = &rest[..end];
            let text: String = line.iter().map(|byte| char::from(*byte)).collect();
            if text.len() > 250
                || text
                    .chars()
                    .any(|c| (c < ' ' && c != '\t') || c == '\u{7f}')
            {
                return None;
            }
            let (size, _) = text
                .split_once(';')
                .map_or((text.as_str(), ""), |(size, rest)| {
                    (size.trim_end_matches([' ', '\t']), rest)
                });
            if size.is_empty() || !size.chars().all(|c| c.is_ascii_hexdigit()) {
                return None;
            }
            let size = usize::from_str_radix(size, 16)
                .ok()
                .filter(|size| *size < 1 << 62)?;
            rest = &rest[end + 2..];
            if size == 0 {
                break;
            }
            rest = rest.get(size..)?.strip_prefix(b"\r\n")?;
        }
        loop {
            let end = find(rest, b"\r\n")?;
            let line = &rest[..end];
            rest = &rest[end + 2..];
            if line.is_empty() {
                return Some(rest);
            }
            if line
                .iter()
                .any(|byte| (*byte < b' ' && *byte != b'\t') || *byte == 0x7f)
            {
                return None;
            }
        }
    }

    fn is_token(c: char) -> bool {
        c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c)
    }

    fn is_host(host: &str) -> bool {
        let (name, port) = host.split_once(':').unwrap_or((host, ""));
        !name.is_empty()
            && name
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "-._~!$&'()*+,;=".contains(c))
            && port.len() <= 5
            && port.chars().all(|c| c.is_ascii_digit())
    }

    fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
        bytes
            .windows(wanted.len())
            .position(|window| window == wanted)
    }
}

/// Pieces of requests, whole and broken, from which inputs are put together.
const FRAGMENTS: &[&str] = &[
    "GET /full/1 HTTP/1.1\r\n",
    "POST /full/2 HTTP/1.1\r\n",
    "GET /full/3 HTTP/1.0\r\n",
    "HEAD /full/4?a=b HTTP/1.1\r\n",
    "Host: a\r\n",
    "Host: a\r\n\r\n",
    "Host : a\r\n",
    "Host:b:80\r\n",
    "Content-Length: 5\r\n",
    "Content-Length: 0\r\n",
    "Content-Length: 5, 5\r\n",
    "content-length:37\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Transfer-Encoding: identity\r\n",
    "Transfer-Encoding:\tchunked\r\n",
    "Transfer-Encoding: chunked, chunked\r\n",
    "Transfer-Encoding : chunked\r\n",
    "Connection: close\r\n",
    "Connection: keep-alive\r\n",
    "Expect: 100-continue\r\n",
    "X: y\r\n",
    " folded\r\n",
    "\r\n",
    "\r\n",
    "\r\n",
    "\n",
    "\r",
    "\n\n",
    "\r\r\n",
    "0\r\n\r\n",
    "5\r\nabcde\r\n",
    "5;x=y\r\nabcde\r\n0\r\nT: 1\r\n\r\n",
    "5 \r\n",
    "0x5\r\n",
    "abcde",
    "\u{0}",
    "\u{b}",
    ":",
    ";",
    " ",
];

fn mischief() -> impl Strategy<Value = Vec<u8>> {
    let fragment = prop_oneof![
        12 => proptest::sample::select(FRAGMENTS).prop_map(|fragment| fragment.as_bytes().to_vec()),
        1 => proptest::collection::vec(any::<u8>(), 1..4),
    ];
    let soup = proptest::collection::vec(fragment, 1..24).prop_map(|pieces| pieces.concat());
    let request = prop_oneof![
        Just("GET /full/1 HTTP/1.1\r\nHost: a\r\n\r\n"),
        Just("POST /full/2 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nabcde"),
        Just(
            "POST /full/2 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n"
        ),
        Just("GET /full/3 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"),
    ];
    // Good requests with a few wounds.
    let wounded = (
        proptest::collection::vec(request, 1..4),
        proptest::collection::vec(
            (
                any::<prop::sample::Index>(),
                0..3_u8,
                proptest::sample::select(FRAGMENTS),
            ),
            0..3,
        ),
    )
        .prop_map(|(requests, wounds)| {
            let mut bytes = requests.concat().into_bytes();
            for (index, kind, fragment) in wounds {
                let at = index.index(bytes.len());
                match kind {
                    0 => drop(bytes.remove(at)),
                    1 => bytes[at] = fragment.as_bytes()[0],
                    _ => drop(bytes.splice(at..at, fragment.bytes())),
                }
                if bytes.is_empty() {
                    bytes.push(b'\r');
                }
            }
            bytes
        });
    prop_oneof![soup, wounded]
}

fn run(pieces: &[&[u8]]) -> Talk {
    let runtime = Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(talk_in_pieces(pieces, &Limits::default()))
}

fn cut<'i>(input: &'i [u8], cuts: &[prop::sample::Index]) -> Vec<&'i [u8]> {
    let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(input.len() + 1)).collect();
    at.extend([0, input.len()]);
    at.sort_unstable();
    at.windows(2).map(|pair| &input[pair[0]..pair[1]]).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Exactly the requests that a strict reader sees reach the handler, and each gets one answer.
    #[test]
    fn a_strict_reader_agrees(input in mischief()) {
        let talk = run(&[&input]);
        let expected = reference::requests(&input);
        prop_assert_eq!(&talk.seen, &expected, "{}", input.escape_ascii());
        prop_assert_eq!(talk.statuses().len(), talk.seen.len() + usize::from(talk.statuses().last().is_some_and(|status| *status != 200 && *status != 404)));
    }

    /// However the bytes are cut, the conversation is the same.
    #[test]
    fn cuts_change_nothing(input in mischief(), cuts in proptest::collection::vec(any::<prop::sample::Index>(), 1..6)) {
        let whole = run(&[&input]);
        let pieces = run(&cut(&input, &cuts));
        prop_assert_eq!(whole.seen, pieces.seen);
        prop_assert_eq!(whole.refused, pieces.refused);
        prop_assert_eq!(whole.output, pieces.output);
        prop_assert_eq!(whole.closed, pieces.closed);
    }

    /// A refusal stands whatever follows, and a head that is complete does not change with what follows.
    #[test]
    fn a_head_is_decided_by_its_own_bytes(input in mischief(), more in mischief()) {
        let limits = Limits::default();
        let longer = [input.clone(), more].concat();
        match parse_head(&input, &limits) {
            Ok(None) => {}
            Ok(Some(head)) => {
                let again = parse_head(&longer, &limits).unwrap().unwrap();
                prop_assert_eq!(head.bytes, again.bytes);
                prop_assert_eq!(head.info, again.info);
                prop_assert_eq!(head.parts.headers, again.parts.headers);
                prop_assert_eq!(head.parts.uri, again.parts.uri);
            }
            Err(refusal) => prop_assert_eq!(parse_head(&longer, &limits).unwrap_err(), refusal),
        }
    }

    #[test]
    fn arbitrary_bytes_do_no_harm(input in proptest::collection::vec(any::<u8>(), 0..300)) {
        let talk = run(&[&input]);
        prop_assert_eq!(talk.seen, reference::requests(&input));
    }
}

/// A conversation cut at every byte.
#[test]
fn every_cut_of_a_conversation_gives_the_same() {
    let input = b"\r\nPOST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nabcde\r\n0\r\nT: 1\r\n\r\n\
        GET /full/1 HTTP/1.0\r\nConnection: keep-alive\r\n\r\nPOST /full/2 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc\
        GET /chunked/2 HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\nHost: a\r\n\r\n";
    let whole = run(&[input]);
    assert_eq!(whole.statuses(), [200, 200, 200, 200, 400]);
    for at in 0..=input.len() {
        let (before, after) = input.split_at(at);
        let pieces = run(&[before, after]);
        // Chunks are given on as they come, so an echo's own bytes are the same in any case.
        assert_eq!(pieces.output, whole.output, "cut at {at}");
        assert_eq!(pieces.seen, whole.seen, "cut at {at}");
        assert_eq!(pieces.closed, whole.closed, "cut at {at}");
    }
    let bytes: Vec<&[u8]> = input.chunks(1).collect();
    assert_eq!(run(&bytes).output, whole.output);
}
