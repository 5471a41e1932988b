//! HTTP dates (RFC 9110 section 5.6.7).
//!
//! All three forms are read, without regard to case; anything else (another zone, one digit for the hour, a missing
//! comma) is not a date, and each caller says what that means for its field.

use http::HeaderValue;

const MS_PER_SECOND: i64 = 1_000;
const SECONDS_PER_DAY: i64 = 86_400;

const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const LONG_DAYS: [&str; 7] = [
    "Thursday",
    "Friday",
    "Saturday",
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
];
const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

/// Length in bytes of an IMF-fixdate, the form this crate writes.
pub const HTTP_DATE_LEN: usize = 29;

/// Reads an HTTP date as milliseconds since the epoch.
///
/// `now_ms` resolves the two-digit year of the RFC 850 form: one that would lie more than 50 years ahead is in the past.
/// The day of the week must be one, but is not compared with the date.
#[must_use]
pub fn parse_http_date(value: &[u8], now_ms: i64) -> Option<i64> {
    let value = value.trim_ascii();
    match value.get(3)? {
        b',' => imf_fixdate(value),
        b' ' => asctime(value),
        _ => rfc850(value, now_ms),
    }
}

/// An IMF-fixdate as the 29 bytes that go on the wire, for instance `Sun, 06 Nov 1994 08:49:37 GMT`.
///
/// Times before 1970 and after 9999 are written as the nearest that fits.
#[must_use]
pub fn format_http_date(at_ms: i64) -> [u8; HTTP_DATE_LEN] {
    const LAST_SECOND: i64 = 253_402_300_799; // 9999-12-31 23:59:59
    let seconds = at_ms.div_euclid(MS_PER_SECOND).clamp(0, LAST_SECOND);
    let (days, in_day) = (seconds / SECONDS_PER_DAY, seconds % SECONDS_PER_DAY);
    let (year, month, day) = civil_from_days(days);
    let mut out = *b"Thu, 01 Jan 1970 00:00:00 GMT";
    if let Some(name) = usize::try_from(days % 7)
        .ok()
        .and_then(|index| DAYS.get(index))
    {
        out[..3].copy_from_slice(name.as_bytes());
    }
    if let Some(name) = usize::try_from(month - 1)
        .ok()
        .and_then(|index| MONTHS.get(index))
    {
        out[8..11].copy_from_slice(name.as_bytes());
    }
    put_two(&mut out[5..7], day);
    put_two(&mut out[12..14], year / 100);
    put_two(&mut out[14..16], year % 100);
    put_two(&mut out[17..19], in_day / 3_600);
    put_two(&mut out[20..22], in_day / 60 % 60);
    put_two(&mut out[23..25], in_day % 60);
    out
}

/// The same date as a field value.
#[must_use]
pub fn http_date_value(at_ms: i64) -> HeaderValue {
    // Letters, digits, spaces, a comma and colons: always a valid value.
    HeaderValue::from_bytes(&format_http_date(at_ms))
        .unwrap_or(HeaderValue::from_static("Thu, 01 Jan 1970 00:00:00 GMT"))
}

fn put_two(out: &mut [u8], value: i64) {
    let value = u8::try_from(value.rem_euclid(100)).unwrap_or(0);
    out[0] = b'0' + value / 10;
    out[1] = b'0' + value % 10;
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`
fn imf_fixdate(value: &[u8]) -> Option<i64> {
    if value.len() != HTTP_DATE_LEN
        || value[4] != b' '
        || value[7] != b' '
        || value[11] != b' '
        || value[16] != b' '
    {
        return None;
    }
    position(&DAYS, &value[..3])?;
    zone(&value[25..])?;
    instant(
        number(&value[12..16])?,
        month(&value[8..11])?,
        number(&value[5..7])?,
        clock(&value[17..25])?,
    )
}

/// `Sun Nov  6 08:49:37 1994`
fn asctime(value: &[u8]) -> Option<i64> {
    if value.len() != 24 || value[7] != b' ' || value[10] != b' ' || value[19] != b' ' {
        return None;
    }
    position(&DAYS, &value[..3])?;
    let day = if value[8] == b' ' {
        number(&value[9..10])?
    } else {
        number(&value[8..10])?
    };
    instant(
        number(&value[20..24])?,
        month(&value[4..7])?,
        day,
        clock(&value[11..19])?,
    )
}

/// `Sunday, 06-Nov-94 08:49:37 GMT`
fn rfc850(value: &[u8], now_ms: i64) -> Option<i64> {
    let comma = value.iter().position(|&byte| byte == b',')?;
    let (day_name, rest) = value.split_at(comma);
    position(&LONG_DAYS, day_name)?;
    if rest.len() != 24 || rest[1] != b' ' || rest[4] != b'-' || rest[8] != b'-' || rest[11] != b' '
    {
        return None;
    }
    zone(&rest[20..])?;
    let (this_year, _, _) = civil_from_days(now_ms.div_euclid(MS_PER_SECOND * SECONDS_PER_DAY));
    let mut year = this_year - this_year.rem_euclid(100) + number(&rest[9..11])?;
    if year > this_year + 50 {
        year -= 100;
    } else if year <= this_year - 50 {
        year += 100;
    }
    instant(
        year,
        month(&rest[5..8])?,
        number(&rest[2..4])?,
        clock(&rest[12..20])?,
    )
}

fn zone(value: &[u8]) -> Option<()> {
    value.eq_ignore_ascii_case(b" GMT").then_some(())
}

fn month(value: &[u8]) -> Option<i64> {
    Some(i64::try_from(position(&MONTHS, value)?).ok()? + 1)
}

fn position(names: &[&str], value: &[u8]) -> Option<usize> {
    names
        .iter()
        .position(|name| name.as_bytes().eq_ignore_ascii_case(value))
}

/// Seconds since midnight of `hh:mm:ss`; a leap second counts.
fn clock(value: &[u8]) -> Option<i64> {
    if value.len() != 8 || value[2] != b':' || value[5] != b':' {
        return None;
    }
    let (hour, minute, second) = (
        number(&value[..2])?,
        number(&value[3..5])?,
        number(&value[6..])?,
    );
    (hour < 24 && minute < 60 && second <= 60).then_some(hour * 3_600 + minute * 60 + second)
}

fn number(digits: &[u8]) -> Option<i64> {
    digits.iter().try_fold(0, |value, digit| {
        digit
            .is_ascii_digit()
            .then(|| value * 10 + i64::from(digit - b'0'))
    })
}

fn instant(year: i64, month: i64, day: i64, in_day: i64) -> Option<i64> {
    if day < 1 || day > days_in(year, month) {
        return None;
    }
    Some((days_from_civil(year, month, day) * SECONDS_PER_DAY + in_day) * MS_PER_SECOND)
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since the epoch of a date in the Gregorian calendar, counting years from March so that the leap day is the last.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// Year, month and day of a day since 1970-01-01, in the proleptic Gregorian calendar (H. Hinnant, "chrono-compatible low-level
/// date algorithms").
#[must_use]
pub fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    (year, month, day)
}
