//! Which columns the folders of a set of files make, and which values each file has.
//!
//! Memory: one number a file, one value a folder and column; reserved.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, PrimitiveArray, StringArray};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Date32Type, Decimal128Type, Field, FieldRef, Int64Type, TimeUnit};

use super::folder_name::parse;
use crate::error::{Error, Result};
use crate::io::csv::{parse_date, parse_decimal, parse_timestamp};
use crate::io::files::parts_of;
use crate::memory::{Memory, Reservation};

/// What a file takes in all lists of files, besides the bytes of its path.
pub(in crate::io) const BYTES_PER_FILE: u64 = 128;

/// The columns that stand in the paths of files.
pub struct Partitions {
    fields: Vec<FieldRef>,
    /// One array a column, one value a folder.
    values: Vec<ArrayRef>,
    /// The folder of each file.
    folder_of: Vec<u32>,
    /// For each column, a folder that does not say its value.
    lacking: Vec<Option<PathBuf>>,
    _reserved: Reservation,
}

/// Columns that folders may make.
const MOST_KEYS: usize = 256;

/// What each column takes for a folder that may not even state it: the end of a text and its share of a bitmap.
const BYTES_PER_VALUE: u64 = 5;

/// Keys and values in the order of the path.
type Values = Vec<(String, Option<String>)>;

impl Partitions {
    /// The columns in the folders of `paths`; `None` when no folder is called `key=value`. Of each path, so many parts as
    /// `n_above` says are not looked at: the user named the files by them. `declared` types win over what the values look
    /// like.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Data`] for a value that does not have its declared type, a name that is not UTF-8, and too many
    /// columns; [`crate::ErrorKind::Budget`].
    pub fn find(
        paths: &[PathBuf],
        n_above: &[usize],
        declared: &[(String, DataType)],
        memory: &Memory,
    ) -> Result<Option<Self>> {
        let mut reserved = memory.reserve("Scan");
        let mut folders: Vec<(&Path, usize, Values)> = Vec::new();
        let mut folder_of = Vec::with_capacity(paths.len());
        for (path, &n_above) in paths.iter().zip(n_above) {
            // The path is in the list that was found and in that of the table.
            reserved.try_grow(BYTES_PER_FILE + 2 * path.as_os_str().len() as u64)?;
            let folder = path.parent().unwrap_or(Path::new(""));
            if folders.last().is_none_or(|(last, above, _)| *last != folder || *above != n_above) {
                let values = values_in(folder, n_above)?;
                reserved.try_grow(values.iter().map(bytes_of).sum())?;
                folders.push((folder, n_above, values));
            }
            folder_of.push((folders.len() - 1) as u32);
        }
        let mut keys: Vec<&str> = Vec::new();
        for (folder, _, values) in &folders {
            for (key, _) in values.iter().filter(|(key, _)| !keys.contains(&key.as_str())).collect::<Vec<_>>() {
                keys.push(key);
            }
            if keys.len() > MOST_KEYS {
                let what = format!("{}: folders make more than {MOST_KEYS} columns", folder.display());
                return Err(Error::data(what).with_hint("read them with --hive no"));
            }
        }
        if keys.is_empty() {
            return Ok(None);
        }
        reserved.try_grow((keys.len() * folders.len()) as u64 * BYTES_PER_VALUE)?;
        let (fields, values, lacking) = (Vec::new(), Vec::new(), Vec::new());
        let mut partitions = Partitions { fields, values, folder_of, lacking, _reserved: reserved };
        for key in keys {
            let texts: StringArray = folders.iter().map(|(_, _, values)| value_of(values, key)).collect();
            let wanted = declared.iter().find(|(name, _)| name == key).map(|(_, data_type)| data_type.clone());
            let data_type = wanted.unwrap_or_else(|| type_of(&texts));
            let values = typed(&texts, &data_type).map_err(|row| {
                let (path, value) = (folders[row].0.display(), texts.value(row));
                Error::data(format!("{path}: {value:?} in {key}={value} does not fit the declared type {data_type}"))
                    .with_hint(format!("declare another type, for example --schema {key}=string"))
            })?;
            let lacking = folders.iter().find(|(_, _, values)| values.iter().all(|(known, _)| known != key));
            partitions.fields.push(Arc::new(Field::new(key, data_type, true)));
            partitions.values.push(values);
            partitions.lacking.push(lacking.map(|(folder, _, _)| folder.to_path_buf()));
        }
        Ok(Some(partitions))
    }

    /// A folder of files that does not say the value of column `idx`.
    pub(super) fn lacking(&self, idx: usize) -> Option<std::path::Display<'_>> {
        Some(self.lacking[idx].as_ref()?.display())
    }

    /// The columns, outermost folder first.
    pub fn fields(&self) -> &[FieldRef] {
        &self.fields
    }

    /// The values of column `idx`, one a folder.
    pub(super) fn values(&self, idx: usize) -> &ArrayRef {
        &self.values[idx]
    }

    /// Folders that files lie in.
    pub(super) fn n_folders(&self) -> usize {
        self.values.first().map_or(0, |values| values.len())
    }

    /// The folder of file `idx`.
    pub(super) fn folder_of(&self, idx: usize) -> usize {
        self.folder_of[idx] as usize
    }

    /// Files in all.
    pub(super) fn n_files(&self) -> usize {
        self.folder_of.len()
    }
}

