//! `spec.exclusionList`: patterns of tags that are as good as absent.

use std::sync::{Arc, LazyLock};

use crate::api::image_repository::DEFAULT_EXCLUSION;
use crate::regexp::{self, Regexp};

/// A pattern that does not compile.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("failed to compile regex {pattern}: {error}")]
pub struct Error {
    /// The pattern as it was given.
    pub pattern: String,
    /// What is wrong with it; part of the text, because the text goes into a condition.
    pub error: regexp::Error,
}

/// A compiled exclusion list; a copy shares what was compiled.
#[derive(Debug, Clone)]
pub struct Exclusion(Arc<[Regexp]>);

/// What nearly every object has. Compiling it would be a good part of what a scan costs.
static DEFAULT: LazyLock<Result<Exclusion, Error>> =
    LazyLock::new(|| Exclusion::compile_anew(&[DEFAULT_EXCLUSION.to_owned()]));

impl Exclusion {
    /// Compiles the patterns of an effective list; the first one that does not compile is returned.
    pub fn compile(patterns: &[String]) -> Result<Self, Error> {
        if Self::is_default(patterns) {
            DEFAULT.clone()
        } else {
            Self::compile_anew(patterns)
        }
    }

    /// Whether these patterns are compiled already, for good.
    pub fn is_default(patterns: &[String]) -> bool {
        matches!(patterns, [only] if only == DEFAULT_EXCLUSION)
    }

    fn compile_anew(patterns: &[String]) -> Result<Self, Error> {
        let compile = |pattern: &String| {
            Regexp::new(pattern).map_err(|error| Error {
                pattern: pattern.clone(),
                error,
            })
        };
        patterns
            .iter()
            .map(compile)
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// Whether any pattern is anywhere in `tag`.
    pub fn excludes(&self, tag: &str) -> bool {
        self.0.iter().any(|pattern| pattern.is_match(tag))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(patterns: &[&str]) -> Vec<String> {
        patterns.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn any_pattern_excludes_wherever_it_stands() {
        let exclusion = Exclusion::compile(&list(&["rc", r"^v0\."])).unwrap();
        for (tag, excluded) in [
            ("1.0.0-rc.1", true),
            ("src", true),
            ("v0.1", true),
            ("1.v0.1", false),
            ("", false),
        ] {
            assert_eq!(exclusion.excludes(tag), excluded, "{tag:?}");
        }
    }

    #[test]
    fn the_default_excludes_signatures_only() {
        let exclusion = Exclusion::compile(&[DEFAULT_EXCLUSION.to_owned()]).unwrap();
        assert!(exclusion.excludes("sha256-00.sig"));
        assert!(!exclusion.excludes("sha256-00.att"));
    }

    #[test]
    fn the_first_bad_pattern_is_reported_in_gos_words() {
        let error = Exclusion::compile(&list(&["fine", "a(", "b["])).unwrap_err();
        assert_eq!(
            error.to_string(),
            "failed to compile regex a(: error parsing regexp: missing closing ): `a(`"
        );
    }
}
