//! The cheapest tree over a graph of relations.
//!
//! Up to ten relations every connected tree is looked at, larger sets of relations from the best trees of smaller ones;
//! beyond, the cheapest pair is joined again and again. Cost counts rows: those that are read, those in the hash
//! table twice, those that come out.
//!
//! Below the probe sides of a chain of joins lies one scan, the foot of the chain. All joins of the chain tell it which keys
//! they have before it is read, so a row that the last of them would drop never gets to the first: what was counted for it
//! there is taken back.
//!
//! Memory: one entry a subset of ten relations.

use std::collections::HashMap;

use super::graph::{Graph, Mask, Role, bits};

/// Sets of at most this many relations are searched exhaustively: 3^10 pairs of subsets take a few milliseconds.
const EXHAUSTIVE: usize = 10;

/// A row in a hash table costs about two rows that only pass by.
const BUILD_WEIGHT: f64 = 2.0;

/// Relations joined in some order.
#[derive(Debug, Clone)]
pub(super) enum Tree {
    Leaf(usize),
    /// The right one is built from.
    Join(Box<Tree>, Box<Tree>),
}

impl Tree {
    pub(super) fn mask(&self) -> Mask {
        match self {
            Tree::Leaf(idx) => 1 << idx,
            Tree::Join(left, right) => left.mask() | right.mask(),
        }
    }
}

/// The best tree known for a set.
#[derive(Debug, Clone)]
struct Plan {
    set: Mask,
    cost: f64,
    rows: f64,
    row_bytes: f64,
    /// The relation at the foot of the probe sides.
    foot: usize,
    tree: Tree,
}

/// Finds the tree.
pub(super) fn best_tree(graph: &Graph) -> Tree {
    let n_relations = graph.relations.len();
    let found = if n_relations <= EXHAUSTIVE { search_exhaustively(graph) } else { None };
    found.unwrap_or_else(|| join_greedily(graph)).tree
}

fn leaf(graph: &Graph, idx: usize) -> Plan {
    let relation = &graph.relations[idx];
    let (rows, row_bytes) = (relation.rows, relation.row_bytes);
    Plan { set: 1 << idx, cost: 0.0, rows, row_bytes, foot: idx, tree: Tree::Leaf(idx) }
}

/// `None` when conditions do not tie all relations together.
fn search_exhaustively(graph: &Graph) -> Option<Plan> {
    let n_relations = graph.relations.len();
    let all: Mask = (1 << n_relations) - 1;
    let mut best: Vec<Option<Plan>> = vec![None; all as usize + 1];
    for set in 1..=all {
        if set.is_power_of_two() {
            best[set as usize] = Some(leaf(graph, set.trailing_zeros() as usize));
            continue;
        }
        let mut cheapest: Option<(f64, Mask)> = None;
        let mut one = (set - 1) & set;
        while one > 0 {
            if let (Some(left), Some(right)) = (&best[one as usize], &best[(set & !one) as usize])
                && let Some(cost) = join_cost(graph, left, right, false)
                && cheapest.is_none_or(|(known, _)| left.cost + right.cost + cost < known)
            {
                cheapest = Some((left.cost + right.cost + cost, one));
            }
            one = (one - 1) & set;
        }
        best[set as usize] = cheapest.and_then(|(cost, one)| {
            let (left, right) = (best[one as usize].as_ref()?, best[(set & !one) as usize].as_ref()?);
            Some(joined(graph, left, right, cost, graph.rows_of(set)))
        });
    }
    best.pop().flatten()
}

/// Joins the pair that costs least, those tied by a condition first, until one tree is left.
fn join_greedily(graph: &Graph) -> Plan {
    let mut parts: Vec<Plan> = (0..graph.relations.len()).map(|idx| leaf(graph, idx)).collect();
    let mut rows = HashMap::new();
    while parts.len() > 1 {
        let pair = cheapest_pair(graph, &parts, false, &mut rows);
        let Some((one, other, cost)) = pair.or_else(|| cheapest_pair(graph, &parts, true, &mut rows)) else { break };
        let (left, right) = (&parts[one], &parts[other]);
        let plan = joined(graph, left, right, left.cost + right.cost + cost, graph.rows_of(left.set | right.set));
        parts.swap_remove(one.max(other));
        parts.swap_remove(one.min(other));
        parts.push(plan);
    }
    parts.swap_remove(0)
}

