//! `--set key=value`: values put over those of the file before anything is typed.
//!
//! A key is a path: `settings.memory_budget`, `inputs.vitals.path`. A step in a list goes by its id or its number from 0.
//! The value is read as YAML, so that `[a, b]` and `{min: 1}` work; it is checked like everything in the file.

use super::source::{Place, Source};
use super::yaml::{self, Key, Node, Origin, Scalar, Spread, Value};
use crate::error::Result;

/// Puts every `--set` of `source` over `root`.
pub(super) fn apply(source: &Source, root: &mut Node) -> Result<()> {
    for (idx, set) in source.sets().iter().enumerate() {
        let place = Place::Set(idx);
        let Some((path, value)) = set.split_once('=') else {
            let error = source.error(place, "--set needs key=value");
            return Err(error.with_hint("for example --set settings.memory_budget=1GiB"));
        };
        let value = match yaml::parse_text(source, value, Origin::Set(idx)) {
            Ok(node) => node,
            Err(_) if value.trim().is_empty() => nothing(place),
            Err(error) => return Err(error),
        };
        let keys: Vec<&str> = path.trim().split('.').collect();
        put(source, root, &keys, value, place)?;
    }
    Ok(())
}

fn nothing(place: Place) -> Node {
    Node { value: Value::Scalar(Scalar { text: String::new(), plain: true, spread: Spread::Unknown }), place }
}

fn put(source: &Source, node: &mut Node, keys: &[&str], value: Node, place: Place) -> Result<()> {
    let Some((key, rest)) = keys.split_first() else {
        *node = value;
        return Ok(());
    };
    if node.is_null() {
        *node = Node { value: Value::Map(vec![]), place };
    }
    let held = node.kind();
    match &mut node.value {
        Value::Map(entries) => {
            let idx = entries.iter().position(|(known, _)| known.name == *key).unwrap_or_else(|| {
                entries.push((Key { name: key.to_string(), place }, nothing(place)));
                entries.len() - 1
            });
            put(source, &mut entries[idx].1, rest, value, place)
        }
        Value::List(items) => {
            let named = |item: &Node| match &item.value {
                Value::Map(entries) => entries.iter().any(|(known, node)| {
                    matches!(known.name.as_str(), "id" | "name")
                        && matches!(&node.value, Value::Scalar(scalar) if scalar.text == *key)
                }),
                _ => false,
            };
            let idx = items.iter().position(named).or_else(|| key.parse().ok().filter(|idx| *idx < items.len()));
            match idx {
                Some(idx) => put(source, &mut items[idx], rest, value, place),
                None => {
                    let message = format!("there is no {key:?} in a list of {}", items.len());
                    Err(source.error(place, message).with_hint("name a step by its id, or by its number from 0"))
                }
            }
        }
        // `inputs.vitals.path` where the file has `vitals: data.csv`.
        Value::Scalar(_) if *key == "path" && rest.is_empty() => {
            *node = value;
            Ok(())
        }
        Value::Scalar(_) => Err(source.error(place, format!("there is {held}, which has no {key:?}"))),
    }
}