fn values_in(folder: &Path, n_above: usize) -> Result<Values> {
    let mut values = Vec::new();
    for name in parts_of(folder).skip(n_above) {
        match name.to_str() {
            Some(text) => values.extend(parse(text)),
            None if name.as_encoded_bytes().contains(&b'=') => {
                let what = format!("the name of the folder {} is not UTF-8", folder.display());
                return Err(Error::data(what).with_hint("rename it, or read the files with --hive no"));
            }
            None => {}
        }
    }
    Ok(values)
}

/// What a value takes besides its place in a column.
fn bytes_of((key, value): &(String, Option<String>)) -> u64 {
    let value_bytes = value.as_ref().map_or(0, String::len);
    // The value is in the list of its folder and in the column.
    (size_of::<(String, Option<String>)>() + key.len() + 2 * value_bytes) as u64
}

/// Of a key that occurs twice on the way, the folder nearest to the file counts.
fn value_of<'a>(values: &'a Values, key: &str) -> Option<&'a str> {
    values.iter().rev().find(|(known, _)| known == key)?.1.as_deref()
}

/// The type of which every value is spelled as that type would spell it.
fn type_of(texts: &StringArray) -> DataType {
    let mut values = texts.iter().flatten().peekable();
    if values.peek().is_none() {
        return DataType::Utf8;
    }
    if values.clone().all(is_plain_integer) {
        return DataType::Int64;
    }
    if values.all(is_plain_date) { DataType::Date32 } else { DataType::Utf8 }
}

fn is_plain_integer(text: &str) -> bool {
    text.parse::<i64>().is_ok_and(|value| value.to_string() == text)
}

fn is_plain_date(text: &str) -> bool {
    let date = chrono::NaiveDate::parse_from_str(text, "%Y-%m-%d");
    date.is_ok_and(|date| text.len() == 10 && date.to_string() == text)
}

/// The values in their type, none of them rounded or cut. The error is the row of the first that has another.
fn typed(texts: &StringArray, data_type: &DataType) -> Result<ArrayRef, usize> {
    let bytes = || texts.iter().map(|text| text.map(str::as_bytes));
    match data_type {
        DataType::Date32 => Ok(Arc::new(parsed::<Date32Type>(bytes(), parse_date)?)),
        DataType::Decimal128(precision, scale) => {
            let values = parsed::<Decimal128Type>(bytes(), |text| parse_decimal(text, *precision, *scale))?;
            Ok(Arc::new(values.with_data_type(data_type.clone())))
        }
        DataType::Timestamp(unit, zone) => {
            let values = parsed::<Int64Type>(bytes(), |text| {
                let (nanoseconds, has_zone) = parse_timestamp(text)?;
                let per_unit = nanoseconds_per(*unit);
                let fits = has_zone == zone.is_some() && nanoseconds % per_unit == 0;
                fits.then(|| i64::try_from(nanoseconds / per_unit).ok())?
            })?;
            cast_strictly(&values, data_type).map_err(|_| 0)
        }
        _ => cast_strictly(texts, data_type).map_err(|_| {
            let fails = |row: &usize| cast_strictly(&texts.slice(*row, 1), data_type).is_err();
            (0..texts.len()).find(fails).unwrap_or(0)
        }),
    }
}

fn cast_strictly(values: &dyn Array, data_type: &DataType) -> Result<ArrayRef, arrow::error::ArrowError> {
    cast_with_options(values, data_type, &CastOptions { safe: false, ..CastOptions::default() })
}

fn parsed<'a, T: ArrowPrimitiveType>(
    texts: impl Iterator<Item = Option<&'a [u8]>>,
    parse: impl Fn(&[u8]) -> Option<T::Native>,
) -> Result<PrimitiveArray<T>, usize> {
    let value = |(row, text): (usize, Option<&[u8]>)| text.map(|text| parse(text).ok_or(row)).transpose();
    texts.enumerate().map(value).collect()
}

fn nanoseconds_per(unit: TimeUnit) -> i128 {
    match unit {
        TimeUnit::Second => 1_000_000_000,
        TimeUnit::Millisecond => 1_000_000,
        TimeUnit::Microsecond => 1_000,
        TimeUnit::Nanosecond => 1,
    }
}

#[cfg(test)]
mod tests {
    use arrow::util::display::array_value_to_string;
    use expect_test::{Expect, expect};

    use super::*;

