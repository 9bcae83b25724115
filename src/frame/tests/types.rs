//! Columns of every type go in and come out, and through the operators.

use std::sync::Arc;

use arrow::array::*;
use arrow::datatypes::{Field, Fields, Int32Type, IntervalMonthDayNano};

use crate::frame::testing::{check, check_unordered, frame, shown};
use crate::frame::*;

/// Two rows of each type, then NULL; the first is the lesser.
fn columns() -> Vec<(&'static str, ArrayRef)> {
    let decimal = Decimal128Array::from(vec![Some(150), Some(275), None]).with_precision_and_scale(10, 2).unwrap();
    let list =
        ListArray::from_iter_primitive::<Int32Type, _, _>([Some(vec![Some(1), None]), Some(vec![Some(2)]), None]);
    let fields = Fields::from(vec![Field::new("x", DataType::Int32, true)]);
    let numbers: ArrayRef = Arc::new(Int32Array::from(vec![Some(1), Some(2), None]));
    let validity = Some(arrow::buffer::NullBuffer::from(vec![true, true, false]));
    vec![
        ("bool", Arc::new(BooleanArray::from(vec![Some(false), Some(true), None]))),
        ("i8", Arc::new(Int8Array::from(vec![Some(-1), Some(2), None]))),
        ("i16", Arc::new(Int16Array::from(vec![Some(-1), Some(2), None]))),
        ("i32", Arc::new(Int32Array::from(vec![Some(-1), Some(2), None]))),
        ("u8", Arc::new(UInt8Array::from(vec![Some(1), Some(2), None]))),
        ("u32", Arc::new(UInt32Array::from(vec![Some(1), Some(2), None]))),
        ("u64", Arc::new(UInt64Array::from(vec![Some(1), Some(u64::MAX), None]))),
        ("f32", Arc::new(Float32Array::from(vec![Some(-1.5), Some(2.5), None]))),
        ("decimal", Arc::new(decimal)),
        ("utf8", Arc::new(StringArray::from(vec![Some("a"), Some("b"), None]))),
        ("large", Arc::new(LargeStringArray::from(vec![Some("a"), Some("b"), None]))),
        ("view", Arc::new(StringViewArray::from(vec![Some("a"), Some("b"), None]))),
        ("binary", Arc::new(BinaryArray::from(vec![Some(&b"a"[..]), Some(b"b"), None]))),
        ("date", Arc::new(Date32Array::from(vec![Some(1), Some(2), None]))),
        ("time", Arc::new(Time64MicrosecondArray::from(vec![Some(1), Some(2), None]))),
        ("moment", Arc::new(TimestampNanosecondArray::from(vec![Some(1), Some(2), None]))),
        ("zoned", Arc::new(TimestampMicrosecondArray::from(vec![Some(1), Some(2), None]).with_timezone("UTC"))),
        ("duration", Arc::new(DurationMicrosecondArray::from(vec![Some(1), Some(2), None]))),
        ("list", Arc::new(list)),
        ("struct", Arc::new(StructArray::new(fields, vec![numbers], validity))),
        ("category", Arc::new(DictionaryArray::<Int32Type>::from_iter([Some("a"), Some("b"), None]))),
        ("null", Arc::new(NullArray::new(3))),
        (
            "interval",
            Arc::new(IntervalMonthDayNanoArray::from(vec![
                Some(IntervalMonthDayNano::new(1, 0, 0)),
                Some(IntervalMonthDayNano::new(2, 0, 0)),
                None,
            ])),
        ),
    ]
}

#[test]
fn every_type_goes_in_and_comes_out() {
    for (name, values) in columns() {
        let rows = frame(vec![(name, values.clone())]);
        let out = rows.collect().unwrap();
        let values = if name == "category" { columns().remove(9).1 } else { values };
        assert_eq!(out.dtypes(), [values.data_type().clone()], "{name}");
        assert_eq!(out.column(name).unwrap().to_data(), values.to_data(), "{name}");
    }
}

#[test]
fn every_type_is_grouped_joined_and_sorted() {
    for (name, values) in columns().into_iter().filter(|(name, _)| *name != "null") {
        let rows = || frame(vec![(name, values.clone())]);
        let (twice, by) = (concat([rows(), rows()], ConcatHow::Vertical).unwrap(), SortOptions::new());
        let groups = twice.clone().group_by(name).len().sort("len", by).collect();
        assert_eq!(groups.unwrap().height(), 3, "{name}");
        let joined = twice.join_on(rows(), name, JoinType::Inner).collect();
        assert_eq!(joined.unwrap().height(), 4, "{name}");
        let sorted = rows().sort(name, by.with_order_descending(true)).with_row_index("at", 0).collect().unwrap();
        assert!(sorted.column(name).unwrap().is_null(0), "{name}: NULL comes first");
    }
}

#[test]
fn narrow_columns_stay_narrow_beside_literals() {
    let rows = frame(columns());
    let typed =
        |expr: Expr| rows.clone().select([expr.alias("x")]).collect_schema().unwrap().field(0).data_type().clone();
    assert_eq!(typed(col("i8") + 1), DataType::Int8);
    assert_eq!(typed(col("i32") * 2), DataType::Int32);
    assert_eq!(typed(col("f32") * 2.0), DataType::Float32);
    assert_eq!(typed(col("f32") / 2), DataType::Float32);
    assert_eq!(typed(col("u64") + 1), DataType::UInt64);
    assert_eq!(typed(col("u32") - col("u8")), DataType::Int64);
    assert_eq!(typed(col("i32").sum()), DataType::Int64);
    assert_eq!(typed(col("i32").fill_null(0)), DataType::Int32);
    check(
        rows.clone().select([col("category").eq("a"), col("struct").is_null()]),
        "category,struct|true,false|false,false|-,true",
    );
    check(rows.clone().unnest("struct").select(["x"]), "x|1|2|-");
    check(
        rows.clone().select([col("decimal") + col("decimal"), col("zoned").dt().year()]).head(1),
        "decimal,zoned|3.00,1970",
    );
    check_unordered(rows.group_by("category").agg([col("u8").max()]), "category,u8|-,-|a,1|b,2");
}

#[test]
fn long_chains_of_conditions_are_no_trouble() {
    let rows = frame(vec![("i", Arc::new(Int64Array::from((0..3000).collect::<Vec<_>>())) as ArrayRef)]);
    let any = (0..1500).map(|n| col("i").eq(n * 2)).reduce(|one, other| one | other).unwrap();
    assert_eq!(shown(rows.clone().filter(any).select([len()]).collect()), "len|1500");
    let sum = |n: i64| (0..n).fold(col("i"), |sum, _| sum + 1);
    assert_eq!(shown(rows.clone().select([sum(300).max()]).collect()), "i|3299");
    let error = rows.select([sum(6000)]).collect().unwrap_err().to_string();
    assert!(error.contains("too deep"), "{error}");
}
