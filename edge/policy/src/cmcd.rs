//! Common Media Client Data (CTA-5004): what a player says of itself and of what it will want next.
//!
//! A player's word is advice. Keys that are unknown, repeated or badly written are left out one by one; the rest stays.

use http::{HeaderMap, HeaderName};
use percent_encoding::percent_decode;

use crate::fields::{Members, unquoted_position};
use crate::range::{RangeRequest, RangeSpec};

/// The four header fields, which together are one set of keys.
static CMCD_FIELDS: [HeaderName; 4] = [
    HeaderName::from_static("cmcd-request"),
    HeaderName::from_static("cmcd-object"),
    HeaderName::from_static("cmcd-status"),
    HeaderName::from_static("cmcd-session"),
];

/// The query parameter.
const CMCD_PARAMETER: &str = "CMCD";
/// Longest query parameter that is looked at, bytes before decoding.
const CMCD_BYTES_MAX: usize = 4_096;
/// Most next objects that are kept of one request.
pub const NEXT_OBJECTS_MAX: usize = 8;
/// Longest `nor`, `sid` or `cid` that is kept, bytes.
const TEXT_BYTES_MAX: usize = 1_024;

/// What is requested (`ot`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ObjectType {
    /// `m`: text, such as a manifest or a playlist.
    Manifest,
    /// `a`: audio.
    Audio,
    /// `v`: video.
    Video,
    /// `av`: audio and video together.
    Muxed,
    /// `i`: an init segment.
    Init,
    /// `c`: caption or subtitle.
    Caption,
    /// `tt`: ISOBMFF timed text.
    TimedText,
    /// `k`: a key, licence or certificate.
    Key,
    /// `o`: other.
    Other,
}

/// How it is streamed (`sf`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamingFormat {
    /// `d`: MPEG-DASH.
    Dash,
    /// `h`: HLS.
    Hls,
    /// `s`: Smooth Streaming.
    Smooth,
    /// `o`: other.
    Other,
}

/// The keys this project uses. Rates are in kbit/s, times in milliseconds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cmcd {
    /// `nor`: the objects that will be asked for next, as references relative to this request, percent-decoded.
    pub next_objects: Vec<String>,
    /// `nrr`: the range of the next object.
    pub next_range: Option<RangeSpec>,
    /// `br`: encoded bit rate of the object.
    pub bitrate_kbps: Option<u32>,
    /// `tb`: the highest bit rate in the manifest.
    pub top_bitrate_kbps: Option<u32>,
    /// `mtp`: throughput as measured by the player.
    pub throughput_kbps: Option<u32>,
    /// `rtp`: the throughput asked for at most.
    pub requested_throughput_kbps: Option<u32>,
    /// `bl`: buffer held.
    pub buffer_ms: Option<u32>,
    /// `dl`: time until the buffer runs dry.
    pub deadline_ms: Option<u32>,
    /// `d`: playing time of the object.
    pub duration_ms: Option<u32>,
    /// `bs`: the buffer ran dry since the last request.
    pub is_starved: bool,
    /// `su`: asked for in a hurry, at start or after a seek or a starvation.
    pub is_startup: bool,
    /// `ot`.
    pub object_type: Option<ObjectType>,
    /// `sf`.
    pub streaming_format: Option<StreamingFormat>,
    /// `st`: `true` live, `false` on demand.
    pub is_live: Option<bool>,
    /// `pr`: rate of playback, 1 for real time, 0 when paused.
    pub playback_rate: Option<f32>,
    /// `sid`: the playback session.
    pub session_id: Option<String>,
    /// `cid`: the content.
    pub content_id: Option<String>,
}

impl Cmcd {
    /// Reads the header fields; `None` when there are none.
    #[must_use]
    pub fn of_headers(request: &HeaderMap) -> Option<Self> {
        let mut lines = CMCD_FIELDS
            .iter()
            .flat_map(|name| request.get_all(name))
            .peekable();
        lines.peek()?;
        let mut cmcd = Self::default();
        for line in lines {
            cmcd.add(line.as_bytes());
        }
        Some(cmcd)
    }

    /// Reads the parameter `CMCD` of a query (without its `?`); `None` when it is absent or absurdly long.
    #[must_use]
    pub fn of_query(query: &str) -> Option<Self> {
        let value = query
            .split('&')
            .find_map(|pair| pair.strip_prefix(CMCD_PARAMETER)?.strip_prefix('='))?;
        if value.len() > CMCD_BYTES_MAX {
            return None;
        }
        let decoded: Vec<u8> = percent_decode(value.as_bytes()).collect();
        let mut cmcd = Self::default();
        cmcd.add(&decoded);
        Some(cmcd)
    }

