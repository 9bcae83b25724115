//! A group of joins as a graph: relations, columns that are equal, other conditions.
//!
//! Columns that are equal to one another form a class. Within a set of joined relations all members of a class are equal,
//! so joining two sets needs one equality a class, between any of their members.

use std::collections::HashSet;
use std::sync::Arc;

use datafusion_common::{Column, NullEquality, Result};
use datafusion_expr::expr::BinaryExpr;
use datafusion_expr::utils::{conjunction, split_conjunction_owned};
use datafusion_expr::{Expr, Filter, Join, JoinType, LogicalPlan, Operator};

use super::order_joins;
use crate::physical::cardinality::{ColumnEstimate, Estimate, estimate, key_domain, row_bytes, semi_share};
use crate::physical::known_keys::MOST_KEYS;
use crate::physical::selectivity::share_of;

/// A set of relations, a bit each.
pub(super) type Mask = u64;

/// More relations than bits stay in the order they were written in.
const MOST_RELATIONS: usize = 60;

/// One input of the group.
pub(super) struct Relation {
    pub(super) plan: LogicalPlan,
    pub(super) rows: f64,
    pub(super) row_bytes: f64,
    estimate: Estimate,
    pub(super) role: Role,
}

pub(super) enum Role {
    /// Joined to the others.
    Joined,
    /// The right input of a semi or anti join, which leaves a share of the rows.
    Reduces { join: Box<Join>, needs: Mask, share: f64 },
}

/// Equal columns (or expressions over one relation each).
struct Class {
    members: Vec<Member>,
}

struct Member {
    relation: usize,
    expr: Expr,
    known: ColumnEstimate,
}

/// A condition over several relations.
struct Condition {
    expr: Expr,
    needs: Mask,
    share: f64,
    /// Of an equality between expressions over several relations: what either side needs.
    sides: Option<(Mask, Mask)>,
}

impl Condition {
    /// The two sides as a key between `left` and `right`, in that order.
    fn key_between(&self, left: Mask, right: Mask) -> Option<(Expr, Expr)> {
        let Expr::BinaryExpr(BinaryExpr { left: one, right: other, .. }) = &self.expr else { return None };
        let (one_needs, other_needs) = self.sides?;
        if one_needs & !left == 0 && other_needs & !right == 0 {
            return Some((one.as_ref().clone(), other.as_ref().clone()));
        }
        let swapped = other_needs & !left == 0 && one_needs & !right == 0;
        swapped.then(|| (other.as_ref().clone(), one.as_ref().clone()))
    }
}

/// The group, without an order.
pub(super) struct Graph {
    pub(super) relations: Vec<Relation>,
    classes: Vec<Class>,
    conditions: Vec<Condition>,
}

/// What was found on the way down.
#[derive(Default)]
struct Collected {
    relations: Vec<LogicalPlan>,
    reducers: Vec<Join>,
    equalities: Vec<(Expr, Expr)>,
    conditions: Vec<Expr>,
}

impl Collected {
    /// Takes `plan` apart. Anything that is no inner join, semi or anti join or condition on one is a relation.
    fn add(&mut self, plan: &LogicalPlan) {
        match plan {
            LogicalPlan::Join(join) if is_free(join) => {
                self.add(&join.left);
                if join.join_type != JoinType::Inner {
                    self.reducers.push(join.clone());
                    return;
                }
                self.add(&join.right);
                self.equalities.extend(join.on.iter().cloned());
                self.conditions.extend(join.filter.iter().cloned().flat_map(split_conjunction_owned));
            }
            LogicalPlan::Filter(filter) if has_join_below(plan) => {
                self.add(&filter.input);
                self.conditions.extend(split_conjunction_owned(filter.predicate.clone()));
            }
            LogicalPlan::Projection(projection) if has_join_below(plan) => self.add(&projection.input),
            relation => self.relations.push(relation.clone()),
        }
    }
}

/// Whether `join` may change places with others.
fn is_free(join: &Join) -> bool {
    let exprs = join.on.iter().flat_map(|(left, right)| [left, right]).chain(&join.filter);
    let fixed = exprs.into_iter().any(Expr::is_volatile);
    match join.join_type {
        JoinType::Inner => !fixed && join.null_equality == NullEquality::NullEqualsNothing,
        JoinType::LeftSemi | JoinType::LeftAnti => !fixed,
        _ => false,
    }
}

