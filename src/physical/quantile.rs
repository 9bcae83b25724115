//! Lowering of medians and percentiles without GROUP BY: values are counted, not sorted.

use super::holistic::{Placed, Wanted};
use super::lower::{Lowering, Stream};
use crate::error::{Error, Result};
use crate::exec::{Node, Step};
use crate::operators::aggregate::AggregateCall;
use crate::operators::ordered_aggregate::{OrderedFunction, Pick};
use crate::operators::quantile::{Quantile, QuantileCall, has_keys};

/// Whether all calls can be computed this way: percentiles of numbers and points in time, and ordinary calls.
pub(super) fn fits(placed: &Placed) -> bool {
    let fits = |call: &Wanted| match (&call.function, call.args.as_slice()) {
        _ if call.is_distinct || call.order.iter().flatten().any(|key| key.descending) => false,
        (OrderedFunction::Ordinary(_), _) => true,
        (function, [arg]) => pick(function).is_some() && has_keys(placed.stream.schema.field(*arg).data_type()),
        _ => false,
    };
    placed.calls.iter().all(fits)
}

fn pick(function: &OrderedFunction) -> Option<Pick> {
    match function {
        OrderedFunction::Median => Some(Pick::Median),
        OrderedFunction::Percentile(part) => Some(Pick::At(*part)),
        OrderedFunction::PercentileDisc(part) => Some(Pick::Value(*part)),
        OrderedFunction::PercentileRounded(part, rounding) => Some(Pick::Rounded(*part, *rounding)),
        _ => None,
    }
}

fn quantile_call(call: Wanted) -> Result<QuantileCall> {
    let Wanted { function, args, filter, output, .. } = call;
    match (pick(&function), function, args.first()) {
        (_, OrderedFunction::Ordinary(function), _) => {
            Ok(QuantileCall::Ordinary(AggregateCall { function, args, filter, output }))
        }
        (Some(pick), _, Some(&column)) => Ok(QuantileCall::Pick { pick, column, filter, output }),
        (_, function, _) => Err(Error::query(format!("{function:?} cannot be counted"))),
    }
}

impl Lowering<'_> {
    pub(super) fn lower_quantiles(&mut self, placed: Placed, detail: String) -> Result<Stream> {
        let Placed { stream, calls, output, .. } = placed;
        let calls = calls.into_iter().map(quantile_call).collect::<Result<Vec<_>>>()?;
        let quantile = Quantile::new(stream.schema.clone(), calls, output.clone(), self.cx)?;
        let inputs = vec![stream.top()];
        let node = self.add_node(Node { name: "Quantile", detail, inputs, report: Some(quantile.clone()) });
        self.close(stream, node, quantile.sink());
        Ok(Stream::new(Step { node, role: quantile.source() }, output, false))
    }
}
