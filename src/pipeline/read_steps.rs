//! From YAML to steps.
//!
//! A step without `input` reads the one before it, the first one the only input. Steps read what stands above them, so there
//! are no circles.

use std::collections::HashMap;

use super::fields::{self, Fields, Text};
use super::prepare::comes_later;
use super::read::check_id;
use super::source::Source;
use super::spec::{Aggregation, Filler, How, Input, Item, Join, Measure, Operation, SortKey, Step};
use super::yaml::{Node, Value};
use crate::error::Result;
use crate::io::suggest::closest;

/// The words for each kind of step; the first is ours.
const TYPES: [&[&str]; 18] = [
    &["select"],
    &["filter", "where"],
    &["with_columns", "with_column", "derive", "mutate"],
    &["rename"],
    &["drop"],
    &["cast"],
    &["join"],
    &["join_asof", "asof_join"],
    &["group_by", "groupby", "aggregate"],
    &["sort", "order_by"],
    &["limit", "head"],
    &["unique", "distinct"],
    &["union", "concat"],
    &["window"],
    &["sql"],
    &["sample"],
    &["fill_null", "fill_nulls"],
    &["drop_nulls", "drop_null"],
];

/// The steps of `node`, which may read `inputs` and one another.
pub(super) fn read_steps(source: &Source, node: &Node, inputs: &[Input]) -> Result<Vec<Step>> {
    let items: Vec<(Option<Text>, &Node)> = match &node.value {
        Value::List(items) => items.iter().map(|item| (None, item)).collect(),
        // A mapping from ids to steps.
        Value::Map(entries) => entries.iter().map(|(key, node)| (Some(Text::from(key)), node)).collect(),
        Value::Scalar(_) => return Err(source.error(node.place, "transforms must be a list of steps")),
    };
    let mut known: Vec<Text> = inputs.iter().map(|input| input.id.clone()).collect();
    let mut steps: Vec<Step> = Vec::with_capacity(items.len());
    let named: Vec<Text> = items.iter().filter_map(|(id, node)| id.clone().or_else(|| id_of(source, node))).collect();
    for (idx, (id, node)) in items.into_iter().enumerate() {
        let reader = StepReader { source, number: idx + 1, inputs, last: steps.last(), known: &known, named: &named };
        let step = reader.read(id, node)?;
        known.push(step.id.clone());
        steps.push(step);
    }
    Ok(steps)
}

/// What there is around a step.
struct StepReader<'a> {
    source: &'a Source,
    number: usize,
    inputs: &'a [Input],
    last: Option<&'a Step>,
    known: &'a [Text],
    /// The names of all steps, also of those that come later.
    named: &'a [Text],
}

/// The name that a step gives itself.
fn id_of(source: &Source, node: &Node) -> Option<Text> {
    let Value::Map(entries) = &node.value else { return None };
    let (_, id) = entries.iter().find(|(key, _)| matches!(key.name.as_str(), "id" | "name"))?;
    fields::text(source, id, "id").ok()
}