/// Whether `plan` is a join, under conditions and choices of columns.
fn has_join_below(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Join(join) => is_free(join),
        LogicalPlan::Filter(filter) => !filter.predicate.is_volatile() && has_join_below(&filter.input),
        LogicalPlan::Projection(projection) => {
            projection.expr.iter().all(|expr| matches!(expr, Expr::Column(_))) && has_join_below(&projection.input)
        }
        _ => false,
    }
}

impl Relation {
    fn new(plan: LogicalPlan, role: Role) -> Self {
        let estimate = estimate(&plan);
        let row_bytes = row_bytes(&plan);
        Relation { rows: estimate.rows.max(1.0), row_bytes, estimate, plan, role }
    }

    pub(super) fn is_reducer(&self) -> bool {
        matches!(self.role, Role::Reduces { .. })
    }

    fn key(&self, expr: &Expr) -> ColumnEstimate {
        self.estimate.key(expr, self.plan.schema())
    }
}

impl Graph {
    /// The group whose root is `plan`; `None` when there is nothing to put in order.
    pub(super) fn of(plan: &LogicalPlan) -> Result<Option<Self>> {
        if !has_join_below(plan) {
            return Ok(None);
        }
        let mut found = Collected::default();
        found.add(plan);
        let n_relations = found.relations.len() + found.reducers.len();
        if found.relations.len() < 2 || n_relations > MOST_RELATIONS || !has_unique_names(&found.relations) {
            return Ok(None);
        }
        let builder = Builder { columns: found.relations.iter().map(|plan| plan.schema().columns()).collect() };
        builder.build(found).map(Some)
    }

    /// Rows of the relations in `set` joined, reduced and filtered.
    pub(super) fn rows_of(&self, set: Mask) -> f64 {
        let mut left: Vec<usize> = bits(set).filter(|&idx| matches!(self.relations[idx].role, Role::Joined)).collect();
        left.sort_by(|&a, &b| self.relations[b].rows.total_cmp(&self.relations[a].rows).then(a.cmp(&b)));
        let (mut joined, mut rows): (Mask, f64) = (0, 1.0);
        while !left.is_empty() {
            let next = left.iter().position(|&idx| joined == 0 || self.are_equated(joined, 1 << idx)).unwrap_or(0);
            let idx = left.remove(next);
            rows *= self.relations[idx].rows / self.domain(joined, idx);
            joined |= 1 << idx;
        }
        for condition in self.conditions.iter().filter(|condition| condition.needs & !set == 0) {
            rows *= condition.share;
        }
        for idx in bits(set) {
            if let Role::Reduces { share, .. } = &self.relations[idx].role {
                rows *= share;
            }
        }
        rows.max(1.0)
    }

    /// Whether joining the two sets has a key: a class with members in both, or an equality between them.
    pub(super) fn are_equated(&self, one: Mask, other: Mask) -> bool {
        self.classes.iter().any(|class| class.mask() & one != 0 && class.mask() & other != 0)
            || self.conditions.iter().any(|condition| condition.key_between(one, other).is_some())
    }

    /// Whether an equality or another condition ties the two sets together.
    pub(super) fn are_connected(&self, one: Mask, other: Mask) -> bool {
        let tied = |c: &Condition| c.needs & one != 0 && c.needs & other != 0 && c.needs & !(one | other) == 0;
        self.are_equated(one, other) || self.conditions.iter().any(tied)
    }

    /// How many key values relation `idx` shares with the set `joined`. Keys in one and the same relation of `joined` go
    /// together: two columns that refer to one table have no more combinations than that table has rows.
    fn domain(&self, joined: Mask, idx: usize) -> f64 {
        let crossing: Vec<&Class> =
            self.classes.iter().filter(|class| class.mask() & joined != 0 && class.mask() >> idx & 1 == 1).collect();
        let n_crossing = |other: usize| crossing.iter().filter(|class| class.mask() >> other & 1 == 1).count();
        let mut groups: Vec<(usize, Vec<(ColumnEstimate, ColumnEstimate)>)> = Vec::new();
        for class in &crossing {
            let here = class.members.iter().find(|member| member.relation == idx);
            let there = class.members.iter().filter(|member| joined >> member.relation & 1 == 1);
            let there = there.max_by_key(|member| (n_crossing(member.relation), std::cmp::Reverse(member.relation)));
            let (Some(here), Some(there)) = (here, there) else { continue };
            let pair = (there.known.clone(), here.known.clone());
            match groups.iter_mut().find(|(relation, _)| *relation == there.relation) {
                Some((_, pairs)) => pairs.push(pair),
                None => groups.push((there.relation, vec![pair])),
            }
        }
        groups.iter().map(|(_, pairs)| key_domain(pairs)).product::<f64>().max(1.0)
    }

