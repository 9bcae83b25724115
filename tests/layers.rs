//! The layers of the crate, checked on its text: who may use whom, who touches files, where `unsafe` may stand.

use std::fs;
use std::path::{Path, PathBuf};

/// Top to bottom: a layer uses itself and what comes after it.
const LAYERS: [&str; 14] = [
    "cli",
    "pipeline",
    "frame",
    "session",
    "sql",
    "plan",
    "physical",
    "operators",
    "io",
    "exec",
    "row",
    "spill",
    "memory",
    "error",
];

/// Other files at the top of `src`.
const NOT_LAYERS: [&str; 2] = ["lib", "main"];

/// A source file: its layer, its path below `src`, and its lines without comments and tests.
struct Source {
    layer: String,
    path: String,
    lines: Vec<(usize, String)>,
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&root, &mut files);
    files.sort();
    files.iter().filter(|file| !is_test(file)).map(|file| read(&root, file)).collect()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// Modules that exist only in tests are named so.
fn is_test(path: &Path) -> bool {
    path.iter().any(|part| {
        let name = part.to_str().unwrap().trim_end_matches(".rs");
        matches!(name, "tests" | "testing" | "fixtures") || name.ends_with("_tests")
    })
}

fn read(root: &Path, file: &Path) -> Source {
    let path = file.strip_prefix(root).unwrap();
    let layer = path.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs").to_string();
    let text = fs::read_to_string(file).unwrap();
    let mut lines = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        // Tests stand at the end of a file.
        if line.starts_with("mod tests") || line.starts_with("mod oracle") {
            break;
        }
        let code = line.split("//").next().unwrap_or_default();
        if !code.trim().is_empty() {
            lines.push((number, code.to_string()));
        }
    }
    Source { layer, path: path.display().to_string(), lines }
}

/// The names that follow `crate::` in a line, also in `crate::{a, b}`.
fn used_layers(line: &str) -> Vec<String> {
    let mut used = Vec::new();
    for (at, _) in line.match_indices("crate::") {
        let rest = &line[at + "crate::".len()..];
        let names = match rest.strip_prefix('{') {
            Some(list) => list.split('}').next().unwrap_or_default(),
            None => rest.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default(),
        };
        for name in names.split(',') {
            let name = name.trim().split("::").next().unwrap_or_default();
            if !name.is_empty() {
                used.push(name.to_string());
            }
        }
    }
    used
}

fn fail_if_any(rule: &str, found: &[String]) {
    assert!(found.is_empty(), "{rule}:\n  {}", found.join("\n  "));
}

/// All lines of layers outside `allowed` for which `is_found` holds.
fn lines_outside(allowed: &[&str], is_found: impl Fn(&str) -> bool) -> Vec<String> {
    let mut found = Vec::new();
    for source in sources().iter().filter(|source| !allowed.contains(&source.layer.as_str())) {
        for (number, line) in source.lines.iter().filter(|(_, line)| is_found(line)) {
            found.push(format!("src/{}:{number}: {}", source.path, line.trim()));
        }
    }
    found
}

#[test]
fn a_layer_uses_only_layers_below_it() {
    let rank = |name: &str| LAYERS.iter().position(|layer| *layer == name);
    let mut found = Vec::new();
    let sources = sources();
    assert!(sources.len() > 30, "the sources were found");
    for source in &sources {
        if NOT_LAYERS.contains(&source.layer.as_str()) {
            continue;
        }
        let own = rank(&source.layer).unwrap_or_else(|| panic!("src/{} belongs to no layer", source.path));
        for (number, line) in &source.lines {
            for used in used_layers(line) {
                // Names that are no layer are re-exports of `error` and `session` at the top of the crate.
                let used_rank = rank(&used).or((used == "Session" || used == "SessionOptions").then_some(2));
                if used_rank.is_some_and(|used_rank| used_rank < own) {
                    found.push(format!("src/{}:{number}: {} uses {used}", source.path, source.layer));
                }
            }
        }
    }
    fail_if_any("a layer uses only layers below it (design: cli > session > ... > memory > error)", &found);
}

#[test]
fn only_spill_and_io_touch_the_file_system() {
    let touches = |line: &str| {
        ["std::fs", "fs::File", "File::open", "File::create", "OpenOptions", "tempfile::"]
            .iter()
            .any(|name| line.replace("OutputFile::", "").contains(name))
    };
    let found: Vec<_> = lines_outside(&["spill", "io", "memory"], touches)
        .into_iter()
        // The file of `-f` and configuration files.
        .filter(|line| !line.starts_with("src/cli/sql.rs") && !line.starts_with("src/cli/settings.rs"))
        .collect();
    fail_if_any("only spill/ and io/ touch the file system", &found);
    let memory: Vec<_> = lines_outside(&["spill", "io"], |line| line.contains("fs::"))
        .into_iter()
        .filter(|line| line.starts_with("src/memory") && !line.contains("read_to_string") && !line.contains("use std"))
        .collect();
    fail_if_any("memory/ only reads what the system reports", &memory);
}

#[test]
fn unsafe_stands_only_in_row_and_memory() {
    let found = lines_outside(&["row", "memory"], |line| {
        line.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == "unsafe")
    });
    fail_if_any("unsafe stands only in row/ and memory/", &found);
}

#[test]
fn only_planning_knows_datafusion() {
    let found = lines_outside(&["frame", "sql", "plan", "physical"], |line| line.contains("datafusion"));
    fail_if_any("only frame/, sql/, plan/ and physical/ know DataFusion's types", &found);
}

#[test]
fn every_file_says_what_it_is() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&root, &mut files);
    let silent: Vec<_> = files
        .iter()
        .filter(|file| !fs::read_to_string(file).unwrap().starts_with("//!"))
        .map(|file| file.display().to_string())
        .collect();
    fail_if_any("every file opens with a module doc", &silent);
}
