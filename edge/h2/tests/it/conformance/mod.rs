//! What a client may send and what it may not, frame by frame, in the order of RFC 9113's sections.
//!
//! Each case is what follows the preface, the section that speaks of it, and what has to come of it.

mod blocks;
mod frames;
mod messages;
mod states;
mod windows;

use std::sync::Arc;

use mcsp_edge_h2::{Closed, serve_connection};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, ReadHalf, WriteHalf};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::site::{BOUND, Site, limits};

pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub(crate) const PROTOCOL: u32 = 1;
pub(crate) const INTERNAL: u32 = 2;
pub(crate) const FLOW: u32 = 3;
pub(crate) const CLOSED: u32 = 5;
pub(crate) const SIZE: u32 = 6;
pub(crate) const REFUSED: u32 = 7;
pub(crate) const COMPRESSION: u32 = 9;
pub(crate) const CALM: u32 = 11;

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RESET: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;
/// A request without a body.
pub(crate) const WHOLE: u8 = 5;

pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// A field as it is, kept in no table.
pub(crate) fn field(name: &str, value: &str) -> Vec<u8> {
    let text = |text: &str| {
        let mut bytes = vec![u8::try_from(text.len()).unwrap()];
        bytes.extend(text.as_bytes());
        bytes
    };
    [vec![0], text(name), text(value)].concat()
}

/// A block of fields.
pub(crate) fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    fields.iter().flat_map(|(n, v)| field(n, v)).collect()
}

/// `:method`, `:scheme`, `:authority` and `:path` of a good request, with more fields.
pub(crate) fn request(method: &str, path: &str, more: &[(&str, &str)]) -> Vec<u8> {
    let pseudo = [
        (":method", method),
        (":scheme", "https"),
        (":authority", "x"),
        (":path", path),
    ];
    [block(&pseudo), block(more)].concat()
}

/// A request that is answered at once.
pub(crate) fn get(stream: u32) -> Vec<u8> {
    frame(HEADERS, WHOLE, stream, &request("GET", "/full/1", &[]))
}

/// A request whose stream stays open, the client's side too.
pub(crate) fn open(stream: u32) -> Vec<u8> {
    let block = request("POST", "/wait", &[]);
    frame(HEADERS, END_HEADERS, stream, &block)
}

/// The same, the client having said all.
pub(crate) fn half_closed(stream: u32) -> Vec<u8> {
    frame(HEADERS, WHOLE, stream, &request("GET", "/wait", &[]))
}

/// A frame that came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

impl Seen {
    pub(crate) fn code(&self) -> u32 {
        let at = if self.kind == GOAWAY { 4 } else { 0 };
        u32::from_be_bytes(self.payload[at..at + 4].try_into().unwrap())
    }
}

/// A connection without a client's library.
pub(crate) struct Raw {
    reader: ReadHalf<DuplexStream>,
    writer: WriteHalf<DuplexStream>,
    pub(crate) site: Arc<Site>,
    pub(crate) seen: Vec<Seen>,
    pub(crate) served: JoinHandle<Closed>,
    pub(crate) stop: watch::Sender<bool>,
}

impl Raw {
    pub(crate) async fn new() -> Self {
        let mut raw = Self::silent(Site::default());
        raw.send(PREFACE).await;
        raw
    }

    /// One that has not said anything.
    pub(crate) fn silent(site: Site) -> Self {
        let (ours, theirs) = tokio::io::duplex(1 << 20);
        let (stop, stopped) = watch::channel(false);
        let site = Arc::new(site);
        let served = tokio::spawn({
            let site = Arc::clone(&site);
            async move { serve_connection(Box::new(ours), &limits(), &site, stopped).await }
        });
        let (reader, writer) = tokio::io::split(theirs);
        Self {
            reader,
            writer,
            site,
            seen: Vec::new(),
            served,
            stop,
        }
    }