    fn check(paths: &[&str], declared: &[(&str, DataType)], want: Expect) {
        let paths: Vec<PathBuf> = paths.iter().map(PathBuf::from).collect();
        let declared: Vec<_> = declared.iter().map(|(name, data_type)| (name.to_string(), data_type.clone())).collect();
        let memory = Memory::with_governed(1 << 20, 1);
        let shown = match Partitions::find(&paths, &vec![0; paths.len()], &declared, &memory) {
            Ok(None) => "none".to_string(),
            Err(error) => error.to_string(),
            Ok(Some(found)) => {
                let columns = found.fields().iter().enumerate().map(|(idx, field)| {
                    let value = |file: usize| {
                        let values = found.values(idx);
                        let folder = found.folder_of(file);
                        if values.is_null(folder) {
                            "NULL".into()
                        } else {
                            array_value_to_string(values, folder).unwrap()
                        }
                    };
                    let values: Vec<String> = (0..paths.len()).map(value).collect();
                    format!("{} {}: {}", field.name(), field.data_type(), values.join(" "))
                });
                columns.collect::<Vec<_>>().join("\n")
            }
        };
        want.assert_eq(&shown);
    }

    #[test]
    fn values_keep_their_spelling() {
        check(&["a/x.csv", "b.csv"], &[], expect!["none"]);
        check(
            &["c/year=2023/month=04/a.csv", "c/year=2023/month=04/b.csv", "c/year=2024/month=12/a.csv"],
            &[],
            expect![[r#"
                year Int64: 2023 2023 2024
                month Utf8: 04 04 12"#]],
        );
        check(&["zip=01001/a", "zip=2A001/a"], &[], expect!["zip Utf8: 01001 2A001"]);
        check(&["n=-5/a", "n=0/a"], &[], expect!["n Int64: -5 0"]);
        check(&["n=-0/a"], &[], expect!["n Utf8: -0"]);
        check(&["n=99999999999999999999/a"], &[], expect!["n Utf8: 99999999999999999999"]);
        check(&["d=2024-02-29/a", "d=2024-01-01/a"], &[], expect!["d Date32: 2024-02-29 2024-01-01"]);
        check(&["d=2024-02-30/a"], &[], expect!["d Utf8: 2024-02-30"]);
        check(&["n=__HIVE_DEFAULT_PARTITION__/a", "n=7/a"], &[], expect!["n Int64: NULL 7"]);
        check(&["n=__HIVE_DEFAULT_PARTITION__/a"], &[], expect!["n Utf8: NULL"]);
    }

    #[test]
    fn folders_may_differ_and_types_be_declared() {
        check(
            &["a=1/x", "b=2/x", "x"],
            &[],
            expect![[r#"
                a Int64: 1 NULL NULL
                b Int64: NULL 2 NULL"#]],
        );
        check(
            &["a=1/a=2/x"],
            &[],
            expect![[r#"
            a Int64: 2
            a Int64: 2"#]],
        );
        check(&["m=04/x"], &[("m", DataType::Int32)], expect!["m Int32: 4"]);
        check(&["y=2024/x"], &[("y", DataType::Utf8)], expect!["y Utf8: 2024"]);
        check(
            &["m=04/x", "m=4x/x"],
            &[("m", DataType::Int32)],
            expect![[r#"
                m=4x: "4x" in m=4x does not fit the declared type Int32
                  hint: declare another type, for example --schema m=string"#]],
        );
    }

    #[test]
    fn declared_types_take_whole_values_only() {
        let decimal = DataType::Decimal128(9, 2);
        let seconds = DataType::Timestamp(TimeUnit::Second, None);
        check(&["p=1.50/x"], &[("p", decimal.clone())], expect!["p Decimal128(9, 2): 1.50"]);
        check(
            &["t=2024-01-31 10:00:01/x"],
            &[("t", seconds.clone())],
            expect![[r#"t Timestamp(s): 2024-01-31T10:00:01"#]],
        );
        for (path, data_type) in [
            ("v=1.239/x", decimal),
            ("v=2024-01-31 10:00:01.5/x", seconds),
            ("v=2024-01-31T10:00:01/x", DataType::Date32),
        ] {
            let found = Partitions::find(
                &[path.into()],
                &[0],
                &[("v".to_string(), data_type)],
                &Memory::with_governed(1 << 20, 1),
            );
            assert!(found.err().unwrap().to_string().contains("does not fit"), "{path}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn names_that_are_not_utf_8_are_refused() {
        use std::os::unix::ffi::OsStrExt;
        let path = Path::new(std::ffi::OsStr::from_bytes(b"k=\xFF")).join("x");
        let found = Partitions::find(&[path], &[0], &[], &Memory::with_governed(1 << 20, 1));
        assert!(found.err().unwrap().to_string().contains("not UTF-8"));
    }

    #[test]
    fn what_is_kept_of_a_file_is_reserved() {
        let paths: Vec<PathBuf> = (0..10_000).map(|n| format!("claims/day={n}/part-0.parquet").into()).collect();
        let (memory, above) = (Memory::with_governed(64 << 20, 1), vec![0; paths.len()]);
        let found = Partitions::find(&paths, &above, &[], &memory).unwrap().unwrap();
        assert!(memory.reserved_bytes() >= 10_000 * (BYTES_PER_FILE + 2 * 30));
        drop(found);
        assert_eq!(memory.reserved_bytes(), 0);
        assert!(Partitions::find(&paths, &above, &[], &Memory::with_governed(256 << 10, 1)).is_err());
    }
}
