//! Where statements end: at a semicolon that stands in no quotes and no comment.

/// Whole statements with their semicolons, and what comes after the last of them.
pub(super) fn split(text: &str) -> (Vec<&str>, &str) {
    let (mut statements, mut start) = (Vec::new(), 0);
    let mut walk = Walk::new(text);
    while let Some((at, letter, place)) = walk.next() {
        if letter == ';' && place == Place::Plain {
            statements.push(&text[start..=at]);
            start = at + 1;
        }
    }
    (statements, &text[start..])
}

/// Whether nothing is left to type: all statements are whole, or it is a command of the prompt.
pub(super) fn is_whole(text: &str) -> bool {
    is_command(text) || gives_up(text) || is_blank(split(text).1)
}

/// Whether the last line ends the prompt though a statement is not complete.
pub(super) fn gives_up(text: &str) -> bool {
    let (before, last) = text.trim_end().rsplit_once('\n').unwrap_or(("", text));
    matches!(last.trim(), "\\q" | "\\quit" | "\\exit") && !ends_in_quotes(before)
}

/// Whether it is a command of the prompt: one with a backslash, or a word that people type to leave or to ask for help.
pub(super) fn is_command(text: &str) -> bool {
    let word = text.trim().trim_end_matches(';').trim_end();
    let is_word = ["exit", "quit", "help"].iter().any(|known| word.eq_ignore_ascii_case(known));
    is_word || text.trim_start().starts_with('\\')
}

/// Whether there is nothing but space and comments.
pub(super) fn is_blank(text: &str) -> bool {
    let mut walk = Walk::new(text);
    while let Some((_, letter, place)) = walk.next() {
        if place != Place::Comment && !letter.is_whitespace() {
            return false;
        }
    }
    walk.place != Place::Comment || text.ends_with("*/") || text.trim_start().starts_with("--")
}

/// Whether the end of `text` stands inside of quotes or a comment.
pub(super) fn ends_in_quotes(text: &str) -> bool {
    let mut walk = Walk::new(text);
    while walk.next().is_some() {}
    matches!(walk.place, Place::Quoted(_))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Plain,
    Quoted(char),
    Comment,
}

/// Goes over the letters of a text and knows where each stands.
struct Walk<'a> {
    letters: std::iter::Peekable<std::str::CharIndices<'a>>,
    place: Place,
    /// What ends the comment: a newline or `*/`.
    line_comment: bool,
    /// The comment ends with the letter that was last given.
    ends: bool,
    last: char,
}

impl<'a> Walk<'a> {
    fn new(text: &'a str) -> Self {
        let letters = text.char_indices().peekable();
        Walk { letters, place: Place::Plain, line_comment: false, ends: false, last: ' ' }
    }

    fn next(&mut self) -> Option<(usize, char, Place)> {
        if std::mem::take(&mut self.ends) {
            self.place = Place::Plain;
        }
        let (at, letter) = self.letters.next()?;
        let following = self.letters.peek().map(|(_, letter)| *letter);
        let before = std::mem::replace(&mut self.last, letter);
        let place = match (self.place, letter) {
            (Place::Plain, '\'' | '"') => {
                self.place = Place::Quoted(letter);
                self.place
            }
            (Place::Plain, '-') if following == Some('-') => self.comment(true),
            (Place::Plain, '/') if following == Some('*') => self.comment(false),
            (Place::Quoted(quote), letter) if letter == quote => {
                // A doubled quote closes and opens again, which comes to the same.
                self.ends = true;
                self.place
            }
            (Place::Comment, '\n') if self.line_comment => {
                self.ends = true;
                self.place
            }
            (Place::Comment, '/') if !self.line_comment && before == '*' => {
                self.ends = true;
                self.place
            }
            (place, _) => place,
        };
        if self.ends && self.letters.peek().is_none() {
            self.place = Place::Plain;
        }
        Some((at, letter, place))
    }

    fn comment(&mut self, line_comment: bool) -> Place {
        self.line_comment = line_comment;
        self.place = Place::Comment;
        self.place
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_end_at_semicolons_outside_of_quotes_and_comments() {
        let check = |text: &str, statements: &[&str], rest: &str| assert_eq!(split(text), (statements.to_vec(), rest));
        check("SELECT 1; SELECT 2", &["SELECT 1;"], " SELECT 2");
        check("SELECT ';' AS \"a;b\";", &["SELECT ';' AS \"a;b\";"], "");
        check("SELECT 'it''s; so';x", &["SELECT 'it''s; so';"], "x");
        check("-- a;\nSELECT 1;", &["-- a;\nSELECT 1;"], "");
        check("SELECT /* ; */ 1;", &["SELECT /* ; */ 1;"], "");
        check("SELECT 1 - 2; SELECT 4 / 2;", &["SELECT 1 - 2;", " SELECT 4 / 2;"], "");
        check("SELECT 'open;", &[], "SELECT 'open;");
        check("", &[], "");
    }

    #[test]
    fn what_is_whole_needs_no_further_line() {
        for whole in [
            "",
            "exit",
            "QUIT;",
            "help ;",
            "SELECT 1\n\\q",
            "SELECT 1;",
            "SELECT 1; -- done",
            "\\q",
            "  \\tables",
            "-- only this",
            "/* x */",
            ";\n",
        ] {
            assert!(is_whole(whole), "{whole:?}");
        }
        for open in ["SELECT 1", "exit now", "SELECT '\n\\q", "SELECT ';", "SELECT 1; SELECT", "/* open"] {
            assert!(!is_whole(open), "{open:?}");
        }
        assert!(ends_in_quotes("SELECT * FROM 'da") && !ends_in_quotes("SELECT 'a'"));
    }
}
