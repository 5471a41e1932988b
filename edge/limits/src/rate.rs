//! A rate, as an operator writes it: `"100/s burst 400"`.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

use governor::Quota;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The fastest rate and the largest burst.
const CELLS_MAX: u32 = 10_000_000;
/// How long a spent burst may take to come back.
const REPLENISH_MAX: Duration = Duration::from_secs(86_400);
/// The clock may go on by so much at once; a burst that is shorter would make the rate slower than it says.
const BURST_TIME_MIN: Duration = Duration::from_millis(10);

/// Per what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Unit {
    Second,
    Minute,
    Hour,
}

impl Unit {
    fn text(self) -> &'static str {
        match self {
            Self::Second => "s",
            Self::Minute => "min",
            Self::Hour => "h",
        }
    }

    fn duration(self) -> Duration {
        Duration::from_secs(match self {
            Self::Second => 1,
            Self::Minute => 60,
            Self::Hour => 3_600,
        })
    }
}

/// How many requests in a time, and how many at once; or no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Rate(Option<Limited>);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Limited {
    cells: NonZeroU32,
    unit: Unit,
    burst: NonZeroU32,
}

/// A text that is no rate.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{text:?}: expected {expected}")]
pub struct RateError {
    text: String,
    expected: &'static str,
}

const FORM: &str =
    "\"<number>/<s, min or h> burst <number>\", such as \"100/s burst 400\", or \"off\"";
const NUMBERS: &str = "numbers from 1 to 10000000";

impl Rate {
    /// No limit.
    pub const OFF: Self = Self(None);

    /// `cells` a second, `burst` at once; a zero of either is no limit.
    #[must_use]
    pub const fn per_second(cells: u32, burst: u32) -> Self {
        Self::of(cells, Unit::Second, burst)
    }

    /// `cells` a minute, `burst` at once; a zero of either is no limit.
    #[must_use]
    pub const fn per_minute(cells: u32, burst: u32) -> Self {
        Self::of(cells, Unit::Minute, burst)
    }

    const fn of(cells: u32, unit: Unit, burst: u32) -> Self {
        match (NonZeroU32::new(cells), NonZeroU32::new(burst)) {
            (Some(cells), Some(burst)) => Self(Some(Limited { cells, unit, burst })),
            _ => Self::OFF,
        }
    }

    /// Is there no limit?
    #[must_use]
    pub fn is_off(self) -> bool {
        self.0.is_none()
    }

    /// `factor` times as much.
    #[must_use]
    pub fn times(self, factor: NonZeroU32) -> Self {
        Self(self.0.map(|limited| Limited {
            cells: limited.cells.saturating_mul(factor),
            burst: limited.burst.saturating_mul(factor),
            ..limited
        }))
    }

    /// As governor wants it; absent where there is no limit.
    pub(crate) fn quota(self) -> Option<Quota> {
        let limited = self.0?;
        let period_ns = limited.unit.duration().as_nanos() / u128::from(limited.cells.get());
        let period_ns = u64::try_from(period_ns).unwrap_or(u64::MAX).max(1);
        Quota::with_period(Duration::from_nanos(period_ns))
            .map(|quota| quota.allow_burst(limited.burst))
    }

    fn check(self) -> Result<(), &'static str> {
        let Some(limited) = self.0 else {
            return Ok(());
        };
        if limited.cells.get() > CELLS_MAX || limited.burst.get() > CELLS_MAX {
            return Err(NUMBERS);
        }
        let burst_time = self.quota().map(|quota| quota.burst_size_replenished_in());
        match burst_time {
            Some(time) if time > REPLENISH_MAX => Err("a burst that comes back within a day"),
            Some(time) if time < BURST_TIME_MIN => Err("a burst of at least what 10 ms bring"),
            _ => Ok(()),
        }
    }
}

fn parse(text: &str) -> Result<Rate, &'static str> {
    if text == "off" {
        return Ok(Rate::OFF);
    }
    let (rate, burst) = text.split_once(" burst ").ok_or(FORM)?;
    let (cells, unit) = rate.split_once('/').ok_or(FORM)?;
    let unit = match unit {
        "s" => Unit::Second,
        "min" => Unit::Minute,
        "h" => Unit::Hour,
        _ => return Err(FORM),
    };
    let number = |text: &str| {
        let is_number = !text.is_empty() && text.bytes().all(|digit| digit.is_ascii_digit());
        if !is_number {
            return Err(FORM);
        }
        text.parse::<NonZeroU32>().map_err(|_| NUMBERS)
    };
    let limited = Limited {
        cells: number(cells)?,
        unit,
        burst: number(burst)?,
    };
    let rate = Rate(Some(limited));
    rate.check().map(|()| rate)
}

impl FromStr for Rate {
    type Err = RateError;

    fn from_str(text: &str) -> Result<Self, RateError> {
        parse(text).map_err(|expected| RateError {
            text: text.chars().take(64).collect(),
            expected,
        })
    }
}

impl TryFrom<String> for Rate {
    type Error = RateError;

    fn try_from(text: String) -> Result<Self, RateError> {
        text.parse()
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            None => formatter.write_str("off"),
            Some(limited) => write!(
                formatter,
                "{}/{} burst {}",
                limited.cells,
                limited.unit.text(),
                limited.burst
            ),
        }
    }
}

impl From<Rate> for String {
    fn from(rate: Rate) -> Self {
        rate.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_what_is_read() {
        for text in ["off", "1/h burst 1", "12/min burst 10", "100/s burst 400"] {
            let rate: Rate = text.parse().unwrap();
            assert_eq!(rate.to_string(), text);
            assert_eq!(toml::Value::try_from(rate).unwrap().as_str(), Some(text));
        }
        let quota = "12/min burst 10".parse::<Rate>().unwrap().quota().unwrap();
        assert_eq!(quota.replenish_interval(), Duration::from_secs(5));
        assert_eq!(quota.burst_size().get(), 10);
        assert_eq!(Rate::per_second(0, 5), Rate::OFF);
        let four = NonZeroU32::new(4).unwrap();
        assert_eq!(
            Rate::per_second(5, 20).times(four),
            Rate::per_second(20, 80)
        );
        assert_eq!(Rate::OFF.times(four), Rate::OFF);
    }

    #[test]
    fn what_is_no_rate_is_refused_with_what_was_expected() {
        for (text, expected) in [
            ("", "such as"),
            ("100", "such as"),
            ("100/s", "such as"),
            ("100/day burst 1", "such as"),
            ("100/s burst -1", "such as"),
            ("100/s burst +1", "such as"),
            ("100/s burst 1 ", "such as"),
            ("0/s burst 1", "1 to 10000000"),
            ("1/s burst 0", "1 to 10000000"),
            ("1/s burst 99999999999", "1 to 10000000"),
            ("10000001/s burst 1000000", "1 to 10000000"),
            ("1/h burst 25", "within a day"),
            ("1000/s burst 9", "10 ms"),
        ] {
            let error = text.parse::<Rate>().unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics_and_every_rate_has_a_quota(text in "[0-9]{0,9}/(s|min|h) burst [0-9]{0,9}|.{0,40}") {
            if let Ok(rate) = text.parse::<Rate>() {
                proptest::prop_assert_eq!(rate.quota().is_none(), rate.is_off());
            }
        }
    }
}
