//! Numbers from text: eight digits at a time, and decimals by one exact division.
//!
//! Every parser takes the text from the start of the field *to the end of the block*, and the field's length, so that
//! eight bytes can be loaded whatever the length. `None` means "not such a number, or not without loss".
//!
//! Inferred columns are strict: a text whose digits would not survive (`01234`, `+5`, 2^53 + 1 in a float column) does
//! not fit. Declared columns take what the user said.

/// Each byte `'0'`.
const ZEROS: u64 = 0x3030_3030_3030_3030;

/// The value of `len` (1 to 8) digits at the start of `word`, which is little-endian text.
#[inline(always)]
fn digits(word: u64, len: usize) -> Option<u64> {
    let shift = 64 - 8 * len as u32;
    let text = word << shift | (ZEROS >> 8) >> (56 - shift);
    let values = text.wrapping_sub(ZEROS);
    if (values | values.wrapping_add(0x7676_7676_7676_7676)) & 0x8080_8080_8080_8080 != 0 {
        return None;
    }
    const PAIRS: u64 = 0x0000_00FF_0000_00FF;
    let pairs = values.wrapping_mul(10).wrapping_add(values >> 8);
    let high = (pairs & PAIRS).wrapping_mul(100 + (1_000_000 << 32));
    let low = (pairs >> 16 & PAIRS).wrapping_mul(1 + (10_000 << 32));
    Some(high.wrapping_add(low) >> 32)
}

#[inline(always)]
fn load(tail: &[u8], at: usize) -> Option<u64> {
    tail.get(at..)?.first_chunk::<8>().map(|bytes| u64::from_le_bytes(*bytes))
}

/// A whole number of 64 bits.
#[inline(always)]
pub(super) fn parse_i64(tail: &[u8], len: usize, strict: bool) -> Option<i64> {
    if len.wrapping_sub(1) < 8
        && let Some(word) = load(tail, 0)
        && let Some(value) = digits(word, len)
    {
        if strict && len > 1 && word as u8 == b'0' {
            return None;
        }
        return Some(value as i64);
    }
    parse_wide_integer(tail.get(..len)?, strict).and_then(|value| i64::try_from(value).ok())
}

/// A whole number of any length up to 38 digits.
#[inline(never)]
pub(super) fn parse_wide_integer(text: &[u8], strict: bool) -> Option<i128> {
    let (negative, text) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] if !strict => (false, rest),
        _ => (false, text),
    };
    if text.is_empty() || text.len() > 38 || (strict && text[0] == b'0' && (text.len() > 1 || negative)) {
        return None;
    }
    let mut value = 0i128;
    for &byte in text {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value * 10 + i128::from(digit);
    }
    Some(if negative { -value } else { value })
}

/// Powers of ten that a double holds exactly.
const POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20,
    1e21, 1e22,
];

/// Powers of ten as integers, for a fraction of up to eight digits.
const TENS: [u64; 9] = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000];

/// A double. `iii.ffffff` with up to seven digits before and eight behind the point takes no loop: both halves are
/// integers below 2^53 together, and one division of exact numbers is correctly rounded.
#[inline(always)]
pub(super) fn parse_f64(tail: &[u8], len: usize, strict: bool) -> Option<f64> {
    match parse_short_decimal(tail, len) {
        Some(value) => Some(value),
        None => parse_long_decimal(tail.get(..len)?, strict),
    }
}

/// The same with a comma where others have a point. A text with a point is no number: it would be one of another size.
pub(super) fn parse_f64_with_comma(text: &[u8], strict: bool) -> Option<f64> {
    with_point(text, |text| parse_f64(text, text.len(), strict))
}

/// Calls `parse` with `text` after its comma was made a point; `None` when it has a point.
pub(super) fn with_point<N>(text: &[u8], parse: impl FnOnce(&[u8]) -> Option<N>) -> Option<N> {
    const SHORT: usize = 64;
    if text.contains(&b'.') {
        return None;
    }
    let Some(comma) = text.iter().position(|&byte| byte == b',') else { return parse(text) };
    let mut short = [0; SHORT];
    if let Some(copy) = short.get_mut(..text.len()) {
        copy.copy_from_slice(text);
        copy[comma] = b'.';
        return parse(copy);
    }
    let mut long = text.to_vec();
    long[comma] = b'.';
    parse(&long)
}

