//! Dates and times as ISO 8601 text, straight into a buffer.

use arrow::datatypes::TimeUnit;

/// Days from 0000-03-01 to 1970-01-01.
const EPOCH_DAYS: i64 = 719_468;
const DAYS_PER_ERA: i64 = 146_097;
const SECONDS_PER_DAY: i64 = 86_400;

/// Days since 1970 whose year has four digits: 0000-01-01 to 9999-12-31.
const FOUR_DIGIT_DAYS: std::ops::RangeInclusive<i64> = -719_528..=2_932_896;

/// Appends `days` since 1970 as `2024-02-29`. Says no, and appends nothing, for a year without four digits.
pub(super) fn push_date(days: i64, out: &mut Vec<u8>) -> bool {
    if !FOUR_DIGIT_DAYS.contains(&days) {
        return false;
    }
    let (year, month, day) = civil(days);
    let mut text = *b"0000-00-00";
    put_two(&mut text[0..2], year / 100);
    put_two(&mut text[2..4], year % 100);
    put_two(&mut text[5..7], month);
    put_two(&mut text[8..10], day);
    out.extend_from_slice(&text);
    true
}

/// Appends a time since 1970 as `2024-02-29T12:30:00.5`, with as many groups of three digits after the second as it
/// needs. Says no, and appends nothing, for a year without four digits.
pub(super) fn push_timestamp(value: i64, unit: TimeUnit, out: &mut Vec<u8>) -> bool {
    let per_second: i64 = match unit {
        TimeUnit::Second => 1,
        TimeUnit::Millisecond => 1_000,
        TimeUnit::Microsecond => 1_000_000,
        TimeUnit::Nanosecond => 1_000_000_000,
    };
    let seconds = value.div_euclid(per_second);
    let nanos = value.rem_euclid(per_second) * (1_000_000_000 / per_second);
    if !push_date(seconds.div_euclid(SECONDS_PER_DAY), out) {
        return false;
    }
    let second_of_day = seconds.rem_euclid(SECONDS_PER_DAY) as u32;
    let mut text = *b"T00:00:00";
    put_two(&mut text[1..3], second_of_day / 3600);
    put_two(&mut text[4..6], second_of_day / 60 % 60);
    put_two(&mut text[7..9], second_of_day % 60);
    out.extend_from_slice(&text);
    push_fraction(nanos as u32, out);
    true
}

fn push_fraction(nanos: u32, out: &mut Vec<u8>) {
    if nanos == 0 {
        return;
    }
    let mut text = *b".000000000";
    let mut rest = nanos;
    for digit in text[1..].iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    let n_digits = match nanos {
        n if n.is_multiple_of(1_000_000) => 3,
        n if n.is_multiple_of(1_000) => 6,
        _ => 9,
    };
    out.extend_from_slice(&text[..=n_digits]);
}

/// Year, month and day of a day since 1970, in the Gregorian calendar. Years are counted from March, so that the day that
/// leap years add is the last of the year.
fn civil(days: i64) -> (u32, u32, u32) {
    let days = days + EPOCH_DAYS;
    let era = days.div_euclid(DAYS_PER_ERA);
    let day_of_era = days.rem_euclid(DAYS_PER_ERA);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + 400 * era + i64::from(month <= 2);
    (year as u32, month as u32, day as u32)
}

fn put_two(text: &mut [u8], n: u32) {
    text[0] = b'0' + (n / 10) as u8;
    text[1] = b'0' + (n % 10) as u8;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_agree_with_another_calendar() {
        let epoch = chrono::NaiveDate::from_ymd_opt(1970, 1, 1).unwrap();
        for days in FOUR_DIGIT_DAYS.step_by(13).chain([*FOUR_DIGIT_DAYS.end(), 0, -1, 59, 60, 11_016]) {
            let mut text = Vec::new();
            assert!(push_date(days, &mut text));
            let expected = (epoch + chrono::Duration::days(days)).format("%Y-%m-%d").to_string();
            assert_eq!(String::from_utf8(text).unwrap(), expected);
        }
        assert!(!push_date(FOUR_DIGIT_DAYS.end() + 1, &mut Vec::new()));
        assert!(!push_date(FOUR_DIGIT_DAYS.start() - 1, &mut Vec::new()));
    }

    #[test]
    fn fractions_have_three_six_or_nine_digits() {
        let check = |value, unit, expected: &str| {
            let mut text = Vec::new();
            assert!(push_timestamp(value, unit, &mut text));
            assert_eq!(String::from_utf8(text).unwrap(), expected);
        };
        check(0, TimeUnit::Second, "1970-01-01T00:00:00");
        check(-1, TimeUnit::Millisecond, "1969-12-31T23:59:59.999");
        check(1_709_210_096_500_000, TimeUnit::Microsecond, "2024-02-29T12:34:56.500");
        check(1_000_001, TimeUnit::Microsecond, "1970-01-01T00:00:01.000001");
        check(1, TimeUnit::Nanosecond, "1970-01-01T00:00:00.000000001");
    }
}
