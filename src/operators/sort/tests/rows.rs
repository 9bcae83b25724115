//! Random rows of many types.

use std::sync::Arc;

use arrow::array::*;
use arrow::datatypes::{DataType, Field, Fields, Int32Type, Schema, SchemaRef, TimeUnit};

/// A small generator of random numbers, so that a seed gives the same rows for ever.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let product = u128::from(self.0) * u128::from(0xD6E8_FEB8_6659_FD93u64 ^ self.0);
        (product as u64) ^ (product >> 64) as u64
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    /// One in twenty is NULL.
    fn option<T>(&mut self, value: impl FnOnce(&mut Self) -> T) -> Option<T> {
        if self.below(20) == 0 { None } else { Some(value(self)) }
    }

    fn string(&mut self) -> String {
        match self.below(4) {
            0 => format!("id{:03}", self.below(50)),
            1 => ["", "\0", "\0\0", "a", "a\0", "a\0b", "\u{1}", "ä", "aa"][self.below(9) as usize].to_string(),
            2 => format!("a prefix that all of these strings share, at least {}", self.below(1000)),
            _ => "x".repeat(self.below(120) as usize),
        }
    }

    fn float(&mut self) -> f64 {
        match self.below(8) {
            0 => [f64::NAN, -0.0, 0.0, f64::INFINITY, f64::NEG_INFINITY, f64::MIN_POSITIVE][self.below(6) as usize],
            1 => f64::from_bits(self.next() & !(0x7FF0 << 48)),
            _ => self.below(100) as f64 / 8.0 - 6.0,
        }
    }
}

pub(crate) fn schema() -> SchemaRef {
    let pair = Fields::from(vec![Field::new("x", DataType::Int32, true), Field::new("y", DataType::Utf8, true)]);
    let field = |name: &str, data_type| Field::new(name, data_type, true);
    Arc::new(Schema::new(vec![
        field("int", DataType::Int32),
        field("tiny", DataType::Int8),
        field("unsigned", DataType::UInt64),
        field("float", DataType::Float64),
        field("single", DataType::Float32),
        field("short", DataType::Utf8),
        field("long", DataType::LargeUtf8),
        field("view", DataType::Utf8View),
        field("binary", DataType::Binary),
        field("bool", DataType::Boolean),
        field("date", DataType::Date32),
        field("time", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))),
        field("decimal", DataType::Decimal128(20, 3)),
        field("wide", DataType::Decimal256(50, 2)),
        field("list", DataType::List(Arc::new(Field::new("item", DataType::Int32, true)))),
        field("struct", DataType::Struct(pair)),
        field("null", DataType::Null),
        field("fixed", DataType::FixedSizeBinary(3)),
    ]))
}

pub(crate) fn random_rows(n_rows: usize, seed: u64) -> RecordBatch {
    let mut random = Random(seed);
    let r = &mut random;
    macro_rules! column {
        ($array:ty, $value:expr) => {
            Arc::new((0..n_rows).map(|_| r.option($value)).collect::<$array>()) as ArrayRef
        };
    }
    let columns: Vec<ArrayRef> = vec![
        column!(Int32Array, |r| r.below(1000) as i32 - 500),
        column!(Int8Array, |r| r.next() as i8),
        column!(UInt64Array, |r| if r.below(2) == 0 { r.next() } else { r.below(10) }),
        column!(Float64Array, |r| r.float()),
        column!(Float32Array, |r| r.float() as f32),
        column!(StringArray, |r| format!("id{:03}", r.below(40))),
        column!(LargeStringArray, |r| r.string()),
        column!(StringViewArray, |r| r.string()),
        column!(BinaryArray, |r| vec![r.below(3) as u8 * 127; r.below(4) as usize]),
        column!(BooleanArray, |r| r.below(2) == 0),
        column!(Date32Array, |r| r.below(20_000) as i32),
        Arc::new(
            (0..n_rows)
                .map(|_| r.option(|r| r.below(1 << 50) as i64))
                .collect::<TimestampMicrosecondArray>()
                .with_timezone("UTC"),
        ),
        Arc::new(
            (0..n_rows)
                .map(|_| r.option(|r| r.next() as i64 as i128))
                .collect::<Decimal128Array>()
                .with_precision_and_scale(20, 3)
                .unwrap(),
        ),
        Arc::new(
            (0..n_rows)
                .map(|_| r.option(|r| arrow::datatypes::i256::from_i128(i128::from(r.next() as i64) << 60)))
                .collect::<Decimal256Array>()
                .with_precision_and_scale(50, 2)
                .unwrap(),
        ),
        Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(
            (0..n_rows)
                .map(|_| r.option(|r| (0..r.below(4)).map(|_| r.option(|r| r.below(3) as i32)).collect::<Vec<_>>())),
        )),
        struct_column(n_rows, r),
        Arc::new(NullArray::new(n_rows)),
        Arc::new(
            FixedSizeBinaryArray::try_from_sparse_iter_with_size(
                (0..n_rows).map(|_| r.option(|r| [r.below(2) as u8, 255, r.below(4) as u8])),
                3,
            )
            .unwrap(),
        ),
    ];
    RecordBatch::try_new(schema(), columns).unwrap()
}

fn struct_column(n_rows: usize, r: &mut Random) -> ArrayRef {
    let DataType::Struct(fields) = schema().field_with_name("struct").unwrap().data_type().clone() else {
        unreachable!()
    };
    let x = Arc::new((0..n_rows).map(|_| r.option(|r| r.below(3) as i32)).collect::<Int32Array>());
    let y = Arc::new((0..n_rows).map(|_| r.option(|r| r.string())).collect::<StringArray>());
    let nulls = (0..n_rows).map(|_| r.below(20) > 0).collect::<Vec<_>>().into();
    Arc::new(StructArray::new(fields, vec![x, y], Some(nulls)))
}
