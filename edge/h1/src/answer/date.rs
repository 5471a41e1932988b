//! `IMF-fixdate` (RFC 9110 5.6.7).

const DAYS: [&[u8; 3]; 7] = [b"Thu", b"Fri", b"Sat", b"Sun", b"Mon", b"Tue", b"Wed"];
const MONTHS: [&[u8; 3]; 12] = [
    b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec",
];

/// The last second that four digits of a year can tell.
const LAST_S: i64 = 253_402_300_799;

/// `Sun, 06 Nov 1994 08:49:37 GMT` of a time in seconds since the Unix epoch; times before it are shown as it, times
/// after the year 9999 as its last second.
#[must_use]
pub fn imf_fixdate(unix_s: i64) -> [u8; 29] {
    let unix_s = unix_s.clamp(0, LAST_S);
    let (days, second) = (unix_s / 86_400, unix_s % 86_400);
    let (year, month, day) = civil(days);
    let mut text = *b"---, -- --- ---- --:--:-- GMT";
    text[0..3].copy_from_slice(DAYS[index(days % 7)]);
    two(&mut text[5..7], day);
    text[8..11].copy_from_slice(MONTHS[index(month - 1)]);
    two(&mut text[12..14], year / 100);
    two(&mut text[14..16], year % 100);
    two(&mut text[17..19], second / 3600);
    two(&mut text[20..22], second / 60 % 60);
    two(&mut text[23..25], second % 60);
    text
}

/// Year, month and day of a day counted from the epoch: eras of 400 years that begin in March.
const fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = year_of_era + era * 400 + (month <= 2) as i64;
    (year, month, day)
}

fn two(digits: &mut [u8], number: i64) {
    digits[0] = b'0' + (number / 10 % 10) as u8;
    digits[1] = b'0' + (number % 10) as u8;
}

const fn index(number: i64) -> usize {
    number as usize
}
