//! The files in `fixtures/csv`, each beside what it must give: `name.csv` and `name.expected`.
//!
//! The first line of an expectation has the flags, as on the command line. Then come the columns with their types, the
//! rows (`~` is NULL), and a line for each rejected row; or the error. Every file is read in blocks of one byte up to
//! more than its length and by 1, 2 and 8 workers: all must give the same. Rows that come out and rows that are left
//! out together are the records that a dull reader counts.
//!
//! `fixtures/csv/make.py` writes the files; `UPDATE_EXPECT=1` writes what they give, which `fixtures/csv/verify.py`
//! compares with other readers.

use std::io::Write;

use super::oracle::{Dialect, count_records};
use super::*;
use crate::io::csv::{OnBadRow, RejectFile};

/// Gzip in several members, `n` bytes each.
pub(super) fn gzip_in_members(bytes: &[u8], n: usize) -> Vec<u8> {
    let mut out = Vec::new();
    for part in bytes.chunks(n) {
        let mut encoder = flate2::write::GzEncoder::new(&mut out, flate2::Compression::fast());
        encoder.write_all(part).unwrap();
        encoder.finish().unwrap();
    }
    out
}

/// UTF-16, little-endian, with its mark.
pub(super) fn utf16(text: &str) -> Vec<u8> {
    std::iter::once(0xFEFF).chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect()
}

/// Flags as the command line understands them.
pub(crate) type ParseFlags<'a> = &'a dyn Fn(&[String]) -> CsvOptions;

/// Reads every fixture in every way.
pub(crate) fn check_all(parse: ParseFlags<'_>) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/csv");
    let mut paths: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|end| ["csv", "tsv", "txt"].iter().any(|known| end == *known)));
    paths.sort();
    assert!(paths.len() >= 300, "{} files", paths.len());
    let lab =
        Lab { parse, folder: Folder::in_memory(), benches: [1, 2, 8].map(|threads| (threads, Bench::new(threads))) };
    let wrong: Vec<String> = paths.iter().filter_map(|path| lab.check_file(path).err()).collect();
    assert!(wrong.is_empty(), "{} of {} files:\n{}", wrong.len(), paths.len(), wrong.join("\n"));
}

/// What all files are read with.
struct Lab<'a> {
    parse: ParseFlags<'a>,
    folder: Folder,
    benches: [(usize, Bench); 3],
}

impl Lab<'_> {
    fn check_file(&self, path: &Path) -> std::result::Result<(), String> {
        let golden = path.with_extension("expected");
        let expected = std::fs::read_to_string(&golden).unwrap_or_else(|_| "flags:\n".into());
        let flags = expected.lines().next().and_then(|line| line.strip_prefix("flags:")).expect("flags come first");
        let case = Case::new(path, (self.parse)(&shell_words(flags)), &self.folder);
        let read = |block_bytes, bench: &(usize, Bench)| -> std::result::Result<String, String> {
            Ok(format!("flags:{flags}\n{}", case.read(block_bytes, bench)?))
        };
        let whole = read(1 << 20, &self.benches[1])?;
        if std::env::var_os("UPDATE_EXPECT").is_some() {
            std::fs::write(&golden, &whole).unwrap();
        } else if whole != expected {
            return Err(format!("{} gives\n{whole}and not\n{expected}", path.display()));
        }
        let len = std::fs::metadata(path).unwrap().len() as usize;
        for (idx, block_bytes) in block_sizes(len).into_iter().enumerate() {
            // One worker or two in turn, now and then all numbers.
            let benches = if idx % 8 == 0 { 0..3 } else { idx % 2..idx % 2 + 1 };
            for bench in &self.benches[benches] {
                let got = read(block_bytes, bench)?;
                if got != whole {
                    let how = format!("{} in blocks of {block_bytes} bytes by {} workers", path.display(), bench.0);
                    return Err(format!("{how} gives\n{got}and not\n{whole}"));
                }
            }
        }
        Ok(())
    }
}

/// All sizes for small files, otherwise those around powers of two and around the length.
fn block_sizes(len: usize) -> Vec<usize> {
    if len <= 64 {
        return (1..=len + 1).collect();
    }
    let powers = (0..usize::BITS).map(|bit| 1 << bit).take_while(|size| *size <= 2 * len);
    let mut sizes: Vec<usize> = powers.flat_map(|size: usize| [size.max(2) - 1, size, size + 1]).collect();
    sizes.extend([10, 20, 40, 50, len - 1, len, len + 1]);
    sizes.sort_unstable();
    sizes.dedup();
    sizes
}

/// Words between spaces; within quotes of either kind a space is none.
fn shell_words(text: &str) -> Vec<String> {
    let (mut words, mut word, mut open) = (vec!["brimful".to_string()], None, None);
    for letter in text.chars() {
        match letter {
            '\'' | '"' if open == Some(letter) => open = None,
            '\'' | '"' if open.is_none() => {
                open = Some(letter);
                word.get_or_insert_with(String::new);
            }
            ' ' if open.is_none() => words.extend(word.take()),
            _ => word.get_or_insert_with(String::new).push(letter),
        }
    }
    words.extend(word);
    words
}

