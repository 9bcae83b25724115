//! Which columns the folders of a set of files make, and which values each file has.
//!
//! Memory: one number a file, one value a folder and column; reserved.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, StringArray};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, FieldRef};

use super::folder_name::parse;
use crate::error::{Error, Result};
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
    _reserved: Reservation,
}

/// Keys and values in the order of the path.
type Values = Vec<(String, Option<String>)>;

impl Partitions {
    /// The columns in the folders of `paths`; `None` when no folder is called `key=value`. `declared` types win over
    /// what the values look like.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Data`] for a value that does not have its declared type; [`crate::ErrorKind::Budget`].
    pub fn find(paths: &[PathBuf], declared: &[(String, DataType)], memory: &Memory) -> Result<Option<Self>> {
        let mut reserved = memory.reserve("Scan");
        let mut folders: Vec<(&Path, Values)> = Vec::new();
        let mut folder_of = Vec::with_capacity(paths.len());
        for path in paths {
            // The path is in the list that was found and in that of the table.
            reserved.try_grow(BYTES_PER_FILE + 2 * path.as_os_str().len() as u64)?;
            let folder = path.parent().unwrap_or(Path::new(""));
            if folders.last().is_none_or(|(last, _)| *last != folder) {
                let values = values_in(folder);
                reserved
                    .try_grow(values.iter().map(|(_, value)| 8 + value.as_ref().map_or(0, String::len) as u64).sum())?;
                folders.push((folder, values));
            }
            folder_of.push((folders.len() - 1) as u32);
        }
        let mut keys: Vec<&str> = Vec::new();
        for key in folders.iter().flat_map(|(_, values)| values).map(|(key, _)| key.as_str()) {
            if !keys.contains(&key) {
                keys.push(key);
            }
        }
        if keys.is_empty() {
            return Ok(None);
        }
        let mut partitions = Partitions { fields: Vec::new(), values: Vec::new(), folder_of, _reserved: reserved };
        for key in keys {
            let texts: StringArray = folders.iter().map(|(_, values)| value_of(values, key)).collect();
            let wanted = declared.iter().find(|(name, _)| name == key).map(|(_, data_type)| data_type.clone());
            let data_type = wanted.unwrap_or_else(|| type_of(&texts));
            let values = typed(&texts, &data_type).map_err(|row| {
                let (path, value) = (folders[row].0.display(), texts.value(row));
                Error::data(format!("{path}: {value:?} in {key}={value} does not fit the declared type {data_type}"))
                    .with_hint(format!("declare another type, for example --schema {key}=string"))
            })?;
            partitions.fields.push(Arc::new(Field::new(key, data_type, true)));
            partitions.values.push(values);
        }
        Ok(Some(partitions))
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

fn values_in(folder: &Path) -> Values {
    folder.iter().filter_map(|name| parse(name.to_str()?)).collect()
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

/// The values in their type. The error is the row of the first that has another.
fn typed(texts: &StringArray, data_type: &DataType) -> Result<ArrayRef, usize> {
    let strict = CastOptions { safe: false, ..CastOptions::default() };
    cast_with_options(texts, data_type, &strict).map_err(|_| {
        let fails = |row: &usize| cast_with_options(&texts.slice(*row, 1), data_type, &strict).is_err();
        (0..texts.len()).find(fails).unwrap_or(0)
    })
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
        let shown = match Partitions::find(&paths, &declared, &memory) {
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
        check(&["a=1/a=2/x"], &[], expect!["a Int64: 2"]);
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
    fn what_is_kept_of_a_file_is_reserved() {
        let paths: Vec<PathBuf> = (0..10_000).map(|n| format!("claims/day={n}/part-0.parquet").into()).collect();
        let memory = Memory::with_governed(64 << 20, 1);
        let found = Partitions::find(&paths, &[], &memory).unwrap().unwrap();
        assert!(memory.reserved_bytes() >= 10_000 * (BYTES_PER_FILE + 2 * 30));
        drop(found);
        assert_eq!(memory.reserved_bytes(), 0);
        assert!(Partitions::find(&paths, &[], &Memory::with_governed(256 << 10, 1)).is_err());
    }
}