#[inline(always)]
fn parse_short_decimal(tail: &[u8], len: usize) -> Option<f64> {
    let negative = usize::from(tail.first() == Some(&b'-'));
    let word = load(tail, negative)?;
    // The lowest set high bit of this is at the first '.' (bytes behind it may be wrong).
    let differs = word ^ 0x2E2E_2E2E_2E2E_2E2E;
    let points = differs.wrapping_sub(0x0101_0101_0101_0101) & !differs & 0x8080_8080_8080_8080;
    let n_before = points.trailing_zeros() as usize / 8;
    let n_behind = len.wrapping_sub(negative + n_before + 1);
    if n_before.wrapping_sub(1) >= 7 || n_behind.wrapping_sub(1) >= 8 || (word as u8 == b'0' && n_before > 1) {
        return None;
    }
    let before = digits(word, n_before)?;
    let behind = digits(load(tail, negative + n_before + 1)?, n_behind)?;
    let value = (before * TENS[n_behind] + behind) as f64 / POWERS[n_behind];
    Some(if negative == 1 { -value } else { value })
}

/// Everything else: integers, long decimals, exponents, infinities.
#[inline(never)]
fn parse_long_decimal(text: &[u8], strict: bool) -> Option<f64> {
    if strict && !is_lossless(text) {
        return None;
    }
    let value = fast_float2::parse::<f64, _>(text).ok()?;
    let has_digits =
        || text.iter().take_while(|byte| !matches!(byte, b'e' | b'E')).any(|byte| (b'1'..=b'9').contains(byte));
    if strict && (value.is_infinite() || value == 0.0) && has_digits() {
        return None;
    }
    (!strict || keeps_digits(text, value)).then_some(value)
}

/// A double from the digits of a number in JSON, which are such a number for sure; `None` where it would say less.
pub(in crate::io) fn lossless_f64(text: &[u8]) -> Option<f64> {
    parse_f64(text, text.len(), true).filter(|value| value.is_finite())
}

/// Digits that any double tells apart.
const SAFE_DIGITS: usize = 15;

/// Whether `value` is the decimal `text` when it is written with as many digits. Up to 15 always are; of those with more
/// that are not whole numbers, as fractions are mostly, one exact comparison of integers tells.
fn keeps_digits(text: &[u8], value: f64) -> bool {
    let unsigned = text.strip_prefix(b"-").unwrap_or(text);
    // One of the characters is no digit, or all are.
    if unsigned.len() <= SAFE_DIGITS + 1 {
        return true;
    }
    let n_digits = n_significant(unsigned);
    if n_digits <= SAFE_DIGITS || !value.is_finite() || unsigned.iter().all(u8::is_ascii_digit) {
        return true;
    }
    match Decimal::parse(unsigned, n_digits) {
        Some(decimal) => decimal.is_nearest_to(value.abs()).unwrap_or_else(|| decimal.is_written_for(value.abs())),
        None => false,
    }
}

/// `digits` times ten to the power of `exponent`.
struct Decimal {
    digits: u64,
    exponent: i64,
}

impl Decimal {
    /// Of a text with `n_digits` significant digits, at most 17.
    fn parse(unsigned: &[u8], n_digits: usize) -> Option<Decimal> {
        let at = unsigned.iter().position(|byte| matches!(byte, b'e' | b'E')).unwrap_or(unsigned.len());
        let (mut digits, mut n_taken, mut exponent, mut is_behind) = (0u64, 0, 0i64, false);
        for &byte in &unsigned[..at] {
            if byte == b'.' {
                is_behind = true;
                continue;
            }
            let is_taken = n_taken < n_digits;
            if is_taken && (n_taken > 0 || byte != b'0') {
                digits = digits.checked_mul(10)?.checked_add(u64::from(byte.wrapping_sub(b'0')))?;
                n_taken += 1;
            }
            exponent += i64::from(!is_taken && !is_behind) - i64::from(is_taken && is_behind);
        }
        let stated = match unsigned.get(at + 1..) {
            Some(stated) => std::str::from_utf8(stated).ok()?.parse::<i64>().ok()?,
            None => 0,
        };
        Some(Decimal { digits, exponent: exponent.checked_add(stated)? })
    }

    /// Whether no other decimal of as many digits is nearer to `value`: with `value` = m / 2^s and the decimal d / 10^k,
    /// whether m 5^k is at most half of 2^(s - k) away from d 2^(s - k). `None` where those are above 128 bits.
    fn is_nearest_to(&self, value: f64) -> Option<bool> {
        const MANTISSA_BITS: u32 = 52;
        let k = u32::try_from(-self.exponent).ok().filter(|k| *k <= 30)?;
        let bits = value.to_bits();
        let exponent_bits = (bits >> MANTISSA_BITS) as i64;
        let mantissa = u128::from(bits & ((1 << MANTISSA_BITS) - 1) | 1 << MANTISSA_BITS);
        // Subnormal numbers are too small for this.
        let shift = 1075 - exponent_bits - i64::from(k);
        let shift = u32::try_from(shift).ok().filter(|shift| (1..=70).contains(shift))?;
        let away = (mantissa * 5u128.pow(k)).abs_diff(u128::from(self.digits) << shift);
        let half = 1u128 << (shift - 1);
        Some(away <= half)
    }

