//! Which files a path, a glob or a directory names, and which format they are in.
//!
//! Memory: one path a file. Nothing is opened here except the first bytes of one file.

use std::io::Read;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use super::stdin;
use super::suggest::closest;
use crate::error::{Error, Result};
use crate::memory::Memory;

/// A format that tables can be read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FileFormat {
    /// Text with a delimiter; the delimiter is found out.
    Csv,
    /// Text with tabs.
    Tsv,
    /// Parquet.
    Parquet,
    /// One JSON object a line.
    NdJson,
    /// Arrow IPC, as a file or a stream.
    Ipc,
}

/// Extensions, without those of the compression.
const EXTENSIONS: [(&str, FileFormat); 13] = [
    ("csv", FileFormat::Csv),
    ("txt", FileFormat::Csv),
    ("tsv", FileFormat::Tsv),
    ("tab", FileFormat::Tsv),
    ("parquet", FileFormat::Parquet),
    ("pq", FileFormat::Parquet),
    ("ndjson", FileFormat::NdJson),
    ("jsonl", FileFormat::NdJson),
    ("json", FileFormat::NdJson),
    ("arrow", FileFormat::Ipc),
    ("arrows", FileFormat::Ipc),
    ("feather", FileFormat::Ipc),
    ("ipc", FileFormat::Ipc),
];

