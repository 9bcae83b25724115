//! The names of partition folders: `key=value`, with `%` and two digits for bytes that names should not have.
//!
//! Memory: one name.

use std::borrow::Cow;

/// What stands for NULL.
const NULL_VALUE: &str = "__HIVE_DEFAULT_PARTITION__";

/// The name of the folder for rows whose `key` is `value`. Different values give different names, and [`parse`] gives the
/// value back.
pub(crate) fn folder_name(key: &str, value: Option<&str>) -> String {
    let mut name = encode(key);
    name.push('=');
    match value {
        None => name += NULL_VALUE,
        // The text that means NULL, as a text.
        Some(NULL_VALUE) => name += &NULL_VALUE.replacen('_', "%5F", 1),
        Some(value) => name += &encode(value),
    }
    name
}

/// Key and value that the name of a folder states; `None` for other folders.
pub(super) fn parse(name: &str) -> Option<(String, Option<String>)> {
    let (key, value) = name.split_once('=')?;
    if key.is_empty() {
        return None;
    }
    let value = (value != NULL_VALUE).then(|| decode(value).into_owned());
    Some((decode(key).into_owned(), value))
}

/// Bytes that cannot stand in a name, have a meaning in globs or shells, or mislead on some system.
fn is_special(byte: u8) -> bool {
    byte < b' ' || byte == 0x7F || b"\"#%'*/:=?\\{}[]^<>|~".contains(&byte)
}

fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for letter in text.chars() {
        match u8::try_from(letter) {
            Ok(byte) if letter.is_ascii() && is_special(byte) => encoded += &format!("%{byte:02X}"),
            _ => encoded.push(letter),
        }
    }
    // Some systems drop what looks like padding at the end of a name.
    if encoded.ends_with([' ', '.']) {
        let last = encoded.pop().map_or(0, u32::from);
        encoded += &format!("%{last:02X}");
    }
    encoded
}

/// Undoes `%41`. What is not such an escape, or would not be UTF-8, stays as it is.
fn decode(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return text.into();
    }
    let bytes = text.as_bytes();
    let (mut decoded, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while at < bytes.len() {
        let digits = bytes.get(at + 1..at + 3).filter(|digits| bytes[at] == b'%' && digits.is_ascii());
        let byte = digits.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
        // `from_str_radix` takes a sign.
        match byte.filter(|_| bytes[at + 1] != b'+') {
            Some(byte) => {
                decoded.push(byte);
                at += 3;
            }
            None => {
                decoded.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8(decoded).map_or_else(|_| text.into(), Cow::Owned)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_read() {
        let check = |name: &str, want: Option<(&str, Option<&str>)>| {
            let want = want.map(|(key, value)| (key.to_string(), value.map(str::to_string)));
            assert_eq!(parse(name), want, "{name}");
        };
        check("year=2024", Some(("year", Some("2024"))));
        check("zip=01001", Some(("zip", Some("01001"))));
        check("a=b=c", Some(("a", Some("b=c"))));
        check("city=New%20York%2FNJ", Some(("city", Some("New York/NJ"))));
        check("a=", Some(("a", Some(""))));
        check("a=__HIVE_DEFAULT_PARTITION__", Some(("a", None)));
        check("a=%5F_HIVE_DEFAULT_PARTITION__", Some(("a", Some("__HIVE_DEFAULT_PARTITION__"))));
        check("a=50%", Some(("a", Some("50%"))));
        check("a=%+1%zz%FF", Some(("a", Some("%+1%zz%FF"))));
        check("=a", None);
        check("plain", None);
    }

    proptest! {
        #[test]
        fn any_value_comes_back(key in "\\PC{1,5}", value in prop::option::of("[\\PC%=/. _\u{0}-\u{1F}]{0,12}")) {
            let name = folder_name(&key, value.as_deref());
            prop_assert!(!name.contains('/') && !name.contains('\0'));
            prop_assert_eq!(parse(&name), Some((key, value)));
        }
    }
}