    /// The same by writing `value` out.
    fn is_written_for(&self, value: f64) -> bool {
        let digits = self.digits.to_string();
        let written = format!("{value:.*e}", digits.len() - 1);
        let Some((mantissa, exponent)) = written.split_once('e') else { return false };
        let exponent = exponent.parse::<i64>().map(|exponent| exponent - (digits.len() as i64 - 1));
        mantissa.bytes().filter(|byte| *byte != b'.').eq(digits.bytes()) && exponent == Ok(self.exponent)
    }
}

/// Whether a text says nothing that a double would not keep, as far as identifiers go: no leading zeros, no plus sign,
/// no integers that are not representable, no more digits than a double can tell apart, and of the names only the usual
/// spellings.
fn is_lossless(text: &[u8]) -> bool {
    let unsigned = text.strip_prefix(b"-").unwrap_or(text);
    match unsigned {
        [] | [b'+', ..] => false,
        [b'0', b'0'..=b'9', ..] => false,
        [b'0'..=b'9' | b'.', ..] => match parse_wide_integer(unsigned, true) {
            Some(integer) => integer as f64 as i128 == integer,
            None => unsigned.iter().any(|byte| !byte.is_ascii_digit()) && n_significant(unsigned) <= MAX_SIGNIFICANT,
        },
        _ => matches!(unsigned, b"nan" | b"NaN" | b"inf" | b"Inf" | b"Infinity" | b"infinity"),
    }
}

/// Digits that every double can be written with so that it reads back the same.
const MAX_SIGNIFICANT: usize = 17;

/// Digits of a decimal without zeros at either end.
fn n_significant(unsigned: &[u8]) -> usize {
    let digits = unsigned.iter().take_while(|byte| !matches!(byte, b'e' | b'E')).filter(|byte| **byte != b'.');
    let (mut n, mut n_without_zeros) = (0, 0);
    for &digit in digits.skip_while(|digit| **digit == b'0') {
        n += 1;
        if digit != b'0' {
            n_without_zeros = n;
        }
    }
    n_without_zeros
}

/// A decimal of so many digits behind `point`, as an integer of units of the last one. `None` when digits would be lost.
pub(super) fn parse_decimal(text: &[u8], point: u8, precision: u8, scale: i8) -> Option<i128> {
    let (negative, text) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    let at = text.iter().position(|&byte| byte == point).unwrap_or(text.len());
    let (before, behind) = (&text[..at], text.get(at + 1..).unwrap_or_default());
    let behind = &behind[..behind.iter().rposition(|&byte| byte != b'0').map_or(0, |last| last + 1)];
    let scale = usize::try_from(scale).ok()?;
    if text.is_empty() || text == [point] || behind.len() > scale {
        return None;
    }
    let mut value = 0i128;
    for byte in before.iter().chain(behind).copied().chain(std::iter::repeat_n(b'0', scale - behind.len())) {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value.checked_mul(10)?.checked_add(i128::from(digit))?;
    }
    if value >= 10i128.checked_pow(u32::from(precision))? {
        return None;
    }
    Some(if negative { -value } else { value })
}