impl StepReader<'_> {
    fn read(&self, id: Option<Text>, node: &Node) -> Result<Step> {
        let source = self.source;
        let mut of = Fields::of(source, node, format!("step {}", self.number))?;
        let id = match (id, of.text(&["id", "name"])?) {
            (Some(id), _) | (None, Some(id)) => id,
            (None, None) => Text::made(format!("step_{}", self.number), node.place),
        };
        check_id(source, &id)?;
        if let Some(first) = self.known.iter().find(|known| known.text.eq_ignore_ascii_case(&id.text)) {
            let error = source.error(id.place, format!("{:?} is the name of something else already", id.text));
            return Err(error.with_hint(format!("the first is at {}", source.at(first.place))));
        }
        let word = match of.text(&["type", "op", "operation"])? {
            Some(word) => word,
            None if of.take(&["sql", "query"])?.is_some() => Text::made("sql", node.place),
            None => return Err(of.missing("type", "type: filter")),
        };
        let type_name = kind(source, &word)?;
        of.describe(format!("the step {:?} of type {type_name}", id.text));
        let inputs = self.inputs_of(&of, type_name)?;
        let operation = read_operation(source, &of, type_name)?;
        let checkpoint = of.flag(&["checkpoint"])?;
        of.take(&["description", "comment"])?;
        of.finish()?;
        Ok(Step { id, place: node.place, type_name, inputs, operation, checkpoint })
    }

    fn inputs_of(&self, of: &Fields<'_>, type_name: &str) -> Result<Vec<Text>> {
        let (left, right) = match type_name {
            "join" | "join_asof" => (of.text(&["left", "input"])?, of.text(&["right", "with", "other"])?),
            "union" => (None, None),
            _ => (of.text(&["input", "from", "source"])?, None),
        };
        let listed = match type_name {
            "join" | "join_asof" | "union" | "sql" => of.texts(&["inputs"])?,
            _ => None,
        };
        let inputs = match (type_name, left, right, listed) {
            ("join" | "join_asof", None, None, Some(two)) if two.len() == 2 => two,
            ("join" | "join_asof", _, _, Some(listed)) => {
                let place = listed.first().map_or(of.place(), |first| first.place);
                return Err(self
                    .source
                    .error(place, "a join has two inputs")
                    .with_hint("left: orders, right: customers"));
            }
            ("join" | "join_asof", left, Some(right), None) => vec![left.map_or_else(|| self.previous(of), Ok)?, right],
            ("join" | "join_asof", _, None, None) => return Err(of.missing("right", "right: customers")),
            ("union", _, _, Some(listed)) if !listed.is_empty() => listed,
            ("union", ..) => return Err(of.missing("inputs", "inputs: [january, february]")),
            // Its text says what it reads.
            ("sql", given, _, listed) => given.into_iter().chain(listed.into_iter().flatten()).collect(),
            (_, given, ..) => vec![given.map_or_else(|| self.previous(of), Ok)?],
        };
        inputs.iter().try_for_each(|input| self.check_input(input))?;
        Ok(inputs)
    }

    /// What a step reads that does not say.
    fn previous(&self, of: &Fields<'_>) -> Result<Text> {
        match (self.last, self.inputs) {
            (Some(step), _) => Ok(Text::made(step.id.text.clone(), of.place())),
            (None, [only]) => Ok(Text::made(only.id.text.clone(), of.place())),
            (None, inputs) => {
                let names: Vec<&str> = inputs.iter().map(|input| input.id.as_str()).collect();
                let error = self.source.error(of.place(), "the first step must say which input it reads");
                Err(error.with_hint(format!("add input: {}", names.join(" or input: "))))
            }
        }
    }

    fn check_input(&self, input: &Text) -> Result<()> {
        if self.known.iter().any(|known| known.text == input.text) {
            return Ok(());
        }
        if let Some(later) = self.named.iter().find(|named| named.text == input.text) {
            let error = self.source.error(input.place, format!("the step {:?} comes later", input.text));
            return Err(error.with_hint(comes_later(&self.source.at(later.place))));
        }
        let names = || self.known.iter().map(Text::as_str);
        let error = self.source.error(input.place, format!("there is no input or earlier step {:?}", input.text));
        Err(match closest(&input.text, names()) {
            Some(near) => error.with_hint(format!("did you mean {near:?}?")),
            None => error.with_hint(format!("there are: {}", names().collect::<Vec<_>>().join(", "))),
        })
    }
}

fn kind(source: &Source, word: &Text) -> Result<&'static str> {
    match TYPES.iter().find(|words| words.contains(&word.as_str())) {
        Some(words) => Ok(words[0]),
        None => {
            let words: Vec<&str> = TYPES.iter().map(|words| words[0]).collect();
            Err(fields::unknown_word(source, word, "step of type", &words))
        }
    }
}

fn read_operation(source: &Source, of: &Fields<'_>, type_name: &str) -> Result<Operation> {
    Ok(match type_name {
        "select" => Operation::Select(items(source, of.need(&["columns", "exprs"], "columns: [a, b]")?)?),
        "filter" => {
            let names = ["condition", "conditions", "expression", "expr", "where", "predicate"];
            let conditions = of.need(&names, "condition: \"amount > 0\"")?;
            Operation::Filter(fields::texts(source, conditions, "condition")?)
        }
        "with_columns" => {
            let columns = of.need(&["columns", "exprs"], "columns: {total: \"price * n\"}")?;
            Operation::WithColumns(named_texts(source, columns)?)
        }
        "rename" => {
            let columns = of.need(&["columns", "mapping"], "columns: {old_name: new_name}")?;
            Operation::Rename(named_texts(source, columns)?)
        }
        "drop" => Operation::Drop(fields::texts(source, of.need(&["columns"], "columns: [a]")?, "columns")?),
        "cast" => Operation::Cast {
            columns: named_texts(source, of.need(&["columns", "dtypes", "types"], "columns: {zip: varchar}")?)?,
            strict: of.flag(&["strict"])?.unwrap_or(true),
        },
        "join" => read_join(source, of)?,
        "join_asof" => super::asof::read(source, of)?,
        "group_by" => read_group_by(source, of)?,
        "sort" => Operation::Sort(sort_keys(source, of, "by: [name, {column: age, descending: true}]")?),
        "limit" => {
            let (n, offset) = (of.count(&["n", "limit", "rows", "count"])?, of.count(&["offset", "skip"])?);
            if n.is_none() && offset.is_none() {
                return Err(of.missing("n", "n: 100"));
            }
            Operation::Limit { n, offset: offset.unwrap_or(0) }
        }
        "unique" => read_unique(source, of)?,
        "union" => read_union(source, of)?,
        "window" => read_window(source, of)?,
        "sql" => Operation::Sql(fields::text(source, of.need(&["sql", "query"], "sql: \"SELECT ..\"")?, "sql")?),
        "sample" => read_sample(source, of)?,
        "fill_null" => read_fill_null(source, of)?,
        _ => Operation::DropNulls(of.texts(&["columns", "subset"])?.unwrap_or_default()),
    })
}

