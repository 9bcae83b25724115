//! What `inspect` tells of a table besides its columns.

/// Facts about files, found out without reading all of them.
#[derive(Debug, Clone, Default)]
pub struct TableFacts {
    /// What the files are, in a word.
    pub format: String,
    /// Files of the table.
    pub n_files: usize,
    /// Label and text, in the order in which to show them.
    pub lines: Vec<(&'static str, String)>,
    /// About how many rows there are, where the files do not say, and what that is taken from.
    pub likely_rows: Option<(u64, String)>,
    /// Bytes on disk of each column of the schema; empty where that cannot be told.
    pub column_bytes: Vec<u64>,
}
