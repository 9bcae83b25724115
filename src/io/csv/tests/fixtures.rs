//! Odd dialects: each file in `fixtures/csv` with the table it must give.

use std::io::Write;

use super::*;

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

#[test]
fn fixtures_give_their_tables() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/csv");
    let mut names: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.retain(|path| path.extension().is_some_and(|extension| extension != "expected"));
    names.sort();
    assert!(names.len() >= 12);
    for path in names {
        let options = CsvOptions { null_values: vec!["NA".into()], ..CsvOptions::default() };
        let got = read(&path, options)
            .unwrap_or_else(|error| format!("{error}\n").replace(&format!("{}/", folder.display()), ""));
        let golden = path.with_extension("expected");
        if std::env::var_os("UPDATE_EXPECT").is_some() {
            std::fs::write(&golden, &got).unwrap();
        }
        assert_eq!(got, std::fs::read_to_string(golden).unwrap(), "{}", path.display());
    }
}
