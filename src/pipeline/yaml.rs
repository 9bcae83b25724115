//! YAML as a tree in which every value knows its line and column.
//!
//! Memory: bounded by [`MOST_TEXT_BYTES`] and [`MOST_NODES`]; an alias counts as often as it is used.
//!
//! Scalars stay the texts that were written: `01001` is a zip code for whoever asks for a text, and `2024-01-01` needs no
//! quotes. What a text means is decided by who reads it (see [`super::fields`]).

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, Span};

use super::source::{Place, Source};
use crate::error::Result;

/// The longest pipeline file.
pub(super) const MOST_TEXT_BYTES: u64 = 1 << 20;

/// The most values of a file, aliases spelled out.
const MOST_NODES: usize = 100_000;

/// How deep values may be inside one another.
const DEEPEST: usize = 64;

/// A value and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    pub(super) value: Value,
    pub(super) place: Place,
}

/// What a value is.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Scalar(Scalar),
    List(Vec<Node>),
    /// Keys in the order of the file.
    Map(Vec<(Key, Node)>),
}

/// The key of a mapping's entry.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Key {
    pub(super) name: String,
    pub(super) place: Place,
}

/// A text as it was written.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Scalar {
    pub(super) text: String,
    /// Neither quoted nor a block: `null`, `true` and `12` mean something.
    pub(super) plain: bool,
    pub(super) spread: Spread,
}

/// How places inside a text lie in the file.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Spread {
    /// Letter by letter from this place on.
    Inline(Place),
    /// Line by line from this one on, each indented by so many letters.
    Block { line: u32, indent: u32 },
    /// Escapes or folded lines: only the start is known.
    Unknown,
}

impl Node {
    /// Whether this is an empty value, `null` or `~`.
    pub(super) fn is_null(&self) -> bool {
        match &self.value {
            Value::Scalar(scalar) => {
                scalar.plain && matches!(scalar.text.as_str(), "" | "~" | "null" | "Null" | "NULL")
            }
            Value::List(_) | Value::Map(_) => false,
        }
    }

    /// What kind of value this is, for messages.
    pub(super) fn kind(&self) -> &'static str {
        match &self.value {
            _ if self.is_null() => "nothing",
            Value::Scalar(_) => "a text",
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping",
        }
    }
}

/// Reads the only document of `source`.
///
/// # Errors
/// [`crate::ErrorKind::Usage`] with line and column where the text is not YAML.
pub(super) fn parse(source: &Source) -> Result<Node> {
    parse_text(source, source.text(), Origin::File)
}

/// Where a text comes from.
#[derive(Debug, Clone, Copy)]
pub(super) enum Origin {
    File,
    /// The n-th `--set`.
    Set(usize),
}

impl Origin {
    fn place(self, line: usize, column: usize) -> Place {
        match self {
            Origin::File => Place::File { line: number(line), column: number(column) + 1 },
            Origin::Set(idx) => Place::Set(idx),
        }
    }
}

/// Reads `text`.
pub(super) fn parse_text(source: &Source, text: &str, origin: Origin) -> Result<Node> {
    let mut loader = Loader { source, text, origin, anchors: HashMap::new(), open: Vec::new(), n_nodes: 0, done: None };
    for event in Parser::new_from_str(text) {
        match event {
            Ok((event, span)) => loader.take(event, span)?,
            Err(error) => {
                let mark = error.marker();
                let at = origin.place(mark.line(), mark.col());
                let error = source.error(at, format!("this is not YAML: {}", error.info()));
                if let Some((sign, place)) = loader.unclosed() {
                    let place = source.at(place);
                    return Err(error.with_hint(format!(
                        "the {sign} at {place} has not ended here: close it, or put a text with , : # [ ] {{ }} in it into quotes"
                    )));
                }
                return Err(error.with_hint("a text with , : # [ ] { } in it needs quotes inside [..] and {..}"));
            }
        }
    }
    match loader.done {
        Some(node) => Ok(node),
        None => Err(source.error(origin.place(1, 0), "there is nothing in it")),
    }
}

/// Builds the tree from what the parser sees.
struct Loader<'a> {
    source: &'a Source,
    text: &'a str,
    origin: Origin,
    anchors: HashMap<usize, Node>,
    /// Lists and mappings that have not ended, from the outside in.
    open: Vec<Open>,
    n_nodes: usize,
    done: Option<Node>,
}

/// A list or mapping that has not ended.
struct Open {
    anchor: usize,
    node: Node,
    /// The key that waits for its value.
    key: Option<Key>,
}

