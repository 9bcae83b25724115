//! What a join computes, by its two sides: the build side, whose rows are found by key, and the probe side, whose rows
//! look for them. Every join type exists for either side, so whoever lowers a plan may choose the smaller one to build.

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;

use crate::operators::expression::Expression;

/// Which rows a join gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JoinType {
    /// Pairs that match.
    Inner,
    /// Pairs, and probe rows without a match.
    ProbeOuter,
    /// Pairs, and build rows without a match.
    BuildOuter,
    /// Pairs, and rows of both sides without a match.
    Full,
    /// Probe rows with a match, once each.
    ProbeSemi,
    /// Probe rows without a match.
    ProbeAnti,
    /// All probe rows, and whether they have a match.
    ProbeMark,
    /// Build rows with a match, once each.
    BuildSemi,
    /// Build rows without a match.
    BuildAnti,
    /// All build rows, and whether they have a match.
    BuildMark,
}

/// A column of the output, or of what a residual condition reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JoinColumn {
    /// A column of the probe side's batches.
    Probe(usize),
    /// A column of the build side's batches.
    Build(usize),
    /// Whether the row has a match; of the mark types only.
    Mark,
}

/// A condition that a pair with equal keys has to fulfil besides.
#[derive(Clone)]
pub struct Residual {
    /// Evaluated over `columns`; a pair matches when it is true.
    pub predicate: Arc<dyn Expression>,
    /// The columns it reads.
    pub columns: Vec<JoinColumn>,
    /// Their names and types, as many.
    pub schema: SchemaRef,
}

/// A whole join.
#[derive(Clone)]
pub struct JoinSpec {
    /// Schema of the probe side's batches. Columns may arrive as dictionaries of the declared type.
    pub probe: SchemaRef,
    /// Schema of the build side's batches, likewise.
    pub build: SchemaRef,
    /// Pairs of columns, probe and build, that must be equal. None: every pair of rows is a candidate.
    pub keys: Vec<(usize, usize)>,
    /// Which rows it gives.
    pub join_type: JoinType,
    /// Whether NULL keys are equal to each other; else they match nothing.
    pub null_equal: bool,
    /// NOT IN: a NULL key on the other side means that no row is known to be without a match. Of the anti types only,
    /// with one key and without a residual condition.
    pub null_aware: bool,
    /// What else must hold.
    pub residual: Option<Residual>,
    /// The columns of the output.
    pub output: Vec<JoinColumn>,
    /// Their names and types, as many.
    pub schema: SchemaRef,
}

impl JoinType {
    /// The same join with its sides exchanged.
    pub fn mirrored(self) -> Self {
        use JoinType::*;
        match self {
            Inner => Inner,
            ProbeOuter => BuildOuter,
            BuildOuter => ProbeOuter,
            Full => Full,
            ProbeSemi => BuildSemi,
            ProbeAnti => BuildAnti,
            ProbeMark => BuildMark,
            BuildSemi => ProbeSemi,
            BuildAnti => ProbeAnti,
            BuildMark => ProbeMark,
        }
    }

    /// Whether it gives pairs.
    pub fn gives_pairs(self) -> bool {
        use JoinType::*;
        matches!(self, Inner | ProbeOuter | BuildOuter | Full)
    }

    /// Whether it gives probe rows alone.
    pub fn gives_probe_rows(self) -> bool {
        use JoinType::*;
        matches!(self, ProbeOuter | Full | ProbeSemi | ProbeAnti | ProbeMark)
    }

    /// Whether it gives build rows alone, which are known at the end.
    pub fn gives_build_rows(self) -> bool {
        self.mirrored().gives_probe_rows()
    }

    /// Of probe rows given alone, whether `matched` ones are among them.
    pub(in crate::operators) fn gives_probe_row(self, matched: bool) -> bool {
        use JoinType::*;
        match self {
            ProbeOuter | Full | ProbeAnti => !matched,
            ProbeSemi => matched,
            ProbeMark => true,
            Inner | BuildOuter | BuildSemi | BuildAnti | BuildMark => false,
        }
    }

    /// Whether an empty build side means that nothing comes out.
    pub(super) fn needs_build_rows(self) -> bool {
        !matches!(self, JoinType::ProbeOuter | JoinType::Full | JoinType::ProbeAnti | JoinType::ProbeMark)
    }
}

impl fmt::Debug for JoinSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let JoinSpec { keys, join_type, null_equal, null_aware, residual, output, .. } = self;
        let residual = if residual.is_some() { " residual" } else { "" };
        write!(
            f,
            "{join_type:?} keys {keys:?} null_equal {null_equal} null_aware {null_aware}{residual} output {output:?}"
        )
    }
}