/// The pair whose join costs least, with the rows that come out, and its cost without those rows.
fn cheapest_pair(
    graph: &Graph,
    parts: &[Plan],
    cross: bool,
    rows: &mut HashMap<Mask, f64>,
) -> Option<(usize, usize, f64)> {
    let mut cheapest: Option<(usize, usize, f64, f64)> = None;
    for (left_idx, left) in parts.iter().enumerate() {
        for (right_idx, right) in parts.iter().enumerate().filter(|(idx, _)| *idx != left_idx) {
            let Some(cost) = join_cost(graph, left, right, cross) else { continue };
            let set = left.set | right.set;
            let with_rows = cost + *rows.entry(set).or_insert_with(|| graph.rows_of(set));
            if cheapest.is_none_or(|(.., known)| with_rows < known) {
                cheapest = Some((left_idx, right_idx, cost, with_rows));
            }
        }
    }
    cheapest.map(|(left, right, cost, _)| (left, right, cost))
}

/// What joining `left` with `right` costs beside what comes out, unless it is not allowed. `cross` allows it without a
/// condition.
fn join_cost(graph: &Graph, left: &Plan, right: &Plan, cross: bool) -> Option<f64> {
    if reducer(graph, left.set).is_some() {
        return None;
    }
    match reducer(graph, right.set) {
        Some(needs) => (needs & !left.set == 0).then(|| hash_cost(left.rows, right.rows)),
        None if graph.are_equated(left.set, right.set) => {
            let (probe, build) = sides(graph, left, right);
            Some(hash_cost(left.rows, right.rows) - not_read(graph, probe, build))
        }
        None => {
            let one_row = left.rows <= 1.0 || right.rows <= 1.0;
            let allowed = cross || one_row || graph.are_connected(left.set, right.set);
            allowed.then_some(left.rows * right.rows + left.rows + right.rows)
        }
    }
}

fn hash_cost(one: f64, other: f64) -> f64 {
    one.max(other) + BUILD_WEIGHT * one.min(other)
}

/// `left` joined with `right`, the smaller one on the right.
fn joined(graph: &Graph, left: &Plan, right: &Plan, cost: f64, rows: f64) -> Plan {
    let reduces = reducer(graph, right.set).is_some();
    let (probe, build) = sides(graph, left, right);
    let row_bytes = if reduces { left.row_bytes } else { left.row_bytes + right.row_bytes };
    let tree = Tree::Join(Box::new(probe.tree.clone()), Box::new(build.tree.clone()));
    Plan { set: left.set | right.set, cost: cost + rows, rows, row_bytes, foot: probe.foot, tree }
}

/// The side to probe with and the smaller one, to build from.
fn sides<'a>(graph: &Graph, left: &'a Plan, right: &'a Plan) -> (&'a Plan, &'a Plan) {
    let reduces = reducer(graph, right.set).is_some();
    let swap = !reduces && right.rows * right.row_bytes > left.rows * left.row_bytes;
    if swap { (right, left) } else { (left, right) }
}

/// Rows that were counted in `probe`, once as they come out and once as they are looked up here, and that the scan at its
/// foot does not give because `build` says that they have no partner.
fn not_read(graph: &Graph, probe: &Plan, build: &Plan) -> f64 {
    if probe.set.is_power_of_two() {
        return 0.0;
    }
    2.0 * probe.rows * (1.0 - graph.told_share(probe.foot, build.set, build.rows))
}

/// The relations that the semi join which `set` stands for needs.
fn reducer(graph: &Graph, set: Mask) -> Option<Mask> {
    let idx = bits(set).next().filter(|_| set.is_power_of_two())?;
    match &graph.relations[idx].role {
        Role::Reduces { needs, .. } => Some(*needs),
        Role::Joined => None,
    }
}
