//! Finds and parses the project's own sources, for the tests that judge them.

use std::fs;
use std::path::{Path, PathBuf};

/// The checkout.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every `.rs` file below `dir`, as paths relative to it, sorted. None when there is no such directory.
pub(crate) fn rust_files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut waiting = vec![PathBuf::new()];
    while let Some(below) = waiting.pop() {
        let Ok(entries) = fs::read_dir(dir.join(&below)) else {
            continue;
        };
        for entry in entries {
            let entry = entry.expect("the entry is readable");
            let path = below.join(entry.file_name());
            if entry.file_type().expect("it has a type").is_dir() {
                waiting.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// Reads a file that is known to be there.
pub(crate) fn read(file: &Path) -> String {
    fs::read_to_string(file).unwrap_or_else(|e| unreachable!("read {}: {e}", file.display()))
}

/// Parses a file that compiles.
pub(crate) fn parse(file: &Path) -> syn::File {
    syn::parse_file(&read(file)).unwrap_or_else(|e| unreachable!("parse {}: {e}", file.display()))
}