/// A truth value in one of the usual spellings.
pub(super) fn parse_bool(text: &[u8]) -> Option<bool> {
    match text {
        b"true" | b"True" | b"TRUE" => Some(true),
        b"false" | b"False" | b"FALSE" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn padded(text: &str) -> Vec<u8> {
        let mut bytes = text.as_bytes().to_vec();
        bytes.extend(b",9.9,12345678901234567890");
        bytes
    }

    fn int(text: &str, strict: bool) -> Option<i64> {
        parse_i64(&padded(text), text.len(), strict)
    }

    fn float(text: &str) -> Option<f64> {
        parse_f64(&padded(text), text.len(), true)
    }

    #[test]
    fn integers_keep_every_digit_or_do_not_fit() {
        let max = i64::MAX.to_string();
        for (text, want) in [("0", Some(0)), ("7", Some(7)), ("12345678", Some(12345678)), ("-5", Some(-5)), ("", None)]
        {
            assert_eq!(int(text, true), want, "{text}");
        }
        assert_eq!(int(&max, true), Some(i64::MAX));
        assert_eq!(int(&i64::MIN.to_string(), true), Some(i64::MIN));
        for text in ["9223372036854775808", "1.0", "1e3", "12a", "--1", "-", "1 ", "1_000", ":", "/"] {
            assert_eq!(int(text, true), None, "{text}");
        }
        for text in ["01234", "+5", "-0", "007"] {
            assert_eq!(int(text, true), None, "{text}");
            assert!(int(text, false).is_some(), "{text}");
        }
    }

    #[test]
    fn floats_that_would_lose_digits_do_not_fit() {
        for text in ["0.123456789012345678", "123456789012345678901234567890.5", "1.000000000000000001e5", "1e-999"] {
            assert!(float(text).is_none(), "{text}");
        }
        for text in ["0.12345678901234568", "0.50000000000000000000000", "-12345678901234567000.0", "0e-999"] {
            assert!(float(text).is_some(), "{text}");
        }
        for text in ["9007199254740993.0", "9007199254740993e0", "0.12345678901234567", "0.9007199254740993e16"] {
            assert!(float(text).is_none(), "{text}");
        }
        for text in ["9007199254740992.0", "1125899906842624.2", "1234567890.1234567", "1.7976931348623157e308"] {
            assert!(float(text).is_some(), "{text}");
        }
        for text in ["9007199254740993", "01.5", "+1.5", "1e999", "", ".", "-", "1.2.3", "NAN", "0x10", "1,5"] {
            assert!(float(text).is_none(), "{text}");
        }
        for (text, want) in
            [("1", 1.0), (".5", 0.5), ("5.", 5.0), ("-0.0", -0.0), ("1e-3", 0.001), ("-inf", f64::NEG_INFINITY)]
        {
            assert_eq!(float(text).map(f64::to_bits), Some(want.to_bits()), "{text}");
        }
    }

    #[test]
    fn decimals_are_exact() {
        assert_eq!(parse_decimal(b"-12.340", b'.', 10, 2), Some(-1234));
        assert_eq!(parse_decimal(b"-12,340", b',', 10, 2), Some(-1234));
        assert_eq!(parse_decimal(b"-12,340", b'.', 10, 2), None);
        assert_eq!(parse_decimal(b"12.345", b'.', 10, 2), None);
        assert_eq!(parse_decimal(b"100", b'.', 4, 2), None);
    }

    #[test]
    fn commas_are_points_only_where_that_was_said() {
        for (text, want) in [("1,5", Some(1.5)), ("-0,25", Some(-0.25)), ("3", Some(3.0)), ("1e-3", Some(0.001))] {
            assert_eq!(parse_f64_with_comma(text.as_bytes(), true), want, "{text}");
        }
        let long = format!("0,5{}", "0".repeat(100));
        assert_eq!(parse_f64_with_comma(long.as_bytes(), true), Some(0.5));
        for text in ["1.5", "1.234,5", "1,234,5", ",", ""] {
            assert_eq!(parse_f64_with_comma(text.as_bytes(), true), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn integers_agree_with_the_standard_library(value in any::<i64>(), shift in 0u32..64) {
            let value = value >> shift;
            prop_assert_eq!(int(&value.to_string(), true), Some(value));
        }

        #[test]
        fn decimals_agree_with_the_standard_library(text in "-?(0|[1-9][0-9]{0,9})\\.[0-9]{1,12}") {
            let n_digits = n_significant(text.trim_start_matches('-').as_bytes());
            let digits = |text: &str| {
                let digits: String = text.split('e').next().unwrap().chars().filter(char::is_ascii_digit).collect();
                digits.trim_matches('0').to_string()
            };
            // Halfway between two decimals, both will do; the shortest spelling may be the odd one.
            let comes_back = |value: &f64| {
                let exact = digits(&format!("{value:.*e}", n_digits.max(1) - 1)) == digits(&text);
                exact || digits(&format!("{value:e}")) == digits(&text)
            };
            let want = text.parse::<f64>().ok().filter(|value| n_digits <= MAX_SIGNIFICANT && comes_back(value));
            prop_assert_eq!(float(&text).map(f64::to_bits), want.map(f64::to_bits));
        }

        #[test]
        fn floats_agree_with_the_standard_library(value in any::<f64>().prop_filter("finite", |value| value.is_finite())) {
            prop_assert_eq!(float(&format!("{value:e}")).map(f64::to_bits), Some(value.to_bits()));
        }

        #[test]
        fn no_text_is_taken_for_a_number_by_chance(text in "[-+.0-9eE: /a]{0,12}") {
            let want = text.parse::<i64>().ok().filter(|value| value.to_string() == text);
            prop_assert_eq!(int(&text, true), want);
            if let Some(value) = float(&text) {
                prop_assert_eq!(Some(value.to_bits()), text.parse::<f64>().ok().map(f64::to_bits));
            }
        }
    }
}
