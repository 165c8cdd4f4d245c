//! Holds the sources to what a reader relies on: an opening comment, a size, and that they are compiled at all.

use std::path::{Path, PathBuf};

use crate::sources;

/// Past this a second thing has moved in.
const MAX_LINES: usize = 600;

#[test]
fn every_source_file_is_tidy() {
    let problems = problems(sources::root());
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
}

#[test]
fn an_untidy_file_is_found() {
    let tree = tempfile::tempdir().unwrap();
    let write = |file: &str, content: &str| {
        let file = tree.path().join(file);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, content).unwrap();
    };
    write("src/lib.rs", "//! Fine.\nmod long;\nmod silent;\n");
    write("src/silent.rs", "// No module comment.\npub mod child;\n");
    write("src/silent/child.rs", "//! Fine.\n");
    write("src/silent/orphan.rs", "//! Nobody declares it.\n");
    write("src/long.rs", &"//! Too much.\n".repeat(MAX_LINES + 1));
    write("tests/it/main.rs", "//! Fine.\n");
    write("tests/it/forgotten.rs", "//! Its tests never run.\n");
    write("tests/it/fixtures/any.rs", "//! Not compiled on purpose.\n");
    assert_eq!(
        problems(tree.path()),
        [
            "src/long.rs: 601 lines, more than 600",
            "src/silent.rs: does not open with a `//!` comment",
            "src/silent/orphan.rs: no `mod orphan` leads to it",
            "tests/it/forgotten.rs: no `mod forgotten` leads to it",
        ]
    );
}

/// Everything that is wrong with the sources of the checkout at `root`.
fn problems(root: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for tree in ["src", "tests/it", "tests/e2e", "benches"] {
        for file in sources::rust_files(&root.join(tree)) {
            let path = Path::new(tree).join(&file);
            let mut report = |what: String| found.push(format!("{}: {what}", path.display()));
            let text = sources::read(&root.join(&path));
            if !text.starts_with("//!") {
                report("does not open with a `//!` comment".into());
            }
            let lines = text.lines().count();
            if tree == "src" && lines > MAX_LINES {
                report(format!("{lines} lines, more than {MAX_LINES}"));
            }
            let name = file.file_stem().unwrap_or_default().to_string_lossy();
            if tree != "benches" && !is_reached(&root.join(tree), &file) {
                report(format!("no `mod {name}` leads to it"));
            }
        }
    }
    found.sort();
    found
}

/// Whether the module that should declare `file` does. A fixture is not meant to be compiled.
fn is_reached(tree: &Path, file: &Path) -> bool {
    let parent = file.parent().unwrap_or_else(|| Path::new(""));
    let is_root = parent == Path::new("");
    let roots = ["lib.rs", "main.rs"].map(PathBuf::from);
    if (is_root && roots.iter().any(|root| root == file)) || file.starts_with("fixtures") {
        return true;
    }
    let name = file.file_stem().unwrap_or_default();
    let declarers = if is_root {
        roots.to_vec()
    } else {
        vec![parent.with_extension("rs")]
    };
    let declarers = declarers.into_iter().map(|declarer| tree.join(declarer));
    declarers.filter(|declarer| declarer.exists()).any(|declarer| {
        sources::parse(&declarer).items.iter().any(|item| {
            matches!(item, syn::Item::Mod(module) if module.content.is_none() && *module.ident.to_string() == *name)
        })
    })
}
