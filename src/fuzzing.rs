//! Every parser of untrusted text behind one kind of door, for `fuzz/` and for the test below: bytes in, and an
//! assertion on what comes out. Built for tests and fuzzing only; the program has none of it.

use crate::apiserver::fuzzing as apiserver;
use crate::mirror::fuzzing as mirror;
use crate::policy::{Candidates, Range, TagFilter, Version};
use crate::regexp::Regexp;
use crate::registry::fuzzing as registry;

/// `WWW-Authenticate`, one header per line.
pub fn challenge(data: &[u8]) {
    registry::challenge(data);
}

/// `Link`, one header per line.
pub fn link(data: &[u8]) {
    registry::link(data);
}

/// A `.dockerconfigjson`.
pub fn docker_config(data: &[u8]) {
    registry::docker_config(data);
}

/// The body of a tag list.
pub fn tag_list(data: &[u8]) {
    registry::tag_list(data);
}

/// A semver range on the first line, versions on the others: both ways to ask agree.
///
/// # Panics
/// When they do not.
pub fn range(data: &[u8]) {
    let (text, versions) = first_line(data);
    let Ok(range) = Range::parse(&text) else {
        return;
    };
    for version in versions.lines().chain(["1.2.3", "0.0.0-rc.1+x"]).take(32) {
        if let Some(version) = Version::parse_loose(version) {
            assert_eq!(range.matches(&version), range.check(&version).is_ok());
        }
    }
}

/// A Go pattern on the first line, texts on the others: what is translated compiles, and a match lies in its text.
///
/// # Panics
/// When it does not.
pub fn regexp(data: &[u8]) {
    let (pattern, texts) = first_line(data);
    let Ok(compiled) = Regexp::new(&pattern) else {
        return;
    };
    for text in texts.lines().chain(["", "v1.2.3-rc1"]).take(8) {
        let found = compiled.find(text);
        assert_eq!(found.is_some(), compiled.is_match(text), "{pattern:?}");
        if let Some(whole) = found.and_then(|found| found.group(0).map(str::to_owned)) {
            assert!(text.contains(&whole), "{pattern:?} in {text:?}: {whole:?}");
        }
    }
}

/// A pattern, a template and tags, a line each: every tag that matches has a key or gave way to another.
///
/// # Panics
/// When one is lost.
pub fn extract(data: &[u8]) {
    let (pattern, rest) = first_line(data);
    let (template, tags) = first_line(rest.as_bytes());
    let Ok(filter) = TagFilter::new(&pattern, &template) else {
        return;
    };
    let tags: std::collections::BTreeSet<_> = tags.lines().take(16).collect();
    let candidates = Candidates::visit(|push| tags.iter().for_each(|tag| push(tag)));
    let matching = candidates.iter().filter(|tag| filter.key(tag).is_some());
    let matching = matching.count();
    if let Ok(filtered) = filter.apply(&candidates) {
        assert_eq!(filtered.len() + filtered.shadowed(), matching);
    }
}

/// The body of a TagQuery, as JSON and as YAML.
///
/// # Panics
/// When what was read does not say the same once it is written and read again.
pub fn tag_query(data: &[u8]) {
    crate::apiserver::tag_query::fuzz(data);
}

/// The query of a request.
pub fn query(data: &[u8]) {
    apiserver::query(data);
}

/// A label selector on the first line, labels on the others.
pub fn label_selector(data: &[u8]) {
    apiserver::label_selector(data);
}

/// A field selector.
pub fn field_selector(data: &[u8]) {
    apiserver::field_selector(data);
}

/// A continue token, or the JSON inside of one.
pub fn continue_token(data: &[u8]) {
    apiserver::continue_token(data);
}

/// A method and a target, a line each.
pub fn request_info(data: &[u8]) {
    apiserver::request_info(data);
}

/// `Accept`, one header per line.
pub fn accept(data: &[u8]) {
    apiserver::accept(data);
}

