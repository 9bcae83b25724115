//! Typed columns from rows of text: one kernel a type, chosen once a scan, a column at a time.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{ArrayRef, ArrowPrimitiveType, BooleanArray, NullBufferBuilder, PrimitiveArray};
use arrow::buffer::{BooleanBuffer, NullBuffer, ScalarBuffer};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    Time32MillisecondType, Time32SecondType, Time64MicrosecondType, Time64NanosecondType, TimeUnit,
    TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType, UInt8Type,
    UInt16Type, UInt32Type, UInt64Type,
};

use super::dates::{parse_date, parse_time_of_day, parse_timestamp};
use super::numbers::{
    parse_bool, parse_decimal, parse_f64, parse_f64_with_comma, parse_i64, parse_wide_integer, with_point,
};
use super::strings::{TextBuilder, unquote, why_not};
use super::time_format::TimeFormat;
use super::tokens::Rows;
use crate::error::Result;

/// One column of the batch that is being read.
pub(super) trait ColumnBuilder: Send {
    /// Appends field `column` of every row. Where a value does not fit, a placeholder is appended and `misfits` grows.
    fn append(&mut self, rows: &Rows<'_>, column: usize, misfits: &mut Vec<Misfit>);

    /// Appends NULLs, for a file without this column.
    fn append_nulls(&mut self, n: usize);

    /// Goes back to the first `n` values.
    fn truncate(&mut self, n: usize);

    /// Bytes of values of variable length.
    fn n_bytes(&self) -> usize;

    /// The column; the builder starts anew.
    fn finish(&mut self) -> Result<ArrayRef>;
}

/// A value that does not fit its column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Misfit {
    /// Index into the rows handed to [`ColumnBuilder::append`].
    pub(super) row: usize,
    pub(super) reason: Reason,
}

/// Why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    /// It is not a value of the column's type, or would lose something.
    Type,
    /// Text follows the closing quote.
    TextAfterQuote,
    /// It is not UTF-8.
    Encoding,
}

/// Texts that mean NULL besides the empty one.
#[derive(Debug, Clone, Default)]
pub(super) struct NullTexts(Arc<[Vec<u8>]>);

impl NullTexts {
    pub(super) fn new(texts: &[String]) -> Self {
        let texts = texts.iter().filter(|text| !text.is_empty()).map(|text| text.clone().into_bytes());
        NullTexts(texts.collect())
    }

    #[inline(always)]
    pub(super) fn contains(&self, field: &[u8]) -> bool {
        !self.0.is_empty() && self.0.iter().any(|text| text == field)
    }

    fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.0.iter().map(Vec::as_slice)
    }
}

/// How values are written in a set of files.
#[derive(Debug, Clone)]
pub(super) struct Forms {
    pub(super) quote: u8,
    pub(super) nulls: NullTexts,
    /// Fractions stand behind a comma, and a point is no part of a number.
    pub(super) decimal_comma: bool,
    /// Dates where not in ISO 8601.
    pub(super) date: Option<Arc<TimeFormat>>,
    /// Timestamps where not in ISO 8601.
    pub(super) timestamp: Option<Arc<TimeFormat>>,
}

/// The validity of a column. While there is no NULL there is no bitmap.
pub(super) struct Validity {
    nulls: NullBufferBuilder,
    n_in_run: usize,
}

impl Validity {
    pub(super) fn new() -> Self {
        Validity { nulls: NullBufferBuilder::new(0), n_in_run: 0 }
    }

    /// Row `row` of this run is NULL; the rows since the last NULL are not.
    pub(super) fn push_null(&mut self, row: usize) {
        self.nulls.append_n_non_nulls(row - self.n_in_run);
        self.nulls.append_null();
        self.n_in_run = row + 1;
    }

    /// Ends a run of `n_rows` rows.
    pub(super) fn close_run(&mut self, n_rows: usize) {
        self.nulls.append_n_non_nulls(n_rows - self.n_in_run);
        self.n_in_run = 0;
    }

    pub(super) fn append_nulls(&mut self, n: usize) {
        self.nulls.append_n_nulls(n);
    }

    pub(super) fn truncate(&mut self, n: usize) {
        self.nulls.truncate(n);
    }

    pub(super) fn finish(&mut self) -> Option<NullBuffer> {
        self.nulls.finish()
    }
}

