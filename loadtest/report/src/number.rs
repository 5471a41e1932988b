//! Numbers for people: units that fit, and no more digits than can be believed.

use mcsp_loadtest_scenario::Metric;

/// What is shown for a number that is none.
pub(crate) const NOTHING: &str = "–";

/// What a value is a number of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    Milliseconds,
    Ratio,
    KbitS,
    BitS,
    Bytes,
    Cores,
    PerS,
    PerMinute,
    Count,
}

/// A unit and what a value is divided by to be in it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Scale {
    pub(crate) divisor: f64,
    pub(crate) symbol: &'static str,
}

impl Unit {
    pub(crate) fn of(metric: Metric) -> Self {
        match metric {
            Metric::LatencyMs | Metric::StartupMs => Self::Milliseconds,
            Metric::RebufferRatio
            | Metric::ErrorRatio
            | Metric::SessionFailureRatio
            | Metric::HitRatio => Self::Ratio,
            Metric::BitrateKbitS => Self::KbitS,
            Metric::RequestsPerS => Self::PerS,
            Metric::SwitchesPerMin => Self::PerMinute,
            Metric::Findings => Self::Count,
        }
    }

    /// The unit in which values up to `max` are read easily.
    pub(crate) fn scale(self, max: f64) -> Scale {
        const BINARY: f64 = 1_024.0;
        let steps: &[(f64, &str)] = match self {
            Self::Milliseconds => &[(1e3, "s"), (1.0, "ms"), (1e-3, "µs")],
            Self::Ratio => &[(0.01, "%")],
            Self::KbitS => &[(1e6, "Gbit/s"), (1e3, "Mbit/s"), (1.0, "kbit/s")],
            Self::BitS => &[
                (1e9, "Gbit/s"),
                (1e6, "Mbit/s"),
                (1e3, "kbit/s"),
                (1.0, "bit/s"),
            ],
            Self::Bytes => &[
                (BINARY * BINARY * BINARY * BINARY, "TiB"),
                (BINARY * BINARY * BINARY, "GiB"),
                (BINARY * BINARY, "MiB"),
                (BINARY, "KiB"),
                (1.0, "B"),
            ],
            Self::Cores => &[(1.0, "cores")],
            Self::PerS => &[(1.0, "/s")],
            Self::PerMinute => &[(1.0, "/min")],
            Self::Count => &[(1.0, "")],
        };
        let fits = steps.iter().find(|(divisor, _)| max.abs() >= *divisor);
        // Nothing at all is shown in the unit of what there would be.
        let base = steps.iter().find(|(divisor, _)| *divisor == 1.0);
        let smallest = if max == 0.0 {
            base.or(steps.last())
        } else {
            steps.last()
        };
        let (divisor, symbol) = fits.or(smallest).copied().unwrap_or((1.0, ""));
        Scale { divisor, symbol }
    }

    /// `1.84 s`, `0.42 %`, `12,345`.
    pub(crate) fn show(self, value: f64) -> String {
        if !value.is_finite() {
            return NOTHING.to_owned();
        }
        let scale = self.scale(value);
        let number = if self == Self::Ratio {
            percent(value)
        } else {
            digits(value / scale.divisor)
        };
        if scale.symbol.is_empty() {
            number
        } else if scale.symbol.starts_with('/') {
            format!("{number}{}", scale.symbol)
        } else {
            // A number stays with its unit.
            format!("{number}\u{a0}{}", scale.symbol)
        }
    }

    /// As [`Unit::show`]; a dash for what was not measured.
    pub(crate) fn show_some(self, value: Option<f64>) -> String {
        value.map_or(NOTHING.to_owned(), |value| self.show(value))
    }
}

/// A value in the unit that comparisons write.
pub(crate) fn show_in(symbol: &str, value: f64) -> String {
    match symbol {
        "ms" => Unit::Milliseconds.show(value),
        "%" => Unit::Ratio.show(value / 100.0),
        "kbit/s" => Unit::KbitS.show(value),
        "/s" => Unit::PerS.show(value),
        _ => Unit::Count.show(value),
    }
}

/// Three significant digits, or all before the point.
pub(crate) fn digits(value: f64) -> String {
    if !value.is_finite() {
        return NOTHING.to_owned();
    }
    let size = value.abs();
    if size < 1e-9 {
        return "0".to_owned();
    }
    if size >= 1e15 {
        return format!("{value:.2e}");
    }
    let decimals = (2.0 - size.log10().floor()).clamp(0.0, 9.0) as usize;
    decimal(value, decimals)
}

/// A share in percent; close to the whole, as many decimals as tell it from the whole.
fn percent(share: f64) -> String {
    let missing = (1.0 - share) * 100.0;
    if missing > 1e-4 && missing < 1.0 {
        let decimals = (1.0 - missing.log10().floor()).clamp(2.0, 5.0) as usize;
        return decimal(share * 100.0, decimals);
    }
    digits(share * 100.0)
}

