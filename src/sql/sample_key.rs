//! `sample_key(row, seed)`: a number from 0 to 1 that looks random and follows from its arguments, so that a sample is the
//! same in every run.
//!
//! Memory: eight bytes a row of the batch.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Float64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, UInt64Type};
use datafusion_common::DataFusionError;
use datafusion_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};

use crate::operators::sample::rank;

#[derive(Debug, PartialEq, Eq, Hash)]
struct SampleKey {
    signature: Signature,
}

/// The function.
pub(super) fn sample_key() -> Arc<ScalarUDF> {
    let signature = Signature::any(2, Volatility::Immutable);
    Arc::new(ScalarUDF::from(SampleKey { signature }))
}

impl ScalarUDFImpl for SampleKey {
    fn name(&self) -> &str {
        "sample_key"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType, DataFusionError> {
        Ok(DataType::Float64)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue, DataFusionError> {
        let mut columns = Vec::with_capacity(2);
        for arg in &args.args {
            columns.push(cast(&arg.to_array(args.number_rows)?, &DataType::UInt64)?);
        }
        let (rows, seeds) = (columns[0].as_primitive::<UInt64Type>(), columns[1].as_primitive::<UInt64Type>());
        let keys: Float64Array = rows.iter().zip(seeds).map(|(row, seed)| Some(key(row?, seed?))).collect();
        Ok(ColumnarValue::Array(Arc::new(keys) as ArrayRef))
    }
}

/// The 53 upper bits of the rank, as many as a float holds.
fn key(row: u64, seed: u64) -> f64 {
    (rank(row, seed) >> 11) as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::key;

    #[test]
    fn keys_are_spread_evenly_for_any_seed() {
        for seed in [0, 1, 42] {
            let n = 100_000;
            let mut tenths = [0u32; 10];
            for row in 0..n {
                tenths[(key(row, seed) * 10.0) as usize] += 1;
            }
            assert!(tenths.iter().all(|&count| (9_600..=10_400).contains(&count)), "seed {seed}: {tenths:?}");
        }
        assert_ne!(key(1, 0), key(1, 1));
    }
}
