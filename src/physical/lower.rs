//! Lowering, node by node, from the files up.
//!
//! Lowering a plan gives a stream: pipelines that have a source and steps but no sink yet. A blocking operator ends the
//! stream of its input with its sink and starts a new one with its source. Columns of a stream are those of the logical
//! plan's schema, in that order.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use datafusion_common::ScalarValue;
use datafusion_expr::execution_props::ExecutionProps;
use datafusion_expr::{Distinct, Expr, Extension, FetchType, LogicalPlan, SkipType};

use super::asof::AsofJoin;
use super::expression::{Evaluator, plain_column};
use super::failure::query_failure;
use super::known_keys::{WantedKeys, cannot_fail};
use super::numbered::{self, NumberRows};
use super::repeat::RepeatRows;
use super::shared::{SharedPlan, SharedRows};
use super::text::Namer;
use crate::error::{Error, Result};
use crate::exec::{Node, NodeIdx, Pipeline, Query, QueryContext, Sink, Source, Step, Transform};
use crate::operators::expression::assemble;
use crate::operators::filter::Filter;
use crate::operators::limit::Limit;
use crate::operators::project::{Column, Project};
use crate::operators::union::{MorselCounter, Unended, Unfinished, UnionInput};
use crate::operators::values::Values;

/// Lowers `plan`. `output` makes the sink for the result from its schema and whether its order must be kept.
///
/// # Errors
/// [`crate::ErrorKind::Usage`] naming the SQL construct that is not supported yet; whatever opening a scan or making an
/// operator says.
pub fn lower(
    plan: &LogicalPlan,
    output: impl FnOnce(SchemaRef, bool) -> Result<Arc<dyn Sink>>,
    cx: &QueryContext,
) -> Result<Query> {
    lower_clustered(plan, &[], output, cx)
}

/// [`lower`] for an output that takes the rows sorted by the columns `clusters`, equal ones in one morsel. Among those,
/// rows keep their order.
///
/// # Errors
/// As [`lower`].
pub fn lower_clustered(
    plan: &LogicalPlan,
    clusters: &[usize],
    output: impl FnOnce(SchemaRef, bool) -> Result<Arc<dyn Sink>>,
    cx: &QueryContext,
) -> Result<Query> {
    if clusters.is_empty() {
        return lower_then(plan, |_, stream| Ok(stream), output, cx);
    }
    let wishes = Wishes::none(plan.schema().fields().len());
    lower_for(plan, &wishes, |lowering, stream| lowering.cluster(stream, clusters), output, cx)
}