/// `[a, b]`, `["a + b AS c"]` or `{c: "a + b"}`.
fn items(source: &Source, node: &Node) -> Result<Vec<Item>> {
    match &node.value {
        Value::Map(entries) => {
            let item = |(key, node): &(super::yaml::Key, Node)| {
                Ok(Item { expr: fields::text(source, node, &key.name)?, alias: Some(Text::from(key)) })
            };
            entries.iter().map(item).collect()
        }
        Value::List(list) => {
            let mut all = Vec::new();
            for node in list {
                match &node.value {
                    Value::Map(_) => all.extend(items(source, node)?),
                    _ => all.push(Item { expr: fields::text(source, node, "columns")?, alias: None }),
                }
            }
            Ok(all)
        }
        Value::Scalar(_) => Ok(vec![Item { expr: fields::text(source, node, "columns")?, alias: None }]),
    }
}

/// `{name: text}`, or a list of such mappings; each name once.
fn named_texts(source: &Source, node: &Node) -> Result<Vec<(Text, Text)>> {
    let named = all_named_texts(source, node)?;
    refuse_twice(source, named.iter().map(|(name, _)| name))?;
    Ok(named)
}

/// One of two would silently be ignored.
fn refuse_twice<'a>(source: &Source, names: impl Iterator<Item = &'a Text>) -> Result<()> {
    let mut seen = HashMap::new();
    for name in names {
        if let Some(first) = seen.insert(name.as_str(), name.place) {
            let error = source.error(name.place, format!("column {:?} is named twice", name.text));
            return Err(error.with_hint(format!("the first is at {}", source.at(first))));
        }
    }
    Ok(())
}

fn all_named_texts(source: &Source, node: &Node) -> Result<Vec<(Text, Text)>> {
    if let Value::List(list) = &node.value {
        let parts = list.iter().map(|node| all_named_texts(source, node)).collect::<Result<Vec<_>>>()?;
        return Ok(parts.into_iter().flatten().collect());
    }
    let entries = fields::entries(source, node, "columns")?;
    if entries.is_empty() {
        return Err(source.error(node.place, "no columns are named here"));
    }
    entries.iter().map(|(key, node)| Ok((Text::from(key), fields::text(source, node, &key.name)?))).collect()
}

fn read_join(source: &Source, of: &Fields<'_>) -> Result<Operation> {
    let how = match of.text(&["how", "join_type"])? {
        None => How::Inner,
        Some(word) => match word.text.to_ascii_lowercase().as_str() {
            "inner" => How::Inner,
            "left" | "left_outer" => How::Left,
            "right" | "right_outer" => How::Right,
            "full" | "outer" | "full_outer" => How::Full,
            "semi" | "left_semi" => How::Semi,
            "anti" | "left_anti" => How::Anti,
            "cross" => How::Cross,
            _ => {
                let known = ["inner", "left", "right", "full", "semi", "anti", "cross"];
                return Err(fields::unknown_word(source, &word, "kind of join called", &known));
            }
        },
    };
    let on = of.texts(&["on", "by", "using", "keys"])?;
    let (left_on, right_on) = (of.texts(&["left_on"])?, of.texts(&["right_on"])?);
    let suffix = of.text(&["suffix"])?.map_or("_right".to_string(), |suffix| suffix.text);
    let (left_on, right_on) = match (on, left_on, right_on) {
        (Some(on), None, None) => (on.clone(), on),
        (None, Some(left), Some(right)) if left.len() == right.len() => (left, right),
        (None, None, None) if how == How::Cross => (vec![], vec![]),
        (None, None, None) => return Err(of.missing("on", "on: [customer_id]")),
        (Some(_), ..) => return Err(source.error(of.place(), "\"on\" stands beside \"left_on\" or \"right_on\"")),
        _ => {
            let error = source.error(of.place(), "\"left_on\" and \"right_on\" must have equally many columns");
            return Err(error.with_hint("left_on: [id], right_on: [customer_id]"));
        }
    };
    if how == How::Cross && !left_on.is_empty() {
        return Err(source.error(of.place(), "a cross join has no keys").with_hint("how: inner joins on keys"));
    }
    Ok(Operation::Join(Join { how, left_on, right_on, suffix }))
}

