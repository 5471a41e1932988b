//! Windows of flow control (RFC 9113 section 5.2).

use thiserror::Error;

/// A window would be larger than 2^31-1 (RFC 9113 section 6.9.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a window of more than 2^31-1 bytes")]
pub struct Overflow;

/// How many bytes of `DATA` may be sent. Less than none after the other side has changed its mind about how large windows
/// are to begin with (RFC 9113 section 6.9.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window(i64);

impl Window {
    /// The largest there may be.
    pub const MAX: i64 = (1 << 31) - 1;
    /// What windows begin with unless settings say otherwise.
    pub const INITIAL: u32 = 65_535;

    /// A window of so many bytes.
    #[must_use]
    pub const fn new(bytes: u32) -> Self {
        Self(bytes as i64)
    }

    /// Bytes that may be sent, none if the window is negative.
    #[must_use]
    pub fn room(self) -> usize {
        usize::try_from(self.0).unwrap_or(0)
    }

    /// The window as it is reckoned.
    #[must_use]
    pub const fn bytes(self) -> i64 {
        self.0
    }

    /// Makes room for `bytes` more.
    ///
    /// # Errors
    /// The window would be too large; it stays as it was.
    pub const fn grow(&mut self, bytes: u32) -> Result<(), Overflow> {
        self.shift(bytes as i64)
    }

    /// Follows a change of what windows begin with, up or down.
    ///
    /// # Errors
    /// The window would be too large; it stays as it was.
    pub const fn shift(&mut self, bytes: i64) -> Result<(), Overflow> {
        let changed = self.0 + bytes;
        if changed > Self::MAX {
            return Err(Overflow);
        }
        self.0 = changed;
        Ok(())
    }

    /// Takes room away; false where there is not as much, which changes nothing.
    pub const fn take(&mut self, bytes: usize) -> bool {
        if bytes as i64 > self.0 {
            return false;
        }
        self.0 -= bytes as i64;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_go_below_nothing_and_not_above_the_most() {
        let mut window = Window::new(100);
        assert!(window.take(60) && !window.take(41));
        assert_eq!(window.shift(-50), Ok(()));
        assert_eq!((window.bytes(), window.room()), (-10, 0));
        assert!(window.take(0) || window.bytes() < 0);
        assert_eq!(window.grow(10), Ok(()));
        assert_eq!(window.room(), 0);
        assert_eq!(window.grow(u32::MAX >> 1), Ok(()));
        assert_eq!(window.grow(1), Err(Overflow));
        assert_eq!(window.bytes(), Window::MAX);
    }
}