/// A file with its options, opened.
pub(super) struct Case<'a> {
    path: &'a Path,
    options: CsvOptions,
    rejects: PathBuf,
    /// The error, as text, when the file cannot be opened.
    table: std::result::Result<CsvTable, String>,
    n_records: usize,
}

impl<'a> Case<'a> {
    pub(super) fn new(path: &'a Path, mut options: CsvOptions, folder: &Folder) -> Self {
        let rejects = folder.0.path().join("rejects.csv");
        if options.on_bad_row != OnBadRow::Fail {
            options.on_bad_row = OnBadRow::Reject(RejectFile::new(&rejects));
        }
        let table = open(&[path.to_owned()], options.clone()).map_err(|error| shown(path, &error));
        let mut case = Case { path, options, rejects, table, n_records: 0 };
        if let Ok(table) = &case.table {
            case.n_records = count_records(&case.text(), &case.dialect(table));
        }
        case
    }

    /// What the file gives, as text. The error is a row that is lost.
    pub(super) fn read(
        &self,
        block_bytes: usize,
        (threads, bench): &(usize, Bench),
    ) -> std::result::Result<String, String> {
        let table = match &self.table {
            Ok(table) => table.with_block_bytes(block_bytes),
            Err(error) => return Ok(error.clone()),
        };
        let rejects = self.options.on_bad_row.rejects();
        if let Some(rejects) = rejects {
            rejects.start_text();
        }
        let scanned = match scan_on(bench, &table, all_columns(&table), *threads) {
            Ok(scanned) => scanned,
            Err(error) => return Ok(shown(self.path, &error)),
        };
        let mut text = self.columns(&table) + "\n";
        for row in scanned.escaped_rows() {
            text += &(row.join(" | ") + "\n");
        }
        if let Some(file) = rejects {
            file.publish().unwrap();
            text += &rejected_lines(&self.rejects);
        }
        let (n_rows, n_rejected) = (scanned.n_rows(), scanned.report.n_bad_rows as usize);
        if n_rows + n_rejected != self.n_records {
            let (path, n_records) = (self.path.display(), self.n_records);
            return Err(format!("{path}: {n_rows} rows and {n_rejected} rejected ones of {n_records} records"));
        }
        Ok(text)
    }

    fn columns(&self, table: &CsvTable) -> String {
        let type_name = super::super::bad_rows::type_name;
        let schema = table.schema();
        let columns = schema.fields().iter();
        let named: Vec<_> =
            columns.map(|field| format!("{}:{}", escape(field.name()), type_name(field.data_type()))).collect();
        named.join(" | ")
    }

    /// The whole file, decoded at once.
    fn text(&self) -> String {
        let bytes = std::fs::read(self.path).unwrap();
        match &bytes[..] {
            [0xFF, 0xFE, ..] => encoding_rs::UTF_16LE.decode(&bytes).0.into_owned(),
            [0xFE, 0xFF, ..] => encoding_rs::UTF_16BE.decode(&bytes).0.into_owned(),
            _ => match self.options.encoding {
                None => String::from_utf8_lossy(&bytes).trim_start_matches('\u{FEFF}').to_string(),
                Some(encoding) => {
                    let encoding = encoding_rs::Encoding::for_label(encoding.name().as_bytes()).unwrap();
                    encoding.decode(&bytes).0.into_owned()
                }
            },
        }
    }

    fn dialect(&self, table: &CsvTable) -> Dialect {
        let definition = table.definition();
        let quote = definition.dialect.quote;
        Dialect {
            delimiter: definition.dialect.delimiter.into(),
            quote: (quote != 0xFF).then(|| quote.into()),
            comment: self.options.comment.clone().unwrap_or_default(),
            skip_rows: self.options.skip_rows as usize,
            has_header: definition.has_header,
            n_fields: definition.schema.fields().len(),
        }
    }
}

/// An error without the folder.
fn shown(path: &Path, error: &crate::Error) -> String {
    let folder = format!("{}/", path.parent().unwrap().display());
    format!("error: {error}\n").replace(&folder, "")
}

/// `rejected line 3, column "b": ...` for every row in a reject file, in the order of lines.
fn rejected_lines(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap();
    let mut rows = super::oracle::read_rows(&text, ',', 6);
    let header = rows.remove(0);
    assert_eq!(header[1].as_deref(), Some("line"));
    rows.sort_by_key(|row| row[1].as_ref().unwrap().parse::<u64>().unwrap());
    let shown = rows.into_iter().map(|row| {
        let [_, line, _, column, reason, _] = row.try_into().unwrap();
        let column = column.map(|column| format!(", column {column:?}")).unwrap_or_default();
        format!("rejected line {}{column}: {}\n", line.unwrap(), reason.unwrap())
    });
    shown.collect()
}
