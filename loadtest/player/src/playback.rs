//! The playback clock: when media plays, and when it stalls. Pure; all times are µs.

/// What plays, and what it went through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Playback {
    state: State,
    /// Up to when all of this is said.
    now_us: u64,
    /// The play head in the media.
    head_us: u64,
    /// Media played.
    played_us: u64,
    stalls: u32,
    stalled_us: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Before the first frame, or after a seek: nobody calls this a stall.
    Waiting,
    Playing,
    Stalled,
    Ended,
}

/// What the buffer holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Buffer {
    /// Up to which moment of the media all tracks are there.
    pub loaded_us: u64,
    /// Whether that is its end.
    pub is_all: bool,
}

impl Playback {
    /// At the media's beginning.
    #[must_use]
    pub fn new(now_us: u64) -> Self {
        Self {
            state: State::Waiting,
            now_us,
            head_us: 0,
            played_us: 0,
            stalls: 0,
            stalled_us: 0,
        }
    }

    /// Time goes on to `now_us`, in which the buffer was as told.
    pub fn advance(&mut self, now_us: u64, buffer: Buffer) {
        let passed = now_us.saturating_sub(self.now_us);
        self.now_us = self.now_us.max(now_us);
        match self.state {
            State::Playing => {
                let ahead = buffer.loaded_us.saturating_sub(self.head_us);
                let played = passed.min(ahead);
                self.head_us += played;
                self.played_us += played;
                if buffer.is_all && played == ahead {
                    self.state = State::Ended;
                } else if passed > ahead {
                    self.state = State::Stalled;
                    self.stalls += 1;
                    self.stalled_us += passed - played;
                }
            }
            State::Stalled => self.stalled_us += passed,
            State::Waiting | State::Ended => {}
        }
    }

    /// The buffer has grown; whether that begins to play.
    pub fn filled(&mut self, buffer: Buffer, start_buffer_us: u64) -> bool {
        let ahead = buffer.loaded_us.saturating_sub(self.head_us);
        let is_waiting = matches!(self.state, State::Waiting | State::Stalled);
        let plays = is_waiting && ahead > 0 && (ahead >= start_buffer_us || buffer.is_all);
        if plays {
            self.state = State::Playing;
        } else if is_waiting && buffer.is_all && ahead == 0 {
            self.state = State::Ended;
        }
        plays
    }

    /// The user goes to another place.
    pub fn seek(&mut self, head_us: u64) {
        self.head_us = head_us;
        self.state = State::Waiting;
    }

    /// The play head in the media.
    #[must_use]
    pub fn head_us(&self) -> u64 {
        self.head_us
    }

    /// Media played.
    #[must_use]
    pub fn played_us(&self) -> u64 {
        self.played_us
    }

    /// Stalls that began, and their time.
    #[must_use]
    pub fn stalls(&self) -> (u32, u64) {
        (self.stalls, self.stalled_us)
    }

    /// Whether it plays.
    #[must_use]
    pub fn is_playing(&self) -> bool {
        self.state == State::Playing
    }

    /// Whether all was played.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.state == State::Ended
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const S: u64 = 1_000_000;

    fn loaded(seconds: u64, is_all: bool) -> Buffer {
        Buffer {
            loaded_us: seconds * S,
            is_all,
        }
    }

    #[test]
    fn a_late_segment_stalls_for_just_as_long_as_it_is_late() {
        let mut playback = Playback::new(0);
        playback.advance(S, loaded(0, false));
        assert!(!playback.filled(loaded(1, false), 2 * S));
        playback.advance(3 * S, loaded(1, false));
        assert!(playback.filled(loaded(4, false), 2 * S));
        // 4 s of media are played at 7 s; the next is there at 9.5 s.
        playback.advance(9 * S + S / 2, loaded(4, false));
        assert_eq!(
            (playback.stalls(), playback.played_us()),
            ((1, 2 * S + S / 2), 4 * S)
        );
        assert!(playback.filled(loaded(8, true), 2 * S));
        playback.advance(20 * S, loaded(8, true));
        assert!(playback.has_ended());
        assert_eq!(playback.stalls(), (1, 2 * S + S / 2));
        assert_eq!(playback.played_us(), 8 * S);
    }

    proptest! {
        #[test]
        fn after_the_first_frame_all_time_is_played_or_stalled(
            steps in prop::collection::vec((0_u64..6 * S, 0_u64..5 * S), 1..50),
        ) {
            let mut playback = Playback::new(0);
            let mut buffer = loaded(0, false);
            let (mut now, mut first) = (0, None);
            for (wait, media) in steps {
                now += wait;
                playback.advance(now, buffer);
                buffer.loaded_us += media;
                if playback.filled(buffer, 2 * S) && first.is_none() {
                    first = Some(now);
                }
            }
            let told = playback.played_us() + playback.stalls().1;
            prop_assert_eq!(told, first.map_or(0, |first| now - first));
            prop_assert!(playback.head_us() <= buffer.loaded_us);
        }
    }
}