impl FileFormat {
    /// The format that a name states; `.gz` and `.zst` behind it say nothing.
    pub fn from_name(path: &Path) -> Option<FileFormat> {
        let name = path.file_name()?.to_str()?.to_ascii_lowercase();
        let name = [".gz", ".gzip", ".zst", ".zstd"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(&name);
        let extension = name.rsplit_once('.')?.1;
        EXTENSIONS.iter().find(|(known, _)| *known == extension).map(|(_, format)| *format)
    }

    /// The format of a file: by its first bytes where those are clear, otherwise by its name; without a name that tells,
    /// by what its text looks like, for which compressed text is unpacked a little. CSV at last.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Data`] when the file cannot be read.
    pub fn detect(path: &Path, memory: &Memory) -> Result<FileFormat> {
        let failed = |error: std::io::Error| Error::read_failed(path, &error);
        if stdin::is_stream(path) {
            let start = read_start(stdin::open(memory)?.take(START_BYTES)).map_err(failed)?;
            return Ok(Self::by_magic(&start).unwrap_or_else(|| Self::from_text(&unpacked(start))));
        }
        if std::fs::metadata(path).map_err(failed)?.file_type().is_fifo() {
            let what = format!("{} is a pipe, and an input that is named must be a file", path.display());
            return Err(Error::usage(what).with_hint("pipe it to standard input, and write FROM stdin"));
        }
        let file = std::fs::File::open(path).map_err(failed)?;
        let start = read_start(file.take(START_BYTES)).map_err(failed)?;
        let named = || Self::from_name(path).unwrap_or_else(|| Self::from_text(&unpacked(start.clone())));
        Ok(Self::by_magic(&start).unwrap_or_else(named))
    }

    /// The format whose files begin with `start` and no others.
    fn by_magic(start: &[u8]) -> Option<FileFormat> {
        match start {
            [b'P', b'A', b'R', b'1', ..] => Some(FileFormat::Parquet),
            start if is_arrow(start) => Some(FileFormat::Ipc),
            _ => None,
        }
    }

    /// Whether it is read at several places at once, and so not from a pipe.
    pub(super) fn wants_a_file(self) -> bool {
        matches!(self, FileFormat::Parquet | FileFormat::Ipc)
    }

    /// The format of a text that begins with `start`.
    fn from_text(start: &[u8]) -> FileFormat {
        let text = start.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(start).trim_ascii_start();
        match text {
            [b'{', rest @ ..] if matches!(rest.trim_ascii_start(), [b'"' | b'}', ..]) => FileFormat::NdJson,
            _ => FileFormat::Csv,
        }
    }
}

/// Bytes that are read of a file to tell its format.
const START_BYTES: u64 = 4096;

/// A stream begins with a marker, then the length of its schema, which is short.
fn is_arrow(start: &[u8]) -> bool {
    matches!(start, [b'A', b'R', b'R', b'O', b'W', b'1', ..] | [0xFF, 0xFF, 0xFF, 0xFF, _, _, _, 0, ..])
}

fn read_start(mut from: impl Read) -> std::io::Result<Vec<u8>> {
    let mut start = Vec::new();
    from.read_to_end(&mut start)?;
    Ok(start)
}

/// The first bytes of the text in a compressed file that begins with `start`; `start` itself where that is text.
fn unpacked(start: Vec<u8>) -> Vec<u8> {
    match &start[..] {
        [0x1F, 0x8B, ..] => first_bytes(flate2::read::GzDecoder::new(&start[..])),
        [0x28, 0xB5, 0x2F, 0xFD, ..] => {
            zstd::stream::read::Decoder::with_buffer(&start[..]).map_or(Vec::new(), |mut unpack| {
                // No more than what the start of a file can need.
                let _ = unpack.window_log_max(20);
                first_bytes(unpack)
            })
        }
        _ => start,
    }
}

/// What can be read before the bytes end in the middle.
fn first_bytes(mut from: impl Read) -> Vec<u8> {
    let mut text = vec![0; 64];
    let mut n = 0;
    while let Ok(more) = from.read(&mut text[n..]) {
        n += more;
        if more == 0 || n == text.len() {
            break;
        }
    }
    text.truncate(n);
    text
}

/// The files that `path` names, sorted: one file, all that match a glob, or all data files below a directory (those with
/// a known extension; names that start with `.` or `_` are left out).
///
/// # Errors
/// [`crate::ErrorKind::Data`] when there is none; with the nearest name when one file is missing.
pub fn find_files(path: &str) -> Result<Vec<PathBuf>> {
    if stdin::names_stdin(path) {
        return Ok(vec![stdin::stdin_path()?.to_owned()]);
    }
    let literal = Path::new(path);
    let mut files = if literal.is_dir() {
        let mut files = Vec::new();
        walk(literal, &mut files)?;
        files
    } else if !literal.exists() && path.contains(['*', '?', '[']) {
        match_glob(path)?
    } else {
        return match literal.symlink_metadata() {
            Ok(_) => Ok(vec![literal.to_owned()]),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(missing(literal)),
            Err(error) => Err(Error::read_failed(literal, &error)),
        };
    };
    files.sort();
    if files.is_empty() {
        let what = if literal.is_dir() { "no data files below" } else { "no files match" };
        return Err(Error::data(format!("{what} {path}"))
            .with_hint("data files end in .csv, .tsv, .parquet, .ndjson or .arrow, the texts also in .gz or .zst"));
    }
    Ok(files)
}

/// How many parts of the paths of the files that `path` names are not below what the user named: those of the folder, and
/// those in front of the first that has a sign of a glob. For one file that is its whole path.
pub(super) fn n_parts_above(path: &str) -> usize {
    let literal = Path::new(path);
    if stdin::names_stdin(path) || (literal.exists() && !literal.is_dir()) {
        return usize::MAX;
    }
    let is_sign =
        |part: &std::ffi::OsStr| part.as_encoded_bytes().iter().any(|byte| matches!(byte, b'*' | b'?' | b'['));
    parts_of(literal).take_while(|part| literal.is_dir() || !is_sign(part)).count()
}

/// The parts of a path that lead anywhere.
pub(super) fn parts_of(path: &Path) -> impl Iterator<Item = &std::ffi::OsStr> {
    path.components().filter(|part| *part != std::path::Component::CurDir).map(std::path::Component::as_os_str)
}

/// Makes the folder that `file` is to stand in, and those above it.
///
/// # Errors
/// [`crate::ErrorKind::Disk`].
pub fn make_folder_of(file: &Path) -> Result<()> {
    let folder = file.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).map_err(|error| Error::write_failed(folder, &error))
}

/// Bytes of a file, or of all files below a folder.
///
/// # Errors
/// [`crate::ErrorKind::Data`] when that cannot be found out.
pub fn size_of(path: &Path) -> Result<u64> {
    let failed = |error: std::io::Error| Error::read_failed(path, &error);
    let metadata = path.metadata().map_err(failed)?;
    if !metadata.is_dir() {
        return Ok(metadata.len());
    }
    let entries = std::fs::read_dir(path).map_err(failed)?;
    entries.map(|entry| size_of(&entry.map_err(failed)?.path())).sum()
}

