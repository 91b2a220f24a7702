//! docs/src/reference/conformance.md names tests: each of them exists.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The names of tests in the page: code spans that begin a word with an underscore in it.
fn named(page: &str) -> BTreeSet<String> {
    page.split('`')
        .skip(1)
        .step_by(2)
        .filter(|code| {
            code.contains('_')
                && code
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
        })
        .map(str::to_owned)
        .collect()
}

/// Every function in the Rust sources below a folder.
fn functions(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path: PathBuf = entry.expect("an entry").path();
        if path.is_dir() {
            functions(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let source = fs::read_to_string(&path).expect("text");
            for (at, _) in source.match_indices("fn ") {
                let name = source[at + 3..]
                    .split(['(', '<'])
                    .next()
                    .unwrap_or_default();
                found.insert(name.trim().to_owned());
            }
        }
    }
}

#[test]
fn every_test_that_the_page_names_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("docs/src/reference/conformance.md")).expect("a page");
    let named = named(&page);
    assert!(named.len() > 60, "only {} names were found", named.len());
    let mut found = BTreeSet::new();
    functions(&root.join("src"), &mut found);
    functions(&root.join("tests"), &mut found);
    let missing: Vec<&String> = named.difference(&found).collect();
    assert!(missing.is_empty(), "no such tests: {missing:?}");
}
