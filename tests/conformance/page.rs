//! `docs/src/reference/conformance-lines.md` is true: what it names exists, and nothing is missing.

use std::fs;
use std::path::Path;

/// How many lines each section of the checklist has.
const SECTIONS: [(char, u32); 14] = [
    ('A', 15),
    ('B', 7),
    ('C', 5),
    ('D', 4),
    ('E', 5),
    ('F', 6),
    ('G', 5),
    ('H', 7),
    ('I', 6),
    ('J', 4),
    ('K', 5),
    ('L', 8),
    ('M', 6),
    ('P', 4),
];

/// Every Rust source below a folder, in one text.
fn sources(folder: &Path) -> String {
    let mut text = String::new();
    for entry in fs::read_dir(folder).expect("a folder of the tree") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            text += &sources(&path);
        } else if path.extension().is_some_and(|ext| ext == "rs") {
            text += &fs::read_to_string(&path).expect("a source");
        }
    }
    text
}

/// The names of functions in a source.
fn functions(source: &str) -> impl Iterator<Item = &str> {
    source
        .split("fn ")
        .skip(1)
        .filter_map(|rest| rest.split_once('(').map(|(name, _)| name))
}

/// The cells of every row of the page's tables.
fn rows(page: &str) -> Vec<Vec<&str>> {
    page.lines()
        .filter_map(|line| line.strip_prefix('|')?.strip_suffix('|'))
        .map(|row| row.split('|').map(str::trim).collect())
        .collect()
}

#[test]
fn every_test_that_the_lines_name_exists_and_every_line_has_one() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = root.join("docs/src/reference/conformance-lines.md");
    let page = fs::read_to_string(page).expect("the page");
    let all = [sources(&root.join("src")), sources(&root.join("tests"))].concat();
    let known: Vec<&str> = functions(&all).collect();

    let rows = rows(&page);
    // In a table the last cells name tests; a name has at least three words, codes of warnings have
    // fewer or stand in the first cell.
    let mut named = Vec::new();
    for row in &rows {
        for cell in row.iter().skip(1) {
            let names = cell.split('`').skip(1).step_by(2);
            named.extend(names.filter(|name| name.matches('_').count() >= 3));
        }
    }
    assert!(named.len() > 100, "the page has tables");
    for name in &named {
        assert!(
            known.contains(name),
            "`{name}` is on the page and is no test"
        );
    }

    for (section, lines) in SECTIONS {
        for line in 1..=lines {
            let id = format!("{section}{line}");
            let row = rows.iter().find(|row| row.first() == Some(&id.as_str()));
            let row = row.unwrap_or_else(|| panic!("{id} is missing"));
            let state = row.last().expect("cells");
            let shown = named
                .iter()
                .any(|name| row.iter().any(|cell| cell.contains(name)));
            let excused = state.starts_with("no: ") || *state == "the simulator's";
            assert!(shown || excused, "{id} has no test and no excuse: {row:?}");
            // The tests of a line have its id in their names.
            let prefix = format!("fn {}{line:02}_", section.to_ascii_lowercase());
            assert!(
                all.contains(&prefix) || excused,
                "no test is called {prefix}…"
            );
        }
    }

    let ours = [
        sources(&root.join("tests/conformance")),
        sources(&root.join("tests/attacks")),
    ]
    .concat();
    let is_test = |name: &&str| {
        let mut letters = name.chars();
        let line = letters
            .next()
            .is_some_and(|letter| letter.is_ascii_lowercase())
            && letters.take(2).all(|digit| digit.is_ascii_digit())
            && name.chars().nth(3) == Some('_');
        line || name.starts_with("tolerance_") || name.starts_with("attack_")
    };
    for name in functions(&ours).filter(is_test) {
        let quoted = format!("`{name}`");
        let memory = name.starts_with("tolerance_warnings_");
        assert!(
            memory || page.contains(&quoted),
            "the page does not name {name}"
        );
    }
}

/// The codes of warnings that a source gives: the first argument of `add` and `warn`.
fn warnings(source: &str) -> Vec<&str> {
    [".add(", ".warn("]
        .into_iter()
        .flat_map(|call| source.split(call).skip(1))
        .filter_map(|rest| rest.trim_start().strip_prefix('"')?.split('"').next())
        .collect()
}

#[test]
fn every_warning_that_a_device_can_get_is_explained_on_the_page() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = root.join("docs/src/reference/conformance-lines.md");
    let page = fs::read_to_string(page).expect("the page");
    let rooms = ["src/lwm2m/register", "src/endpoint/session"];
    let mut all: String = rooms.map(|room| sources(&root.join(room))).concat();
    all += &fs::read_to_string(root.join("src/lwm2m/link_format.rs")).expect("a source");
    let codes = warnings(&all);
    assert!(codes.len() > 20, "{codes:?}");
    for code in codes {
        assert!(
            page.contains(&format!("`{code}`")),
            "the page does not explain {code}"
        );
    }
}
