//! The type that holds all values of two types.
//!
//! Integers widen to integers, decimals and floats; a double holds integers up to 2^53 only, which `widen` checks value by
//! value. Dates widen to timestamps. Numbers, dates and booleans widen to text where another file has text.
//!
//! Memory: none.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, TimeUnit};

/// The type that holds all values of both, if there is one.
pub(in crate::io) fn common_type(one: &DataType, other: &DataType) -> Option<DataType> {
    if one == other {
        return Some(one.clone());
    }
    match (one, other) {
        (DataType::Null, some) | (some, DataType::Null) => Some(some.clone()),
        (DataType::Timestamp(a, zone), DataType::Timestamp(b, other_zone)) if zone == other_zone => {
            Some(DataType::Timestamp(finer(*a, *b), zone.clone()))
        }
        (DataType::Timestamp(a, Some(_)), DataType::Timestamp(b, Some(_))) => {
            Some(DataType::Timestamp(finer(*a, *b), Some("UTC".into())))
        }
        (DataType::Date32, DataType::Timestamp(unit, None)) | (DataType::Timestamp(unit, None), DataType::Date32) => {
            Some(DataType::Timestamp(*unit, None))
        }
        (DataType::Decimal128(p, s), DataType::Decimal128(q, t)) => {
            common_decimal((i16::from(*p) - i16::from(*s)).max(i16::from(*q) - i16::from(*t)), *s.max(t))
        }
        (DataType::Decimal128(p, s), number) | (number, DataType::Decimal128(p, s)) if number.is_integer() => {
            common_decimal((i16::from(*p) - i16::from(*s)).max(digits(number)?), (*s).max(0))
        }
        (DataType::Utf8, other) | (other, DataType::Utf8) if has_text(other) => Some(DataType::Utf8),
        (DataType::Struct(a), DataType::Struct(b)) if a.len() == b.len() => {
            let fields = a.iter().zip(b).map(|(a, b)| {
                let common = common_type(a.data_type(), b.data_type()).filter(|_| a.name() == b.name())?;
                Some(Field::new(a.name(), common, a.is_nullable() || b.is_nullable()))
            });
            Some(DataType::Struct(fields.collect::<Option<Vec<_>>>()?.into()))
        }
        (DataType::List(a), DataType::List(b)) => {
            let common = common_type(a.data_type(), b.data_type())?;
            Some(DataType::List(Arc::new(Field::new(a.name(), common, a.is_nullable() || b.is_nullable()))))
        }
        _ => common_number(one, other),
    }
}

/// Whether every value has a text that says all of it.
fn has_text(data_type: &DataType) -> bool {
    use DataType as T;
    data_type.is_integer() || matches!(data_type, T::Float32 | T::Float64 | T::Boolean | T::Decimal128(..) | T::Date32)
}

/// Whether the order of values stays when values of type `from` become values of type `to`.
pub(in crate::io) fn keeps_order(from: &DataType, to: &DataType) -> bool {
    from == to || to != &DataType::Utf8
}

/// A decimal with so many digits before the point, if there is one.
fn common_decimal(whole: i16, scale: i8) -> Option<DataType> {
    let precision = u8::try_from(whole + i16::from(scale)).ok().filter(|&precision| precision <= 38)?;
    Some(DataType::Decimal128(precision, scale))
}

/// The most digits of an integer.
fn digits(data_type: &DataType) -> Option<i16> {
    Some(match integer(data_type)? {
        (8, _) => 3,
        (16, _) => 5,
        (32, _) => 10,
        (_, is_signed) => {
            if is_signed {
                19
            } else {
                20
            }
        }
    })
}

fn finer(one: TimeUnit, other: TimeUnit) -> TimeUnit {
    let rank = |unit: TimeUnit| match unit {
        TimeUnit::Second => 0,
        TimeUnit::Millisecond => 1,
        TimeUnit::Microsecond => 2,
        TimeUnit::Nanosecond => 3,
    };
    if rank(one) >= rank(other) { one } else { other }
}

