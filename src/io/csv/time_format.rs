//! Dates, timestamps and times of day in a form that the user spells out, as in `%d.%m.%Y %H:%M`.
//!
//! The whole text must match. Numbers may lack a leading zero unless another number follows or precedes without anything
//! between them. Names of months and days are the English ones, in full or three letters long.

use super::dates::{Timestamp, days_from_civil};

/// A form that was understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TimeFormat {
    items: Vec<Item>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Item {
    Byte(u8),
    /// Any number of spaces, but one at least.
    Spaces,
    Number {
        part: Part,
        /// All digits must be there.
        exact: bool,
    },
    MonthName,
    DayName,
    AmPm,
    /// Digits behind a point; with `point`, the point as well, or nothing at all.
    Fraction {
        point: bool,
    },
    Zone,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Year,
    YearOfCentury,
    Month,
    Day,
    Hour,
    Hour12,
    Minute,
    Second,
}

/// What a format can be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    Date,
    Timestamp,
    Time,
}

/// What has been read of a text.
#[derive(Default)]
struct Parts {
    year: i32,
    month: i32,
    day: i32,
    hour: i32,
    minute: i32,
    second: i32,
    nanoseconds: i64,
    is_pm: bool,
    has_half: bool,
    /// Seconds east of UTC.
    offset: i32,
    has_zone: bool,
}

impl TimeFormat {
    /// Understands a form with the usual letters.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn parse(text: &str, wanted: Use) -> Result<TimeFormat, String> {
        let mut items = Vec::new();
        let mut bytes = text.bytes().peekable();
        while let Some(byte) = bytes.next() {
            if byte == b' ' {
                if items.last() != Some(&Item::Spaces) {
                    items.push(Item::Spaces);
                }
                continue;
            }
            if byte != b'%' {
                items.push(Item::Byte(byte));
                continue;
            }
            // `%-d` of other tools: without a leading zero, which is accepted in any case.
            bytes.next_if_eq(&b'-');
            let point = bytes.next_if_eq(&b'.').is_some();
            let letter = bytes.next().ok_or("it ends in a lone %")?;
            push_letter(&mut items, letter, point)?;
        }
        mark_exact(&mut items);
        let format = TimeFormat { items };
        format.check(wanted)?;
        Ok(format)
    }

    fn check(&self, wanted: Use) -> Result<(), String> {
        let has = |part: Part| self.items.iter().any(|item| matches!(item, Item::Number { part: p, .. } if *p == part));
        let has_month = has(Part::Month) || self.items.contains(&Item::MonthName);
        let has_date = (has(Part::Year) || has(Part::YearOfCentury)) && has_month && has(Part::Day);
        let has_some_date = has(Part::Year) || has(Part::YearOfCentury) || has_month || has(Part::Day);
        let has_time = has(Part::Hour) || has(Part::Hour12);
        if has(Part::Hour12) && !self.items.contains(&Item::AmPm) {
            return Err("hours to 12 (%I) need %p".into());
        }
        match wanted {
            Use::Date if has_time => Err("a date has no time of day; that is a timestamp".into()),
            Use::Date | Use::Timestamp if !has_date => Err("a date needs a year, a month and a day: %Y, %m, %d".into()),
            Use::Time if has_some_date => Err("a time of day has no date; that is a timestamp".into()),
            Use::Time if !has_time => Err("a time of day needs an hour: %H, or %I and %p".into()),
            _ => Ok(()),
        }
    }

    /// Whether texts of this form consist of digits alone, and so cannot be told from numbers.
    pub(super) fn is_all_digits(&self) -> bool {
        self.items.iter().all(|item| matches!(item, Item::Number { .. }))
    }

    /// Days since 1970-01-01.
    pub(super) fn date(&self, text: &[u8]) -> Option<i32> {
        let parts = self.parts(text)?;
        days_from_civil(parts.year, parts.month, parts.day)
    }

    /// A point in time.
    pub(super) fn timestamp(&self, text: &[u8]) -> Option<Timestamp> {
        let parts = self.parts(text)?;
        let days = days_from_civil(parts.year, parts.month, parts.day)?;
        let seconds = i128::from(days) * 86_400 - i128::from(parts.offset);
        let nanoseconds = seconds * 1_000_000_000 + i128::from(parts.of_day()?);
        Some(Timestamp { nanoseconds, has_zone: parts.has_zone })
    }

    /// Nanoseconds since midnight.
    pub(super) fn time(&self, text: &[u8]) -> Option<i64> {
        self.parts(text)?.of_day()
    }

    fn parts(&self, text: &[u8]) -> Option<Parts> {
        let (mut parts, mut rest) = (Parts::default(), text);
        for item in &self.items {
            rest = parts.take(*item, rest)?;
        }
        rest.is_empty().then_some(parts)
    }
}

