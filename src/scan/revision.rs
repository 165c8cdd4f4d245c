//! The revision of a tag list: a text that changes when the list does, in one of Flux's two forms.
//!
//! Policies run again when it differs, and users' alerts show it, so an object's form stays what it was.

use std::fmt::Write as _;

use adler2::Adler32;
use sha2::{Digest as _, Sha256};

use crate::image::Tag;

const SHA256_PREFIX: &str = "sha256:";

/// How a revision is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Form {
    /// Adler-32 over the list as compact JSON, in decimal. What Flux's Badger store writes.
    #[default]
    Adler32,
    /// `sha256:` and lower-case hex, over each tag with a line feed behind it. What Flux's file store writes.
    Sha256,
}

impl Form {
    /// The form for an object: that of the revision it has, or the one that the feature gate `FluxStorage` chooses.
    pub fn choose(previous: Option<&str>, flux_storage: bool) -> Self {
        match previous {
            Some(revision) if revision.starts_with(SHA256_PREFIX) => Self::Sha256,
            Some(revision) if !revision.is_empty() => Self::Adler32,
            Some(_) | None if flux_storage => Self::Sha256,
            Some(_) | None => Self::Adler32,
        }
    }

    /// The revision of a list that is [sifted](super::sift) already.
    pub fn revision(self, tags: &[Tag]) -> String {
        match self {
            Self::Adler32 => adler32(tags).to_string(),
            Self::Sha256 => sha256(tags),
        }
    }
}

/// The characters of a tag mean nothing to JSON, so quotes are all it takes.
fn adler32(tags: &[Tag]) -> u32 {
    let mut sum = Adler32::new();
    sum.write_slice(b"[");
    for (position, tag) in tags.iter().enumerate() {
        sum.write_slice(if position == 0 { b"\"" } else { b",\"" });
        sum.write_slice(tag.as_str().as_bytes());
        sum.write_slice(b"\"");
    }
    sum.write_slice(b"]");
    sum.checksum()
}

fn sha256(tags: &[Tag]) -> String {
    let mut sum = Sha256::new();
    for tag in tags {
        sum.update(tag.as_str());
        sum.update(b"\n");
    }
    sum.finalize()
        .iter()
        .fold(SHA256_PREFIX.to_owned(), |mut text, byte| {
            // Writing to a string cannot fail.
            write!(text, "{byte:02x}").unwrap_or_default();
            text
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(texts: &[&str]) -> Vec<Tag> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn decimal_revisions_are_flux_s() {
        for (list, revision) in [
            (&["latest", "v0.0.1", "v0.0.2"][..], "1943865137"),
            (&["latest", "v0.0.1", "v0.0.2", "v0.0.3"], "3168012550"),
            (&["v0.0.3", "v0.0.4"], "728958008"),
            (&["d", "c", "b", "a"], "580584407"),
            (&[], "18153657"),
        ] {
            assert_eq!(Form::Adler32.revision(&tags(list)), revision, "{list:?}");
        }
    }

    #[test]
    fn sha256_revisions_are_flux_s() {
        for (list, hex) in [
            (
                &["d", "c", "b", "a"][..],
                "5c6861a52da9e6bfd5f0b37a8c51af173d7550443bb36253b18b2caf57987f53",
            ),
            (
                &[],
                "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            ),
        ] {
            assert_eq!(
                Form::Sha256.revision(&tags(list)),
                format!("sha256:{hex}"),
                "{list:?}"
            );
        }
    }

    #[test]
    fn a_status_keeps_its_form() {
        for (previous, flux_storage, form) in [
            (None, false, Form::Adler32),
            (None, true, Form::Sha256),
            (Some(""), false, Form::Adler32),
            (Some(""), true, Form::Sha256),
            (Some("18153657"), false, Form::Adler32),
            (Some("18153657"), true, Form::Adler32),
            (Some("sha256:e3b0"), false, Form::Sha256),
            (Some("sha256:e3b0"), true, Form::Sha256),
        ] {
            assert_eq!(
                Form::choose(previous, flux_storage),
                form,
                "{previous:?} {flux_storage}"
            );
        }
    }
}