    /// With settings of the client.
    pub(crate) async fn with(settings: &[u8]) -> Self {
        let mut raw = Self::new().await;
        raw.send(&frame(SETTINGS, 0, 0, settings)).await;
        raw
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        // The connection may be over.
        let _ = self.writer.write_all(bytes).await;
    }

    /// The next frame; none after the last.
    pub(crate) async fn next(&mut self) -> Option<Seen> {
        let read = async {
            let mut head = [0; 9];
            self.reader.read_exact(&mut head).await.ok()?;
            let [a, b, c, kind, flags, stream @ ..] = head;
            let length = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
            let mut payload = vec![0; length];
            self.reader.read_exact(&mut payload).await.ok()?;
            Some(Seen {
                kind,
                flags,
                stream: u32::from_be_bytes(stream),
                payload,
            })
        };
        let seen = tokio::time::timeout(BOUND, read).await.expect("a frame");
        self.seen.extend(seen.clone());
        seen
    }

    /// Reads until a frame is there that is wanted; false: the connection ended before.
    pub(crate) async fn until(&mut self, wanted: impl Fn(&Seen) -> bool) -> bool {
        while let Some(seen) = self.next().await {
            if wanted(&seen) {
                return true;
            }
        }
        false
    }

    /// Sends a `PING` and reads to its answer: what was sent before has been looked at.
    pub(crate) async fn round(&mut self, word: [u8; 8]) -> bool {
        self.send(&frame(PING, 0, 0, &word)).await;
        self.until(|seen| (seen.kind, seen.flags) == (PING, 1) && seen.payload == word)
            .await
    }

    /// Ends the client's side; what becomes of the server's.
    pub(crate) fn leave(self) -> JoinHandle<Closed> {
        self.served
    }

    /// The bytes of all `DATA` of a stream so far.
    pub(crate) fn data_bytes(&self, stream: u32) -> usize {
        let data = self
            .seen
            .iter()
            .filter(|seen| (seen.kind, seen.stream) == (DATA, stream));
        data.map(|seen| seen.payload.len()).sum()
    }
}

/// What has to come of a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// The connection ends with this code.
    Connection(u32),
    /// This stream is reset with this code, and others go on.
    Stream(u32, u32),
    /// Nothing: the connection goes on.
    Nothing,
}

pub(crate) use Wanted::{Connection, Nothing, Stream};

/// A section, what is done, the bytes after the client's settings, what has to come of it.
pub(crate) type Case = (&'static str, &'static str, Vec<u8>, Wanted);

/// A stream that no case uses.
const LAST: u32 = 1001;

/// Tries each case on a connection of its own.
pub(crate) async fn check(cases: Vec<Case>) {
    for (section, what, bytes, wanted) in cases {
        let mut raw = Raw::with(&[]).await;
        raw.send(&bytes).await;
        let name = format!("section {section}: {what}");
        if let Connection(code) = wanted {
            assert!(!raw.until(|_| false).await);
            let told = raw.seen.iter().find(|seen| seen.kind == GOAWAY);
            let told = told.unwrap_or_else(|| panic!("{name}: {:?}", raw.seen));
            assert_eq!(told.code(), code, "{name}");
            let closed = tokio::time::timeout(BOUND, raw.leave()).await.unwrap();
            let reason = if code == CALM { "excess" } else { "protocol" };
            assert_eq!(closed.unwrap().reason.label(), reason, "{name}");
            continue;
        }
        raw.send(&get(LAST)).await;
        let is_answered = raw
            .until(|seen| (seen.kind, seen.stream) == (HEADERS, LAST))
            .await;
        assert!(is_answered, "{name}: {:?}", raw.seen);
        let resets = raw.seen.iter().filter(|seen| seen.kind == RESET);
        let resets: Vec<_> = resets.map(|seen| (seen.stream, seen.code())).collect();
        match wanted {
            Stream(stream, code) => assert_eq!(resets, [(stream, code)], "{name}"),
            _ => assert_eq!(resets, [], "{name}"),
        }
    }
}
