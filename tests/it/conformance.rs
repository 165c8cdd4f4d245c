//! docs/conformance.md has one row for each requirement of the specification, and no row claims what is not there: files
//! and tests that it names exist, and a row without a test says why.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use syn::buffer::{Cursor, TokenBuffer};
use syn::visit::{self, Visit};

use crate::sources;

/// The areas of the specification: how their ids begin, the last number, and numbers with a letter. The last are the items of
/// its checklist.
const AREAS: &[(&str, u16, &[&str])] = &[
    ("AUTHN-", 16, &[]),
    ("AUTHZ-", 10, &[]),
    ("PROXY-", 7, &[]),
    ("AVAIL-", 3, &[]),
    ("DISC-", 9, &[]),
    ("OA2-", 6, &[]),
    ("OA3-", 8, &[]),
    ("APISVC-", 4, &[]),
    ("DOWN-", 3, &[]),
    ("VERB-", 3, &[]),
    ("REST-", 6, &[]),
    ("META-", 7, &[]),
    ("NEG-", 9, &[]),
    ("TAB-", 10, &[]),
    ("LIST-", 10, &[]),
    ("WATCH-", 19, &[]),
    ("SEL-", 6, &[]),
    ("GET-", 2, &[]),
    ("CRT-", 10, &["6b", "6c"]),
    ("ERR-", 2, &[]),
    ("OPS-", 24, &[]),
    ("HA-", 9, &[]),
    ("NET-", 4, &[]),
    ("C", 102, &["79a"]),
];

/// Before the words that say why there is no test.
pub(crate) const NONE: &str = "none: ";
/// Before the words that say what the named tests leave open.
const NOT_SHOWN: &str = "; not shown: ";
/// After a test that only runs when it is asked for.
const IGNORED: &str = " (ignored)";
/// Fewer words explain nothing.
const REASON_WORDS: usize = 3;

#[test]
fn every_requirement_has_a_row_that_holds() {
    let text = sources::read(&sources::root().join("docs/conformance.md"));
    let problems = problems(sources::root(), &text, &ids(AREAS));
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
}

#[test]
fn the_specification_is_known_whole() {
    let ids = ids(AREAS);
    let items = ids.iter().filter(|id| !id.contains('-')).count();
    assert_eq!((ids.len() - items, items), (189, 103));
}

#[test]
fn a_row_that_does_not_hold_is_found() {
    let tree = tempfile::tempdir().unwrap();
    let rust = "mod inner {\n#[test]\nfn plain() {}\n}\n#[tokio::test(start_paused = true)]\nasync fn waits() {}\n\
                #[test]\n#[ignore = \"slow\"]\nfn slow() {}\nfn helper() {}\nproptest! {\n#[test]\nfn holds(n: u8) {}\nfn part() {}\n}\n";
    for (file, content) in [
        ("a.rs", rust),
        ("a_test.go", "func TestIt(t *testing.T) {}\n"),
    ] {
        std::fs::write(tree.path().join(file), content).unwrap();
    }
    let text = "Words, and a table.\n\n| id | what | where | test |\n|---|---|---|---|\n\
        | X-1 | fine | `a.rs` | `a.rs::plain`, `a.rs::waits`, `a_test.go::TestIt` |\n\
        | X-2 | fine | `a.rs`, `a_test.go` | `a.rs::holds`; not shown: what nobody asked for |\n\
        | X-3 | fine | `a.rs` | none: others do this |\n\
        | X-3a | fine | `a.rs` | `a.rs::slow` (ignored) |\n\
        | X-4 | no such place | `a.rs`, `b.rs` | `a.rs::plain` |\n\
        | X-5 | no such tests | `a.rs` | `a.rs::absent`, `a.rs::helper`, `a.rs::part`, `a_test.go::TestNo`, `b.rs::plain` |\n\
        | X-6 | never runs | `a.rs` | `a.rs::slow` |\n\
        | X-7 | runs after all | `a.rs` | `a.rs::plain` (ignored) |\n\
        | X-8 | no reason | `a.rs` | none: later |\n\
        | X-9 | no reason for what is left open | `a.rs` | `a.rs::plain`; not shown: much |\n\
        | X-10 | names nothing | | |\n\
        | X-11 | names no function | `a.rs` | `a.rs` |\n\
        | X-1 | again | `a.rs` | `a.rs::plain` |\n\
        | Y-1 | unheard of | `a.rs` | `a.rs::plain` |\n\
        | X-12 | too few | `a.rs` |\n";
    let expected = [
        "X-4: there is no b.rs",
        "X-5: a.rs has no test absent",
        "X-5: a.rs has no test helper",
        "X-5: a.rs has no test part",
        "X-5: a_test.go has no test TestNo",
        "X-5: there is no b.rs",
        "X-6: a.rs::slow is ignored, and the row does not say so",
        "X-7: a.rs::plain is not ignored",
        "X-8: \"later\" is no reason",
        "X-9: \"much\" is no reason",
        "X-10: it says nowhere where",
        "X-10: \"\" is no test",
        "X-11: \"a.rs\" is no test",
        "X-1: a second row",
        "Y-1: not in the specification",
        "not four cells: | X-12 | too few | `a.rs` |",
        "X-12: no row",
    ];
    let found = problems(tree.path(), text, &ids(&[("X-", 12, &["3a"])]));
    assert_eq!(found, expected, "\n{}", found.join("\n"));
}