/// Bits and sign of integers.
fn integer(data_type: &DataType) -> Option<(u32, bool)> {
    Some(match data_type {
        DataType::Int8 => (8, true),
        DataType::Int16 => (16, true),
        DataType::Int32 => (32, true),
        DataType::Int64 => (64, true),
        DataType::UInt8 => (8, false),
        DataType::UInt16 => (16, false),
        DataType::UInt32 => (32, false),
        DataType::UInt64 => (64, false),
        _ => return None,
    })
}

fn common_number(one: &DataType, other: &DataType) -> Option<DataType> {
    let is_float =
        |data_type: &DataType| matches!(data_type, DataType::Float16 | DataType::Float32 | DataType::Float64);
    match (integer(one), integer(other)) {
        (Some((a, true)), Some((b, true))) => Some(signed(a.max(b))),
        (Some((a, false)), Some((b, false))) => Some(if a > b { one.clone() } else { other.clone() }),
        (Some((signed_bits, true)), Some((bits, false))) | (Some((bits, false)), Some((signed_bits, true))) => {
            // An unsigned number needs one bit more; no integer holds both Int64 and UInt64.
            (bits < 64).then(|| signed(signed_bits.max(bits * 2)))
        }
        (Some(_), None) if is_float(other) => Some(DataType::Float64),
        (None, Some(_)) if is_float(one) => Some(DataType::Float64),
        (None, None) if is_float(one) && is_float(other) => {
            let has_double = one == &DataType::Float64 || other == &DataType::Float64;
            Some(if has_double { DataType::Float64 } else { DataType::Float32 })
        }
        _ => None,
    }
}

fn signed(bits: u32) -> DataType {
    match bits {
        0..=8 => DataType::Int8,
        9..=16 => DataType::Int16,
        17..=32 => DataType::Int32,
        _ => DataType::Int64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_widen_only_where_no_value_is_lost() {
        use DataType::*;
        let check = |one: DataType, other: DataType, common: Option<DataType>| {
            assert_eq!(common_type(&one, &other), common, "{one} {other}");
            assert_eq!(common_type(&other, &one), common, "{other} {one}");
        };
        check(Int32, Int32, Some(Int32));
        check(Int8, Int64, Some(Int64));
        check(Int32, Float32, Some(Float64));
        check(Float32, Float64, Some(Float64));
        check(UInt8, Int8, Some(Int16));
        check(UInt32, Int32, Some(Int64));
        check(UInt64, Int64, None);
        check(UInt16, UInt64, Some(UInt64));
        check(Int32, Utf8, Some(Utf8));
        check(Float64, Utf8, Some(Utf8));
        check(Binary, Utf8, None);
        check(Timestamp(TimeUnit::Second, None), Utf8, None);
        check(Boolean, Int32, None);
        check(Date32, Timestamp(TimeUnit::Nanosecond, None), Some(Timestamp(TimeUnit::Nanosecond, None)));
        check(Date32, Timestamp(TimeUnit::Second, Some("UTC".into())), None);
        check(Timestamp(TimeUnit::Second, None), Timestamp(TimeUnit::Second, Some("UTC".into())), None);
        check(
            Timestamp(TimeUnit::Second, Some("UTC".into())),
            Timestamp(TimeUnit::Millisecond, Some("+02:00".into())),
            Some(Timestamp(TimeUnit::Millisecond, Some("UTC".into()))),
        );
        check(Int32, Decimal128(5, 2), Some(Decimal128(12, 2)));
        check(Int64, Decimal128(30, 25), None);
        check(Float64, Decimal128(5, 2), None);
        check(Null, Utf8, Some(Utf8));
        check(
            Timestamp(TimeUnit::Second, None),
            Timestamp(TimeUnit::Microsecond, None),
            Some(Timestamp(TimeUnit::Microsecond, None)),
        );
        check(Decimal128(10, 2), Decimal128(12, 4), Some(Decimal128(12, 4)));
        check(Decimal128(38, 0), Decimal128(38, 10), None);
    }
}
