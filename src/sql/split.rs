//! Where statements end, at a semicolon that stands in no quotes and no comment, and how much there is in one.
//!
//! Memory: an entry for each parenthesis that is open.

/// Whole statements with their semicolons, and what comes after the last of them.
pub(crate) fn split(text: &str) -> (Vec<&str>, &str) {
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
pub(crate) fn is_whole(text: &str) -> bool {
    is_command(text) || gives_up(text) || is_blank(split(text).1)
}

/// Whether the last line ends the prompt though a statement is not complete.
pub(crate) fn gives_up(text: &str) -> bool {
    let (before, last) = text.trim_end().rsplit_once('\n').unwrap_or(("", text));
    matches!(last.trim(), "\\q" | "\\quit" | "\\exit") && !ends_in_quotes(before)
}

/// Whether it is a command of the prompt: one with a backslash, or a word that people type to leave or to ask for help.
pub(crate) fn is_command(text: &str) -> bool {
    let word = text.trim().trim_end_matches(';').trim_end();
    let is_word = ["exit", "quit", "help"].iter().any(|known| word.eq_ignore_ascii_case(known));
    is_word || text.trim_start().starts_with('\\')
}

/// Whether there is nothing but space and comments.
pub(crate) fn is_blank(text: &str) -> bool {
    let mut walk = Walk::new(text);
    while let Some((_, letter, place)) = walk.next() {
        if place != Place::Comment && !letter.is_whitespace() {
            return false;
        }
    }
    walk.place != Place::Comment || text.ends_with("*/") || text.trim_start().starts_with("--")
}

/// Whether the end of `text` stands inside of quotes or a comment.
pub(crate) fn ends_in_quotes(text: &str) -> bool {
    let mut walk = Walk::new(text);
    while walk.next().is_some() {}
    matches!(walk.place, Place::Quoted(_))
}

/// How much a text says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Extent {
    /// Words, quoted texts and signs.
    pub(super) n_words: usize,
    /// What the longest list is behind, and its items.
    pub(super) longest: (String, usize),
}

/// Words behind which a list without parentheses begins.
const BEFORE_LISTS: [&str; 5] = ["SELECT", "VALUES", "BY", "FROM", "WITH"];

/// Counts what a parser would make something of, without making it.
pub(super) fn extent(text: &str) -> Extent {
    let mut found = Extent::default();
    // What each open list is behind, as a range of the text, and its commas.
    let mut open: Vec<(&str, usize)> = vec![("", 0)];
    let (mut word, mut is_inside) = (0..0, false);
    let mut before = Place::Plain;
    let mut walk = Walk::new(text);
    while let Some((at, letter, place)) = walk.next() {
        let continues = is_inside;
        is_inside = place == Place::Plain && (letter.is_alphanumeric() || letter == '_' || letter == '.');
        found.n_words += usize::from(match place {
            Place::Plain if is_inside => !continues,
            Place::Plain => !letter.is_whitespace(),
            Place::Quoted(_) => before != place,
            Place::Comment => false,
        });
        before = place;
        if is_inside {
            word = if continues { word.start..at + letter.len_utf8() } else { at..at + letter.len_utf8() };
            continue;
        }
        if continues && BEFORE_LISTS.iter().any(|known| text[word.clone()].eq_ignore_ascii_case(known)) {
            found.note(open.pop());
            open.push((&text[word.clone()], 0));
        }
        match (place, letter) {
            (Place::Plain, '(') => open.push((&text[word.clone()], 0)),
            (Place::Plain, '[') => open.push(("[", 0)),
            (Place::Plain, ')' | ']') => found.note(open.pop()),
            (Place::Plain, ',') => open.last_mut().into_iter().for_each(|(_, n_commas)| *n_commas += 1),
            _ => {}
        }
    }
    open.into_iter().for_each(|list| found.note(Some(list)));
    found
}

impl Extent {
    fn note(&mut self, list: Option<(&str, usize)>) {
        if let Some((behind, n_commas)) = list
            && n_commas >= self.longest.1
        {
            self.longest = (behind.to_string(), n_commas + 1);
        }
    }
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
    fn words_and_the_longest_list_are_counted() {
        let check = |text: &str, n_words: usize, behind: &str, n_items: usize| {
            assert_eq!(extent(text), Extent { n_words, longest: (behind.to_string(), n_items) }, "{text}");
        };
        check("SELECT a, b FROM t WHERE k IN (1, 2, 3)", 16, "IN", 3);
        check("VALUES (1, 'a, b, c, d'), (2, ''), (3, '')", 18, "VALUES", 3);
        check("SELECT 1, 2, 3, 4 -- , , , , ,", 8, "SELECT", 4);
        check("SELECT [1, 2, 3]", 8, "[", 3);
        check("SELECT \"ä, b\", coalesce(ü, 1.5, 3)", 11, "coalesce", 3);
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
