//! The files that a pipeline writes, looked at before anything runs: each has a place of its own, and none is read.
//!
//! Memory: one path a file.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::fields::Text;
use super::prepare::Prepared;
use super::run::{folder_name, folder_of};
use super::spec::OutputFileSpec;
use crate::error::{Error, Result};
use crate::io::files::read_text;
use crate::io::run_folder::{check_folder_target, check_target, resolved};

/// A manifest that has more is not ours.
const MOST_MANIFEST_BYTES: u64 = 16 << 20;

/// Looks at every output's place, that it is written once, and that no file that is read is overwritten.
///
/// # Errors
/// [`crate::ErrorKind::Usage`] and [`crate::ErrorKind::Disk`] with the place of the output.
pub(super) fn check_targets(prepared: &Prepared<'_>) -> Result<()> {
    let outputs = &prepared.spec.outputs;
    let Some(first) = outputs.files.first() else { return Ok(()) };
    let mut targets: HashMap<PathBuf, Text> = HashMap::new();
    // What the file does not name comes first, so that what it names is to blame.
    let [manifest, checksums] = side_paths(prepared);
    let unnamed = [(manifest, &outputs.manifest), (checksums, &outputs.checksums)];
    let unnamed = unnamed.into_iter().filter(|(_, asked)| asked.is_none()).map(|(path, _)| path);
    for path in unnamed.chain(prepared.session.files().written.paths()) {
        targets.insert(resolved(&path), Text::made(path.display().to_string(), first.path.place));
    }
    let files = outputs.files.iter().map(|output| &output.path);
    for path in files.chain(&outputs.log).chain(&outputs.manifest).chain(&outputs.checksums) {
        let at = |error: Error| error.with_location(prepared.source.at(path.place));
        let folder =
            outputs.files.iter().find(|output| output.path == *path).and_then(|file| file.partition_by.first());
        match folder {
            Some(column) => check_folder_target(Path::new(&path.text), column.as_str()).map_err(at)?,
            None => check_target(Path::new(&path.text)).map_err(at)?,
        }
        let is_named = [&outputs.manifest, &outputs.checksums].into_iter().flatten().any(|named| named == path);
        if !is_named && is_side_name(Path::new(&path.text)) {
            let error =
                prepared.source.error(path.place, format!("{} is the name of what describes outputs", path.text));
            return Err(error.with_hint("give the output another name, or say where that goes: manifest: FILE.json"));
        }
        if targets.insert(resolved(Path::new(&path.text)), path.clone()).is_some() {
            let error = prepared.source.error(path.place, format!("{} is written twice", path.text));
            return Err(error.with_hint("give every output, the manifest and all that a name of its own"));
        }
    }
    let of_folder = |output: &&OutputFileSpec| output.is_folder();
    for folder in outputs.files.iter().filter(of_folder).map(|output| resolved(Path::new(&output.path.text))) {
        let is_inside = |path: &Path| path != folder && path.starts_with(&folder);
        if let Some((_, path)) = targets.iter().find(|(path, _)| is_inside(path)) {
            let message = format!("{} lies in a folder that is replaced as a whole", path.text);
            return Err(prepared.source.error(path.place, message).with_hint("write it beside the folder"));
        }
        if let Some((input, _)) =
            prepared.files().find(|(path, _)| path.canonicalize().is_ok_and(|path| is_inside(&path)))
        {
            let message = format!("{} is an input, and lies in a folder that is replaced", input.display());
            return Err(prepared.source.error(first.path.place, message).with_hint("write to another folder"));
        }
    }
    for (input, _) in prepared.files() {
        if let Some(path) = input.canonicalize().ok().and_then(|input| targets.get(&input)) {
            let error = prepared.source.error(path.place, format!("{} is an input, too", path.text));
            return Err(error.with_hint("write to another file"));
        }
    }
    Ok(())
}

/// Whether a file is called like the manifest or the checksums of some pipeline.
fn is_side_name(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name == "manifest.json" || name == "checksums.txt")
}

/// Where the manifest and the checksums are written: as the file says, or beside the first output.
pub(super) fn side_paths(prepared: &Prepared<'_>) -> [PathBuf; 2] {
    let outputs = &prepared.spec.outputs;
    let home = outputs.files.first().map_or(PathBuf::from("."), |file| folder_of(Path::new(&file.path.text)));
    let own_name = folder_name(prepared.source.path());
    let is_taken = is_of_another(&beside(&home, "manifest.json"), &own_name);
    let place = |asked: &Option<Text>, usual: &str| match asked {
        Some(path) => PathBuf::from(&path.text),
        None if is_taken => beside(&home, &format!("{own_name}.{usual}")),
        None => beside(&home, usual),
    };
    [place(&outputs.manifest, "manifest.json"), place(&outputs.checksums, "checksums.txt")]
}

fn beside(folder: &Path, name: &str) -> PathBuf {
    if folder == Path::new(".") { PathBuf::from(name) } else { folder.join(name) }
}

/// What a manifest says about where it is from.
#[derive(Deserialize)]
struct Origin {
    pipeline: PathBuf,
}

/// Whether a manifest is there that another pipeline wrote, or another program.
fn is_of_another(manifest: &Path, own_name: &str) -> bool {
    if !manifest.exists() {
        return false;
    }
    let text = read_text(manifest, MOST_MANIFEST_BYTES).ok();
    let origin: Option<Origin> = text.and_then(|text| serde_json::from_str(&text).ok());
    origin.is_none_or(|origin| folder_name(&origin.pipeline) != own_name)
}