fn push_letter(items: &mut Vec<Item>, letter: u8, point: bool) -> Result<(), String> {
    let number = |part| Item::Number { part, exact: false };
    let triple = |parts: [Part; 3], between: u8| {
        [number(parts[0]), Item::Byte(between), number(parts[1]), Item::Byte(between), number(parts[2])]
    };
    let whole = match letter {
        b'F' => Some(triple([Part::Year, Part::Month, Part::Day], b'-')),
        b'D' => Some(triple([Part::Month, Part::Day, Part::YearOfCentury], b'/')),
        b'T' => Some(triple([Part::Hour, Part::Minute, Part::Second], b':')),
        _ => None,
    };
    if let Some(whole) = whole.filter(|_| !point) {
        items.extend(whole);
        return Ok(());
    }
    let item = match letter {
        b'f' => Item::Fraction { point },
        _ if point => return Err(format!("%.{} is not known", char::from(letter))),
        b'Y' => number(Part::Year),
        b'y' => number(Part::YearOfCentury),
        b'm' => number(Part::Month),
        b'd' | b'e' => number(Part::Day),
        b'H' | b'k' => number(Part::Hour),
        b'I' | b'l' => number(Part::Hour12),
        b'M' => number(Part::Minute),
        b'S' => number(Part::Second),
        b'b' | b'B' | b'h' => Item::MonthName,
        b'a' | b'A' => Item::DayName,
        b'p' | b'P' => Item::AmPm,
        b'z' => Item::Zone,
        b'%' => Item::Byte(b'%'),
        b'R' => {
            items.extend([number(Part::Hour), Item::Byte(b':'), number(Part::Minute)]);
            return Ok(());
        }
        _ => {
            return Err(format!(
                "%{} is not known; known are %Y %y %m %d %b %B %a %A %H %I %p %M %S %f %.f %z %F %T %R %D %%",
                char::from(letter)
            ));
        }
    };
    items.push(item);
    Ok(())
}

/// Numbers without anything between them must be complete.
fn mark_exact(items: &mut [Item]) {
    let is_number: Vec<bool> =
        items.iter().map(|item| matches!(item, Item::Number { .. } | Item::Fraction { point: false })).collect();
    for (idx, item) in items.iter_mut().enumerate() {
        let before = idx > 0 && is_number[idx - 1];
        let behind = is_number.get(idx + 1) == Some(&true);
        if let Item::Number { exact, .. } = item {
            *exact = before || behind;
        }
    }
}