    fn add(&mut self, list: &[u8]) {
        for member in Members::of(list) {
            let (key, value) = match unquoted_position(member, b'=') {
                Some(equals) => (&member[..equals], &member[equals + 1..]),
                None => (member, &b"?1"[..]),
            };
            self.set(key, value);
        }
    }

    fn set(&mut self, key: &[u8], value: &[u8]) {
        match key {
            b"nor" if self.next_objects.len() < NEXT_OBJECTS_MAX => {
                self.next_objects.extend(text(value).and_then(decoded));
            }
            b"nrr" => {
                self.next_range = self
                    .next_range
                    .or(text(value).and_then(|range| next_range(&range)));
            }
            b"br" => self.bitrate_kbps = self.bitrate_kbps.or(integer(value)),
            b"tb" => self.top_bitrate_kbps = self.top_bitrate_kbps.or(integer(value)),
            b"mtp" => self.throughput_kbps = self.throughput_kbps.or(integer(value)),
            b"rtp" => {
                self.requested_throughput_kbps = self.requested_throughput_kbps.or(integer(value));
            }
            b"bl" => self.buffer_ms = self.buffer_ms.or(integer(value)),
            b"dl" => self.deadline_ms = self.deadline_ms.or(integer(value)),
            b"d" => self.duration_ms = self.duration_ms.or(integer(value)),
            b"bs" => self.is_starved |= is_true(value),
            b"su" => self.is_startup |= is_true(value),
            b"ot" => self.object_type = self.object_type.or(object_type(value)),
            b"sf" => self.streaming_format = self.streaming_format.or(streaming_format(value)),
            b"st" => {
                let is_live = match value {
                    b"l" => Some(true),
                    b"v" => Some(false),
                    _ => None,
                };
                self.is_live = self.is_live.or(is_live);
            }
            b"pr" => self.playback_rate = self.playback_rate.or(decimal(value)),
            b"sid" => self.session_id = self.session_id.take().or_else(|| text(value)),
            b"cid" => self.content_id = self.content_id.take().or_else(|| text(value)),
            _ => {}
        }
    }
}

fn is_true(value: &[u8]) -> bool {
    matches!(value, b"?1" | b"true")
}

fn integer(value: &[u8]) -> Option<u32> {
    std::str::from_utf8(value).ok()?.parse().ok()
}

fn decimal(value: &[u8]) -> Option<f32> {
    let number: f32 = std::str::from_utf8(value).ok()?.parse().ok()?;
    number.is_finite().then_some(number)
}

/// The content of a string, or a bare word.
fn text(value: &[u8]) -> Option<String> {
    if value.len() > TEXT_BYTES_MAX {
        return None;
    }
    let value = std::str::from_utf8(value).ok()?;
    let Some(inner) = value.strip_prefix('"') else {
        return (!value.is_empty()).then(|| value.to_owned());
    };
    let mut out = String::with_capacity(inner.len());
    let mut characters = inner.strip_suffix('"')?.chars();
    while let Some(character) = characters.next() {
        out.push(if character == '\\' {
            characters.next()?
        } else {
            character
        });
    }
    (!out.is_empty()).then_some(out)
}

/// References are percent-encoded once more inside the string.
fn decoded(text: String) -> Option<String> {
    percent_decode(text.as_bytes())
        .decode_utf8()
        .ok()
        .map(std::borrow::Cow::into_owned)
}

/// One range, without its unit.
fn next_range(text: &str) -> Option<RangeSpec> {
    let mut headers = HeaderMap::new();
    headers.insert(http::header::RANGE, format!("bytes={text}").parse().ok()?);
    match RangeRequest::of(&headers) {
        RangeRequest::One(range) => Some(range),
        _ => None,
    }
}

fn object_type(value: &[u8]) -> Option<ObjectType> {
    Some(match value {
        b"m" => ObjectType::Manifest,
        b"a" => ObjectType::Audio,
        b"v" => ObjectType::Video,
        b"av" => ObjectType::Muxed,
        b"i" => ObjectType::Init,
        b"c" => ObjectType::Caption,
        b"tt" => ObjectType::TimedText,
        b"k" => ObjectType::Key,
        b"o" => ObjectType::Other,
        _ => return None,
    })
}

fn streaming_format(value: &[u8]) -> Option<StreamingFormat> {
    Some(match value {
        b"d" => StreamingFormat::Dash,
        b"h" => StreamingFormat::Hls,
        b"s" => StreamingFormat::Smooth,
        b"o" => StreamingFormat::Other,
        _ => return None,
    })
}
