//! Dates and times in ISO forms: `YYYY-MM-DD`, and with `T` or a space `HH:MM[:SS[.fraction]]`, then nothing, `Z` or an
//! offset. Nothing else: a date whose order of day and month has to be guessed stays text.

/// A point in time and whether its text named a zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Timestamp {
    /// Since 1970-01-01, in UTC when there is a zone.
    pub(super) nanoseconds: i128,
    pub(super) has_zone: bool,
}

/// Days since 1970-01-01.
#[inline]
pub(super) fn parse_date(text: &[u8]) -> Option<i32> {
    let &[y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] = text else { return None };
    let year = two_digits(y1, y2)? * 100 + two_digits(y3, y4)?;
    days_from_civil(year, two_digits(m1, m2)?, two_digits(d1, d2)?)
}

/// A date alone or with a time of day.
pub(super) fn parse_timestamp(text: &[u8]) -> Option<Timestamp> {
    let days = parse_date(text.get(..10)?)?;
    let seconds = i128::from(days) * 86_400;
    let rest = match text.get(10..)? {
        [] => return Some(Timestamp { nanoseconds: seconds * 1_000_000_000, has_zone: false }),
        [b'T' | b' ', rest @ ..] => rest,
        _ => return None,
    };
    let (time, rest) = parse_time(rest)?;
    let (offset, has_zone) = parse_zone(rest)?;
    let nanoseconds = (seconds - i128::from(offset)) * 1_000_000_000 + i128::from(time);
    Some(Timestamp { nanoseconds, has_zone })
}

/// A time of day alone, in nanoseconds since midnight.
pub(super) fn parse_time_of_day(text: &[u8]) -> Option<i64> {
    parse_time(text).filter(|(_, rest)| rest.is_empty()).map(|(nanoseconds, _)| nanoseconds)
}

/// Nanoseconds since midnight, and the text behind.
fn parse_time(text: &[u8]) -> Option<(i64, &[u8])> {
    let &[h1, h2, b':', m1, m2, ref rest @ ..] = text else { return None };
    let (hours, minutes) = (two_digits(h1, h2)?, two_digits(m1, m2)?);
    let (seconds, rest) = match *rest {
        [b':', s1, s2, ref rest @ ..] => (two_digits(s1, s2)?, rest),
        _ => (0, rest),
    };
    if hours > 23 || minutes > 59 || seconds > 59 {
        return None;
    }
    let whole = i64::from(hours * 3600 + minutes * 60 + seconds) * 1_000_000_000;
    match rest {
        [b'.', rest @ ..] => {
            let n = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
            let fraction = rest[..n].iter().fold(0i64, |sum, digit| sum * 10 + i64::from(digit - b'0'));
            (1..=9).contains(&n).then(|| (whole + fraction * 10i64.pow(9 - n as u32), &rest[n..]))
        }
        _ => Some((whole, rest)),
    }
}

/// Seconds east of UTC.
fn parse_zone(text: &[u8]) -> Option<(i32, bool)> {
    let (sign, h1, h2, m1, m2) = match *text {
        [] => return Some((0, false)),
        [b'Z'] => return Some((0, true)),
        [sign, h1, h2] => (sign, h1, h2, b'0', b'0'),
        [sign, h1, h2, m1, m2] | [sign, h1, h2, b':', m1, m2] => (sign, h1, h2, m1, m2),
        _ => return None,
    };
    let (hours, minutes) = (two_digits(h1, h2)?, two_digits(m1, m2)?);
    let seconds = hours * 3600 + minutes * 60;
    match sign {
        _ if hours > 18 || minutes > 59 => None,
        b'+' => Some((seconds, true)),
        b'-' => Some((-seconds, true)),
        _ => None,
    }
}

#[inline]
fn two_digits(tens: u8, ones: u8) -> Option<i32> {
    let (tens, ones) = (tens.wrapping_sub(b'0'), ones.wrapping_sub(b'0'));
    (tens <= 9 && ones <= 9).then(|| i32::from(tens) * 10 + i32::from(ones))
}

/// Days since 1970-01-01 of a date of the Gregorian calendar. Years begin in March, so that the leap day is the last.
#[inline]
pub(super) fn days_from_civil(year: i32, month: i32, day: i32) -> Option<i32> {
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let n_days = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 => 28 + i32::from(is_leap),
        _ => return None,
    };
    if day < 1 || day > n_days {
        return None;
    }
    let year = year - i32::from(month <= 2);
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    Some(era * 146_097 + day_of_era - 719_468)
}

#[cfg(test)]
mod tests {
    use chrono::{Datelike, NaiveDate};

    use super::*;

    #[test]
    fn dates_agree_with_chrono() {
        let epoch = NaiveDate::from_ymd_opt(1970, 1, 1).unwrap().num_days_from_ce();
        let mut date = NaiveDate::from_ymd_opt(1, 1, 1).unwrap();
        while date.year() < 2500 {
            let text = date.format("%Y-%m-%d").to_string();
            assert_eq!(parse_date(text.as_bytes()), Some(date.num_days_from_ce() - epoch), "{text}");
            date += chrono::TimeDelta::days(13);
        }
    }

    #[test]
    fn only_iso_forms_are_dates_and_times() {
        for text in ["2024-13-01", "2023-02-29", "24-01-01", "2024/01/01", "01-02-2024", "2024-01-00", "2024-1-01"] {
            assert_eq!(parse_date(text.as_bytes()), None, "{text}");
        }
        for text in ["2024-01-01T24:00", "2024-01-01 1:00", "2024-01-01T10:00:00.", "2024-01-01T10:00 Z", "2024-01-01x"]
        {
            assert_eq!(parse_timestamp(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn zones_are_brought_to_utc() {
        let utc = parse_timestamp(b"2024-05-01T10:30:00.25Z").unwrap();
        let east = parse_timestamp(b"2024-05-01 12:30:00.250+02:00").unwrap();
        assert_eq!((utc, utc.has_zone), (east, true));
        assert_eq!(parse_timestamp(b"1970-01-02 00:00").unwrap().nanoseconds, 86_400_000_000_000);
    }
}
