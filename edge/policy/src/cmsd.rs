//! Common Media Server Data (CTA-5006): what a server says of a media object and of its own state.

use std::fmt::{self, Display, Formatter};

use http::HeaderName;

use crate::cache_status::string;
use crate::cmcd::{ObjectType, StreamingFormat};

/// Set by the origin of the data, kept by all after it.
pub static CMSD_STATIC: HeaderName = HeaderName::from_static("cmsd-static");
/// One member for each server on the way; each appends its own.
pub static CMSD_DYNAMIC: HeaderName = HeaderName::from_static("cmsd-dynamic");

/// What is true of an object wherever it comes from. Displays as the value of `CMSD-Static`, keys sorted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Static<'a> {
    /// `br`: encoded bit rate, kbit/s.
    pub bitrate_kbps: Option<u32>,
    /// `d`: playing time, ms.
    pub duration_ms: Option<u32>,
    /// `nor`: the object that follows, relative to this one.
    pub next_object: Option<&'a str>,
    /// `ot`.
    pub object_type: Option<ObjectType>,
    /// `sf`.
    pub streaming_format: Option<StreamingFormat>,
    /// `st`: `true` live, `false` on demand.
    pub is_live: Option<bool>,
}

/// One server's member of `CMSD-Dynamic`. Displays as that member.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dynamic<'a> {
    /// The server's name.
    pub server: &'a str,
    /// `du`: under duress, players should ask for less.
    pub is_under_duress: bool,
    /// `etp`: estimated throughput to the client, kbit/s.
    pub throughput_kbps: Option<u32>,
    /// `mb`: the bit rate players should stay under, kbit/s.
    pub bitrate_max_kbps: Option<u32>,
    /// `rd`: time from the request to the first byte of the answer, ms.
    pub response_delay_ms: Option<u32>,
    /// `rtt`: round-trip time to the client, ms.
    pub round_trip_ms: Option<u32>,
}

impl Display for Static<'_> {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        let mut next = |out: &mut Formatter<'_>, key: &str| {
            let written = write!(out, "{separator}{key}=");
            separator = ",";
            written
        };
        if let Some(bitrate_kbps) = self.bitrate_kbps {
            next(out, "br")?;
            write!(out, "{bitrate_kbps}")?;
        }
        if let Some(duration_ms) = self.duration_ms {
            next(out, "d")?;
            write!(out, "{duration_ms}")?;
        }
        if let Some(next_object) = self.next_object {
            next(out, "nor")?;
            string(out, next_object)?;
        }
        if let Some(object_type) = self.object_type {
            next(out, "ot")?;
            out.write_str(object_token(object_type))?;
        }
        if let Some(streaming_format) = self.streaming_format {
            next(out, "sf")?;
            out.write_str(format_token(streaming_format))?;
        }
        if let Some(is_live) = self.is_live {
            next(out, "st")?;
            out.write_str(if is_live { "l" } else { "v" })?;
        }
        Ok(())
    }
}

impl Display for Dynamic<'_> {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        string(out, self.server)?;
        if self.is_under_duress {
            out.write_str(";du")?;
        }
        let numbers = [
            ("etp", self.throughput_kbps),
            ("mb", self.bitrate_max_kbps),
            ("rd", self.response_delay_ms),
            ("rtt", self.round_trip_ms),
        ];
        for (key, value) in numbers {
            if let Some(value) = value {
                write!(out, ";{key}={value}")?;
            }
        }
        Ok(())
    }
}

fn object_token(object_type: ObjectType) -> &'static str {
    match object_type {
        ObjectType::Manifest => "m",
        ObjectType::Audio => "a",
        ObjectType::Video => "v",
        ObjectType::Muxed => "av",
        ObjectType::Init => "i",
        ObjectType::Caption => "c",
        ObjectType::TimedText => "tt",
        ObjectType::Key => "k",
        ObjectType::Other => "o",
    }
}

fn format_token(streaming_format: StreamingFormat) -> &'static str {
    match streaming_format {
        StreamingFormat::Dash => "d",
        StreamingFormat::Hls => "h",
        StreamingFormat::Smooth => "s",
        StreamingFormat::Other => "o",
    }
}