impl Parts {
    /// Reads one item at the start of `text`; returns what follows.
    fn take<'a>(&mut self, item: Item, text: &'a [u8]) -> Option<&'a [u8]> {
        match item {
            Item::Byte(byte) => text.split_first().filter(|(first, _)| **first == byte).map(|(_, rest)| rest),
            Item::Spaces => {
                let rest = text.trim_ascii_start();
                (rest.len() < text.len()).then_some(rest)
            }
            Item::Number { part, exact } => self.take_number(part, exact, text),
            Item::MonthName => {
                let (idx, rest) = take_name(text, &MONTHS)?;
                self.month = idx + 1;
                Some(rest)
            }
            Item::DayName => take_name(text, &DAYS).map(|(_, rest)| rest),
            Item::AmPm => {
                let (first, rest) = text.split_at_checked(2)?;
                (self.has_half, self.is_pm) = (true, first.eq_ignore_ascii_case(b"PM"));
                (self.is_pm || first.eq_ignore_ascii_case(b"AM")).then_some(rest)
            }
            Item::Fraction { point } => self.take_fraction(point, text),
            Item::Zone => self.take_zone(text),
        }
    }

    fn take_number<'a>(&mut self, part: Part, exact: bool, text: &'a [u8]) -> Option<&'a [u8]> {
        let width = if part == Part::Year { 4 } else { 2 };
        let n = text.iter().take(width).take_while(|byte| byte.is_ascii_digit()).count();
        if n == 0 || ((exact || matches!(part, Part::Year | Part::YearOfCentury)) && n < width) {
            return None;
        }
        let value = text[..n].iter().fold(0, |value, digit| value * 10 + i32::from(digit - b'0'));
        let (slot, range) = match part {
            Part::Year => (&mut self.year, 0..=9999),
            Part::YearOfCentury => (&mut self.year, 0..=99),
            Part::Month => (&mut self.month, 1..=12),
            Part::Day => (&mut self.day, 1..=31),
            Part::Hour => (&mut self.hour, 0..=23),
            Part::Hour12 => (&mut self.hour, 1..=12),
            Part::Minute => (&mut self.minute, 0..=59),
            Part::Second => (&mut self.second, 0..=59),
        };
        *slot = match part {
            // As POSIX has it.
            Part::YearOfCentury if value < 69 => value + 2000,
            Part::YearOfCentury => value + 1900,
            _ => value,
        };
        range.contains(&value).then_some(&text[n..])
    }

    fn take_fraction<'a>(&mut self, point: bool, text: &'a [u8]) -> Option<&'a [u8]> {
        let digits = match (point, text) {
            (true, [b'.', rest @ ..]) => rest,
            (true, _) => return Some(text),
            (false, _) => text,
        };
        let n = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if !(1..=9).contains(&n) {
            return None;
        }
        let value = digits[..n].iter().fold(0i64, |sum, digit| sum * 10 + i64::from(digit - b'0'));
        self.nanoseconds = value * 10i64.pow(9 - n as u32);
        Some(&digits[n..])
    }

    fn take_zone<'a>(&mut self, text: &'a [u8]) -> Option<&'a [u8]> {
        self.has_zone = true;
        let (sign, rest) = match text {
            [b'Z', rest @ ..] => return Some(rest),
            [b'U', b'T', b'C', rest @ ..] => return Some(rest),
            [b'+', rest @ ..] => (1, rest),
            [b'-', rest @ ..] => (-1, rest),
            _ => return None,
        };
        let two = |text: &'a [u8]| match text {
            [tens @ b'0'..=b'9', ones @ b'0'..=b'9', rest @ ..] => {
                Some((i32::from(tens - b'0') * 10 + i32::from(ones - b'0'), rest))
            }
            _ => None,
        };
        let (hours, rest) = two(rest)?;
        let (minutes, rest) = two(rest.strip_prefix(b":").unwrap_or(rest)).unwrap_or((0, rest));
        self.offset = sign * (hours * 3600 + minutes * 60);
        (hours <= 18 && minutes <= 59).then_some(rest)
    }

    fn of_day(&self) -> Option<i64> {
        let hour = match (self.has_half, self.is_pm) {
            (false, _) => self.hour,
            // 12 AM is midnight. `%H %p` says the half twice, and both must agree.
            (true, _) if self.hour > 12 && !self.is_pm => return None,
            (true, false) => self.hour % 12,
            (true, true) if self.hour > 12 => self.hour,
            (true, true) => self.hour % 12 + 12,
        };
        let seconds = i64::from(hour) * 3600 + i64::from(self.minute) * 60 + i64::from(self.second);
        Some(seconds * 1_000_000_000 + self.nanoseconds)
    }
}

const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];

const DAYS: [&str; 7] = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];