fn read_group_by(source: &Source, of: &Fields<'_>) -> Result<Operation> {
    let keys = match of.take(&["keys", "by", "group_by", "columns"])? {
        Some(node) => items(source, node)?,
        None => vec![],
    };
    let node = of.need(&["aggregations", "aggs", "agg"], "aggregations: [{column: price, function: mean}]")?;
    let aggregations: Vec<Aggregation> = match &node.value {
        Value::List(list) => list.iter().map(|node| read_aggregation(source, node)).collect::<Result<_>>()?,
        Value::Map(entries) => {
            let named = |(key, node): &(super::yaml::Key, Node)| {
                let aggregation = read_aggregation(source, node)?;
                if let Some(alias) = &aggregation.alias {
                    let error = source.error(alias.place, format!("{:?} has two names", key.name));
                    return Err(error.with_hint("leave alias out"));
                }
                Ok(Aggregation { alias: Some(Text::from(key)), ..aggregation })
            };
            entries.iter().map(named).collect::<Result<_>>()?
        }
        Value::Scalar(_) => vec![read_aggregation(source, node)?],
    };
    if keys.is_empty() && aggregations.is_empty() {
        return Err(of.missing("keys", "keys: [city]"));
    }
    Ok(Operation::GroupBy { keys, aggregations })
}

fn read_aggregation(source: &Source, node: &Node) -> Result<Aggregation> {
    if let Value::Scalar(_) = &node.value {
        let measure = Measure::Expr(fields::text(source, node, "aggregations")?);
        return Ok(Aggregation { place: node.place, measure, alias: None });
    }
    let of = Fields::of(source, node, "an aggregation")?;
    let alias = of.text(&["alias", "as", "name"])?;
    let measure = match of.text(&["expr", "expression", "sql"])? {
        Some(expr) => Measure::Expr(expr),
        None => {
            let column = of.text(&["column", "col"])?;
            let other = of.text(&["other", "with"])?;
            let quantile = of.number(&["quantile", "q"])?;
            match of.text(&["function", "func", "fn", "agg"])? {
                Some(function) => Measure::Function { function, column, other, quantile },
                None => return Err(of.missing("function", "{column: price, function: mean, alias: mean_price}")),
            }
        }
    };
    of.finish()?;
    Ok(Aggregation { place: node.place, measure, alias })
}

/// `by:` with `descending:` for all or each; a key may be a mapping with its own, or end in `desc`.
fn sort_keys(source: &Source, of: &Fields<'_>, example: &str) -> Result<Vec<SortKey>> {
    let node = of.need(&["by", "keys", "columns"], example)?;
    let descending = match of.take(&["descending", "desc", "reverse"])? {
        None => vec![],
        Some(Node { value: Value::List(list), .. }) => {
            list.iter().map(|node| fields::flag(source, node, "descending")).collect::<Result<Vec<_>>>()?
        }
        Some(node) => vec![fields::flag(source, node, "descending")?],
    };
    let nulls_last = of.flag(&["nulls_last"])?;
    let items: Vec<&Node> = match &node.value {
        Value::List(list) => list.iter().collect(),
        _ => vec![node],
    };
    if descending.len() > 1 && descending.len() != items.len() {
        let message = format!("{} keys and {} values of descending", items.len(), descending.len());
        return Err(source.error(node.place, message).with_hint("give one for all, or one for each"));
    }
    let of_idx = |idx: usize| descending.get(idx).or(descending.first()).copied().unwrap_or(false);
    items.into_iter().enumerate().map(|(idx, node)| sort_key(source, node, of_idx(idx), nulls_last)).collect()
}