/// Headers of a front proxy, `name: value` per line.
pub fn front_proxy(data: &[u8]) {
    apiserver::front_proxy(data);
}

/// Headers of a request that asks for a WebSocket, `name: value` per line.
pub fn websocket(data: &[u8]) {
    apiserver::websocket(data);
}

/// The value of an `Authorization` header.
pub fn authorization(data: &[u8]) {
    apiserver::authorization(data);
}

/// Headers that may ask to act as somebody else, `name: value` per line.
pub fn impersonate(data: &[u8]) {
    apiserver::impersonate(data);
}

/// A manifest or index, behind a line with its `Content-Type`.
pub fn manifest(data: &[u8]) {
    let (content_type, document) = first_line(data);
    mirror::manifest(&content_type, document.as_bytes());
}

/// An index; a line before it says which of its entries stay.
pub fn index(data: &[u8]) {
    let (keep, document) = first_line(data);
    mirror::index(&keep, document.as_bytes());
}

/// Tags that may belong to images, one per line.
pub fn referrers(data: &[u8]) {
    mirror::referrers(&String::from_utf8_lossy(data));
}

/// A state of what is known to be where, as a file and as what stands behind its checksum.
pub fn known(data: &[u8]) {
    mirror::known(data);
}

/// A ledger of what a mirror owns, as it is kept and as what stands behind its checksum.
pub fn ledger(data: &[u8]) {
    mirror::ledger(data);
}

/// A template, a registry, and sources, a line each.
pub fn template(data: &[u8]) {
    let (template, rest) = first_line(data);
    let (registry, sources) = first_line(rest.as_bytes());
    mirror::template(&template, &registry, &sources);
}

fn first_line(data: &[u8]) -> (String, String) {
    let text = String::from_utf8_lossy(data);
    let (first, rest) = text.split_once('\n').unwrap_or((&text, ""));
    (first.to_owned(), rest.to_owned())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    type Target = fn(&[u8]);

    /// The fuzz targets by name, which is also the name of their corpus.
    const TARGETS: &[(&str, Target)] = &[
        ("accept", accept),
        ("authorization", authorization),
        ("challenge", challenge),
        ("continue_token", continue_token),
        ("docker_config", docker_config),
        ("extract", extract),
        ("field_selector", field_selector),
        ("front_proxy", front_proxy),
        ("impersonate", impersonate),
        ("index", index),
        ("known", known),
        ("label_selector", label_selector),
        ("ledger", ledger),
        ("link", link),
        ("manifest", manifest),
        ("query", query),
        ("range", range),
        ("referrers", referrers),
        ("regexp", regexp),
        ("request_info", request_info),
        ("tag_list", tag_list),
        ("tag_query", tag_query),
        ("template", template),
        ("websocket", websocket),
    ];

    #[test]
    fn everything_in_the_corpora_is_read_as_it_should_be() {
        let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
        let targets: Vec<_> = TARGETS.iter().map(|(name, _)| *name).collect();
        let corpora = fuzz.join("corpus");
        assert_eq!(listed(&corpora), targets, "a corpus per target");
        let programs: Vec<_> = targets.iter().map(|name| format!("{name}.rs")).collect();
        assert_eq!(
            listed(&fuzz.join("fuzz_targets")),
            programs,
            "a program per target"
        );
        let manifest = std::fs::read_to_string(fuzz.join("Cargo.toml")).unwrap();
        for (name, target) in TARGETS {
            let path = format!("path = \"fuzz_targets/{name}.rs\"");
            assert!(manifest.contains(&path), "a [[bin]] for {name}");
            let mut files = 0;
            for entry in std::fs::read_dir(corpora.join(name)).unwrap() {
                target(&std::fs::read(entry.unwrap().path()).unwrap());
                files += 1;
            }
            assert!(files >= 5, "{name} has {files} files");
        }
    }

    /// What is in a directory, sorted.
    fn listed(directory: &Path) -> Vec<String> {
        let mut names: Vec<_> = std::fs::read_dir(directory)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}
