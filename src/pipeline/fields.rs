//! Typed values out of YAML: what a key holds, and what was not understood.
//!
//! [`Fields`] remembers every key that was asked for. What is left at the end is an unknown key, and the keys that were
//! asked for are what it may have meant.

use std::cell::RefCell;

use super::source::{Place, Source};
use super::yaml::{Key, Node, Scalar, Spread, Value};
use crate::error::{Error, Result};
use crate::io::suggest::closest;

/// A text of the user's with its place: a name, a path, or SQL.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Text {
    pub(super) text: String,
    pub(super) place: Place,
    pub(super) spread: Spread,
}

impl Text {
    /// A text that we made, standing for what is at `place`.
    pub(super) fn made(text: impl Into<String>, place: Place) -> Self {
        Text { text: text.into(), place, spread: Spread::Unknown }
    }

    pub(super) fn as_str(&self) -> &str {
        &self.text
    }
}

impl From<&Key> for Text {
    fn from(key: &Key) -> Self {
        Text { text: key.name.clone(), place: key.place, spread: Spread::Inline(key.place) }
    }
}

/// The entries of a mapping, taken one by one.
pub(super) struct Fields<'a> {
    source: &'a Source,
    /// What the mapping describes: `a step of type join`.
    what: String,
    place: Place,
    entries: &'a [(Key, Node)],
    /// With whether it is the name that we would write, and not one that is also understood.
    asked: RefCell<Vec<(&'static str, bool)>>,
}

impl<'a> Fields<'a> {
    /// The entries of `node`, which describes `what`.
    pub(super) fn of(source: &'a Source, node: &'a Node, what: impl Into<String>) -> Result<Self> {
        let what = what.into();
        match &node.value {
            Value::Map(entries) => Ok(Fields { source, what, place: node.place, entries, asked: RefCell::default() }),
            _ => Err(source.error(node.place, format!("{what} must be a mapping, not {}", node.kind()))),
        }
    }

    /// Where the mapping begins.
    pub(super) fn place(&self) -> Place {
        self.place
    }

    /// Says more precisely what the mapping describes.
    pub(super) fn describe(&mut self, what: impl Into<String>) {
        self.what = what.into();
    }

