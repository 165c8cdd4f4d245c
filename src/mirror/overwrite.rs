//! Whether a tag that is there with other content may be written over.

use crate::image::Tag;
use crate::regexp::Regexp;

/// When a tag that differs is overwritten.
#[derive(Debug, Clone, Default)]
pub enum Overwrite {
    /// Never: it is reported as drift.
    #[default]
    Never,
    /// Only tags that are meant to move: `latest`, names of branches (no digit in them), and what the patterns match.
    MutableTagsOnly(Vec<Regexp>),
    /// Always.
    Always,
}

impl Overwrite {
    /// Whether `tag` may be written over.
    pub fn permits(&self, tag: &Tag) -> bool {
        match self {
            Self::Never => false,
            Self::MutableTagsOnly(patterns) => {
                is_mutable_by_name(tag)
                    || patterns
                        .iter()
                        .any(|pattern| pattern.is_match(tag.as_str()))
            }
            Self::Always => true,
        }
    }
}

/// Whether a tag is one that moves by its name alone: there is no digit in it, so that it names neither a version, nor
/// a build, nor a commit.
pub fn is_mutable_by_name(tag: &Tag) -> bool {
    !tag.as_str().bytes().any(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_without_digits_move() {
        for (tag, moves) in [
            ("latest", true),
            ("main", true),
            ("feature-x_y.z", true),
            ("v1", false),
            ("1.2.3", false),
            ("release-1.x", false),
            ("9f2c1ab", false),
            ("latest-2024", false),
        ] {
            assert_eq!(is_mutable_by_name(&tag.parse().unwrap()), moves, "{tag}");
        }
    }

    #[test]
    fn what_is_permitted() {
        let patterns = vec![
            Regexp::new("^v[0-9]+$").unwrap(),
            Regexp::new("-dev").unwrap(),
        ];
        let some = Overwrite::MutableTagsOnly(patterns);
        for (tag, by_some) in [
            ("latest", true),
            ("v1", true),
            ("v1.2", false),
            ("1.2-dev", true),
            ("1.2", false),
        ] {
            let tag = tag.parse().unwrap();
            assert!(!Overwrite::Never.permits(&tag) && !Overwrite::default().permits(&tag));
            assert!(Overwrite::Always.permits(&tag));
            assert_eq!(some.permits(&tag), by_some, "{tag}");
        }
    }
}
