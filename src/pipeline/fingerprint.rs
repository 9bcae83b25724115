//! What makes a finished stage the one that is wanted: everything that its rows depend on.
//!
//! Files count by path, size, inode and times of change; steps by their SQL and what they read. The engine's version counts, too.

use std::collections::HashMap;

use xxhash_rust::xxh3::xxh3_128;

use super::prepare::Prepared;
use super::stages::Stage;
use crate::error::Result;

/// Fingerprints of everything that has a name.
pub(super) struct Fingerprints {
    by_name: HashMap<String, String>,
}

impl Fingerprints {
    /// Looks at all files and steps of `prepared`.
    pub(super) fn of(prepared: &Prepared<'_>) -> Self {
        let mut by_name: HashMap<String, String> = HashMap::new();
        for (input, open) in prepared.spec.inputs.iter().zip(&prepared.inputs) {
            let mut text = format!("input\n{}\n", env!("CARGO_PKG_VERSION"));
            input.schema.iter().for_each(|(name, value)| text.push_str(&format!("{} {}\n", name.text, value.text)));
            input.reading.iter().for_each(|(option, value)| text.push_str(&format!("{option} {}\n", value.text)));
            text.push_str(&format!("{:?}\n", prepared.spec.settings.on_bad_row));
            for (path, facts) in &open.files {
                text.push_str(&format!("{}\n{facts:?}\n", path.display()));
            }
            text.push_str(prepared.queries.get(&input.id.text).map_or("", |query| query.sql.as_str()));
            by_name.insert(input.id.text.clone(), digest(&text));
        }
        for step in &prepared.spec.steps {
            let Some(query) = prepared.queries.get(&step.id.text) else { continue };
            let mut text = format!("step\n{}\n{}\n", env!("CARGO_PKG_VERSION"), query.sql);
            for read in &query.reads {
                match by_name.get(read) {
                    Some(known) => text.push_str(&format!("{read} {known}\n")),
                    None => prepared.named_files.get(read).into_iter().flatten().for_each(|(path, facts)| {
                        text.push_str(&format!("{} {facts:?}\n", path.display()));
                    }),
                }
            }
            by_name.insert(step.id.text.clone(), digest(&text));
        }
        Fingerprints { by_name }
    }

    /// That of a stage: its rows, their order, and the files that it writes.
    pub(super) fn of_stage(&self, prepared: &Prepared<'_>, stage: &Stage) -> Result<String> {
        let rows = self.by_name.get(&stage.name).map_or("", String::as_str);
        let mut text = format!("{rows}\n{}\n{}\n", prepared.output_sql(&stage.name)?.as_str(), stage.keep);
        for idx in &stage.outputs {
            let output = &prepared.spec.outputs.files[*idx];
            let compression = output.compression.or(prepared.spec.settings.compression);
            text.push_str(&format!("{} {:?} {compression:?}", output.path.text, output.format));
            let partition_by: Vec<&str> = output.partition_by.iter().map(|column| column.as_str()).collect();
            text.push_str(&format!(" {:?} {partition_by:?}\n", output.row_group_rows));
        }
        Ok(digest(&text))
    }
}

/// Sixteen hexadecimal digits are plenty among the stages of one pipeline.
fn digest(text: &str) -> String {
    format!("{:016x}", (xxh3_128(text.as_bytes()) >> 64) as u64)
}