/// Which of `names` a text begins with, in full or the first three letters.
fn take_name<'a>(text: &'a [u8], names: &[&str]) -> Option<(i32, &'a [u8])> {
    for (idx, name) in names.iter().enumerate() {
        for name in [name, &name[..3]] {
            if let Some((first, rest)) = text.split_at_checked(name.len())
                && first.eq_ignore_ascii_case(name.as_bytes())
            {
                return Some((idx as i32, rest));
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::dates::{parse_date, parse_timestamp};
    use super::*;

    fn check_date(format: &str, text: &str, iso: Option<&str>) {
        let format = TimeFormat::parse(format, Use::Date).unwrap();
        assert_eq!(format.date(text.as_bytes()), iso.and_then(|iso| parse_date(iso.as_bytes())), "{text}");
    }

    fn check_timestamp(format: &str, text: &str, iso: Option<&str>) {
        let format = TimeFormat::parse(format, Use::Timestamp).unwrap();
        let want = iso.map(|iso| parse_timestamp(iso.as_bytes()).unwrap());
        assert_eq!(format.timestamp(text.as_bytes()), want, "{text}");
    }

    #[test]
    fn dates_are_read_as_they_are_spelt() {
        check_date("%d.%m.%Y", "31.01.2024", Some("2024-01-31"));
        check_date("%d.%m.%Y", "1.2.2024", Some("2024-02-01"));
        check_date("%d.%m.%Y", "2024-01-31", None);
        check_date("%d.%m.%Y", "30.02.2024", None);
        check_date("%d.%m.%Y", "1.2.2024 ", None);
        check_date("%m/%d/%y", "12/31/69", Some("1969-12-31"));
        check_date("%D", "12/31/68", Some("2068-12-31"));
        check_date("%Y%m%d", "20240131", Some("2024-01-31"));
        check_date("%Y%m%d", "2024131", None);
        check_date("%d-%b-%Y", "05-mar-2024", Some("2024-03-05"));
        check_date("%B %d, %Y", "March 5, 2024", Some("2024-03-05"));
        check_date("%A, %e %B %Y", "Tuesday,  5 March 2024", Some("2024-03-05"));
        check_date("%d %b %Y", "5 Foo 2024", None);
    }

    #[test]
    fn times_and_zones_are_read_as_they_are_spelt() {
        check_timestamp("%d/%m/%Y %H:%M", "05/03/2024 7:08", Some("2024-03-05T07:08"));
        check_timestamp("%Y-%m-%d %I:%M:%S %p", "2024-03-05 12:00:01 AM", Some("2024-03-05T00:00:01"));
        check_timestamp("%Y-%m-%d %I:%M %p", "2024-03-05 12:00 pm", Some("2024-03-05T12:00"));
        check_timestamp("%Y-%m-%d %I:%M %p", "2024-03-05 13:00 pm", None);
        check_timestamp("%Y-%m-%dT%H:%M:%S%z", "2024-03-05T07:08:09+0130", Some("2024-03-05T05:38:09Z"));
        check_timestamp("%FT%T%.f%z", "2024-03-05T07:08:09.125Z", Some("2024-03-05T07:08:09.125Z"));
        check_timestamp("%F %T%.f", "2024-03-05 07:08:09", Some("2024-03-05T07:08:09"));
        check_timestamp("%Y%m%d%H%M%S", "20240305070809", Some("2024-03-05T07:08:09"));
        check_timestamp("%d.%m.%Y", "05.03.2024", Some("2024-03-05"));
        check_timestamp("%d.%m.%Y %H:%M", "05.03.2024 24:00", None);
        let time = TimeFormat::parse("%I:%M %p", Use::Time).unwrap();
        assert_eq!(time.time(b"1:30 pm"), Some((13 * 60 + 30) * 60_000_000_000));
    }

    #[test]
    fn forms_that_say_too_little_or_too_much_are_refused() {
        for (format, wanted) in [
            ("%d.%m", Use::Date),
            ("%Y-%m-%d %H", Use::Date),
            ("%Q", Use::Date),
            ("%Y-%m-%d %", Use::Timestamp),
            ("%I:%M", Use::Time),
            ("%d %H", Use::Time),
            ("%M", Use::Time),
        ] {
            assert!(TimeFormat::parse(format, wanted).is_err(), "{format}");
        }
        assert!(TimeFormat::parse("%Y%m%d", Use::Date).unwrap().is_all_digits());
    }
}
