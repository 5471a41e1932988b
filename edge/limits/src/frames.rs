//! HTTP/2 frames that cost their sender nothing and the server something: counted as they come in, before anything else.
//!
//! The connection (`edge/h2`) itself bounds the fields of a request and the `CONTINUATION` frames that carry them, streams that
//! were taken back before they were looked at, streams that it had to end, empty `DATA` frames, and what its answers to
//! `SETTINGS` and `PING` take of its memory. What it does not bound is how often a client may do all this: open a stream, let
//! it be looked at and take it back, for as long as the connection lives.

use std::fmt;

use governor::RateLimiter;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::{InMemoryState, NotKeyed};

use crate::clock::RuleClock;
use crate::config::FramesConfig;
use crate::limiter::Limiter;
use crate::rate::Rate;

/// RFC 9113 section 3.4.
const PREFACE_BYTES: usize = 24;
/// RFC 9113 section 4.1.
const HEAD_BYTES: usize = 9;
const END_STREAM: u8 = 1;

/// Frames that are counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameKind {
    /// `RST_STREAM`.
    Reset,
    /// `PING`.
    Ping,
    /// `SETTINGS`.
    Settings,
    /// `WINDOW_UPDATE`.
    WindowUpdate,
    /// `PRIORITY`, empty `DATA`, unknown types.
    Other,
}

impl FrameKind {
    /// Its name in metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Reset => "reset",
            Self::Ping => "ping",
            Self::Settings => "settings",
            Self::WindowUpdate => "window-update",
            Self::Other => "other",
        }
    }

    /// Absent for frames that carry something.
    fn of(head: &[u8; HEAD_BYTES]) -> Option<Self> {
        let [high, middle, low, kind, flags, ..] = *head;
        let is_empty = (high, middle, low) == (0, 0, 0);
        match kind {
            // DATA
            0 if is_empty && flags & END_STREAM == 0 => Some(Self::Other),
            // DATA, HEADERS, CONTINUATION
            0 | 1 | 9 => None,
            3 => Some(Self::Reset),
            4 => Some(Self::Settings),
            6 => Some(Self::Ping),
            8 => Some(Self::WindowUpdate),
            _ => Some(Self::Other),
        }
    }
}

/// More frames of a kind than a connection may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flood(pub FrameKind);

impl fmt::Display for Flood {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "too many {} frames", self.0.name())
    }
}

impl std::error::Error for Flood {}

/// What every connection may send.
#[derive(Debug, Clone)]
pub struct FrameRules {
    config: FramesConfig,
    clock: RuleClock,
}

impl FrameRules {
    /// By the clock of the node's limiter.
    #[must_use]
    pub fn new(config: &FramesConfig, limiter: &Limiter) -> Self {
        Self {
            config: config.clone(),
            clock: limiter.clock(),
        }
    }
}

impl FrameRules {
    /// As how many connections one counts that is ended for its frames.
    pub(crate) fn connections_price(&self) -> u32 {
        self.config.connections
    }
}

type One = RateLimiter<NotKeyed, InMemoryState, RuleClock, NoOpMiddleware<Nanos>>;

/// Counts one connection's frames.
#[derive(Debug)]
pub struct FrameMeter {
    resets: Option<One>,
    pings: Option<One>,
    settings: Option<One>,
    window_updates: Option<One>,
    others: Option<One>,
    /// Bytes that are of no interest: the preface, what a frame carries.
    skip: usize,
    head: [u8; HEAD_BYTES],
    head_length: usize,
}

impl FrameMeter {
    /// Of a connection of which nothing was read yet.
    #[must_use]
    pub fn new(rules: &FrameRules) -> Self {
        let one = |rate: Rate| {
            let quota = rate.quota()?;
            let clock = rules.clock.clone();
            Some(RateLimiter::new(quota, InMemoryState::default(), clock))
        };
        let config = &rules.config;
        Self {
            resets: one(config.resets),
            pings: one(config.pings),
            settings: one(config.settings),
            window_updates: one(config.window_updates),
            others: one(config.others),
            skip: PREFACE_BYTES,
            head: [0; HEAD_BYTES],
            head_length: 0,
        }
    }

    /// Counts what was read. The connection is to be ended at an error: what follows is not looked at in its place.
    ///
    /// # Errors
    /// [`Flood`] at the first frame too many.
    pub fn read(&mut self, mut bytes: &[u8]) -> Result<(), Flood> {
        loop {
            let skipped = self.skip.min(bytes.len());
            self.skip -= skipped;
            bytes = bytes.get(skipped..).unwrap_or_default();
            let Some((first, rest)) = bytes.split_first() else {
                return Ok(());
            };
            if let Some(place) = self.head.get_mut(self.head_length) {
                *place = *first;
            }
            self.head_length += 1;
            bytes = rest;
            if self.head_length == HEAD_BYTES {
                self.head_length = 0;
                let [high, middle, low, ..] = self.head;
                self.skip = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
                self.count()?;
            }
        }
    }

    fn count(&self) -> Result<(), Flood> {
        let Some(kind) = FrameKind::of(&self.head) else {
            return Ok(());
        };
        let limiter = match kind {
            FrameKind::Reset => &self.resets,
            FrameKind::Ping => &self.pings,
            FrameKind::Settings => &self.settings,
            FrameKind::WindowUpdate => &self.window_updates,
            FrameKind::Other => &self.others,
        };
        match limiter {
            Some(limiter) => limiter.check().map_err(|_| Flood(kind)),
            None => Ok(()),
        }
    }
}
