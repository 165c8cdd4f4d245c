//! What is read here of others, for the fuzz targets: bytes in, and what must hold of the outcome.
//!
//! Built for tests and fuzzing only. A target that cannot fail finds nothing: each one states a property.

use std::collections::HashSet;

use super::document::{self, Content, Document, Error, MOST_DESCRIPTORS};
use super::known::Known;
use super::ledger::Ledger;
use super::template::Template;
use super::{referrers, subset};
use crate::image::{Digest, Repository, Tag};

/// No message is longer, whatever it is about.
const MESSAGE_BYTES: usize = 3000;

/// A document: each blob is named once, a type is one that fits into a header, and a refusal can be shown.
pub(crate) fn manifest(content_type: &str, bytes: &[u8]) {
    let document = match document::parse(bytes, Some(content_type)) {
        Ok(document) => document,
        Err(Error(message)) => return assert_shown(&message),
    };
    let Document {
        media_type,
        content,
        ..
    } = &document;
    assert!(http::HeaderValue::from_str(media_type).is_ok() && !media_type.is_empty());
    match content {
        Content::Manifest { blobs, foreign } => {
            let all = blobs.iter().chain(foreign);
            let once: HashSet<_> = all.clone().map(|blob| &blob.digest).collect();
            assert_eq!(once.len(), all.count(), "{document:?}");
        }
        Content::Index(children) => assert!(children.len() <= MOST_DESCRIPTORS),
    }
    // What was read is what it is called from now on.
    let again = document::parse(bytes, Some(media_type));
    assert_eq!(again, Ok(document));
}

/// An index, and for each entry an `x` where it stays: what is left is these entries, in their order, and the bytes before
/// the first and behind the last are what they were.
pub(crate) fn index(keep: &str, bytes: &[u8]) {
    let read = |bytes: &[u8]| match document::parse(bytes, None) {
        Ok(Document {
            content: Content::Index(children),
            ..
        }) => Some(children),
        _ => None,
    };
    let Some(children) = read(bytes) else {
        assert!(subset::rewrite(bytes, &[Digest::of(b"")]).is_err());
        return;
    };
    let marks = keep.bytes().chain(std::iter::repeat(b'.'));
    let staying = children.iter().zip(marks).filter(|(_, mark)| *mark == b'x');
    let digests: Vec<Digest> = staying
        .map(|(child, _)| child.descriptor.digest.clone())
        .collect();
    let rewritten = match subset::rewrite(bytes, &digests) {
        Ok(rewritten) => rewritten,
        Err(Error(message)) => {
            assert!(digests.is_empty(), "{message}");
            return;
        }
    };
    let stays = |child: &&document::Child| digests.contains(&child.descriptor.digest);
    let expected: Vec<_> = children.iter().filter(stays).cloned().collect();
    let is_all = expected.len() == children.len();
    assert_eq!(read(&rewritten), Some(expected));
    assert_eq!(is_all, rewritten == bytes);
}

/// Tags: what belongs to an image by SHA-256 leads to it and back.
pub(crate) fn referrers(text: &str) {
    for tag in text
        .lines()
        .take(64)
        .filter_map(|line| line.parse::<Tag>().ok())
    {
        let Some(subject) = referrers::subject(&tag) else {
            continue;
        };
        assert!(referrers::is_companion(&tag));
        let fallback = referrers::fallback_tag(&subject).map(|tag| tag.to_string());
        assert!(fallback.is_some_and(|fallback| tag.as_str().starts_with(&fallback)));
    }
}

/// A state: what is read is written and read again as the same.
pub(crate) fn known(data: &[u8]) {
    for read in [Known::decode(data), Known::decode_unchecked(data)] {
        let Ok(read) = read else { continue };
        let bytes = read.encode();
        let again = Known::decode(&bytes).map(|again| again.encode());
        assert_eq!(again.as_ref(), Ok(&bytes));
        let merged = Known::default();
        merged.merge(&read);
        merged.merge(&read);
        assert!(Known::decode(&merged.encode()).is_ok());
    }
}

/// A ledger: what is read is written and read again as the same.
pub(crate) fn ledger(data: &[u8]) {
    for read in [Ledger::decode(data), Ledger::decode_unchecked(data)] {
        let Ok(read) = read else { continue };
        assert_eq!(Ledger::decode(&read.encode()), Ok(read));
    }
}

/// A template: what it makes is a repository by its own name, below the registry that was given.
pub(crate) fn template(template: &str, registry: &str, sources: &str) {
    let template = match Template::parse(template) {
        Ok(template) => template,
        Err(error) => return assert_shown(&error.to_string()),
    };
    for source in sources.lines().take(8) {
        let Ok(source) = source.parse::<Repository>() else {
            continue;
        };
        match template.apply(registry, &source) {
            Ok(made) => {
                assert_eq!(made.to_string().parse::<Repository>().as_ref(), Ok(&made));
                if let Some((_, prefix)) = registry.split_once('/') {
                    assert!(made.path().starts_with(prefix), "{made} {prefix}");
                }
            }
            Err(error) => assert_shown(&error.to_string()),
        }
    }
}

fn assert_shown(message: &str) {
    assert!(message.len() <= MESSAGE_BYTES, "{} bytes", message.len());
    assert!(!message.contains(char::is_control), "{message:?}");
}
