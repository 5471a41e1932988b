//! What the suite's origin says.

use std::time::{Duration, SystemTime};

/// How the answer's end is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// By `Content-Length`.
    Length,
    /// By `Content-Length`, but the connection is closed after so many bytes of the body.
    Cut(usize),
    /// By chunks.
    Chunked,
    /// By chunks, but the connection is closed before the last.
    ChunkedCut,
    /// By the connection's end.
    Close,
}

/// What the origin says.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// Fields; `{date:N}` in a value becomes the date N seconds from now (IMF-fixdate, RFC 9110 §5.6.7), `{folder}` the
    /// request's path to its last slash.
    pub fields: Vec<(String, String)>,
    /// The body; absent: one that names the target and the how-manieth answer for it this is.
    pub body: Option<Vec<u8>>,
    /// 1xx before it: status and fields.
    pub interim: Vec<(u16, Vec<(String, String)>)>,
    /// How the end is told.
    pub told: Told,
    /// How long it thinks before the head.
    pub think: Duration,
    /// Over how long the body is dripped.
    pub drip: Duration,
    /// 304 to a request whose `If-None-Match` or `If-Modified-Since` names what `fields` say.
    pub validates: bool,
    /// 206 to a request with one range.
    pub ranges: bool,
    /// Closes without a word.
    pub hangs_up: bool,
    /// Sends these bytes in place of everything, and closes.
    pub raw: Option<Vec<u8>>,
}

impl Answer {
    /// This status, and nothing else.
    #[must_use]
    pub fn new(status: u16) -> Self {
        Self {
            status,
            fields: Vec::new(),
            body: None,
            interim: Vec::new(),
            told: Told::Length,
            think: Duration::ZERO,
            drip: Duration::ZERO,
            validates: false,
            ranges: false,
            hangs_up: false,
            raw: None,
        }
    }

    /// With one more field.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.fields.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With these fields.
    #[must_use]
    pub fn with_all(mut self, fields: &[(&str, &str)]) -> Self {
        for (name, value) in fields {
            self = self.with(name, value);
        }
        self
    }

    /// With this body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = Some(body.into());
        self
    }

    /// Its end told this way.
    #[must_use]
    pub fn told(mut self, told: Told) -> Self {
        self.told = told;
        self
    }

    /// Its body dripped over so many milliseconds.
    #[must_use]
    pub fn dripped_ms(mut self, ms: u64) -> Self {
        self.drip = Duration::from_millis(ms);
        self
    }

    /// Its head so many milliseconds after the request.
    #[must_use]
    pub fn after_ms(mut self, ms: u64) -> Self {
        self.think = Duration::from_millis(ms);
        self
    }

    /// 304 where the request's validators match.
    #[must_use]
    pub fn validating(mut self) -> Self {
        self.validates = true;
        self
    }

    /// 206 where the request has one range.
    #[must_use]
    pub fn ranging(mut self) -> Self {
        self.ranges = true;
        self
    }

    /// A connection closed without a word.
    #[must_use]
    pub fn hang_up() -> Self {
        Self {
            hangs_up: true,
            ..Self::new(0)
        }
    }

    /// These bytes, and the connection's end.
    #[must_use]
    pub fn raw(bytes: &[u8]) -> Self {
        Self {
            raw: Some(bytes.to_vec()),
            ..Self::new(0)
        }
    }

    pub(super) fn field(&self, name: &str) -> Option<String> {
        let (_, value) = self
            .fields
            .iter()
            .find(|(found, _)| found.eq_ignore_ascii_case(name))?;
        Some(with_dates(value))
    }
}

/// `{date:N}` becomes the date N seconds from now.
#[must_use]
pub fn with_dates(value: &str) -> String {
    let Some((before, rest)) = value.split_once("{date:") else {
        return value.to_owned();
    };
    let (offset, after) = rest.split_once('}').unwrap_or((rest, ""));
    let offset: i64 = offset.parse().unwrap_or(0);
    let by = Duration::from_secs(offset.unsigned_abs());
    let now = SystemTime::now();
    let moment = if offset < 0 { now - by } else { now + by };
    format!("{before}{}{after}", httpdate::fmt_http_date(moment))
}
