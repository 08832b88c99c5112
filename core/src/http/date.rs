//! The date of an answer.

use core::fmt;

/// An IMF-fixdate (RFC 9110 §5.6.7): `Sun, 06 Nov 1994 08:49:37 GMT`.
///
/// Made by [`http_date`]. It changes once a second, so a driver makes one a second and not one an answer.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct HttpDate([u8; 29]);

/// The date of a moment in seconds since 1970, without leap seconds.
///
/// What is after the year 9999, which the format cannot say, counts as its last second.
///
/// ```
/// use sse_state::http::http_date;
///
/// assert_eq!(http_date(784_111_777).as_str(), "Sun, 06 Nov 1994 08:49:37 GMT");
/// ```
#[must_use]
pub fn http_date(unix_seconds: u64) -> HttpDate {
    let seconds = unix_seconds.min(LAST_SECOND);
    let days = seconds / 86_400;
    let (year, month, day) = civil(days);
    let mut text = *b"Thu, 01 Jan 1970 00:00:00 GMT";
    // 1970-01-01 was a Thursday.
    put(&mut text, 0, pick(&WEEKDAYS, days % 7));
    put(&mut text, 5, &digits(day));
    put(&mut text, 8, pick(&MONTHS, month - 1));
    put(&mut text, 12, &digits(year / 100));
    put(&mut text, 14, &digits(year));
    put(&mut text, 17, &digits(seconds / 3_600 % 24));
    put(&mut text, 20, &digits(seconds / 60 % 60));
    put(&mut text, 23, &digits(seconds % 60));
    HttpDate(text)
}

impl HttpDate {
    /// The date as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        core::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// The date as bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 29] {
        &self.0
    }
}

impl fmt::Display for HttpDate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for HttpDate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HttpDate({self})")
    }
}

/// Year, month and day of a day since 1970-01-01, by the Gregorian rule of 400 years = 146 097 days.
fn civil(days: u64) -> (u64, u64, u64) {
    // Years are counted from March, so that a leap day is a year's last, and from the year 0.
    let days = days + DAYS_FROM_YEAR_0;
    let in_era = days % 146_097;
    let year_of_era = (in_era - in_era / 1_460 + in_era / 36_524 - in_era / 146_096) / 365;
    let in_year = in_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * in_year + 2) / 153;
    let day = in_year - (153 * from_march + 2) / 5 + 1;
    let (month, next_year) = if from_march < 10 {
        (from_march + 3, 0)
    } else {
        (from_march - 9, 1)
    };
    (days / 146_097 * 400 + year_of_era + next_year, month, day)
}

fn put(text: &mut [u8; 29], at: usize, part: &[u8]) {
    for (to, from) in text.iter_mut().skip(at).zip(part) {
        *to = *from;
    }
}

fn pick<'a>(names: &[&'a [u8; 3]], index: u64) -> &'a [u8] {
    usize::try_from(index)
        .ok()
        .and_then(|index| names.get(index))
        .map_or(b"", |name| *name)
}

/// The last two digits of a number.
fn digits(number: u64) -> [u8; 2] {
    [number / 10, number].map(|digit| b'0' + (digit % 10) as u8)
}

const WEEKDAYS: [&[u8; 3]; 7] = [b"Thu", b"Fri", b"Sat", b"Sun", b"Mon", b"Tue", b"Wed"];
const MONTHS: [&[u8; 3]; 12] = [
    b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec",
];

/// 9999-12-31 23:59:59.
const LAST_SECOND: u64 = 253_402_300_799;
/// Days from 0000-03-01 to 1970-01-01.
const DAYS_FROM_YEAR_0: u64 = 719_468;
