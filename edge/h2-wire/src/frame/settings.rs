//! Settings (RFC 9113 section 6.5).

use super::{FRAME_BYTES, FRAME_BYTES_MAX};
use crate::error::{Code, ConnectionError};
use crate::window::Window;

/// One setting whose value it may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setting {
    /// The most that the table of a decoder may take, bytes.
    HeaderTableSize(u32),
    /// Whether there may be pushes.
    EnablePush(bool),
    /// How many streams there may be at once.
    MaxConcurrentStreams(u32),
    /// What a stream's window begins with, 0 to 2^31-1 bytes.
    InitialWindowSize(u32),
    /// The largest payload that is taken, 2^14 to 2^24-1 bytes.
    MaxFrameSize(u32),
    /// The most that a message's fields may take, bytes.
    MaxHeaderListSize(u32),
    /// Priorities of RFC 7540 are not followed (RFC 9218 section 2.1).
    NoRfc7540Priorities(bool),
}

impl Setting {
    /// Absent for those that are to be ignored.
    fn of(id: u16, value: u32) -> Result<Option<Self>, ConnectionError> {
        let truth = |why| match value {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(ConnectionError::protocol(why)),
        };
        Ok(Some(match id {
            1 => Self::HeaderTableSize(value),
            2 => Self::EnablePush(truth("SETTINGS_ENABLE_PUSH is neither 0 nor 1")?),
            3 => Self::MaxConcurrentStreams(value),
            4 if i64::from(value) > Window::MAX => {
                let why = "SETTINGS_INITIAL_WINDOW_SIZE is more than 2^31-1";
                return Err(ConnectionError::new(Code::FLOW_CONTROL_ERROR, why));
            }
            4 => Self::InitialWindowSize(value),
            5 if !(FRAME_BYTES..=FRAME_BYTES_MAX).contains(&(value as usize)) => {
                return Err(ConnectionError::protocol(
                    "SETTINGS_MAX_FRAME_SIZE is not 2^14 to 2^24-1",
                ));
            }
            5 => Self::MaxFrameSize(value),
            6 => Self::MaxHeaderListSize(value),
            9 => Self::NoRfc7540Priorities(truth(
                "SETTINGS_NO_RFC7540_PRIORITIES is neither 0 nor 1",
            )?),
            _ => return Ok(None),
        }))
    }

    /// As it is written.
    #[must_use]
    pub(super) const fn pair(self) -> (u16, u32) {
        match self {
            Self::HeaderTableSize(value) => (1, value),
            Self::EnablePush(value) => (2, value as u32),
            Self::MaxConcurrentStreams(value) => (3, value),
            Self::InitialWindowSize(value) => (4, value),
            Self::MaxFrameSize(value) => (5, value),
            Self::MaxHeaderListSize(value) => (6, value),
            Self::NoRfc7540Priorities(value) => (9, value as u32),
        }
    }
}

/// The settings of one frame, all of them good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings<'b>(&'b [u8]);

impl<'b> Settings<'b> {
    pub(super) fn new(payload: &'b [u8]) -> Result<Self, ConnectionError> {
        if !payload.len().is_multiple_of(6) {
            return Err(ConnectionError::size("SETTINGS that is cut"));
        }
        for pair in Self(payload).pairs() {
            pair?;
        }
        Ok(Self(payload))
    }

    fn pairs(self) -> impl Iterator<Item = Result<Option<Setting>, ConnectionError>> + 'b {
        self.0.chunks_exact(6).map(|pair| match *pair {
            [a, b, c, d, e, f] => {
                Setting::of(u16::from_be_bytes([a, b]), u32::from_be_bytes([c, d, e, f]))
            }
            _ => Ok(None),
        })
    }
}

impl<'b> IntoIterator for Settings<'b> {
    type Item = Setting;
    type IntoIter = SettingsIter<'b>;

    /// Those that are known, in their order, which counts (section 6.5.3).
    fn into_iter(self) -> SettingsIter<'b> {
        SettingsIter(self.0.chunks_exact(6))
    }
}

/// The known settings of one frame.
#[derive(Debug, Clone)]
pub struct SettingsIter<'b>(std::slice::ChunksExact<'b, u8>);

impl Iterator for SettingsIter<'_> {
    type Item = Setting;

    fn next(&mut self) -> Option<Setting> {
        loop {
            let [a, b, c, d, e, f] = *self.0.next()? else {
                return None;
            };
            let (id, value) = (u16::from_be_bytes([a, b]), u32::from_be_bytes([c, d, e, f]));
            if let Ok(Some(setting)) = Setting::of(id, value) {
                return Some(setting);
            }
        }
    }
}