/// What a field of one type is made of.
trait Parse: Send {
    type Native: Copy + Default + Send;

    /// The value of the field at the start of `tail`, `len` bytes long, or `None` when it does not fit.
    fn parse(&self, tail: &[u8], len: usize) -> Option<Self::Native>;

    /// The finished column.
    fn column(&self, values: Vec<Self::Native>, nulls: Option<NullBuffer>) -> Result<ArrayRef>;
}

/// A column of values of one size.
struct FixedBuilder<P: Parse> {
    parse: P,
    values: Vec<P::Native>,
    validity: Validity,
    quote: u8,
    nulls: NullTexts,
    /// Whether a text that means NULL is a value of this type, too: `-999` among numbers.
    nulls_parse: bool,
}

/// What a field is when it is not plainly a value.
enum Odd<N> {
    Value(N),
    Null,
    Misfit(Reason),
}

impl<P: Parse> FixedBuilder<P> {
    fn new(parse: P, quote: u8, nulls: NullTexts) -> Self {
        let nulls_parse = nulls.iter().any(|text| parse.parse(text, text.len()).is_some());
        FixedBuilder { parse, values: Vec::new(), validity: Validity::new(), quote, nulls, nulls_parse }
    }

    /// Fills `slots` with field `column` of every row. Only where `NULLS_PARSE` is a plain value compared with the texts
    /// that mean NULL.
    fn fill<const NULLS_PARSE: bool>(
        &mut self,
        slots: &mut [P::Native],
        rows: &Rows<'_>,
        column: usize,
        misfits: &mut Vec<Misfit>,
    ) {
        for (row, slot) in slots.iter_mut().enumerate() {
            let (start, end) = rows.field(row, column);
            if NULLS_PARSE && self.nulls.contains(&rows.data[start..end]) {
                self.validity.push_null(row);
                continue;
            }
            if let Some(value) = self.parse.parse(&rows.data[start..], end - start) {
                *slot = value;
                continue;
            }
            match self.parse_odd(&rows.data[start..end]) {
                Odd::Value(value) => *slot = value,
                Odd::Null => self.validity.push_null(row),
                Odd::Misfit(reason) => misfits.push(Misfit { row, reason }),
            }
        }
    }

    /// Quotes, spaces around the value, NULL in its spellings.
    #[inline(never)]
    fn parse_odd(&self, field: &[u8]) -> Odd<P::Native> {
        let text = match field.first() {
            Some(&first) if first == self.quote => match unquote(field, self.quote) {
                Some(text) => text,
                None => return Odd::Misfit(why_not(self.quote)),
            },
            _ => Cow::Borrowed(field),
        };
        let text = text.trim_ascii();
        if text.is_empty() || self.nulls.contains(text) {
            return Odd::Null;
        }
        match self.parse.parse(text, text.len()) {
            Some(value) => Odd::Value(value),
            None => Odd::Misfit(Reason::Type),
        }
    }
}

impl<P: Parse> ColumnBuilder for FixedBuilder<P> {
    fn append(&mut self, rows: &Rows<'_>, column: usize, misfits: &mut Vec<Misfit>) {
        let n_before = self.values.len();
        let mut values = std::mem::take(&mut self.values);
        values.resize(n_before + rows.n_rows, P::Native::default());
        match self.nulls_parse {
            false => self.fill::<false>(&mut values[n_before..], rows, column, misfits),
            true => self.fill::<true>(&mut values[n_before..], rows, column, misfits),
        }
        self.values = values;
        self.validity.close_run(rows.n_rows);
    }

    fn append_nulls(&mut self, n: usize) {
        self.values.resize(self.values.len() + n, P::Native::default());
        self.validity.append_nulls(n);
    }

    fn truncate(&mut self, n: usize) {
        self.values.truncate(n);
        self.validity.truncate(n);
    }

    fn n_bytes(&self) -> usize {
        0
    }

    fn finish(&mut self) -> Result<ArrayRef> {
        let n_values = self.values.len();
        let values = std::mem::replace(&mut self.values, Vec::with_capacity(n_values));
        self.parse.column(values, self.validity.finish())
    }
}

