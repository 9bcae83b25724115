//! Small frames from values in the code.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Float32Array, Float64Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray, UInt64Array,
};
use arrow::datatypes::{Field, Schema};
use chrono::{NaiveDate, NaiveDateTime};

use super::data_frame::DataFrame;
use crate::error::Result;
use crate::session::Session;

/// A [`DataFrame`](crate::frame::DataFrame) of values, column by column; `None` is NULL.
///
/// ```
/// use brimful::{Session, SessionOptions, df};
///
/// # fn main() -> brimful::Result<()> {
/// let session = Session::new(SessionOptions::default())?;
/// let cities = df!(session, "city" => ["Rome", "Oslo"], "n" => [Some(2), None], "km" => [1.5, 2.5])?;
/// assert_eq!(cities.shape(), (2, 3));
/// # Ok(())
/// # }
/// ```
#[macro_export]
macro_rules! df {
    ($session:expr, $($name:expr => $values:expr),+ $(,)?) => {
        $session.from_columns(vec![$((::std::string::String::from($name), $crate::frame::IntoArray::into_array($values))),+])
    };
}

/// Values of one column.
///
/// ```
/// # use brimful::{Session, SessionOptions, df, frame::*};
/// # let session = Session::new(SessionOptions::default())?;
/// let n: Vec<Option<i64>> = vec![Some(1), None];
/// let frame = df!(session, "n" => n, "day" => [chrono::NaiveDate::from_ymd_opt(2024, 1, 15), None])?;
/// assert_eq!(frame.texts("day"), ["2024-01-15", "null"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait IntoArray {
    /// The values as an Arrow array.
    fn into_array(self) -> ArrayRef;
}

/// A value that a column can be made of.
///
/// ```
/// # use brimful::{Session, SessionOptions, df, frame::*};
/// # let session = Session::new(SessionOptions::default())?;
/// assert_eq!(df!(session, "f" => [1.5f32])?.dtypes(), [DataType::Float32]);
/// assert_eq!(df!(session, "n" => [1])?.dtypes(), [DataType::Int64]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait ColumnValue: Sized {
    /// The values as an Arrow array.
    fn array_of(values: impl Iterator<Item = Option<Self>>) -> ArrayRef;
}

/// A value, or one that may be missing.
///
/// ```
/// # use brimful::{Session, SessionOptions, df, frame::*};
/// # let session = Session::new(SessionOptions::default())?;
/// assert_eq!(df!(session, "n" => [Some(1), None])?.texts("n"), ["1", "null"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait MaybeValue {
    /// The type of the value.
    type Value: ColumnValue;

    /// The value, if there is one.
    fn into_option(self) -> Option<Self::Value>;
}

impl<V: ColumnValue> MaybeValue for V {
    type Value = V;

    fn into_option(self) -> Option<V> {
        Some(self)
    }
}

impl<V: ColumnValue> MaybeValue for Option<V> {
    type Value = V;

    fn into_option(self) -> Option<V> {
        self
    }
}

impl<T: MaybeValue, const N: usize> IntoArray for [T; N] {
    fn into_array(self) -> ArrayRef {
        T::Value::array_of(self.into_iter().map(MaybeValue::into_option))
    }
}

impl<T: MaybeValue> IntoArray for Vec<T> {
    fn into_array(self) -> ArrayRef {
        T::Value::array_of(self.into_iter().map(MaybeValue::into_option))
    }
}

impl IntoArray for ArrayRef {
    fn into_array(self) -> ArrayRef {
        self
    }
}

macro_rules! values {
    ($($type:ty => $array:ty, $convert:expr;)*) => {$(
        impl ColumnValue for $type {
            fn array_of(values: impl Iterator<Item = Option<Self>>) -> ArrayRef {
                Arc::new(values.map(|value| value.map($convert)).collect::<$array>())
            }
        }
    )*};
}

values! {
    bool => BooleanArray, |value| value;
    i32 => Int64Array, i64::from;
    i64 => Int64Array, |value| value;
    u64 => UInt64Array, |value| value;
    f32 => Float32Array, |value| value;
    f64 => Float64Array, |value| value;
    &str => StringArray, |value| value;
    String => StringArray, |value| value;
    NaiveDate => Date32Array, |day: NaiveDate| (day - NaiveDate::default()).num_days() as i32;
    NaiveDateTime => TimestampMicrosecondArray, |moment: NaiveDateTime| moment.and_utc().timestamp_micros();
}

impl Session {
    /// A frame of columns, which must be equally long; see [`df!`](crate::df).
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// use std::sync::Arc;
    /// use arrow::array::Int64Array;
    /// let n = Arc::new(Int64Array::from(vec![Some(1), None]));
    /// let frame = session.from_columns(vec![("n".into(), n)])?;
    /// assert_eq!(frame.texts("n"), ["1", "null"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`crate::ErrorKind::Query`] for columns of different lengths, [`crate::ErrorKind::Budget`] when they do not fit.
    pub fn from_columns(&self, columns: Vec<(String, ArrayRef)>) -> Result<DataFrame> {
        let field = |(name, values): &(String, ArrayRef)| Field::new(name, values.data_type().clone(), true);
        let schema = Arc::new(Schema::new(columns.iter().map(field).collect::<Vec<_>>()));
        let arrays = columns.into_iter().map(|(_, values)| values).collect();
        self.data_frame(vec![RecordBatch::try_new(schema, arrays)?])
    }
}