    /// The share of the rows of relation `foot` that pass when `rows` rows of `build` have told their keys.
    pub(super) fn told_share(&self, foot: usize, build: Mask, rows: f64) -> f64 {
        let told = self.classes.iter().filter(|class| class.mask() >> foot & 1 == 1).filter_map(|class| {
            let members = class.members.iter().filter(|member| build >> member.relation & 1 == 1);
            members.map(|member| member.known.partners(rows)).reduce(f64::min)
        });
        told.filter(|&share| share < MOST_KEYS).product::<f64>().clamp(0.0, 1.0)
    }

    /// What joining `left` with `right` has to check: equal keys, and conditions that need both.
    pub(super) fn conditions(&self, left: Mask, right: Mask) -> (Vec<(Expr, Expr)>, Vec<Expr>) {
        let mut on = Vec::new();
        for class in &self.classes {
            let member_in = |set: Mask| class.members.iter().find(|member| set >> member.relation & 1 == 1);
            if let (Some(one), Some(other)) = (member_in(left), member_in(right)) {
                on.push((one.expr.clone(), other.expr.clone()));
            }
        }
        let both = left | right;
        let new = |c: &&Condition| c.needs & !both == 0 && c.needs & !left != 0 && c.needs & !right != 0;
        let mut filters = Vec::new();
        for condition in self.conditions.iter().filter(new) {
            match condition.key_between(left, right) {
                Some(key) => on.push(key),
                None => filters.push(condition.expr.clone()),
            }
        }
        (on, filters)
    }
}

/// The numbers in `set`.
pub(super) fn bits(set: Mask) -> impl Iterator<Item = usize> {
    (0..Mask::BITS as usize).filter(move |idx| set >> idx & 1 == 1)
}

impl Class {
    fn mask(&self) -> Mask {
        self.members.iter().fold(0, |mask, member| mask | 1 << member.relation)
    }
}

/// A column must say which relation it is of.
fn has_unique_names(relations: &[LogicalPlan]) -> bool {
    let mut seen = HashSet::new();
    let mut unqualified = HashSet::new();
    let columns = relations.iter().flat_map(|plan| plan.schema().columns());
    for column in columns {
        if column.relation.is_none() && !unqualified.insert(column.name.clone()) {
            return false;
        }
        if !seen.insert(column) {
            return false;
        }
    }
    seen.iter().all(|column| column.relation.is_none() || !unqualified.contains(&column.name))
}

/// Finds out which relations an expression is about.
struct Builder {
    columns: Vec<Vec<Column>>,
}

impl Builder {
    fn mask_of(&self, expr: &Expr) -> Mask {
        let of = |column: &Column| self.columns.iter().position(|columns| columns.contains(column));
        expr.column_refs().into_iter().filter_map(of).fold(0, |mask, idx| mask | 1 << idx)
    }