fn ids(areas: &[(&str, u16, &[&str])]) -> BTreeSet<String> {
    let of_area = |(area, last, lettered): &(&str, u16, &[&str])| {
        let numbers = (1..=*last).map(|number| number.to_string());
        let lettered = lettered.iter().map(|number| (*number).to_owned());
        let all = numbers
            .chain(lettered)
            .map(|number| format!("{area}{number}"));
        all.collect::<Vec<_>>()
    };
    areas.iter().flat_map(of_area).collect()
}

/// What is wrong with the tables of `text`, in its order, and then which of `ids` have no row.
fn problems(root: &Path, text: &str, ids: &BTreeSet<String>) -> Vec<String> {
    let mut found = Vec::new();
    let mut missing = ids.clone();
    let mut tests = Tests::of(root);
    let rows = text.lines().filter(|line| line.starts_with("| "));
    for row in rows.filter(|row| !row.starts_with("| id |")) {
        let inside = row.strip_prefix('|').and_then(|row| row.strip_suffix('|'));
        let cells: Vec<&str> = inside.unwrap_or(row).split('|').map(str::trim).collect();
        let [id, _, places, shown] = cells[..] else {
            found.push(format!("not four cells: {row}"));
            continue;
        };
        if !ids.contains(id) {
            found.push(format!("{id}: not in the specification"));
        } else if !missing.remove(id) {
            found.push(format!("{id}: a second row"));
        }
        let of_row = places_problems(root, places)
            .into_iter()
            .chain(tests.problems(shown));
        found.extend(of_row.map(|problem| format!("{id}: {problem}")));
    }
    found.extend(missing.iter().map(|id| format!("{id}: no row")));
    found
}

fn places_problems(root: &Path, places: &str) -> Vec<String> {
    if places.is_empty() {
        return vec!["it says nowhere where".to_owned()];
    }
    let absent = quoted(places).filter(|place| !root.join(place).exists());
    absent.map(|place| format!("there is no {place}")).collect()
}