/// The text of a small file that the user named.
///
/// # Errors
/// [`crate::ErrorKind::Usage`] when it cannot be read, is not UTF-8, or has more than `most_bytes`.
pub(crate) fn read_text(path: &Path, most_bytes: u64) -> Result<String> {
    let failed = |error: &std::io::Error| Error::usage(format!("cannot read {}: {error}", path.display()));
    let file = std::fs::File::open(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => {
            let missing = missing(path);
            let error = Error::usage(missing.message());
            missing.hint().map_or(Error::usage(missing.message()), |hint| error.with_hint(hint))
        }
        _ => failed(&error),
    })?;
    let mut text = String::new();
    file.take(most_bytes + 1).read_to_string(&mut text).map_err(|error| failed(&error))?;
    if text.len() as u64 > most_bytes {
        return Err(Error::usage(format!("{} has more than {most_bytes} bytes", path.display())));
    }
    Ok(text)
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let failed = |error: std::io::Error| Error::read_failed(folder, &error);
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if entry.file_name().as_encoded_bytes().starts_with(b".")
            || entry.file_name().as_encoded_bytes().starts_with(b"_")
        {
            continue;
        }
        let path = entry.path();
        if entry.file_type().map_err(failed)?.is_dir() {
            walk(&path, files)?;
        } else if FileFormat::from_name(&path).is_some() && path.is_file() {
            files.push(path);
        }
    }
    Ok(())
}

fn match_glob(pattern: &str) -> Result<Vec<PathBuf>> {
    let like_a_shell = glob::MatchOptions { require_literal_leading_dot: true, ..glob::MatchOptions::new() };
    let paths = glob::glob_with(pattern, like_a_shell).map_err(|error| {
        Error::usage(format!("{pattern} is not a pattern: {}", error.msg)).with_hint("for example data/*.csv")
    })?;
    let mut files = Vec::new();
    for path in paths {
        let path = path.map_err(|error| Error::read_failed(error.path(), error.error()))?;
        if path.is_file() {
            files.push(path);
        }
    }
    Ok(files)
}

