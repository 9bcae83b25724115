//! JSON tokens of one line.
//!
//! Memory: none. The text is UTF-8, which is checked before; what is between tokens is checked here.

use memchr::memchr2;

use super::problem::{Problem, What};

/// Objects and lists inside of one another; more is refused, since readers of JSON go down by recursion.
pub(super) const MAX_DEPTH: usize = 64;

/// A place in a line.
#[derive(Debug, Clone)]
pub(super) struct Cursor<'a> {
    line: &'a [u8],
    at: usize,
    depth: usize,
}

/// What a value begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Null,
    Boolean,
    Number,
    Text,
    List,
    Object,
}

/// A text between quotes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Text<'a> {
    /// As it stands in the file, without the quotes.
    pub(super) raw: &'a [u8],
    /// Whether there are backslashes in it.
    pub(super) is_escaped: bool,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(line: &'a [u8]) -> Self {
        Cursor { line, at: 0, depth: 0 }
    }

    /// A problem of the token that begins here.
    pub(super) fn problem(&self, what: What) -> Problem {
        Problem { at: self.at, what, path: Vec::new() }
    }

    fn malformed(&self, expected: &'static str) -> Problem {
        self.problem(What::Malformed(expected))
    }

    /// The next byte that is not a space.
    pub(super) fn peek(&mut self) -> Option<u8> {
        while let Some(&byte) = self.line.get(self.at) {
            if !matches!(byte, b' ' | b'\t' | b'\r' | b'\n') {
                return Some(byte);
            }
            self.at += 1;
        }
        None
    }

    /// What kind of value comes next.
    pub(super) fn kind(&mut self) -> Result<Kind, Problem> {
        Ok(match self.peek() {
            Some(b'"') => Kind::Text,
            Some(b'{') => Kind::Object,
            Some(b'[') => Kind::List,
            Some(b'-' | b'0'..=b'9') => Kind::Number,
            Some(b't' | b'f') => Kind::Boolean,
            Some(b'n') => Kind::Null,
            Some(_) => return Err(self.malformed("a value")),
            None => return Err(self.malformed("a value, and not the end of the line")),
        })
    }

    fn expect(&mut self, byte: u8, expected: &'static str) -> Result<(), Problem> {
        if self.peek() != Some(byte) {
            return Err(self.malformed(expected));
        }
        self.at += 1;
        Ok(())
    }

    fn literal(&mut self, text: &'static [u8], expected: &'static str) -> Result<(), Problem> {
        let rest = &self.line[self.at..];
        let goes_on = rest.get(text.len()).is_some_and(|byte| byte.is_ascii_alphanumeric());
        if !rest.starts_with(text) || goes_on {
            return Err(self.malformed(expected));
        }
        self.at += text.len();
        Ok(())
    }

    pub(super) fn null(&mut self) -> Result<(), Problem> {
        self.literal(b"null", "null")
    }

    pub(super) fn boolean(&mut self) -> Result<bool, Problem> {
        match self.peek() {
            Some(b't') => self.literal(b"true", "true").map(|()| true),
            _ => self.literal(b"false", "false").map(|()| false),
        }
    }

    /// The digits of a number, checked to be one.
    pub(super) fn number(&mut self) -> Result<&'a [u8], Problem> {
        let start = self.at;
        let rest = &self.line[start..];
        let digits = |from: usize| rest[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        let mut at = usize::from(rest.first() == Some(&b'-'));
        let n_whole = digits(at);
        let has_extra_zero = n_whole > 1 && rest[at] == b'0';
        at += n_whole;
        let mut is_number = n_whole > 0 && !has_extra_zero;
        if rest.get(at) == Some(&b'.') {
            let n = digits(at + 1);
            is_number &= n > 0;
            at += 1 + n;
        }
        if matches!(rest.get(at), Some(b'e' | b'E')) {
            let sign = usize::from(matches!(rest.get(at + 1), Some(b'+' | b'-')));
            let n = digits((at + 1 + sign).min(rest.len()));
            is_number &= n > 0;
            at += 1 + sign + n;
        }
        let goes_on = rest.get(at).is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'.');
        if !is_number || goes_on {
            return Err(self.malformed("a number"));
        }
        self.at = start + at;
        Ok(&rest[..at])
    }

    /// The text that begins here.
    pub(super) fn text(&mut self) -> Result<Text<'a>, Problem> {
        self.expect(b'"', "a text in double quotes")?;
        let start = self.at;
        let (mut at, mut is_escaped) = (start, false);
        loop {
            match memchr2(b'"', b'\\', &self.line[at..]) {
                Some(found) if self.line[at + found] == b'"' => {
                    self.at = at + found + 1;
                    return Ok(Text { raw: &self.line[start..at + found], is_escaped });
                }
                Some(found) if at + found + 1 < self.line.len() => {
                    is_escaped = true;
                    at += found + 2;
                }
                _ => {
                    self.at = start - 1;
                    return Err(self.malformed("the closing quote of this text on the same line"));
                }
            }
        }
    }

    fn enter(&mut self) -> Result<(), Problem> {
        self.at += 1;
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(self.problem(What::TooDeep));
        }
        Ok(())
    }

    /// Goes over the object that begins here: `each` gets every name and must read its value.
    pub(super) fn object(
        &mut self,
        mut each: impl FnMut(&mut Self, Text<'a>) -> Result<(), Problem>,
    ) -> Result<(), Problem> {
        if self.peek() != Some(b'{') {
            return Err(self.malformed("an object in braces"));
        }
        self.enter()?;
        if self.peek() == Some(b'}') {
            self.at += 1;
            self.depth -= 1;
            return Ok(());
        }
        loop {
            self.peek();
            let name = self.text()?;
            self.expect(b':', "a colon behind the name of a field")?;
            each(self, name)?;
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    self.at += 1;
                    self.depth -= 1;
                    return Ok(());
                }
                Some(_) => return Err(self.malformed("a comma or the end of the object")),
                None => return Err(self.malformed("the end of the object on the same line")),
            }
        }
    }

    /// Goes over the list that begins here: `each` must read the next item.
    pub(super) fn list(&mut self, mut each: impl FnMut(&mut Self) -> Result<(), Problem>) -> Result<(), Problem> {
        self.enter()?;
        if self.peek() == Some(b']') {
            self.at += 1;
            self.depth -= 1;
            return Ok(());
        }
        loop {
            each(self)?;
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => {
                    self.at += 1;
                    self.depth -= 1;
                    return Ok(());
                }
                Some(_) => return Err(self.malformed("a comma or the end of the list")),
                None => return Err(self.malformed("the end of the list on the same line")),
            }
        }
    }

    /// Passes over a value; returns it as it stands in the file.
    pub(super) fn skip(&mut self) -> Result<&'a [u8], Problem> {
        let kind = self.kind()?;
        let start = self.at;
        match kind {
            Kind::Null => self.null()?,
            Kind::Boolean => self.boolean().map(|_| ())?,
            Kind::Number => self.number().map(|_| ())?,
            Kind::Text => self.text().map(|_| ())?,
            Kind::Object => self.object(|cursor, _| cursor.skip().map(|_| ()))?,
            Kind::List => self.list(|cursor| cursor.skip().map(|_| ()))?,
        }
        Ok(&self.line[start..self.at])
    }

    /// Checks that nothing follows.
    pub(super) fn end(&mut self) -> Result<(), Problem> {
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(self.malformed("the end of the line behind the object")),
        }
    }
}