/// The parts of a list of `names in backticks`.
fn quoted(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').map(|part| part.trim().trim_matches('`'))
}

fn reason_problem(reason: &str) -> Option<String> {
    let words = reason.split_whitespace().count();
    (words < REASON_WORDS).then(|| format!("{reason:?} is no reason"))
}

/// The tests of the files that rows name, by their names, and whether each is ignored.
pub(crate) struct Tests<'a> {
    root: &'a Path,
    known: BTreeMap<String, BTreeMap<String, bool>>,
}

impl<'a> Tests<'a> {
    /// Those of the tree at `root`.
    pub(crate) fn of(root: &'a Path) -> Self {
        let known = BTreeMap::new();
        Self { root, known }
    }

    /// What is wrong with the last cell of a row.
    pub(crate) fn problems(&mut self, shown: &str) -> Vec<String> {
        if let Some(reason) = shown.strip_prefix(NONE) {
            return reason_problem(reason).into_iter().collect();
        }
        let (named, left_open) = match shown.split_once(NOT_SHOWN) {
            Some((named, left_open)) => (named, reason_problem(left_open)),
            None => (shown, None),
        };
        let names = named.split(',').map(str::trim);
        let mut found: Vec<_> = names.filter_map(|name| self.problem(name)).collect();
        found.extend(left_open);
        found
    }

    fn problem(&mut self, name: &str) -> Option<String> {
        let (name, may_be_ignored) = match name.strip_suffix(IGNORED) {
            Some(name) => (name, true),
            None => (name, false),
        };
        let name = name.trim_matches('`');
        let Some((file, function)) = name.split_once("::") else {
            return Some(format!("{name:?} is no test"));
        };
        if !self.root.join(file).is_file() {
            return Some(format!("there is no {file}"));
        }
        let root = self.root;
        let tests = self.known.entry(file.to_owned());
        let tests = tests.or_insert_with(|| tests_of(&root.join(file)));
        match (tests.get(function), may_be_ignored) {
            (None, _) => Some(format!("{file} has no test {function}")),
            (Some(true), false) => Some(format!("{name} is ignored, and the row does not say so")),
            (Some(false), true) => Some(format!("{name} is not ignored")),
            (Some(true), true) | (Some(false), false) => None,
        }
    }
}

/// The tests of a file, in Rust or in Go.
pub(crate) fn tests_of(file: &Path) -> BTreeMap<String, bool> {
    if file.extension().is_some_and(|extension| extension == "go") {
        let text = sources::read(file);
        let functions = text.lines().filter_map(|line| line.strip_prefix("func "));
        let names = functions.filter_map(|line| line.split_once('(').map(|(name, _)| name));
        let tests = names.filter(|name| name.starts_with("Test"));
        return tests.map(|name| (name.to_owned(), false)).collect();
    }
    let mut collector = Collector::default();
    collector.visit_file(&sources::parse(file));
    collector.tests
}

#[derive(Default)]
struct Collector {
    tests: BTreeMap<String, bool>,
}

impl Collector {
    /// Tests among the tokens of a macro, such as `proptest!`.
    fn scan(&mut self, mut cursor: Cursor<'_>) {
        let (mut is_test, mut is_ignored) = (false, false);
        while !cursor.eof() {
            if let Some((inside, _, _, rest)) = cursor.any_group() {
                let attribute = inside.ident().map(|(name, _)| name.to_string());
                is_test |= attribute.as_deref() == Some("test");
                is_ignored |= attribute.as_deref() == Some("ignore");
                cursor = rest;
            } else if let Some((word, rest)) = cursor.ident() {
                cursor = rest;
                if let (true, Some((name, rest))) = (word == "fn", rest.ident()) {
                    if is_test {
                        self.tests.insert(name.to_string(), is_ignored);
                    }
                    (is_test, is_ignored) = (false, false);
                    cursor = rest;
                }
            } else if let Some((_, rest)) = cursor.token_tree() {
                cursor = rest;
            }
        }
    }
}

impl<'ast> Visit<'ast> for Collector {
    fn visit_item_fn(&mut self, function: &'ast syn::ItemFn) {
        let has = |name: &str| {
            let paths = function.attrs.iter().map(syn::Attribute::path);
            let mut last = paths.filter_map(|path| path.segments.last());
            last.any(|segment| segment.ident == name)
        };
        if has("test") {
            let name = function.sig.ident.to_string();
            self.tests.insert(name, has("ignore"));
        }
        visit::visit_item_fn(self, function);
    }

    fn visit_macro(&mut self, found: &'ast syn::Macro) {
        let tokens = TokenBuffer::new2(found.tokens.clone());
        self.scan(tokens.begin());
        visit::visit_macro(self, found);
    }
}
