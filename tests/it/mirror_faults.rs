//! docs/mirroring.md has a row for each fault that a mirror must survive: the tests that it names exist, carry its number,
//! and are all that do; a fault without a test says why.

use std::collections::BTreeSet;
use std::path::Path;

use crate::conformance::{self, NONE};
use crate::sources;

/// The section of the document.
const SECTION: &str = "## Faults and their tests";
/// They are numbered from 1.
const FAULTS: u16 = 41;

#[test]
fn every_fault_has_a_row_that_holds() {
    let text = sources::read(&sources::root().join("docs/mirroring.md"));
    let (_, section) = text.split_once(SECTION).expect("there is a section");
    let problems = problems(sources::root(), section, FAULTS);
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
}

#[test]
fn a_row_that_does_not_hold_is_found() {
    let tree = tempfile::tempdir().unwrap();
    for dir in ["src", "tests"] {
        std::fs::create_dir(tree.path().join(dir)).unwrap();
    }
    let rust = "#[test]\nfn fault_1_is_fine() {}\n#[test]\nfn fault_02_and_03_are_fine() {}\n#[test]\nfn plain() {}\n\
                #[test]\nfn fault_04_05_are_fine() {}\nfn fault_06_is_no_test() {}\n#[test]\nfn fault_09_is_unknown() {}\n";
    std::fs::write(tree.path().join("src/a.rs"), rust).unwrap();
    let text = "\n| 1 | fine | `src/a.rs::fault_1_is_fine`, `src/a.rs::plain` |\n\
        | 2 | fine | `src/a.rs::fault_02_and_03_are_fine`; not shown: what nobody asked for |\n\
        | 3 | none of its own | `src/a.rs::plain` |\n\
        | 4 | absent | `src/a.rs::fault_04_absent` |\n\
        | 5 | no reason | none: later |\n\
        | 7 | fine | none: it belongs elsewhere |\n\
        | 7 | again | none: it belongs elsewhere |\n\
        | 8 | too few |\n\n## Another\n\n| 6 | elsewhere | none |\n";
    assert_eq!(
        problems(tree.path(), text, 8),
        [
            "3: no test of its own number",
            "4: src/a.rs has no test fault_04_absent",
            "5: \"later\" is no reason",
            "7: a second row",
            "not three cells: | 8 | too few |",
            "6: no row",
            "8: no row",
            "3: `src/a.rs::fault_02_and_03_are_fine` is not named",
            "4: `src/a.rs::fault_04_05_are_fine` is not named",
            "5: `src/a.rs::fault_04_05_are_fine` is not named",
            "9: `src/a.rs::fault_09_is_unknown` is not named",
        ]
    );
}

/// What is wrong with the rows of `section`, and which tests of the tree at `root` they leave out.
fn problems(root: &Path, section: &str, last: u16) -> Vec<String> {
    let mut found = Vec::new();
    let mut missing: BTreeSet<u16> = (1..=last).collect();
    let mut named: BTreeSet<(u16, String)> = BTreeSet::new();
    let mut tests = conformance::Tests::of(root);
    let lines = section.lines().take_while(|line| !line.starts_with("## "));
    for row in lines.filter(|line| line.starts_with("| ")) {
        let inside = row.strip_prefix('|').and_then(|row| row.strip_suffix('|'));
        let cells: Vec<&str> = inside.unwrap_or(row).split('|').map(str::trim).collect();
        let [number, _, shown] = cells[..] else {
            found.push(format!("not three cells: {row}"));
            continue;
        };
        let Ok(number) = number.parse::<u16>() else {
            continue;
        };
        if !missing.remove(&number) {
            found.push(format!("{number}: a second row"));
        }
        let of_row = tests.problems(shown);
        found.extend(of_row.iter().map(|problem| format!("{number}: {problem}")));
        let all = shown.split('`').skip(1).step_by(2);
        let own: Vec<_> = all
            .filter(|name| {
                let function = name.rsplit("::").next().unwrap_or_default();
                numbers(function).contains(&number)
            })
            .collect();
        if own.is_empty() && !shown.starts_with(NONE) {
            found.push(format!("{number}: no test of its own number"));
        }
        named.extend(own.into_iter().map(|name| (number, name.to_owned())));
    }
    found.extend(missing.iter().map(|number| format!("{number}: no row")));
    let unnamed = numbered(root)
        .into_iter()
        .filter(|one| !named.contains(one));
    found.extend(unnamed.map(|(number, name)| format!("{number}: `{name}` is not named")));
    found
}

/// The faults that a test's name begins with: `fault_03_and_04_…`, `fault_3_4_…`.
fn numbers(function: &str) -> Vec<u16> {
    let Some(rest) = function.strip_prefix("fault_") else {
        return Vec::new();
    };
    let words = rest.split('_').filter(|word| *word != "and");
    words.map_while(|word| word.parse().ok()).collect()
}

/// Every test with numbers in its name, once for each.
fn numbered(root: &Path) -> Vec<(u16, String)> {
    let mut found = BTreeSet::new();
    for tree in ["src", "tests"] {
        for file in sources::rust_files(&root.join(tree)) {
            let path = root.join(tree).join(&file);
            if !sources::read(&path).contains("fn fault_") {
                continue;
            }
            for name in conformance::tests_of(&path).into_keys() {
                let numbers = numbers(&name);
                let name = format!("{tree}/{}::{name}", file.display());
                found.extend(numbers.into_iter().map(|number| (number, name.clone())));
            }
        }
    }
    found.into_iter().collect()
}