fn missing(path: &Path) -> Error {
    let error = Error::data(format!("{} does not exist", path.display()));
    let text = path.to_string_lossy();
    if text.contains("://") {
        return error.with_hint("there are no object stores and no downloads: copy the file here first");
    }
    if text.contains('{') && text.contains('}') {
        return error.with_hint("braces are not expanded: write a glob like part[01].csv");
    }
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let Ok(entries) = std::fs::read_dir(folder) else {
        return error.with_hint(format!("neither does the folder {}", folder.display()));
    };
    let names: Vec<String> = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
    let wanted = path.file_name().unwrap_or_default().to_string_lossy();
    // A table that is called without the extension of its file.
    let stem =
        |name: &&String| name.split('.').next() == Some(&*wanted) && FileFormat::from_name(Path::new(name)).is_some();
    if let Some(name) = names.iter().find(stem) {
        return error.with_hint(format!(
            "a file is named with its extension, in quotes: FROM '{}'",
            path.with_file_name(name).display()
        ));
    }
    match closest(&wanted, names.iter().map(String::as_str)) {
        Some(near) => error.with_hint(format!("did you mean {}?", path.with_file_name(near).display())),
        None => error,
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use tempfile::TempDir;

    use super::*;

    fn folder() -> TempDir {
        let folder = TempDir::new().unwrap();
        for name in
            ["b.csv", "a.csv.gz", "c.parquet", "notes.md", "_tmp.csv", ".hidden.csv", "year=2024/d.csv", "x[1].csv"]
        {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "a\n1\n").unwrap();
        }
        folder
    }

    fn check(pattern: &str, want: Expect) {
        let folder = folder();
        let prefix = format!("{}/", folder.path().display());
        let shown = match find_files(&format!("{prefix}{pattern}")) {
            Ok(files) => files.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(" "),
            Err(error) => error.to_string(),
        };
        want.assert_eq(&shown.replace(&prefix, ""));
    }

    #[test]
    fn paths_globs_and_folders_are_expanded() {
        check("b.csv", expect!["b.csv"]);
        check("x[1].csv", expect!["x[1].csv"]);
        check("*.csv*", expect!["_tmp.csv a.csv.gz b.csv x[1].csv"]);
        check("", expect!["a.csv.gz b.csv c.parquet x[1].csv year=2024/d.csv"]);
        check("**/*.csv", expect!["_tmp.csv b.csv x[1].csv year=2024/d.csv"]);
    }

    #[test]
    fn what_is_not_there_is_an_error() {
        check(
            "c.csv",
            expect![[r#"
            c.csv does not exist
              hint: did you mean b.csv?"#]],
        );
        check(
            "notes.txt",
            expect![[r#"
            notes.txt does not exist
              hint: did you mean notes.md?"#]],
        );
        check(
            "c",
            expect![[r#"
            c does not exist
              hint: a file is named with its extension, in quotes: FROM 'c.parquet'"#]],
        );
        check(
            "nowhere/at.csv",
            expect![[r#"
            nowhere/at.csv does not exist
              hint: neither does the folder nowhere"#]],
        );
        check(
            "s3://bucket/x.csv",
            expect![[r#"
            s3://bucket/x.csv does not exist
              hint: there are no object stores and no downloads: copy the file here first"#]],
        );
        check(
            "*.jsonl",
            expect![[r#"
            no files match *.jsonl
              hint: data files end in .csv, .tsv, .parquet, .ndjson or .arrow, the texts also in .gz or .zst"#]],
        );
        check(
            "a**b",
            expect![[r#"
            a**b is not a pattern: recursive wildcards must form a single path component
              hint: for example data/*.csv"#]],
        );
    }

    #[test]
    fn hard_links_to_one_file_are_all_found() {
        let folder = TempDir::new().unwrap();
        let first = folder.path().join("0.csv");
        std::fs::write(&first, "a\n1\n").unwrap();
        (1..50).for_each(|n| std::fs::hard_link(&first, folder.path().join(format!("{n}.csv"))).unwrap());
        assert_eq!(find_files(folder.path().to_str().unwrap()).unwrap().len(), 50);
    }

    #[test]
    fn a_pipe_that_nobody_writes_to_is_refused_at_once() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("pipe");
        rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        let error = FileFormat::detect(&path, &Memory::with_governed(1 << 20, 1)).unwrap_err();
        assert!(error.to_string().contains("is a pipe"), "{error}");
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        use std::io::Write;
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn formats_are_told_by_name_and_by_first_bytes() {
        let folder = TempDir::new().unwrap();
        for (name, bytes, want) in [
            ("a.CSV.GZ", &b"\x1f\x8b"[..], FileFormat::Csv),
            ("a.tsv", b"", FileFormat::Tsv),
            ("a.csv", b"PAR1", FileFormat::Parquet),
            ("a.parquet", b"PAR1", FileFormat::Parquet),
            ("a", b"x,y\n", FileFormat::Csv),
            ("a.jsonl.zst", b"", FileFormat::NdJson),
            ("a.dat", b"ARROW1..", FileFormat::Ipc),
            ("a.bin", b"\xFF\xFF\xFF\xFF\x10\x01\0\0", FileFormat::Ipc),
            ("a.json", b"{\"x\":1}\n", FileFormat::NdJson),
            ("plain", b"\xEF\xBB\xBF {\"x\":1}\n", FileFormat::NdJson),
            ("braces", b"{x},y\n", FileFormat::Csv),
            ("b.csv", b"{\"x\":1}\n", FileFormat::Csv),
            ("zipped", &gzip(b"{\"x\":1}\n"), FileFormat::NdJson),
            ("zipped.gz", &gzip(b"x,y\n1,2\n"), FileFormat::Csv),
            ("packed", &zstd::encode_all(&b"{\"x\":1}\n"[..], 1).unwrap(), FileFormat::NdJson),
        ] {
            let path = folder.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            assert_eq!(FileFormat::detect(&path, &Memory::with_governed(1 << 20, 1)).unwrap(), want, "{name}");
        }
    }
}