fn primitive<T: ArrowPrimitiveType>(
    values: Vec<T::Native>,
    nulls: Option<NullBuffer>,
    data_type: Option<&DataType>,
) -> Result<ArrayRef> {
    let array = PrimitiveArray::<T>::try_new(ScalarBuffer::from(values), nulls)?;
    Ok(Arc::new(match data_type {
        Some(data_type) => array.with_data_type(data_type.clone()),
        None => array,
    }))
}

/// 64-bit integers and doubles, the types of most columns.
struct Int64 {
    strict: bool,
}

impl Parse for Int64 {
    type Native = i64;

    #[inline(always)]
    fn parse(&self, tail: &[u8], len: usize) -> Option<i64> {
        parse_i64(tail, len, self.strict)
    }

    fn column(&self, values: Vec<i64>, nulls: Option<NullBuffer>) -> Result<ArrayRef> {
        primitive::<Int64Type>(values, nulls, None)
    }
}

struct Float64 {
    strict: bool,
    decimal_comma: bool,
}

impl Parse for Float64 {
    type Native = f64;

    #[inline(always)]
    fn parse(&self, tail: &[u8], len: usize) -> Option<f64> {
        match self.decimal_comma {
            false => parse_f64(tail, len, self.strict),
            true => parse_f64_with_comma(&tail[..len], self.strict),
        }
    }

    fn column(&self, values: Vec<f64>, nulls: Option<NullBuffer>) -> Result<ArrayRef> {
        primitive::<Float64Type>(values, nulls, None)
    }
}

struct Boolean;

impl Parse for Boolean {
    type Native = bool;

    fn parse(&self, tail: &[u8], len: usize) -> Option<bool> {
        parse_bool(&tail[..len])
    }

    fn column(&self, values: Vec<bool>, nulls: Option<NullBuffer>) -> Result<ArrayRef> {
        Ok(Arc::new(BooleanArray::new(BooleanBuffer::from(values), nulls)))
    }
}

/// Every other type: a function from text, and the column's data type.
struct Other<T: ArrowPrimitiveType, F> {
    data_type: DataType,
    parse: F,
    marker: std::marker::PhantomData<fn() -> T>,
}

impl<T: ArrowPrimitiveType, F: Fn(&[u8]) -> Option<T::Native> + Send> Parse for Other<T, F> {
    type Native = T::Native;

    fn parse(&self, tail: &[u8], len: usize) -> Option<T::Native> {
        (self.parse)(&tail[..len])
    }

    fn column(&self, values: Vec<T::Native>, nulls: Option<NullBuffer>) -> Result<ArrayRef> {
        primitive::<T>(values, nulls, Some(&self.data_type))
    }
}

/// What the builder of a column is told.
#[derive(Clone)]
pub(super) struct ColumnSettings {
    pub(super) forms: Forms,
    /// How this column's dates, timestamps or times are written; `None` for ISO 8601.
    pub(super) format: Option<Arc<TimeFormat>>,
    /// The type was inferred: nothing that would lose a character of the text fits.
    pub(super) strict: bool,
}