impl Text<'_> {
    /// Appends what the text means. The error is the place of an escape in `raw` that means nothing.
    pub(super) fn append_to(self, out: &mut Vec<u8>) -> Result<(), usize> {
        if !self.is_escaped {
            out.extend_from_slice(self.raw);
            return Ok(());
        }
        let mut at = 0;
        while let Some(found) = memchr::memchr(b'\\', &self.raw[at..]) {
            out.extend_from_slice(&self.raw[at..at + found]);
            at += found;
            let plain = match self.raw.get(at + 1) {
                Some(&byte @ (b'"' | b'\\' | b'/')) => byte,
                Some(b'n') => b'\n',
                Some(b't') => b'\t',
                Some(b'r') => b'\r',
                Some(b'b') => 0x08,
                Some(b'f') => 0x0C,
                Some(b'u') => {
                    let (letter, n_bytes) = self.letter(at).ok_or(at)?;
                    out.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
                    at += n_bytes;
                    continue;
                }
                _ => return Err(at),
            };
            out.push(plain);
            at += 2;
        }
        out.extend_from_slice(&self.raw[at..]);
        Ok(())
    }

    /// The letter that `\u0041` at `at` is, or two of them together, and how long it is.
    fn letter(self, at: usize) -> Option<(char, usize)> {
        let unit = |at: usize| {
            let digits = self.raw.get(at..at + 6).filter(|text| text.starts_with(b"\\u"))?;
            let digits = std::str::from_utf8(&digits[2..]).ok().filter(|digits| !digits.starts_with('+'))?;
            u16::from_str_radix(digits, 16).ok()
        };
        let first = unit(at)?;
        if !(0xD800..0xE000).contains(&first) {
            return Some((char::from_u32(u32::from(first))?, 6));
        }
        let pair = [first, unit(at + 6)?];
        let letter = char::decode_utf16(pair).next()?.ok()?;
        Some((letter, 12))
    }

    /// What the text means, when it is the name of a field.
    pub(super) fn name(self) -> Option<String> {
        let mut name = Vec::new();
        self.append_to(&mut name).ok()?;
        String::from_utf8(name).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, want: Result<(), usize>) {
        let mut cursor = Cursor::new(line.as_bytes());
        let found = cursor.skip().and_then(|_| cursor.end()).map_err(|problem| problem.at);
        assert_eq!(found, want, "{line}");
        let expected = serde_json::from_str::<serde_json::Value>(line).is_ok();
        assert_eq!(expected, want.is_ok(), "{line}: what another reader says");
    }

    #[test]
    fn values_are_told_from_what_is_none() {
        for good in [
            "{}",
            "[]",
            " { \"a\" : [ 1 , -0.5e+3, true,false ,null, {\"b\":\"\\\"\\u00e9\"} ] } ",
            "1",
            "\"x\"",
            "0",
            "-0",
            "1E5",
            "[[[]]]",
        ] {
            check(good, Ok(()));
        }
        for (bad, at) in [
            ("", 0),
            ("{", 1),
            ("{\"a\"}", 4),
            ("{\"a\":}", 5),
            ("{\"a\":1,}", 7),
            ("{a:1}", 1),
            ("[1,]", 3),
            ("[1 2]", 3),
            ("01", 0),
            ("1.", 0),
            ("-", 0),
            ("1e", 0),
            ("+1", 0),
            (".5", 0),
            ("truex", 0),
            ("nul", 0),
            ("\"x", 0),
            ("\"x\\", 0),
            ("{} {}", 3),
            ("{\"a\":NaN}", 5),
            ("1a", 0),
        ] {
            check(bad, Err(at));
        }
        let deep = "[".repeat(MAX_DEPTH + 1);
        assert!(matches!(Cursor::new(deep.as_bytes()).skip().unwrap_err().what, What::TooDeep));
    }

    #[test]
    fn escapes_are_undone() {
        let check = |line: &str, want: Option<&str>| {
            let text = Cursor::new(line.as_bytes()).text().unwrap();
            assert_eq!(text.name().as_deref(), want, "{line}");
        };
        check(r#""plain é""#, Some("plain é"));
        check(r#""\"\\\/\n\t\r\b\f""#, Some("\"\\/\n\t\r\u{8}\u{c}"));
        check(r#""\u00e9\ud83d\ude00x""#, Some("é😀x"));
        for bad in [r#""\x""#, r#""\ud83d""#, r#""\ud83dx""#, r#""\ude00""#, r#""\u12""#, r#""\u+123""#] {
            check(bad, None);
        }
    }
}
