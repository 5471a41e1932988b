//! A number, its unit, and where it comes from.

use std::fmt;

use serde::{Serialize, Serializer};

/// What a number counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unit {
    /// A number of things.
    Count,
    /// Of 1.
    Ratio,
    /// Bits per second.
    BitPerS,
    /// Bytes.
    Byte,
    /// Bytes a day.
    BytePerDay,
    /// Events per second.
    PerS,
    /// Processor time for a GB (10⁹ bytes), s.
    SPerGb,
    /// Time, s.
    S,
    /// Time, µs.
    Us,
    /// Processor cores.
    Core,
}

impl Unit {
    /// As in tables, with the prefix that suits the number: `1.50 Tbit/s`. Powers of 1000.
    #[must_use]
    pub fn show(self, value: f64) -> String {
        match self {
            Self::Count => grouped(value),
            Self::Ratio => short(value),
            Self::BitPerS => scaled(value, "bit/s"),
            Self::Byte => scaled(value, "B"),
            Self::BytePerDay => scaled(value, "B/day"),
            Self::PerS => format!("{}/s", grouped(value)),
            Self::SPerGb => format!("{} s/GB", short(value)),
            Self::S => format!("{} s", short(value)),
            Self::Us => format!("{} µs", short(value)),
            Self::Core => format!("{} cores", grouped(value)),
        }
    }
}

fn scaled(value: f64, unit: &str) -> String {
    const PREFIXES: [(f64, &str); 6] = [
        (1e18, "E"),
        (1e15, "P"),
        (1e12, "T"),
        (1e9, "G"),
        (1e6, "M"),
        (1e3, "k"),
    ];
    let of_size = PREFIXES.iter().find(|(size, _)| value.abs() >= *size);
    let (size, prefix) = of_size.copied().unwrap_or((1.0, ""));
    format!("{} {prefix}{unit}", short(value / size))
}

/// Three digits that matter, without zeros at the end.
fn short(value: f64) -> String {
    let digits = match value.abs() {
        large if large >= 100.0 => 0,
        middle if middle >= 10.0 => 1,
        small if small >= 1.0 => 2,
        _ => 4,
    };
    let text = format!("{value:.digits$}");
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

/// `150 000`; fractions only of small numbers.
fn grouped(value: f64) -> String {
    if value.abs() < 100.0 {
        return short(value);
    }
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

/// Where a number comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// The product's stated scale or another page of its specification.
    Stated(&'static str),
    /// Measured: which file, at which commit.
    Measured(String),
    /// Given by the user.
    Given,
    /// Nobody has stated or measured it; the reason for the number.
    Assumed(&'static str),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stated(page) => write!(f, "stated: {page}"),
            Self::Measured(file) => write!(f, "measured: {file}"),
            Self::Given => f.write_str("given"),
            Self::Assumed(why) => write!(f, "assumed: {why}"),
        }
    }
}

impl Serialize for Source {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// An input.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Figure {
    /// Its name, as flags give it; the unit is last.
    pub name: &'static str,
    /// How much, in the unit.
    pub value: f64,
    /// In what.
    pub unit: Unit,
    /// Where it comes from.
    pub source: Source,
    /// The least that it may be.
    #[serde(skip)]
    pub(crate) least: f64,
    /// The most that it may be.
    #[serde(skip)]
    pub(crate) most: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_shown_with_the_prefix_that_suits() {
        assert_eq!(Unit::BitPerS.show(1.5e12), "1.5 Tbit/s");
        assert_eq!(Unit::BitPerS.show(64_000.0), "64 kbit/s");
        assert_eq!(Unit::Byte.show(3.84e12), "3.84 TB");
        assert_eq!(Unit::Count.show(150_000.0), "150 000");
        assert_eq!(Unit::Count.show(7.0), "7");
        assert_eq!(Unit::Ratio.show(0.85), "0.85");
        assert_eq!(Unit::Byte.show(0.0), "0 B");
    }
}