fn sort_key(source: &Source, node: &Node, descending: bool, nulls_last: Option<bool>) -> Result<SortKey> {
    if let Value::Scalar(_) = &node.value {
        let mut expr = fields::text(source, node, "by")?;
        let lower = expr.text.to_ascii_lowercase();
        let (end, descending) = match (lower.strip_suffix(" desc"), lower.strip_suffix(" asc")) {
            (Some(name), _) => (name.len(), true),
            (_, Some(name)) => (name.len(), false),
            _ => (lower.len(), descending),
        };
        expr.text.truncate(end);
        return Ok(SortKey { expr, descending, nulls_last });
    }
    let of = Fields::of(source, node, "a sort key")?;
    let expr = of.need(&["column", "col", "expr"], "{column: age, descending: true}")?;
    let expr = fields::text(source, expr, "column")?;
    let descending = of.flag(&["descending", "desc"])?.unwrap_or(descending);
    let nulls_last = of.flag(&["nulls_last"])?.or(nulls_last);
    of.finish()?;
    Ok(SortKey { expr, descending, nulls_last })
}

fn order_of(source: &Source, node: Option<&Node>) -> Result<Vec<SortKey>> {
    match node {
        None => Ok(vec![]),
        Some(Node { value: Value::List(list), .. }) => {
            list.iter().map(|node| sort_key(source, node, false, None)).collect()
        }
        Some(node) => Ok(vec![sort_key(source, node, false, None)?]),
    }
}

fn read_unique(source: &Source, of: &Fields<'_>) -> Result<Operation> {
    let subset = of.texts(&["subset", "columns", "on", "keys"])?.unwrap_or_default();
    let order = order_of(source, of.take(&["order_by"])?)?;
    let last = match of.text(&["keep"])? {
        None => false,
        Some(word) => match word.as_str() {
            "first" | "any" => false,
            "last" => true,
            _ => return Err(fields::unknown_word(source, &word, "choice of keep called", &["first", "last", "any"])),
        },
    };
    Ok(Operation::Unique { subset, order, last })
}

fn read_union(source: &Source, of: &Fields<'_>) -> Result<Operation> {
    let diagonal = match of.text(&["how"])? {
        None => false,
        Some(word) => match word.as_str() {
            "vertical" => false,
            "diagonal" => true,
            _ => return Err(fields::unknown_word(source, &word, "kind of union called", &["vertical", "diagonal"])),
        },
    };
    Ok(Operation::Union { diagonal })
}

fn read_window(source: &Source, of: &Fields<'_>) -> Result<Operation> {
    let partition = of.texts(&["partition_by", "over", "keys"])?.unwrap_or_default();
    let order = order_of(source, of.take(&["order_by", "sort_by"])?)?;
    let frame = of.text(&["frame"])?;
    let columns = of.need(&["columns", "functions"], "columns: {rank: \"row_number()\"}")?;
    Ok(Operation::Window { partition, order, columns: named_texts(source, columns)?, frame })
}

fn read_sample(source: &Source, of: &Fields<'_>) -> Result<Operation> {
    let (n, fraction) = (of.count(&["n", "rows"])?, of.number(&["fraction", "frac"])?);
    let seed = of.count(&["seed"])?.unwrap_or(0);
    match (n, fraction) {
        (Some(_), Some(_)) => Err(source.error(of.place(), "\"n\" and \"fraction\" stand together")),
        (None, None) => Err(of.missing("n", "n: 2000 or fraction: 0.01")),
        (_, Some(share)) if !(0.0..=1.0).contains(&share) => {
            Err(source.error(of.place(), "\"fraction\" must be from 0 to 1"))
        }
        _ => Ok(Operation::Sample { n, fraction, seed }),
    }
}

fn read_fill_null(source: &Source, of: &Fields<'_>) -> Result<Operation> {
    let filler = |node: &Node| -> Result<Filler> {
        Ok(Filler { value: fields::scalar(source, node, "value")?.clone(), place: node.place })
    };
    let value = of.take(&["value", "fill_value"])?.map(filler).transpose()?;
    let columns = match (of.take(&["columns", "subset"])?, &value) {
        (None, Some(_)) => return Ok(Operation::FillNull { columns: vec![], all: value }),
        (Some(node), None) => {
            let entries = fields::entries(source, node, "columns")?;
            let filled = entries.iter().map(|(key, node)| Ok((Text::from(key), filler(node)?)));
            filled.collect::<Result<Vec<_>>>()?
        }
        (Some(node), Some(value)) => {
            let names = fields::texts(source, node, "columns")?;
            refuse_twice(source, names.iter())?;
            names.into_iter().map(|name| (name, value.clone())).collect()
        }
        (None, None) => return Err(of.missing("value", "columns: {n_visits: 0}")),
    };
    Ok(Operation::FillNull { columns, all: None })
}
