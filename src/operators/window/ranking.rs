//! Functions that look at the place of a row only: row_number, rank, dense_rank, percent_rank, cume_dist, ntile.
//!
//! Memory: the results of the batch at hand.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, UInt64Array};

use super::log::Log;
use super::piece::Piece;
use super::stream::Evaluator;
use crate::error::Result;

/// Which of them.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    RowNumber,
    Rank,
    DenseRank,
    PercentRank,
    CumeDist,
    Ntile(u64),
}

pub(super) struct Ranking {
    kind: Kind,
    order: usize,
    /// The number of the last row's group of peers in its partition.
    dense_rank: u64,
}

impl Ranking {
    pub(super) fn new(kind: Kind, order: usize) -> Self {
        Ranking { kind, order, dense_rank: 0 }
    }

    fn dense_ranks(&mut self, piece: &Piece) -> Vec<u64> {
        let is_start = &piece.peers[self.order].is_start;
        let mut ranks = Vec::with_capacity(piece.n_rows);
        for segment in &piece.segments {
            if piece.first + segment.from as u64 == segment.start {
                self.dense_rank = 0;
            }
            for row in segment.from..segment.to {
                self.dense_rank += u64::from(is_start.value(row));
                ranks.push(self.dense_rank);
            }
        }
        ranks
    }
}

impl Evaluator for Ranking {
    fn evaluate(&mut self, piece: &Piece, _log: &mut Log) -> Result<ArrayRef> {
        let peers = &piece.peers[self.order];
        let mut numbers = Vec::with_capacity(piece.n_rows);
        let mut parts = Vec::new();
        for segment in &piece.segments {
            let rows = segment.from..segment.to;
            let index = |row: usize| piece.first + row as u64 - segment.start;
            let n_rows = segment.end - segment.start;
            match self.kind {
                Kind::RowNumber => numbers.extend(rows.map(|row| index(row) + 1)),
                Kind::Rank => numbers.extend(peers.starts[rows].iter().map(|start| start - segment.start + 1)),
                Kind::Ntile(n_parts) => numbers.extend(rows.map(|row| tile(index(row), n_rows, n_parts))),
                Kind::PercentRank => parts.extend(peers.starts[rows].iter().map(|start| match n_rows {
                    1 => 0.0,
                    n_rows => (start - segment.start) as f64 / (n_rows - 1) as f64,
                })),
                Kind::CumeDist => {
                    parts.extend(peers.ends[rows].iter().map(|end| (end - segment.start) as f64 / n_rows as f64));
                }
                Kind::DenseRank => {}
            }
        }
        Ok(match self.kind {
            Kind::DenseRank => Arc::new(UInt64Array::from(self.dense_ranks(piece))),
            Kind::PercentRank | Kind::CumeDist => Arc::new(Float64Array::from(parts)),
            _ => Arc::new(UInt64Array::from(numbers)),
        })
    }

    fn needs_from(&self) -> u64 {
        u64::MAX
    }
}

/// The part, from 1, that row `index` of `n_rows` is in: the first parts have one row more where it does not come out even.
fn tile(index: u64, n_rows: u64, n_parts: u64) -> u64 {
    let (rows, n_larger) = (n_rows / n_parts, n_rows % n_parts);
    let in_larger = n_larger * (rows + 1);
    match index < in_larger {
        true => index / (rows + 1) + 1,
        false => n_larger + (index - in_larger) / rows + 1,
    }
}

#[cfg(test)]
mod tests {
    use super::tile;

    #[test]
    fn the_first_tiles_are_larger() {
        let tiles = |n_rows, n_parts| (0..n_rows).map(|index| tile(index, n_rows, n_parts)).collect::<Vec<_>>();
        assert_eq!(tiles(10, 4), [1, 1, 1, 2, 2, 2, 3, 3, 4, 4]);
        assert_eq!(tiles(3, 5), [1, 2, 3]);
        assert_eq!(tiles(4, 2), [1, 1, 2, 2]);
    }
}