impl Loader<'_> {
    fn take(&mut self, event: Event<'_>, span: Span) -> Result<()> {
        let place = self.origin.place(span.start.line(), span.start.col());
        match event {
            Event::Scalar(text, style, anchor, _) => {
                let plain = style == ScalarStyle::Plain;
                let spread = self.spread(&text, style, span);
                let scalar = Scalar { text: text.into_owned(), plain, spread };
                self.add(Node { value: Value::Scalar(scalar), place }, anchor)
            }
            Event::SequenceStart(anchor, _) => self.begin(Value::List(vec![]), place, anchor),
            Event::MappingStart(anchor, _) => self.begin(Value::Map(vec![]), place, anchor),
            Event::SequenceEnd | Event::MappingEnd => match self.open.pop() {
                Some(Open { anchor, node, .. }) => self.add(node, anchor),
                None => Ok(()),
            },
            Event::Alias(anchor) => match self.anchors.get(&anchor).cloned() {
                Some(node) => {
                    self.n_nodes += n_nodes(&node);
                    self.add(node, 0)
                }
                None => Err(self.source.error(place, "this alias names something that is not complete before it")),
            },
            Event::DocumentStart(_) if self.done.is_some() => {
                Err(self.source.error(place, "a second document begins here").with_hint("one pipeline a file"))
            }
            _ => Ok(()),
        }
    }

    /// The innermost list or mapping in brackets that has not ended.
    fn unclosed(&self) -> Option<(char, Place)> {
        let sign_at = |place: Place| match place {
            Place::File { line, column } => self.text.lines().nth(line as usize - 1)?.chars().nth(column as usize - 1),
            Place::Set(_) => None,
        };
        let signs = self.open.iter().rev().map(|open| (sign_at(open.node.place), open.node.place));
        signs.into_iter().find_map(|(sign, place)| Some((sign.filter(|sign| matches!(sign, '{' | '['))?, place)))
    }

    fn begin(&mut self, value: Value, place: Place, anchor: usize) -> Result<()> {
        if self.open.len() >= DEEPEST {
            return Err(self.source.error(place, "too many values inside one another"));
        }
        self.open.push(Open { anchor, node: Node { value, place }, key: None });
        Ok(())
    }

    /// Puts a complete value where it belongs.
    fn add(&mut self, node: Node, anchor: usize) -> Result<()> {
        self.n_nodes += 1;
        if self.n_nodes > MOST_NODES {
            return Err(self.source.error(node.place, format!("more than {MOST_NODES} values")));
        }
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        let Some(open) = self.open.last_mut() else {
            self.done = Some(node);
            return Ok(());
        };
        match &mut open.node.value {
            Value::List(items) => items.push(node),
            Value::Map(entries) => match open.key.take() {
                Some(key) => add_entry(self.source, entries, key, node)?,
                None => open.key = Some(key_of(self.source, node)?),
            },
            Value::Scalar(_) => {}
        }
        Ok(())
    }

    fn spread(&self, text: &str, style: ScalarStyle, span: Span) -> Spread {
        let (line, column) = (span.start.line(), span.start.col());
        let n_letters = span.end.index().saturating_sub(span.start.index());
        let same = |around: usize| n_letters == text.chars().count() + around && !text.contains('\n');
        match style {
            ScalarStyle::Plain if same(0) => Spread::Inline(self.origin.place(line, column)),
            ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted if same(2) => {
                Spread::Inline(self.origin.place(line, column + 1))
            }
            ScalarStyle::Literal => self.block(text, line),
            _ => Spread::Unknown,
        }
    }

    /// The first line of a block is the first from its mark on that holds the text's first line.
    fn block(&self, text: &str, mark_line: usize) -> Spread {
        let first = text.lines().next().unwrap_or_default();
        let lines = self.text.lines().enumerate().skip(mark_line.saturating_sub(1));
        for (idx, line) in lines.take(3) {
            if let Some(before) = line.strip_suffix(first)
                && before.chars().all(|letter| letter == ' ')
                && !first.is_empty()
            {
                return Spread::Block { line: number(idx) + 1, indent: number(before.len()) };
            }
        }
        Spread::Unknown
    }
}

fn key_of(source: &Source, node: Node) -> Result<Key> {
    match node.value {
        Value::Scalar(scalar) => Ok(Key { name: scalar.text, place: node.place }),
        Value::List(_) | Value::Map(_) => Err(source.error(node.place, "a key must be a text")),
    }
}

/// `<<: *other` adds what the mapping does not say itself.
fn add_entry(source: &Source, entries: &mut Vec<(Key, Node)>, key: Key, node: Node) -> Result<()> {
    if let ("<<", Value::Map(merged)) = (key.name.as_str(), &node.value) {
        for (key, value) in merged {
            if !entries.iter().any(|(known, _)| known.name == key.name) {
                entries.push((key.clone(), value.clone()));
            }
        }
        return Ok(());
    }
    if let Some((first, _)) = entries.iter().find(|(known, _)| known.name == key.name) {
        let message = format!("the key {:?} stands here a second time", key.name);
        return Err(source.error(key.place, message).with_hint(format!("the first is at {}", source.at(first.place))));
    }
    entries.push((key, node));
    Ok(())
}

fn n_nodes(node: &Node) -> usize {
    match &node.value {
        Value::Scalar(_) => 1,
        Value::List(items) => 1 + items.iter().map(n_nodes).sum::<usize>(),
        Value::Map(entries) => 1 + entries.iter().map(|(_, node)| n_nodes(node)).sum::<usize>(),
    }
}

fn number(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}