    /// The value of the key that is called one of `names`; `None` when it is absent or empty.
    pub(super) fn take(&self, names: &[&'static str]) -> Result<Option<&'a Node>> {
        Ok(self.take_with_key(names)?.map(|(_, node)| node))
    }

    /// As [`Fields::take`], with the key.
    pub(super) fn take_with_key(&self, names: &[&'static str]) -> Result<Option<(&'a Key, &'a Node)>> {
        self.asked.borrow_mut().extend(names.iter().enumerate().map(|(idx, name)| (*name, idx == 0)));
        let mut found = self.entries.iter().filter(|(key, _)| names.contains(&key.name.as_str()));
        let first = found.next();
        if let (Some((first, _)), Some((second, _))) = (first, found.next()) {
            let message = format!("{:?} and {:?} say the same", first.name, second.name);
            return Err(self.source.error(second.place, message).with_hint("leave one of them out"));
        }
        Ok(first.filter(|(_, node)| !node.is_null()).map(|(key, node)| (key, node)))
    }

    /// The value of a key that must be there.
    pub(super) fn need(&self, names: &[&'static str], example: &str) -> Result<&'a Node> {
        match self.take(names)? {
            Some(node) => Ok(node),
            None => Err(self.missing(names[0], example)),
        }
    }

    /// The error for a key that is not there.
    pub(super) fn missing(&self, name: &str, example: &str) -> Error {
        let error = match self.unknown_key() {
            // Most likely a slip of the keyboard.
            Some(error) => return error,
            None => self.source.error(self.place, format!("{} needs {name:?}", self.what)),
        };
        error.with_hint(format!("for example {example}"))
    }

    pub(super) fn text(&self, names: &[&'static str]) -> Result<Option<Text>> {
        self.take(names)?.map(|node| text(self.source, node, names[0])).transpose()
    }

    pub(super) fn texts(&self, names: &[&'static str]) -> Result<Option<Vec<Text>>> {
        self.take(names)?.map(|node| texts(self.source, node, names[0])).transpose()
    }

    pub(super) fn flag(&self, names: &[&'static str]) -> Result<Option<bool>> {
        self.take(names)?.map(|node| flag(self.source, node, names[0])).transpose()
    }

    pub(super) fn count(&self, names: &[&'static str]) -> Result<Option<u64>> {
        self.take(names)?.map(|node| count(self.source, node, names[0])).transpose()
    }

    pub(super) fn number(&self, names: &[&'static str]) -> Result<Option<f64>> {
        self.take(names)?.map(|node| number(self.source, node, names[0])).transpose()
    }

    /// Entries that nobody asked for.
    pub(super) fn others(&self) -> impl Iterator<Item = (&'a Key, &'a Node)> {
        let asked = self.asked.borrow().clone();
        let is_other = move |key: &Key| !asked.iter().any(|(name, _)| *name == key.name);
        self.entries.iter().filter(move |(key, _)| is_other(key)).map(|(key, node)| (key, node))
    }

    /// # Errors
    /// When a key was not asked for.
    pub(super) fn finish(self) -> Result<()> {
        self.unknown_key().map_or(Ok(()), Err)
    }

    fn unknown_key(&self) -> Option<Error> {
        let (key, _) = self.others().next()?;
        let asked = self.asked.borrow();
        let error = self.source.error(key.place, format!("{} has no {:?}", self.what, key.name));
        Some(match closest(&key.name, asked.iter().map(|(name, _)| *name)) {
            Some(near) => error.with_hint(format!("did you mean {near:?}?")),
            None => error.with_hint(format!("there are: {}", known_keys(&asked))),
        })
    }
}

fn known_keys(asked: &[(&str, bool)]) -> String {
    asked.iter().filter(|(_, ours)| *ours).map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
}

pub(super) fn scalar<'a>(source: &Source, node: &'a Node, what: &str) -> Result<&'a Scalar> {
    match &node.value {
        Value::Scalar(scalar) if !node.is_null() => Ok(scalar),
        _ => Err(source.error(node.place, format!("{what:?} must be a text, not {}", node.kind()))),
    }
}

/// A text: a name, a path or SQL.
pub(super) fn text(source: &Source, node: &Node, what: &str) -> Result<Text> {
    let scalar = scalar(source, node, what)?;
    Ok(Text { text: scalar.text.clone(), place: node.place, spread: scalar.spread })
}

/// A list of texts, or one text.
pub(super) fn texts(source: &Source, node: &Node, what: &str) -> Result<Vec<Text>> {
    match &node.value {
        Value::List(items) => items.iter().map(|item| text(source, item, what)).collect(),
        _ => Ok(vec![text(source, node, what)?]),
    }
}

pub(super) fn flag(source: &Source, node: &Node, what: &str) -> Result<bool> {
    let scalar = scalar(source, node, what)?;
    match scalar.text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" => Ok(true),
        "false" | "no" | "off" => Ok(false),
        other => Err(source.error(node.place, format!("{what:?} must be true or false, not {other:?}"))),
    }
}

/// A whole number; `1_000_000` is one.
pub(super) fn count(source: &Source, node: &Node, what: &str) -> Result<u64> {
    let scalar = scalar(source, node, what)?;
    scalar.text.replace('_', "").parse().map_err(|_| {
        source.error(node.place, format!("{what:?} must be a whole number from 0 on, not {:?}", scalar.text))
    })
}

pub(super) fn number(source: &Source, node: &Node, what: &str) -> Result<f64> {
    let scalar = scalar(source, node, what)?;
    let parsed: Option<f64> = scalar.text.replace('_', "").parse().ok().filter(|number: &f64| number.is_finite());
    parsed.ok_or_else(|| source.error(node.place, format!("{what:?} must be a number, not {:?}", scalar.text)))
}

/// The entries of a mapping of the user's own names.
pub(super) fn entries<'a>(source: &Source, node: &'a Node, what: &str) -> Result<&'a [(Key, Node)]> {
    match &node.value {
        Value::Map(entries) => Ok(entries),
        _ => Err(source.error(node.place, format!("{what:?} must be a mapping, not {}", node.kind()))),
    }
}

/// The error for a word that is none of `known`.
pub(super) fn unknown_word(source: &Source, found: &Text, what: &str, known: &[&str]) -> Error {
    let error = source.error(found.place, format!("there is no {what} {:?}", found.text));
    match closest(&found.text, known.iter().copied()) {
        Some(near) => error.with_hint(format!("did you mean {near:?}?")),
        None => error.with_hint(format!("there are: {}", known.join(", "))),
    }
}