/// With so many decimals at most, and commas.
pub(crate) fn decimal(value: f64, decimals: usize) -> String {
    let text = format!("{value:.decimals$}");
    let (whole, part) = text.split_once('.').unwrap_or((&text, ""));
    let (sign, whole) = whole
        .strip_prefix('-')
        .map_or(("", whole), |whole| ("-", whole));
    let part = part.trim_end_matches('0');
    let mut grouped = String::new();
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    let sign = if grouped == "0" && part.is_empty() {
        ""
    } else {
        sign
    };
    if part.is_empty() {
        format!("{sign}{grouped}")
    } else {
        format!("{sign}{grouped}.{part}")
    }
}

/// `12,345`.
pub(crate) fn count(value: u64) -> String {
    decimal(value as f64, 0)
}

/// `1 time`, `12 times`.
pub(crate) fn times(value: u64) -> String {
    plural(value, "time")
}

/// `1 session`, `2 sessions`.
pub(crate) fn plural(value: u64, noun: &str) -> String {
    let ending = if value == 1 { "" } else { "s" };
    format!("{} {noun}{ending}", count(value))
}

/// A span: `850 ms`, `42 s`, `2 min 5 s`, `1 h 30 min`.
pub(crate) fn span(seconds: f64) -> String {
    if !seconds.is_finite() || seconds < 0.0 {
        return NOTHING.to_owned();
    }
    if seconds < 10.0 {
        return Unit::Milliseconds.show(seconds * 1e3);
    }
    let whole = seconds.round() as u64;
    let parts = [
        (whole / 86_400, "d"),
        (whole / 3_600 % 24, "h"),
        (whole / 60 % 60, "min"),
        (whole % 60, "s"),
    ];
    let first = parts.iter().position(|(number, _)| *number > 0);
    let shown = parts.iter().skip(first.unwrap_or(3)).take(2);
    let shown = shown.filter(|(number, _)| *number > 0);
    let shown = shown.map(|(number, unit)| format!("{number}\u{a0}{unit}"));
    shown.collect::<Vec<_>>().join(" ")
}

/// A moment of a run: `0:42`, `1:02:05`.
pub(crate) fn clock(seconds: f64) -> String {
    let whole = if seconds.is_finite() {
        seconds.max(0.0).round() as u64
    } else {
        0
    };
    let (hours, minutes, seconds) = (whole / 3_600, whole / 60 % 60, whole % 60);
    if hours > 0 {
        format!("{hours}:{minutes:02}:{seconds:02}")
    } else {
        format!("{minutes}:{seconds:02}")
    }
}

/// `2026-11-22 12:28:08 UTC`.
pub(crate) fn date(unix_ms: u64) -> String {
    let timestamp = i64::try_from(unix_ms)
        .ok()
        .and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    timestamp.map_or(NOTHING.to_owned(), |timestamp| {
        timestamp.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
    })
}

/// One line without control characters and without characters that turn writing round: names come from whoever answers.
pub(crate) fn one_line(text: &str) -> String {
    let is_harmful = |c: char| {
        c.is_control()
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}')
    };
    text.chars()
        .map(|c| match c {
            '\n' | '\r' | '\t' => ' ',
            c if is_harmful(c) => '\u{fffd}',
            c => c,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_shown_in_units_that_fit() {
        for (unit, value, shown) in [
            (Unit::Milliseconds, 0.25, "250\u{a0}µs"),
            (Unit::Milliseconds, 0.0, "0\u{a0}ms"),
            (Unit::Milliseconds, 12.345, "12.3\u{a0}ms"),
            (Unit::Milliseconds, 1_840.0, "1.84\u{a0}s"),
            (Unit::Ratio, 0.0042, "0.42\u{a0}%"),
            (Unit::Ratio, 0.999_7, "99.97\u{a0}%"),
            (Unit::Ratio, 0.999_999, "99.9999\u{a0}%"),
            (Unit::Ratio, 1.0, "100\u{a0}%"),
            (Unit::KbitS, 3_100.0, "3.1\u{a0}Mbit/s"),
            (Unit::Bytes, 1_536.0, "1.5\u{a0}KiB"),
            (Unit::PerS, 12_345.6, "12,346/s"),
            (Unit::Count, 1e6, "1,000,000"),
            (Unit::Count, -0.5, "-0.5"),
            (Unit::Count, f64::NAN, "–"),
            (Unit::Milliseconds, f64::INFINITY, "–"),
        ] {
            assert_eq!(unit.show(value), shown, "{unit:?} {value}");
        }
    }

    #[test]
    fn spans_and_moments_are_short() {
        for (seconds, shown) in [
            (0.85, "850\u{a0}ms"),
            (42.0, "42\u{a0}s"),
            (125.0, "2\u{a0}min 5\u{a0}s"),
            (120.0, "2\u{a0}min"),
            (5_400.0, "1\u{a0}h 30\u{a0}min"),
            (90_000.0, "1\u{a0}d 1\u{a0}h"),
            (f64::NAN, "–"),
        ] {
            assert_eq!(span(seconds), shown, "{seconds}");
        }
        assert_eq!(clock(42.0), "0:42");
        assert_eq!(clock(3_725.4), "1:02:05");
        assert_eq!(date(1_795_350_488_000), "2026-11-22 12:28:08 UTC");
        assert_eq!(date(u64::MAX), "–");
    }

    #[test]
    fn names_cannot_steer_a_terminal() {
        assert_eq!(
            one_line("a\u{1b}[31m\nb\u{202e}c"),
            "a\u{fffd}[31m b\u{fffd}c"
        );
    }
}
