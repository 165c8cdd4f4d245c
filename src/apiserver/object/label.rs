//! The labels of an ImageRepository's objects: those that were copied from it, and two of ours, which nobody can forge
//! by copied ones. Any ImageRepository name is made a legal label value.

use std::borrow::Cow;

use sha2::{Digest as _, Sha256};

use crate::api::names;
use crate::api::tags::{REPOSITORY_LABEL, SELECTED_LABEL};
use crate::apiserver::hex;
use crate::apiserver::json::Json;
use crate::store::RepositoryTags;

const MAX_LENGTH: usize = 63;
/// A hyphen and eight hexadecimal digits.
const MARK_LENGTH: usize = 9;

/// The value of the label `key` on an object of `tags` that is, or is not, elected.
pub(in crate::apiserver) fn value<'a>(
    tags: &'a RepositoryTags,
    elected: bool,
    key: &str,
) -> Option<Cow<'a, str>> {
    match key {
        SELECTED_LABEL => elected.then_some(Cow::Borrowed(names::LABEL_SELECTED_TRUE)),
        REPOSITORY_LABEL => Some(fit(&tags.owner().key.name)),
        copied => {
            let value = tags.owner().labels.get(copied)?;
            Some(Cow::Borrowed(value))
        }
    }
}

/// Writes the end of an object's metadata: `","labels":{…}}`, keys in order.
pub(super) fn write(json: &mut Json, tags: &RepositoryTags, elected: bool) {
    let ours = [REPOSITORY_LABEL, SELECTED_LABEL];
    let copied = tags.owner().labels.keys().map(String::as_str);
    let mut keys: Vec<&str> = copied
        .filter(|key| !ours.contains(key))
        .chain(ours)
        .collect();
    keys.sort_unstable();
    let mut separator = r#"","labels":{"#;
    for key in keys {
        if let Some(value) = value(tags, elected, key) {
            json.raw(separator).string(key).raw(":").string(&value);
            separator = ",";
        }
    }
    json.raw("}}");
}

/// `name` itself when it is a legal label value, else its beginning with 8 hex digits of its SHA-256: so two long names
/// with one beginning still differ.
fn fit(name: &str) -> Cow<'_, str> {
    if name.len() <= MAX_LENGTH && is_legal(name) {
        return Cow::Borrowed(name);
    }
    let mut beginning = String::with_capacity(MAX_LENGTH);
    for character in name.chars().filter(|character| is_inner(*character)) {
        if beginning.len() == MAX_LENGTH - MARK_LENGTH {
            break;
        }
        beginning.push(character);
    }
    let beginning = beginning.trim_matches(|edge: char| !edge.is_ascii_alphanumeric());
    let digest = hex::lower(&Sha256::digest(name.as_bytes()));
    let mark = digest.get(..MARK_LENGTH - 1).unwrap_or_default();
    Cow::Owned(if beginning.is_empty() {
        mark.to_owned()
    } else {
        format!("{beginning}-{mark}")
    })
}

fn is_inner(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, '-' | '_' | '.')
}

fn is_legal(name: &str) -> bool {
    name.chars().all(is_inner)
        && name.starts_with(|first: char| first.is_ascii_alphanumeric())
        && name.ends_with(|last: char| last.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_short_name_stays_and_a_long_one_is_cut_and_marked() {
        assert_eq!(fit("podinfo"), "podinfo");
        assert_eq!(fit(&"a".repeat(63)), "a".repeat(63));
        // SHA-256 of 64 times "a" begins with ffe054fe.
        assert_eq!(fit(&"a".repeat(64)), format!("{}-ffe054fe", "a".repeat(54)));
        let dotted = format!("{}.{}", "a".repeat(53), "b".repeat(20));
        assert!(fit(&dotted).starts_with(&format!("{}-", "a".repeat(53))));
    }

    proptest! {
        #[test]
        fn every_name_becomes_a_legal_value(name in "[a-z0-9.-]{1,253}|\\PC{1,80}") {
            let value = fit(&name);
            prop_assert!(value.len() <= 63 && is_legal(&value), "{}", value);
        }
    }
}
