//! What an earlier run of a pipeline finished, as its folders tell: records of stages, and whether their files are whole.
//!
//! Nothing is written here, so that a dry run may look, too. A file counts as whole when its checksum is that of the
//! record: one byte that changed on the disk makes its stage one that is computed again.
//!
//! Memory: a record, and the buffer of a checksum.

use std::path::{Path, PathBuf};

use super::prepare::Prepared;
use super::record::{FileRecord, StageRecord};
use super::run::{folder_name, real_folder_of};
use super::spec::OutputFileSpec;
use super::stages::Stage;
use crate::exec::CancelToken;
use crate::io::files::{read_text, size_of};
use crate::io::run_folder::{Contents, RunFolder};

/// A record that has more is not ours.
const MOST_RECORD_BYTES: u64 = 16 << 20;

/// The folders of earlier runs.
pub(super) struct EarlierRun<'a> {
    pub(super) prepared: &'a Prepared<'a>,
    pub(super) cancel: &'a CancelToken,
}

/// What is there of a stage.
pub(super) enum Earlier {
    /// All of it.
    Whole(StageRecord),
    /// It was finished, and this file is not what it was.
    Spoilt(PathBuf),
    /// Nothing, or what is of no use now.
    Nothing,
}

impl EarlierRun<'_> {
    /// The stage with this fingerprint.
    pub(super) fn stage(&self, stage: &Stage, fingerprint: &str) -> Earlier {
        let record = self.folder(&home_of(self.prepared)).join(record_name(stage, fingerprint));
        let text = read_text(&record, MOST_RECORD_BYTES).ok();
        let record: Option<StageRecord> = text.and_then(|text| serde_json::from_str(&text).ok());
        let Some(record) = record.filter(|record| record.fingerprint == fingerprint) else { return Earlier::Nothing };
        match record.files.iter().find(|file| !self.is_whole(file)) {
            None => Earlier::Whole(record),
            Some(file) => Earlier::Spoilt(self.path(file)),
        }
    }

    /// Whether a file of a record is there and what it was.
    fn is_whole(&self, file: &FileRecord) -> bool {
        let path = self.path(file);
        let same_size = size_of(&path).is_ok_and(|bytes| bytes == file.bytes);
        let sha256 = || Contents::of(&path, self.cancel).ok().map(|contents| contents.sha256);
        same_size && file.sha256.is_some() && sha256() == file.sha256
    }

    /// Where a file of a record is: in the run's folder, or where an earlier run published it.
    pub(super) fn path(&self, file: &FileRecord) -> PathBuf {
        match self.output(file) {
            Some(output) if !self.is_hidden(file) => PathBuf::from(&output.path.text),
            _ => self.hidden_path(file),
        }
    }

    /// Whether a finished file is in the run's folder; otherwise an earlier run published it.
    pub(super) fn is_hidden(&self, file: &FileRecord) -> bool {
        size_of(&self.hidden_path(file)).is_ok_and(|bytes| bytes == file.bytes)
    }

    /// The output that `file` is to be.
    pub(super) fn output(&self, file: &FileRecord) -> Option<&OutputFileSpec> {
        let path = file.output.as_ref()?;
        self.prepared.spec.outputs.files.iter().find(|output| output.path.text == *path)
    }

    /// Where a file is before it is published.
    pub(super) fn hidden_path(&self, file: &FileRecord) -> PathBuf {
        let beside = match self.output(file) {
            Some(output) => real_folder_of(&output.path.text),
            None => home_of(self.prepared),
        };
        self.folder(&beside).join(&file.hidden)
    }

    fn folder(&self, beside: &Path) -> PathBuf {
        RunFolder::place(beside, &folder_name(self.prepared.source.path()))
    }
}

/// The folder of the first output, beside which records and checkpoints are.
pub(super) fn home_of(prepared: &Prepared<'_>) -> PathBuf {
    prepared.spec.outputs.files.first().map_or(PathBuf::from("."), |file| real_folder_of(&file.path.text))
}

/// The name of the record of a stage.
pub(super) fn record_name(stage: &Stage, fingerprint: &str) -> String {
    format!("{}.{fingerprint}.json", stage.name)
}
