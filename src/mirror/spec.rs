//! What the spec of an ImageMirror asks for in this floor's words: read alike for the objects of a cluster and for documents.

use super::canonical;
use super::clash::Terms;
use super::overwrite::Overwrite;
use super::subset::Mode;
use super::template::Template;
use crate::api::ImageMirrorSpec;
use crate::api::image_mirror::{Destination, OverwriteMode, PlatformMode};
use crate::image::{Platform, Repository};
use crate::regexp::Regexp;

/// What holds for all sources of a mirror.
#[derive(Debug, Clone)]
pub struct How {
    /// Those to keep; all where it is empty.
    pub platforms: Vec<Platform>,
    /// How the others are left out.
    pub mode: Mode,
    /// When a tag that differs is overwritten.
    pub overwrite: Overwrite,
}

/// What is wrong with a field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {what}")]
pub struct Problem {
    /// Which, from `spec` on.
    pub field: String,
    /// What is wrong with it.
    pub what: String,
}

impl Problem {
    fn new(field: String, what: &dyn std::fmt::Display) -> Self {
        let what = what.to_string();
        Self { field, what }
    }
}

impl How {
    /// Reads platforms and overwrite.
    ///
    /// # Errors
    /// Everything that cannot be read.
    pub fn read(spec: &ImageMirrorSpec) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let mut platforms = Vec::new();
        let mut mode = Mode::Rewritten;
        if let Some(wanted) = &spec.platforms {
            for (index, text) in wanted.include.iter().enumerate() {
                match text.parse() {
                    Ok(platform) => platforms.push(platform),
                    Err(error) => problems.push(Problem::new(
                        format!("spec.platforms.include[{index}]"),
                        &format_args!("is {text:?}: {error}"),
                    )),
                }
            }
            mode = match wanted.mode {
                PlatformMode::Rewritten | PlatformMode::Unknown => Mode::Rewritten,
                PlatformMode::Sparse => Mode::Sparse,
            };
        }
        let mut overwrite = Overwrite::Never;
        if let Some(wanted) = &spec.overwrite {
            let mut patterns = Vec::new();
            for (index, pattern) in wanted.mutable.iter().enumerate() {
                match Regexp::new(pattern) {
                    Ok(pattern) => patterns.push(pattern),
                    Err(error) => problems.push(Problem::new(
                        format!("spec.overwrite.mutable[{index}]"),
                        &error,
                    )),
                }
            }
            overwrite = match wanted.mode {
                OverwriteMode::Never | OverwriteMode::Unknown => Overwrite::Never,
                OverwriteMode::MutableTagsOnly => Overwrite::MutableTagsOnly(patterns),
                OverwriteMode::Always => Overwrite::Always,
            };
        }
        if problems.is_empty() {
            Ok(Self {
                platforms,
                mode,
                overwrite,
            })
        } else {
            Err(problems)
        }
    }
}

impl How {
    /// The terms on which `spec`, of which this was read, wants its sources at its destinations.
    pub fn terms(&self, spec: &ImageMirrorSpec) -> Terms {
        let patterns = spec.overwrite.as_ref().map(|it| it.mutable.as_slice());
        let overwrite = (&self.overwrite, patterns.unwrap_or_default());
        Terms::new(&self.platforms, self.mode, spec.referrers, overwrite)
    }
}

/// A destination, before it is known of which source.
#[derive(Debug, Clone)]
pub struct Target {
    /// `spec.destinations[0]`
    pub path: String,
    registry: String,
    template: Template,
}

impl Target {
    /// Reads the destination that is `index` in the spec.
    ///
    /// # Errors
    /// The template is none.
    pub fn read(index: usize, destination: &Destination) -> Result<Self, Problem> {
        let path = format!("spec.destinations[{index}]");
        match Template::parse(destination.effective_template()) {
            Ok(template) => Ok(Self {
                path,
                registry: destination.registry.clone(),
                template,
            }),
            Err(error) => Err(Problem::new(format!("{path}.repositoryTemplate"), &error)),
        }
    }

