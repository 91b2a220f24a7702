//! Reads the tree: files, links between documents, keys of settings, names of metrics.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use super::rules::Source;

pub(crate) fn root() -> PathBuf {
    option_env!("CARGO_MANIFEST_DIR").map_or_else(
        || std::env::current_dir().expect("run it in the root of the repository"),
        PathBuf::from,
    )
}

pub(crate) fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Files with this extension below a folder, by name; none when there is no such folder.
pub(crate) fn files(folder: &str, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() && path.file_name().is_none_or(|name| name != "target") {
                folders.push(path);
            } else if path.extension().is_some_and(|found| found == extension) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

pub(crate) fn sources(folder: &str) -> Vec<Source> {
    let base = root().join(folder);
    let read = |path: PathBuf| {
        let text =
            fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let name: Vec<String> = path
            .strip_prefix(&base)
            .unwrap_or(&path)
            .iter()
            .map(|part| part.to_string_lossy().into_owned())
            .collect();
        Source::new(&name.join("/"), text)
    };
    files(folder, "rs").into_iter().map(read).collect()
}

/// The relative targets of `[text](target)`, without anchors.
pub(crate) fn links(markdown: &str) -> BTreeSet<String> {
    let targets = markdown
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split([')', '#']).next());
    targets
        .filter(|target| !target.is_empty() && !target.contains("://") && !target.contains(' '))
        .map(str::to_owned)
        .collect()
}

/// The keys of a TOML file that has only sections and lines `key = value`.
pub(crate) fn keys(toml: &str) -> BTreeSet<String> {
    let mut section = String::new();
    let mut keys = BTreeSet::new();
    for line in toml
        .lines()
        .map(str::trim)
        .filter(|line| !line.starts_with('#'))
    {
        if let Some(name) = line
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
        {
            section = format!("{name}.");
        } else if let Some((key, _)) = line.split_once('=') {
            keys.insert(format!("{section}{}", key.trim()));
        }
    }
    keys
}

pub(crate) fn is_metric(text: &str) -> bool {
    text.starts_with("flownexus_")
        && text
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

pub(crate) fn metric_names(text: &str) -> BTreeSet<String> {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
        .filter(|word| is_metric(word))
        .map(str::to_owned)
        .collect()
}

/// The name under which the code registers it: a suffix says what kind of metric it is, a unit in
/// front of that what it counts.
pub(crate) fn metric_base(name: &str) -> &str {
    let without = |name, suffixes: [&str; 4]| {
        suffixes
            .iter()
            .find_map(|suffix| str::strip_suffix(name, suffix))
    };
    let name = without(name, ["_total", "_bucket", "_count", "_sum"]).unwrap_or(name);
    let unit = |unit| name.strip_suffix(unit);
    unit("_seconds").or_else(|| unit("_bytes")).unwrap_or(name)
}