    /// What the sides of an equality need, when they have no relation in common.
    fn sides_of(&self, expr: &Expr) -> Option<(Mask, Mask)> {
        let Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) = expr else { return None };
        let (left, right) = (self.mask_of(left), self.mask_of(right));
        (left != 0 && right != 0 && left & right == 0).then_some((left, right))
    }

    fn build(&self, found: Collected) -> Result<Graph> {
        let mut conditions: Vec<(Expr, Mask)> = Vec::new();
        let mut classes: Vec<Vec<(usize, Expr)>> = Vec::new();
        for (left, right) in found.equalities {
            let (left_mask, right_mask) = (self.mask_of(&left), self.mask_of(&right));
            if left_mask.count_ones() == 1 && right_mask.count_ones() == 1 && left_mask != right_mask {
                let one = (left_mask.trailing_zeros() as usize, left);
                unite(&mut classes, one, (right_mask.trailing_zeros() as usize, right));
            } else {
                conditions.push((left.eq(right), left_mask | right_mask));
            }
        }
        conditions.extend(found.conditions.into_iter().map(|expr| {
            let mask = self.mask_of(&expr);
            (expr, mask)
        }));
        for class in &classes {
            conditions.extend(equal_within_relation(class));
        }
        let mut relations = Vec::with_capacity(found.relations.len());
        for (idx, plan) in found.relations.into_iter().enumerate() {
            let own = conditions.extract_if(.., |(_, needs)| *needs == 1 << idx || (*needs == 0 && idx == 0));
            let own: Vec<Expr> = own.map(|(expr, _)| expr).collect();
            let plan = order_joins(plan)?;
            let plan = match conjunction(own) {
                Some(condition) => LogicalPlan::Filter(Filter::try_new(condition, Arc::new(plan))?),
                None => plan,
            };
            relations.push(Relation::new(plan, Role::Joined));
        }
        let lookup = |column: &Column| {
            let idx = self.columns.iter().position(|columns| columns.contains(column))?;
            let relation: &Relation = &relations[idx];
            relation.plan.schema().maybe_index_of_column(column).map(|idx| &relation.estimate.columns[idx])
        };
        let condition = |(expr, needs): (Expr, Mask)| {
            let (share, sides) = (share_of([&expr], &lookup), self.sides_of(&expr));
            Condition { expr, needs, share, sides }
        };
        let conditions: Vec<Condition> = conditions.into_iter().map(condition).collect();
        let classes = classes.into_iter().map(|members| {
            let member = |(relation, expr): (usize, Expr)| {
                let known = relations[relation].key(&expr);
                Member { relation, expr, known }
            };
            Class { members: members.into_iter().map(member).collect() }
        });
        let mut graph = Graph { classes: classes.collect(), conditions, relations };
        for join in found.reducers {
            let relation = self.reducer(join, &graph)?;
            graph.relations.push(relation);
        }
        Ok(graph)
    }

    /// The relation that stands for a semi or anti join.
    fn reducer(&self, join: Join, graph: &Graph) -> Result<Relation> {
        let plan = order_joins(join.right.as_ref().clone())?;
        let mut relation = Relation::new(plan, Role::Joined);
        let inner = |column: &Column| relation.plan.schema().maybe_index_of_column(column).is_some();
        let keys = join.on.iter().map(|(left, _)| self.mask_of(left)).fold(0, |all, mask| all | mask);
        let in_filter = join.filter.iter().flat_map(|filter| filter.column_refs());
        let in_filter = in_filter.filter(|column| !inner(column));
        let in_filter = in_filter.fold(0, |all, column| all | self.mask_of(&Expr::Column(column.clone())));
        let all = (1 << self.columns.len()) - 1;
        let needs = if keys | in_filter == 0 { all } else { keys | in_filter };
        let pairs = join.on.iter().filter_map(|(left, right)| {
            let outer = self.mask_of(left);
            let outer = (outer != 0).then(|| &graph.relations[outer.trailing_zeros() as usize])?;
            Some((outer.key(left), relation.key(right)))
        });
        let pairs: Vec<_> = pairs.collect();
        let share = semi_share(&pairs, graph.rows_of(needs), relation.rows, 1.0);
        let share = if join.join_type == JoinType::LeftSemi { share } else { (1.0 - share).max(0.1) };
        relation.role = Role::Reduces { join: Box::new(join), needs, share };
        Ok(relation)
    }
}

/// Puts `one` and `other` into the same class.
fn unite(classes: &mut Vec<Vec<(usize, Expr)>>, one: (usize, Expr), other: (usize, Expr)) {
    let mut united = vec![one, other];
    classes.retain_mut(|class| {
        let touches = class.iter().any(|member| united[..2].contains(member));
        if touches {
            united.append(class);
        }
        !touches
    });
    let mut members: Vec<(usize, Expr)> = Vec::with_capacity(united.len());
    for member in united {
        if !members.contains(&member) {
            members.push(member);
        }
    }
    members.sort_by_key(|(relation, _)| *relation);
    classes.push(members);
}

/// A relation with two members of a class must have them equal itself.
fn equal_within_relation(class: &[(usize, Expr)]) -> Vec<(Expr, Mask)> {
    let twins = class.windows(2).filter(|pair| pair[0].0 == pair[1].0);
    twins.map(|pair| (pair[0].1.clone().eq(pair[1].1.clone()), 1 << pair[0].0)).collect()
}