    /// All destinations of a spec.
    ///
    /// # Errors
    /// Every template that is none.
    pub fn all(spec: &ImageMirrorSpec) -> Result<Vec<Self>, Vec<Problem>> {
        let (mut targets, mut problems) = (Vec::new(), Vec::new());
        for (index, destination) in spec.destinations.iter().enumerate() {
            match Self::read(index, destination) {
                Ok(target) => targets.push(target),
                Err(problem) => problems.push(problem),
            }
        }
        if problems.is_empty() {
            Ok(targets)
        } else {
            Err(problems)
        }
    }

    /// The repository that `source` goes to.
    ///
    /// # Errors
    /// The registry is none, what is made is no name, or it is the source itself.
    pub fn of(&self, source: &Repository) -> Result<Repository, Problem> {
        let made = self.template.apply(&self.registry, source);
        let made = made.map_err(|error| Problem::new(self.path.clone(), &error))?;
        if canonical::repository(&made) == canonical::repository(source) {
            let what = format!("leads to the source itself, {source}");
            return Err(Problem::new(self.path.clone(), &what));
        }
        Ok(made)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn spec(fields: serde_json::Value) -> ImageMirrorSpec {
        let mut all = json!({
            "sourceRef": { "name": "app" },
            "destinations": [{ "name": "copy", "registry": "mirror.test" }],
        });
        let serde_json::Value::Object(fields) = fields else {
            panic!("{fields}")
        };
        for (name, value) in fields {
            all[name] = value;
        }
        serde_json::from_value(all).unwrap()
    }

    #[test]
    fn every_problem_is_told_with_its_field() {
        let wrong = spec(json!({
            "platforms": { "include": ["linux/amd64", "linux"] },
            "overwrite": { "mode": "MutableTagsOnly", "mutable": ["^ok$", "("] },
        }));
        let problems = How::read(&wrong).unwrap_err();
        let fields: Vec<_> = problems.iter().map(|it| it.field.as_str()).collect();
        assert_eq!(
            fields,
            ["spec.platforms.include[1]", "spec.overwrite.mutable[1]"]
        );
        let how = How::read(&spec(json!({
            "platforms": { "include": ["linux/amd64"], "mode": "Sparse" },
            "overwrite": { "mode": "MutableTagsOnly", "mutable": ["^v1$"] },
        })));
        let how = how.unwrap();
        assert_eq!(how.mode, Mode::Sparse);
        assert_eq!(how.platforms.len(), 1);
        assert!(how.overwrite.permits(&"v1".parse().unwrap()));
    }

    #[test]
    fn destinations_are_named_or_refused_with_their_field() {
        let source = "registry.test/o/app".parse().unwrap();
        for (destination, expected) in [
            (
                json!({ "registry": "mirror.test" }),
                Ok("mirror.test/registry.test/o/app"),
            ),
            (
                json!({ "registry": "mirror.test:5000/x", "repositoryTemplate": "{name}" }),
                Ok("mirror.test:5000/x/app"),
            ),
            (
                json!({ "registry": "mirror.test", "repositoryTemplate": "{nam}" }),
                Err("spec.destinations[0].repositoryTemplate: "),
            ),
            (
                json!({ "registry": "https://mirror.test" }),
                Err("spec.destinations[0]: "),
            ),
            (
                json!({ "registry": "registry.test", "repositoryTemplate": "{path}" }),
                Err("spec.destinations[0]: leads to the source itself, registry.test/o/app"),
            ),
            (
                json!({ "registry": "Registry.test:443", "repositoryTemplate": "{path}" }),
                Err("spec.destinations[0]: leads to the source itself, registry.test/o/app"),
            ),
        ] {
            let shown = destination.to_string();
            let mut destination = destination;
            destination["name"] = "copy".into();
            let spec = spec(json!({ "destinations": [destination] }));
            let made = Target::all(&spec)
                .map_err(|mut problems| problems.remove(0))
                .and_then(|targets| targets[0].of(&source));
            match (made, expected) {
                (Ok(made), Ok(expected)) => assert_eq!(made.to_string(), expected),
                (Err(problem), Err(expected)) => {
                    assert!(problem.to_string().starts_with(expected), "{problem}");
                }
                (made, _) => panic!("{shown}: {made:?}"),
            }
        }
    }
}
