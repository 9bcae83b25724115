//! `mode` and the percentiles that are one of the values, for the planner: their names and types. They are computed by
//! [`crate::operators::ordered_aggregate`] only.

use arrow::datatypes::DataType;
use datafusion_common::{DataFusionError, not_impl_err};
use datafusion_expr::function::AccumulatorArgs;
use datafusion_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, Signature, Volatility};

/// A function whose result is one of its first argument's values.
#[derive(Debug, PartialEq, Eq, Hash)]
struct PickedValue {
    name: &'static str,
    aliases: Vec<String>,
    signature: Signature,
    /// Whether `WITHIN GROUP (ORDER BY ...)` names the values.
    within_group: bool,
}

/// The functions that the library does not have.
pub(super) fn ordered_functions() -> [AggregateUDF; 6] {
    let function = |name, aliases: &[&str], n_args, within_group| {
        AggregateUDF::from(PickedValue {
            name,
            aliases: aliases.iter().map(|alias| alias.to_string()).collect(),
            signature: Signature::any(n_args, Volatility::Immutable),
            within_group,
        })
    };
    [
        function("mode", &[], 1, false),
        function("percentile_disc", &["quantile_disc", "quantile"], 2, true),
        function("percentile_nearest", &[], 2, true),
        function("percentile_lower", &[], 2, true),
        function("percentile_higher", &[], 2, true),
        function("percentile_midpoint", &[], 2, true),
    ]
}

impl AggregateUDFImpl for PickedValue {
    fn name(&self) -> &str {
        self.name
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType, DataFusionError> {
        Ok(types[0].clone())
    }

    fn accumulator(&self, _args: AccumulatorArgs) -> Result<Box<dyn Accumulator>, DataFusionError> {
        not_impl_err!("{} has no accumulator", self.name)
    }

    fn supports_within_group_clause(&self) -> bool {
        self.within_group
    }
}
