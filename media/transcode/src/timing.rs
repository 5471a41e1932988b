//! From a source's timestamps to a presentation that begins at 0 and only goes forward.

use ffmpeg::Rational;
use ffmpeg_next as ffmpeg;

/// A step back of more than this is a joint between two recordings, and what follows is joined on. A smaller one is a
/// frame that comes too late to be shown.
const JOINT_MS: i128 = 1000;

/// Places frames of one stream on the presentation's time line.
#[derive(Debug, Clone)]
pub(crate) struct FrameClock {
    base: Rational,
    timescale: u32,
    /// Subtracted from every time, in the timescale.
    origin: i128,
    /// When the next frame is expected, in the timescale.
    expected: i128,
    placed_any: bool,
}

/// Where a frame belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// At this time in the timescale; not before 0 unless it is sound that must be trimmed.
    At(i64),
    /// Nowhere: it is older than what was placed.
    Late,
}

impl FrameClock {
    /// A clock for times in `base`, placed in `timescale` ticks a second; `origin_ms` becomes 0.
    pub(crate) fn new(base: Rational, timescale: u32, origin_ms: i64) -> Self {
        Self {
            base,
            timescale,
            origin: i128::from(origin_ms) * i128::from(timescale) / 1000,
            expected: 0,
            placed_any: false,
        }
    }

    /// Places a frame that lasts `duration` ticks of the timescale. A frame without a time follows the one before.
    pub(crate) fn place(&mut self, time: Option<i64>, duration: i64) -> Place {
        let mut at = match time {
            Some(time) => self.rescale(time) - self.origin,
            None => self.expected,
        };
        if self.placed_any && at < self.expected - JOINT_MS * i128::from(self.timescale) / 1000 {
            self.origin -= self.expected - at;
            at = self.expected;
        }
        let Ok(at) = i64::try_from(at) else {
            return Place::Late;
        };
        self.expected = i128::from(at) + i128::from(duration.max(0));
        self.placed_any = true;
        Place::At(at)
    }

    fn rescale(&self, time: i64) -> i128 {
        let num = i128::from(time) * i128::from(self.base.numerator()) * i128::from(self.timescale);
        let den = i128::from(self.base.denominator().max(1));
        (num + den / 2).div_euclid(den)
    }

    /// A length in the stream's own base, in the timescale.
    pub(crate) fn duration(&self, ticks: i64) -> i64 {
        i64::try_from(self.rescale(ticks.max(0))).unwrap_or(0)
    }
}

/// Places pictures: strictly forward, the first one at 0 even when the sound began earlier.
#[derive(Debug, Clone)]
pub(crate) struct PictureClock {
    clock: FrameClock,
    last: Option<i64>,
    nominal: i64,
}

impl PictureClock {
    /// `nominal` is how long a picture lasts when nothing tells, in the timescale.
    pub(crate) fn new(clock: FrameClock, nominal: i64) -> Self {
        Self {
            clock,
            last: None,
            nominal: nominal.max(1),
        }
    }

    /// When the picture is shown, or [`Place::Late`].
    pub(crate) fn place(&mut self, time: Option<i64>) -> Place {
        let Place::At(at) = self.clock.place(time, self.nominal) else {
            return Place::Late;
        };
        let place = match self.last {
            None => 0,
            Some(last) if at > last => at,
            Some(_) => return Place::Late,
        };
        self.last = Some(place);
        Place::At(place)
    }

    /// How long a picture lasts of which its packet says `ticks` of the stream's base (0 when it says nothing).
    pub(crate) fn duration(&self, ticks: i64) -> i64 {
        match self.clock.duration(ticks) {
            0 => self.nominal,
            said => said,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pictures(base: (i32, i32), timescale: u32, origin_ms: i64) -> PictureClock {
        let clock = FrameClock::new(Rational::new(base.0, base.1), timescale, origin_ms);
        PictureClock::new(clock, i64::from(timescale) / 25)
    }

    #[test]
    fn times_move_to_zero_and_keep_their_distances() {
        let mut clock = pictures((1, 1000), 25_000, 5000);
        let places: Vec<Place> = [5000, 5040, 5080, 5160]
            .into_iter()
            .map(|t| clock.place(Some(t)))
            .collect();
        assert_eq!(
            places,
            [
                Place::At(0),
                Place::At(1000),
                Place::At(2000),
                Place::At(4000)
            ]
        );
    }

    #[test]
    fn a_late_first_picture_is_shown_from_the_start() {
        let mut clock = pictures((1, 1000), 1000, 0);
        assert_eq!(clock.place(Some(480)), Place::At(0));
        assert_eq!(clock.place(Some(520)), Place::At(520));
    }

    #[test]
    fn twins_and_stragglers_are_late_and_joints_go_on() {
        let mut clock = pictures((1, 1000), 1000, 0);
        for (time, place) in [
            (Some(0), Place::At(0)),
            (Some(40), Place::At(40)),
            (Some(40), Place::Late),
            (Some(20), Place::Late),
            (None, Place::At(60)),
            (Some(5000), Place::At(5000)),
            (Some(10), Place::At(5040)),
            (Some(50), Place::At(5080)),
        ] {
            assert_eq!(clock.place(time), place, "{time:?}");
        }
    }

    #[test]
    fn odd_bases_are_exact() {
        let mut clock = pictures((1001, 24_000), 24_000, 0);
        for n in 0..1000 {
            assert_eq!(clock.place(Some(n)), Place::At(n * 1001));
        }
        assert_eq!(clock.duration(1), 1001);
        assert_eq!(clock.duration(0), 960);
    }

    proptest::proptest! {
        #[test]
        fn places_only_go_forward(times in proptest::collection::vec(proptest::option::of(-1_000_000i64..1_000_000), 0..200)) {
            let mut clock = pictures((1, 1000), 90_000, 0);
            let mut last = -1;
            for time in times {
                if let Place::At(at) = clock.place(time) {
                    proptest::prop_assert!(at > last);
                    last = at;
                }
            }
        }
    }
}
