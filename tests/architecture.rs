//! Holds the tree to `docs/src/architecture/rooms.md`: who may know whom, which crate is used where,
//! how long a file may be, and that what `docs/` and `config/` name exists.
//!
//! Sources are read as tokens (comments and literals do not count), every `use` tree and every
//! written path is resolved to the room it leads to, and that edge is looked up in the tables of
//! `architecture/rules.rs`. `architecture/checked.rs` proves on small sources that the checker sees
//! what it must see. Without dependencies, so `rustc --edition 2024 --test tests/architecture.rs` in
//! the root of the repository is enough to run it.

#[path = "architecture/rules.rs"]
mod rules;
#[path = "architecture/rust.rs"]
mod rust;
#[path = "architecture/tree.rs"]
mod tree;

#[cfg(test)]
#[path = "architecture/checked.rs"]
mod checked;

use std::collections::BTreeSet;
use std::fs;

use rules::{crates, faces, io, rooms, too_long, undocumented};
use rust::metrics;
use tree::{files, keys, links, metric_base, metric_names, read, root, sources};

#[test]
fn the_rooms_know_only_whom_they_may_know() {
    let sources = sources("src");
    assert!(
        sources.len() > 20,
        "only {} files below src/",
        sources.len()
    );
    let faces = faces(&sources);
    report(sources.iter().flat_map(|source| rooms(source, &faces)));
}

#[test]
fn crates_stay_where_they_belong() {
    report(sources("src").iter().flat_map(crates));
}

#[test]
fn the_protocol_rooms_do_no_io() {
    report(sources("src").iter().flat_map(io));
}

#[test]
fn every_file_says_what_it_is_for() {
    report(sources("src").iter().filter_map(undocumented));
}

#[test]
fn no_file_is_too_long() {
    let roots = ["src", "entity/src", "migration/src", "tests", "benches"];
    report(
        roots
            .iter()
            .flat_map(|root| sources(root))
            .filter_map(|source| too_long(&source)),
    );
}

#[test]
fn main_only_starts_the_program() {
    let lines = read("src/main.rs").lines().count();
    assert!(
        lines <= 60,
        "src/main.rs has {lines} lines; it parses, starts logging and calls app"
    );
}

#[test]
fn each_page_of_the_book_is_in_its_summary() {
    let summary = links(&read("docs/src/SUMMARY.md"));
    let pages: BTreeSet<String> = files("docs/src", "md")
        .iter()
        .filter_map(|page| {
            Some(
                page.strip_prefix(root().join("docs/src"))
                    .ok()?
                    .to_str()?
                    .to_owned(),
            )
        })
        .filter(|page| page != "SUMMARY.md")
        .collect();
    assert_eq!(
        summary, pages,
        "left: SUMMARY.md, right: the files of docs/src"
    );
}

#[test]
fn links_between_the_documents_lead_somewhere() {
    let mut documents = files("docs", "md");
    documents.extend(["README.md", "CHANGELOG.md"].map(|name| root().join(name)));
    let mut broken = Vec::new();
    for document in documents {
        let text = fs::read_to_string(&document).unwrap_or_default();
        let folder = document.parent().unwrap_or(&document);
        let includes = text
            .split("{{#include ")
            .skip(1)
            .filter_map(|rest| rest.split(['}', ':']).next());
        for target in links(&text).iter().map(String::as_str).chain(includes) {
            if !folder.join(target).exists() {
                broken.push(format!("{}: {target}", document.display()));
            }
        }
    }
    report(broken);
}

#[test]
fn the_example_settings_name_known_keys() {
    let known = keys(&read("config/default.toml"));
    let unknown: Vec<String> = keys(&read("config/production.toml"))
        .difference(&known)
        .map(|key| format!("config/production.toml: `{key}` is no key of config/default.toml"))
        .collect();
    report(unknown);
}

#[test]
fn dashboards_and_alerts_name_metrics_that_exist() {
    let registered: Vec<String> = sources("src").iter().flat_map(metrics).collect();
    let known: BTreeSet<&str> = registered.iter().map(|name| metric_base(name)).collect();
    let mut unknown = Vec::new();
    for file in ["config/alerts.yaml", "config/grafana-dashboard.json"] {
        for name in metric_names(&read(file)) {
            if !known.contains(metric_base(&name)) {
                unknown.push(format!("{file}: no metric `{name}` is registered in src/"));
            }
        }
    }
    report(unknown);
}

fn report(violations: impl IntoIterator<Item = String>) {
    let violations: Vec<String> = violations.into_iter().collect();
    assert!(violations.is_empty(), "\n{}\n", violations.join("\n"));
}