/// As [`lower`], with what `steps` adds to the stream before the output.
pub(super) fn lower_then(
    plan: &LogicalPlan,
    steps: impl FnOnce(&mut Lowering<'_>, Stream) -> Result<Stream>,
    output: impl FnOnce(SchemaRef, bool) -> Result<Arc<dyn Sink>>,
    cx: &QueryContext,
) -> Result<Query> {
    lower_for(plan, &Wishes::none(plan.schema().fields().len()).in_order(), steps, output, cx)
}

fn lower_for(
    plan: &LogicalPlan,
    wishes: &Wishes,
    steps: impl FnOnce(&mut Lowering<'_>, Stream) -> Result<Stream>,
    output: impl FnOnce(SchemaRef, bool) -> Result<Arc<dyn Sink>>,
    cx: &QueryContext,
) -> Result<Query> {
    let mut lowering = Lowering::new(plan, cx);
    let stream = lowering.lower_plan(plan, wishes)?;
    let stream = steps(&mut lowering, stream)?;
    let sink = output(stream.schema.clone(), stream.ordered)?;
    let order = if stream.ordered { "in order" } else { "" };
    let node =
        lowering.add_node(Node { name: "Output", detail: order.to_string(), inputs: vec![stream.top()], report: None });
    lowering.close(stream, node, sink);
    Ok(Query { nodes: lowering.nodes, pipelines: lowering.pipelines, labels: lowering.labels })
}

/// The query under construction.
pub(super) struct Lowering<'a> {
    pub(super) cx: &'a QueryContext,
    /// How expressions are written in EXPLAIN.
    pub(super) namer: Namer,
    props: ExecutionProps,
    nodes: Vec<Node>,
    pipelines: Vec<Pipeline>,
    labels: Vec<(String, NodeIdx)>,
    /// Subplans that are used more than once and have been lowered.
    pub(super) shared: HashMap<usize, SharedRows>,
    /// How many rows are wanted of the recursive query that is lowered next.
    pub(super) wanted_rows: Option<u64>,
}

/// Pipelines without a sink. All parts (inputs of a union) run through the same `tail`.
pub(super) struct Stream {
    parts: Vec<Part>,
    tail: Vec<Step<dyn Transform>>,
    /// What the batches have; columns may arrive as dictionaries of their declared type where that was asked for.
    pub(super) schema: SchemaRef,
    /// Whether the sequence numbers of the batches are an order that the user can see.
    pub(super) ordered: bool,
    top: NodeIdx,
}

struct Part {
    source: Step<dyn Source>,
    transforms: Vec<Step<dyn Transform>>,
}

/// What whoever reads a stream would like.
#[derive(Clone)]
pub(super) struct Wishes {
    /// For every column whether the reader profits from a dictionary.
    pub(super) dictionary: Vec<bool>,
    /// Whether the reader waits for the order of the input.
    pub(super) in_order: bool,
    /// Columns of which only rows with certain values matter to the reader.
    pub(super) keys: Vec<WantedKeys>,
}

impl Wishes {
    /// No dictionaries among `n_columns`, any order.
    pub(super) fn none(n_columns: usize) -> Self {
        Wishes { dictionary: vec![false; n_columns], in_order: false, keys: vec![] }
    }

    pub(super) fn in_order(self) -> Self {
        Wishes { in_order: true, ..self }
    }

    /// Every row matters.
    fn all_rows(self) -> Self {
        Wishes { keys: vec![], ..self }
    }

    /// The keys that are wanted of an input whose column for each column of the output `source` names, if there is one.
    pub(super) fn keys_through(&self, source: impl Fn(usize) -> Option<usize>) -> Vec<WantedKeys> {
        let of = |keys: &WantedKeys| Some(WantedKeys { column: source(keys.column)?, known: keys.known.clone() });
        self.keys.iter().filter_map(of).collect()
    }

    /// The same wishes for the `n_inputs` columns that `columns` are made of: an input column should be a dictionary when
    /// it is passed on as it is, and every reader of it wants one.
    fn through(&self, columns: &[Column], n_inputs: usize) -> Self {
        let mut dictionary = vec![None; n_inputs];
        for (column, wanted) in columns.iter().zip(&self.dictionary) {
            if let Column::Input(idx) = column {
                let wish: &mut Option<bool> = &mut dictionary[*idx];
                *wish = Some(wish.unwrap_or(true) && *wanted);
            }
        }
        let dictionary = dictionary.into_iter().map(|wish| wish.unwrap_or(false)).collect();
        let source = |idx: usize| match columns[idx] {
            Column::Input(idx) => Some(idx),
            Column::Computed(_) => None,
        };
        Wishes { dictionary, in_order: self.in_order, keys: self.keys_through(source) }
    }
}

impl Stream {
    pub(super) fn new(source: Step<dyn Source>, schema: SchemaRef, ordered: bool) -> Self {
        let top = source.node;
        Stream { parts: vec![Part { source, transforms: vec![] }], tail: vec![], schema, ordered, top }
    }

    /// The node that produced the stream.
    pub(super) fn top(&self) -> NodeIdx {
        self.top
    }

    /// Adds a step that belongs to `node` and turns batches into batches of `schema`.
    pub(super) fn then(mut self, node: NodeIdx, role: Arc<dyn Transform>, schema: SchemaRef) -> Self {
        self.tail.push(Step { node, role });
        Stream { schema, top: node, ..self }
    }
}

/// The steps once more, for another of the parts that run through them; what they give at the end they give after the
/// last.
fn share(steps: &[Step<dyn Transform>], last: bool) -> Vec<Step<dyn Transform>> {
    let role = |step: &Step<dyn Transform>| match last {
        true => step.role.clone(),
        false => Arc::new(Unended(step.role.clone())) as Arc<dyn Transform>,
    };
    steps.iter().map(|step| Step { node: step.node, role: role(step) }).collect()
}

impl<'a> Lowering<'a> {
    fn new(plan: &LogicalPlan, cx: &'a QueryContext) -> Self {
        let mut props = ExecutionProps::new();
        props.config_options = Some(super::options::running_options(&cx.memory));
        Lowering {
            cx,
            namer: Namer::of(plan),
            props,
            nodes: vec![],
            pipelines: vec![],
            labels: vec![],
            shared: HashMap::new(),
            wanted_rows: None,
        }
    }

    pub(super) fn props(&self) -> &ExecutionProps {
        &self.props
    }

    pub(super) fn add_node(&mut self, node: Node) -> NodeIdx {
        self.nodes.push(node);
        self.nodes.len() - 1
    }

    /// Adds a node that reads `input` only and reports nothing of its own.
    pub(super) fn add_step_node(&mut self, name: &'static str, detail: String, input: &Stream) -> NodeIdx {
        self.add_node(Node { name, detail, inputs: vec![input.top()], report: None })
    }

    /// How many pipelines there are.
    pub(super) fn n_pipelines(&self) -> usize {
        self.pipelines.len()
    }

    /// Ends `stream` in `sink` before the pipelines from `at` on run.
    pub(super) fn close_before(&mut self, at: usize, stream: Stream, node: NodeIdx, sink: Arc<dyn Sink>) {
        let n_before = self.pipelines.len();
        self.close(stream, node, sink);
        let n_new = self.pipelines.len() - n_before;
        self.pipelines[at..].rotate_right(n_new);
    }

    /// Ends `stream` in `sink`.
    pub(super) fn close(&mut self, stream: Stream, node: NodeIdx, sink: Arc<dyn Sink>) {
        let n_parts = stream.parts.len();
        for (part_idx, part) in stream.parts.into_iter().enumerate() {
            let last = part_idx + 1 == n_parts;
            let role = if last { sink.clone() } else { Arc::new(Unfinished(sink.clone())) };
            let mut transforms = part.transforms;
            transforms.extend(share(&stream.tail, last));
            self.pipelines.push(Pipeline { source: part.source, transforms, sink: Step { node, role } });
        }
    }

    /// Lowers `plan` for a reader with `wishes`.
    pub(super) fn lower_plan(&mut self, plan: &LogicalPlan, wishes: &Wishes) -> Result<Stream> {
        match plan {
            LogicalPlan::TableScan(scan) => self.lower_scan(scan, wishes),
            LogicalPlan::Projection(projection) => {
                self.lower_projection(&projection.expr, &projection.input, plan, wishes)
            }
            LogicalPlan::Filter(filter) => self.lower_filter(&filter.predicate, &filter.input, wishes),
            LogicalPlan::Limit(limit) => self.lower_limit(limit, wishes),
            LogicalPlan::Sort(sort) => self.lower_sort(sort),
            LogicalPlan::Window(window) => match numbered::of_window(window)? {
                Some(numbers) => self.lower_plan(&numbers, wishes),
                None => self.lower_window(window, None),
            },
            LogicalPlan::Aggregate(aggregate) => self.lower_aggregate(aggregate, wishes),
            LogicalPlan::Distinct(Distinct::All(input)) => self.lower_distinct(input, wishes),
            LogicalPlan::Join(join) => {
                let all: Vec<usize> = (0..join.schema.fields().len()).collect();
                self.lower_join(join, &all, join.schema.inner().clone(), wishes)
            }
            LogicalPlan::Union(union) => self.lower_union(&union.inputs, plan, wishes),
            LogicalPlan::SubqueryAlias(alias) => {
                let stream = self.lower_plan(&alias.input, wishes)?;
                self.labels.push((alias.alias.table().to_string(), stream.top()));
                Ok(Stream { schema: plan.schema().inner().clone(), ..stream })
            }
            LogicalPlan::Values(values) => self.lower_values(&values.values, plan),
            LogicalPlan::EmptyRelation(empty) => {
                let schema = plan.schema().inner().clone();
                let n_rows = usize::from(empty.produce_one_row);
                let options = RecordBatchOptions::new().with_row_count(Some(n_rows));
                let columns = schema.fields().iter().map(|f| arrow::array::new_null_array(f.data_type(), n_rows));
                let rows = RecordBatch::try_new_with_options(schema.clone(), columns.collect(), &options)?;
                Ok(self.values(rows, if n_rows == 1 { "one row" } else { "no rows" }.to_string()))
            }
            LogicalPlan::RecursiveQuery(recursion) => self.lower_recursion(recursion),
            LogicalPlan::Unnest(unnest) => self.lower_unnest(unnest),
            LogicalPlan::Extension(extension) => self.lower_extension(extension),
            other => Err(unsupported(other)),
        }
    }

    fn lower_extension(&mut self, extension: &Extension) -> Result<Stream> {
        let node = extension.node.as_any();
        if let Some(shared) = node.downcast_ref::<SharedPlan>() {
            return self.lower_shared(shared);
        }
        if let Some(repeat) = node.downcast_ref::<RepeatRows>() {
            return self.lower_repeat(repeat);
        }
        if let Some(join) = node.downcast_ref::<AsofJoin>() {
            return self.lower_asof(join);
        }
        if let Some(numbered) = node.downcast_ref::<NumberRows>() {
            return self.lower_numbered(numbered);
        }
        Err(Error::usage(format!("{} is not supported yet", extension.node.name())))
    }

    /// Adds the nodes of `plan` and `steps` for EXPLAIN alone, and returns its root: what runs is lowered when its turn
    /// comes.
    pub(super) fn show_round(
        &mut self,
        plan: &LogicalPlan,
        steps: impl FnOnce(&mut Self, Stream) -> Result<Stream>,
    ) -> Result<NodeIdx> {
        let (n_nodes, n_pipelines) = (self.nodes.len(), self.pipelines.len());
        let stream = self.lower_plan(plan, &Wishes::none(plan.schema().fields().len()))?;
        let top = steps(self, stream)?.top();
        self.pipelines.truncate(n_pipelines);
        for node in &mut self.nodes[n_nodes..] {
            node.report = node.report.take().filter(|_| node.name == "Scan").map(super::recursion::only_bad_rows);
        }
        Ok(top)
    }

    /// Appends columns or picks them: `exprs` over `input`.
    pub(super) fn project(&mut self, input: Stream, columns: Vec<Column>, schema: SchemaRef, detail: String) -> Stream {
        let node = self.add_step_node("Project", detail, &input);
        let project = Arc::new(Project::new(columns, schema.clone()));
        input.then(node, project, schema)
    }

    fn lower_projection(
        &mut self,
        exprs: &[Expr],
        input: &LogicalPlan,
        plan: &LogicalPlan,
        wishes: &Wishes,
    ) -> Result<Stream> {
        let columns = exprs.iter().map(|expr| self.compile_column(expr, input)).collect::<Result<Vec<_>>>()?;
        if let LogicalPlan::Join(join) = input
            && let Some(picked) = all_picked(&columns)
        {
            // The join does not even make the columns that nobody wants.
            return self.lower_join(join, &picked, plan.schema().inner().clone(), wishes);
        }
        let mut mine = wishes.through(&columns, input.schema().fields().len());
        if !exprs.iter().all(|expr| cannot_fail(expr, input.schema())) {
            mine = mine.all_rows();
        }
        let stream = self.lower_plan(input, &mine)?;
        let schema = plan.schema().inner().clone();
        let same = columns.len() == stream.schema.fields().len()
            && columns.iter().enumerate().all(|(idx, column)| matches!(column, Column::Input(i) if *i == idx))
            && schema == stream.schema;
        if same {
            return Ok(stream);
        }
        let detail = self.namer.list(exprs);
        Ok(self.project(stream, columns, schema, detail))
    }

    /// A column of `input` as it is, or a computed one.
    pub(super) fn compile_column(&self, expr: &Expr, input: &LogicalPlan) -> Result<Column> {
        match plain_column(expr, input.schema()) {
            Some(idx) => Ok(Column::Input(idx)),
            None => Ok(Column::Computed(Arc::new(Evaluator::compile(expr, input.schema(), &self.props)?))),
        }
    }

    fn lower_filter(&mut self, predicate: &Expr, input: &LogicalPlan, wishes: &Wishes) -> Result<Stream> {
        let evaluator = Evaluator::compile(predicate, input.schema(), &self.props)?;
        let stream = match input {
            LogicalPlan::Window(window) => self.lower_window(window, super::window_limit::wanted(predicate, window))?,
            _ if cannot_fail(predicate, input.schema()) => self.lower_plan(input, wishes)?,
            _ => self.lower_plan(input, &wishes.clone().all_rows())?,
        };
        let node = self.add_step_node("Filter", self.namer.text(predicate), &stream);
        let schema = stream.schema.clone();
        Ok(stream.then(node, Arc::new(Filter::new(Arc::new(evaluator))), schema))
    }

    fn lower_limit(&mut self, limit: &datafusion_expr::Limit, wishes: &Wishes) -> Result<Stream> {
        let not_constant = || Error::usage("LIMIT and OFFSET must be constant numbers");
        let offset = match limit.get_skip_type().map_err(query_failure)? {
            SkipType::Literal(offset) => offset as u64,
            SkipType::UnsupportedExpr => return Err(not_constant()),
        };
        let fetch = match limit.get_fetch_type().map_err(query_failure)? {
            FetchType::Literal(fetch) => fetch.map(|fetch| fetch as u64),
            FetchType::UnsupportedExpr => return Err(not_constant()),
        };
        if super::recursion::gives_all_rows_of_one(&limit.input) {
            self.wanted_rows = fetch.map(|fetch| fetch.saturating_add(offset));
        }
        let stream = self.lower_plan(&limit.input, &wishes.clone().all_rows().in_order())?;
        let sorted_enough = matches!(limit.input.as_ref(), LogicalPlan::Sort(sort)
            if offset == 0 && fetch.is_some() && sort.fetch.map(|fetch| fetch as u64) == fetch);
        if sorted_enough {
            return Ok(stream);
        }
        Ok(self.limit(stream, offset, fetch))
    }

    pub(super) fn limit(&mut self, stream: Stream, offset: u64, fetch: Option<u64>) -> Stream {
        let detail = match (fetch, offset) {
            (Some(fetch), 0) => fetch.to_string(),
            (Some(fetch), offset) => format!("{fetch} after {offset}"),
            (None, offset) => format!("all after {offset}"),
        };
        let node = self.add_step_node("Limit", detail, &stream);
        let schema = stream.schema.clone();
        let limit = Limit::new(offset, fetch, stream.ordered);
        stream.then(node, Arc::new(limit), schema)
    }

    fn lower_union(&mut self, inputs: &[Arc<LogicalPlan>], plan: &LogicalPlan, wishes: &Wishes) -> Result<Stream> {
        let schema = plan.schema().inner().clone();
        let mut streams = Vec::with_capacity(inputs.len());
        for input in inputs {
            let stream = self.lower_plan(input, wishes)?;
            streams.push(self.rename(stream, &schema));
        }
        Ok(self.union(streams, schema, format!("all of {} inputs", inputs.len())))
    }

    /// The rows of `streams`, which are of `schema`, one stream after the other.
    pub(super) fn union(&mut self, streams: Vec<Stream>, schema: SchemaRef, detail: String) -> Stream {
        let mut parts: Vec<Part> = Vec::new();
        let (mut tops, mut ordered) = (Vec::new(), true);
        for stream in streams {
            tops.push(stream.top());
            ordered &= stream.ordered;
            let n_parts = stream.parts.len();
            for (part_idx, part) in stream.parts.into_iter().enumerate() {
                let mut transforms = part.transforms;
                transforms.extend(share(&stream.tail, part_idx + 1 == n_parts));
                parts.push(Part { source: part.source, transforms });
            }
        }
        let top = self.add_node(Node { name: "Union", detail, inputs: tops, report: None });
        let counter = Arc::new(MorselCounter::default());
        for (part_idx, part) in parts.iter_mut().enumerate() {
            part.transforms.push(Step { node: top, role: Arc::new(UnionInput::new(counter.clone(), part_idx)) });
        }
        Stream { parts, tail: vec![], schema, ordered, top }
    }

    /// Gives the columns of `stream` the names and NULL-ability of `schema`.
    pub(super) fn rename(&mut self, stream: Stream, schema: &SchemaRef) -> Stream {
        if stream.schema.fields() == schema.fields() {
            return Stream { schema: schema.clone(), ..stream };
        }
        let columns = (0..schema.fields().len()).map(Column::Input).collect();
        let names = schema.fields().iter().map(|field| self.namer.name(field.name())).collect::<Vec<_>>().join(", ");
        self.project(stream, columns, schema.clone(), names)
    }

    fn lower_values(&mut self, rows: &[Vec<Expr>], plan: &LogicalPlan) -> Result<Stream> {
        let schema = plan.schema().inner().clone();
        let none = datafusion_common::DFSchema::empty();
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(schema.fields().len());
        for (column_idx, field) in schema.fields().iter().enumerate() {
            let values = rows.iter().map(|row| {
                let value = Evaluator::compile(&row[column_idx], &none, &self.props)?.evaluate_columns(&[], 1)?;
                let value = arrow::compute::cast(&value, field.data_type())?;
                ScalarValue::try_from_array(&value, 0).map_err(query_failure)
            });
            let values = values.collect::<Result<Vec<_>>>()?;
            columns.push(ScalarValue::iter_to_array(values).map_err(query_failure)?);
        }
        let rows = assemble(&schema, columns, rows.len())?;
        let detail = format!("{} rows", rows.num_rows());
        Ok(self.values(rows, detail))
    }

    pub(super) fn values(&mut self, rows: RecordBatch, detail: String) -> Stream {
        let node = self.add_node(Node { name: "Values", detail, inputs: vec![], report: None });
        let schema = rows.schema();
        Stream::new(Step { node, role: Arc::new(Values::new(rows)) }, schema, true)
    }
}

/// The input columns that `columns` are, when none is computed.
fn all_picked(columns: &[Column]) -> Option<Vec<usize>> {
    let picked = |column: &Column| match column {
        Column::Input(idx) => Some(*idx),
        Column::Computed(_) => None,
    };
    columns.iter().map(picked).collect()
}

fn unsupported(plan: &LogicalPlan) -> Error {
    let construct = match plan {
        LogicalPlan::Subquery(_) => "this kind of subquery",
        LogicalPlan::Distinct(_) => "DISTINCT ON",
        LogicalPlan::Dml(_) | LogicalPlan::Ddl(_) | LogicalPlan::Copy(_) => "changing tables",
        LogicalPlan::DescribeTable(_) => "DESCRIBE",
        _ => return Error::usage(format!("{} is not supported yet", plan.display())),
    };
    Error::usage(format!("{construct} is not supported yet"))
}
