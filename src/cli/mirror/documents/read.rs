//! Files to documents. Bounded, and without any knowledge of kinds.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::super::super::Failure;
use super::{Document, Place, Problems};

/// A longer file is no list of mirrors.
const FILE_BYTES: u64 = 8 << 20;
/// More documents are not read.
const MOST_DOCUMENTS: usize = 20_000;

/// Every document of every file; a list is the objects in it.
pub(super) fn all(files: &[PathBuf], problems: &mut Problems) -> Result<Vec<Document>, Failure> {
    let mut documents = Vec::new();
    let mut has_input = false;
    for file in files {
        let is_input = file == Path::new("-");
        if is_input && std::mem::replace(&mut has_input, true) {
            return Err(Failure::usage(anyhow::anyhow!(
                "-f - is given twice, and standard input can be read but once"
            )));
        }
        let name = if is_input {
            "standard input".to_owned()
        } else {
            file.display().to_string()
        };
        let text = if is_input {
            super::super::read_bounded(std::io::stdin().lock(), FILE_BYTES)
        } else {
            std::fs::File::open(file).and_then(|file| super::super::read_bounded(file, FILE_BYTES))
        };
        let text = text.map_err(anyhow::Error::from);
        match text.and_then(|text| Ok(String::from_utf8(text)?)) {
            Ok(text) => parse(&name, &text, &mut documents, problems),
            Err(error) => problems.0.push(format!("failed to read {name}: {error:#}")),
        }
        if documents.len() > MOST_DOCUMENTS {
            return Err(Failure::usage(anyhow::anyhow!(
                "{name}: there are more than {MOST_DOCUMENTS} documents, the limit"
            )));
        }
    }
    Ok(documents)
}

/// The documents of one text.
pub(super) fn parse(
    file: &str,
    text: &str,
    documents: &mut Vec<Document>,
    problems: &mut Problems,
) {
    for (number, piece) in (1..).zip(split(text)) {
        let place = Place {
            file: file.to_owned(),
            number,
            item: None,
            what: String::new(),
        };
        match read(piece.text) {
            Ok(Value::Null) => {}
            Ok(value @ Value::Object(_)) => expand(place, value, documents),
            Ok(_) => problems.add(&place, "", "it is not an object"),
            Err((line, what)) => {
                let at = line.map_or_else(String::new, |line| {
                    format!("line {}: ", piece.first_line + line - 1)
                });
                problems.add(&place, "", format!("{at}it is not YAML: {what}"));
            }
        }
    }
}

fn expand(place: Place, mut value: Value, documents: &mut Vec<Document>) {
    let is_list = value.get("apiVersion").and_then(Value::as_str) == Some("v1")
        && value.get("kind").and_then(Value::as_str) == Some("List");
    match value.get_mut("items").map(Value::take) {
        Some(Value::Array(items)) if is_list => {
            for (index, value) in items.into_iter().enumerate() {
                let place = Place {
                    item: Some(index),
                    ..place.clone()
                };
                documents.push(Document { place, value });
            }
        }
        _ => documents.push(Document { place, value }),
    }
}

/// The value, or the line (the first is 1) and what is wrong there.
fn read(text: &str) -> Result<Value, (Option<usize>, String)> {
    let options = serde_saphyr::options! { with_snippet: false };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        let line = error.location().map(|location| location.line());
        let what = error.without_snippet().to_string().replace('\n', " ");
        (line.and_then(|line| usize::try_from(line).ok()), what)
    })
}

/// One document's text.
struct Piece<'a> {
    first_line: usize,
    text: &'a str,
}

/// Splits a stream at `---` and `...`, which stand at the beginning of a line in no other meaning. Pieces without any
/// content (comments alone, nothing before the first `---`) are no documents.
fn split(text: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let (mut begin, mut first_line, mut at) = (0, 1, 0);
    let mut push = |begin: usize, end: usize, first_line: usize| {
        if let Some(text) = text.get(begin..end)
            && text.lines().any(has_content)
        {
            pieces.push(Piece { first_line, text });
        }
    };
    for (line, number) in text.split_inclusive('\n').zip(1..) {
        let end = at + line.len();
        let mark = line
            .strip_prefix("---")
            .or_else(|| line.strip_prefix("..."));
        if mark.is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n'])) {
            push(begin, at, first_line);
            // What stands behind the mark belongs to the document.
            begin = if line.starts_with("---") && mark.is_some_and(has_content) {
                at
            } else {
                end
            };
            first_line = if begin == at { number } else { number + 1 };
        }
        at = end;
    }
    push(begin, text.len(), first_line);
    pieces
}

fn has_content(line: &str) -> bool {
    let line = line.trim();
    !line.is_empty() && !line.starts_with('#') && !line.starts_with('%')
}
