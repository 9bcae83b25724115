//! The cheapest tree over a graph of relations.
//!
//! Up to ten relations every connected tree is looked at, larger sets of relations from the best trees of smaller ones;
//! beyond, the cheapest pair is joined again and again. Cost counts rows: those that are read, those in the hash
//! table twice, those that come out.
//!
//! Memory: one entry a subset of ten relations.

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
    Plan { set: 1 << idx, cost: 0.0, rows, row_bytes, tree: Tree::Leaf(idx) }
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
        let rows = graph.rows_of(set);
        let mut cheapest: Option<Plan> = None;
        let mut one = (set - 1) & set;
        while one > 0 {
            if let (Some(left), Some(right)) = (&best[one as usize], &best[(set & !one) as usize])
                && let Some(joined) = join(graph, left, right, rows, false)
                && cheapest.as_ref().is_none_or(|known| joined.cost < known.cost)
            {
                cheapest = Some(joined);
            }
            one = (one - 1) & set;
        }
        best[set as usize] = cheapest;
    }
    best.pop().flatten()
}

/// Joins the pair that costs least, those tied by a condition first, until one tree is left.
fn join_greedily(graph: &Graph) -> Plan {
    let mut parts: Vec<Plan> = (0..graph.relations.len()).map(|idx| leaf(graph, idx)).collect();
    while parts.len() > 1 {
        let Some((one, other, joined)) =
            cheapest_pair(graph, &parts, false).or_else(|| cheapest_pair(graph, &parts, true))
        else {
            break;
        };
        parts.swap_remove(one.max(other));
        parts.swap_remove(one.min(other));
        parts.push(joined);
    }
    parts.swap_remove(0)
}

fn cheapest_pair(graph: &Graph, parts: &[Plan], cross: bool) -> Option<(usize, usize, Plan)> {
    let mut cheapest: Option<(usize, usize, Plan)> = None;
    for (left_idx, left) in parts.iter().enumerate() {
        for (right_idx, right) in parts.iter().enumerate().filter(|(idx, _)| *idx != left_idx) {
            let rows = graph.rows_of(left.set | right.set);
            let Some(joined) = join(graph, left, right, rows, cross) else { continue };
            let cost = |plan: &Plan, left: &Plan, right: &Plan| plan.cost - left.cost - right.cost;
            let cheaper = cheapest
                .as_ref()
                .is_none_or(|(l, r, known)| cost(&joined, left, right) < cost(known, &parts[*l], &parts[*r]));
            if cheaper {
                cheapest = Some((left_idx, right_idx, joined));
            }
        }
    }
    cheapest
}

/// `left` joined with `right` into `rows`, unless that is not allowed. `cross` allows it without a condition.
fn join(graph: &Graph, left: &Plan, right: &Plan, rows: f64, cross: bool) -> Option<Plan> {
    let set = left.set | right.set;
    if is_lone_reducer(graph, left.set) {
        return None;
    }
    let (cost, swap) = match reducer(graph, right.set) {
        Some(needs) if needs & !left.set != 0 => return None,
        Some(_) => (hash_cost(left.rows, right.rows), false),
        None => {
            let one_row = left.rows <= 1.0 || right.rows <= 1.0;
            if !cross && !one_row && !graph.are_connected(left.set, right.set) {
                return None;
            }
            let swap = right.rows * right.row_bytes > left.rows * left.row_bytes;
            match graph.are_equated(left.set, right.set) {
                true => (hash_cost(left.rows, right.rows), swap),
                false => (left.rows * right.rows + left.rows + right.rows, swap),
            }
        }
    };
    let (probe, build) = if swap { (right, left) } else { (left, right) };
    let row_bytes = if is_lone_reducer(graph, right.set) { left.row_bytes } else { left.row_bytes + right.row_bytes };
    let tree = Tree::Join(Box::new(probe.tree.clone()), Box::new(build.tree.clone()));
    Some(Plan { set, cost: left.cost + right.cost + cost + rows, rows, row_bytes, tree })
}

fn hash_cost(one: f64, other: f64) -> f64 {
    one.max(other) + BUILD_WEIGHT * one.min(other)
}

/// The relations that the semi join which `set` stands for needs.
fn reducer(graph: &Graph, set: Mask) -> Option<Mask> {
    let idx = bits(set).next().filter(|_| set.is_power_of_two())?;
    match &graph.relations[idx].role {
        Role::Reduces { needs, .. } => Some(*needs),
        Role::Joined => None,
    }
}

fn is_lone_reducer(graph: &Graph, set: Mask) -> bool {
    reducer(graph, set).is_some()
}