impl ColumnSettings {
    fn fixed<P: Parse + 'static>(&self, parse: P) -> Box<dyn ColumnBuilder> {
        Box::new(FixedBuilder::new(parse, self.forms.quote, self.forms.nulls.clone()))
    }

    fn other<T, F>(&self, data_type: &DataType, parse: F) -> Box<dyn ColumnBuilder>
    where
        T: ArrowPrimitiveType,
        F: Fn(&[u8]) -> Option<T::Native> + Send + 'static,
    {
        self.fixed(Other::<T, F> { data_type: data_type.clone(), parse, marker: std::marker::PhantomData })
    }

    fn integer<T: ArrowPrimitiveType>(&self, data_type: &DataType) -> Box<dyn ColumnBuilder>
    where
        T::Native: TryFrom<i128>,
    {
        self.other::<T, _>(data_type, |text| T::Native::try_from(parse_wide_integer(text, false)?).ok())
    }

    fn timestamp<T: ArrowPrimitiveType<Native = i64>>(
        &self,
        data_type: &DataType,
        unit: i128,
    ) -> Box<dyn ColumnBuilder> {
        let zoned = matches!(data_type, DataType::Timestamp(_, Some(_)));
        let format = self.format.clone();
        self.other::<T, _>(data_type, move |text| {
            let at = match &format {
                None => parse_timestamp(text)?,
                Some(format) => format.timestamp(text)?,
            };
            let keeps_all = at.nanoseconds % unit == 0 && at.has_zone == zoned;
            keeps_all.then(|| i64::try_from(at.nanoseconds / unit).ok()).flatten()
        })
    }

    fn date(&self) -> Box<dyn ColumnBuilder> {
        match self.format.clone() {
            None => self.other::<Date32Type, _>(&DataType::Date32, parse_date),
            Some(format) => self.other::<Date32Type, _>(&DataType::Date32, move |text| format.date(text)),
        }
    }

    fn time<T: ArrowPrimitiveType>(&self, data_type: &DataType, unit: i64) -> Box<dyn ColumnBuilder>
    where
        T::Native: TryFrom<i64>,
    {
        let format = self.format.clone();
        self.other::<T, _>(data_type, move |text| {
            let nanoseconds = match &format {
                None => parse_time_of_day(text)?,
                Some(format) => format.time(text)?,
            };
            (nanoseconds % unit == 0).then(|| T::Native::try_from(nanoseconds / unit).ok()).flatten()
        })
    }

    fn decimal(&self, data_type: &DataType, precision: u8, scale: i8) -> Box<dyn ColumnBuilder> {
        let point = if self.forms.decimal_comma { b',' } else { b'.' };
        self.other::<Decimal128Type, _>(data_type, move |text| parse_decimal(text, point, precision, scale))
    }

    fn float32(&self) -> Box<dyn ColumnBuilder> {
        let decimal_comma = self.forms.decimal_comma;
        self.other::<Float32Type, _>(&DataType::Float32, move |text| match decimal_comma {
            false => fast_float2::parse(text).ok(),
            true => with_point(text, |text| fast_float2::parse(text).ok()),
        })
    }

    /// A builder for columns of `data_type`, or `None` when CSV files cannot be read as that type.
    pub(super) fn builder(&self, data_type: &DataType) -> Option<Box<dyn ColumnBuilder>> {
        let strict = self.strict;
        Some(match data_type {
            DataType::Utf8 => Box::new(TextBuilder::new(self.forms.quote, self.forms.nulls.clone())),
            DataType::Int64 => self.fixed(Int64 { strict }),
            DataType::Float64 => self.fixed(Float64 { strict, decimal_comma: self.forms.decimal_comma }),
            DataType::Boolean => self.fixed(Boolean),
            DataType::Date32 => self.date(),
            DataType::Time32(TimeUnit::Second) => self.time::<Time32SecondType>(data_type, 1_000_000_000),
            DataType::Time32(TimeUnit::Millisecond) => self.time::<Time32MillisecondType>(data_type, 1_000_000),
            DataType::Time64(TimeUnit::Microsecond) => self.time::<Time64MicrosecondType>(data_type, 1_000),
            DataType::Time64(TimeUnit::Nanosecond) => self.time::<Time64NanosecondType>(data_type, 1),
            DataType::Int8 => self.integer::<Int8Type>(data_type),
            DataType::Int16 => self.integer::<Int16Type>(data_type),
            DataType::Int32 => self.integer::<Int32Type>(data_type),
            DataType::UInt8 => self.integer::<UInt8Type>(data_type),
            DataType::UInt16 => self.integer::<UInt16Type>(data_type),
            DataType::UInt32 => self.integer::<UInt32Type>(data_type),
            DataType::UInt64 => self.integer::<UInt64Type>(data_type),
            DataType::Float32 => self.float32(),
            DataType::Timestamp(TimeUnit::Second, _) => self.timestamp::<TimestampSecondType>(data_type, 1_000_000_000),
            DataType::Timestamp(TimeUnit::Millisecond, _) => {
                self.timestamp::<TimestampMillisecondType>(data_type, 1_000_000)
            }
            DataType::Timestamp(TimeUnit::Microsecond, _) => {
                self.timestamp::<TimestampMicrosecondType>(data_type, 1_000)
            }
            DataType::Timestamp(TimeUnit::Nanosecond, _) => self.timestamp::<TimestampNanosecondType>(data_type, 1),
            &DataType::Decimal128(precision, scale) => self.decimal(data_type, precision, scale),
            _ => return None,
        })
    }
}
