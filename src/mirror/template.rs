//! The name of a destination repository, made from the source's.
//!
//! Placeholders: `{host}` (`:` becomes `-`), `{path}`, `{name}` (its last segment). Two sources that would meet in one
//! destination repository are found here.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use super::canonical;
use super::text::{plain, quoted};
use crate::image::{Registry, Repository};

#[cfg(test)]
mod tests;

/// The longest template in bytes; a repository's path is no longer.
const MOST_BYTES: usize = 255;

/// A parsed template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Host,
    Path,
    Name,
}

impl Template {
    /// What is used where none is given: `{host}/{path}`.
    pub fn by_default() -> Self {
        Self(vec![Part::Host, Part::Text("/".to_owned()), Part::Path])
    }

    /// Parses a template.
    ///
    /// # Errors
    /// A placeholder is unknown or not closed, or what is made could be no path: the text says why.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let refuse = |cause: &str| Error(format!("the template {} {cause}", quoted(text)));
        if text.is_empty() {
            return Err(Error("the template is empty".to_owned()));
        }
        if text.len() > MOST_BYTES {
            return Err(refuse(&format!("has more than {MOST_BYTES} bytes")));
        }
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, behind)) = rest.split_once('{') {
            if !before.is_empty() {
                parts.push(Part::Text(before.to_owned()));
            }
            let Some((name, behind)) = behind.split_once('}') else {
                return Err(refuse("has a `{` without its `}`"));
            };
            parts.push(match name {
                "host" => Part::Host,
                "path" => Part::Path,
                "name" => Part::Name,
                other => {
                    return Err(refuse(&format!(
                        "has the unknown placeholder {}; there are {{host}}, {{path}} and {{name}}",
                        quoted(&format!("{{{other}}}"))
                    )));
                }
            });
            rest = behind;
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        let template = Self(parts);
        template.check(&refuse)?;
        Ok(template)
    }

    /// Checks the texts between the placeholders, and where they leave a segment without anything or with dots only.
    fn check(&self, refuse: &dyn Fn(&str) -> Error) -> Result<(), Error> {
        for part in &self.0 {
            let Part::Text(text) = part else { continue };
            if text.contains('}') {
                return Err(refuse("has a `}` without its `{`"));
            }
            if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
                return Err(refuse("has capital letters, which no repository may have"));
            }
            let wrong = text.chars().find(|char| !is_path(*char));
            if let Some(wrong) = wrong {
                let wrong = quoted(&wrong.to_string());
                return Err(refuse(&format!(
                    "has {wrong}, which no repository may have"
                )));
            }
        }
        // Whatever they stand for, placeholders make a segment that is neither empty nor of dots.
        let shape = self.expand("h", "p", "n");
        let mut segments = shape.split('/');
        if segments.clone().any(str::is_empty) {
            return Err(refuse("begins or ends with a slash, or has two in a row"));
        }
        if segments.any(|segment| matches!(segment, "." | "..")) {
            return Err(refuse("has the segment `.` or `..`"));
        }
        Ok(())
    }

    fn expand(&self, host: &str, path: &str, name: &str) -> String {
        let parts = self.0.iter().map(|part| match part {
            Part::Text(text) => text.as_str(),
            Part::Host => host,
            Part::Path => path,
            Part::Name => name,
        });
        parts.collect()
    }

    /// The destination of `source` at `registry` (a host, or host/prefix).
    ///
    /// # Errors
    /// `registry` is neither, or the name is too long.
    pub fn apply(&self, registry: &str, source: &Repository) -> Result<Repository, Error> {
        let (host, prefix) = match registry.split_once('/') {
            Some((host, prefix)) => (host, Some(prefix)),
            None => (registry, None),
        };
        let refuse = |cause: &str| {
            Error(format!(
                "the registry {} is neither a host nor host/prefix: {cause}",
                quoted(registry)
            ))
        };
        if registry.contains("://") {
            return Err(refuse("it has a scheme; leave that out"));
        }
        if host.is_empty() {
            return Err(refuse("the host is missing"));
        }
        let parsed: Registry = host
            .parse()
            .map_err(|error: crate::image::Error| refuse(&plain(&error.to_string())))?;
        if host != "localhost" && !host.contains(['.', ':']) {
            return Err(refuse(
                "the host has neither a dot nor a port, and would be taken for a part of a Docker Hub name",
            ));
        }
        if let Some(prefix) = prefix {
            let is_path = prefix.chars().all(is_path)
                && !prefix
                    .split('/')
                    .any(|segment| matches!(segment, "" | "." | ".."));
            if !is_path {
                return Err(refuse(
                    "a prefix is made of segments of `a-z0-9_-.`, with single slashes between them",
                ));
            }
        }
        let name = source.path().rsplit('/').next().unwrap_or_default();
        let path = self.expand(&host_segment(source.registry()), source.path(), name);
        let path = match prefix {
            Some(prefix) => format!("{prefix}/{path}"),
            None => path,
        };
        let made = format!("{parsed}/{path}");
        let destination: Repository = made.parse().map_err(|error: crate::image::Error| {
            let cause = std::error::Error::source(&error)
                .map_or_else(|| error.to_string(), ToString::to_string);
            Error(format!(
                "the template makes {} of {source}, which is no repository: {}",
                quoted(&made),
                plain(&cause)
            ))
        })?;
        Ok(destination)
    }
}

/// What any part of a path is made of.
fn is_path(char: char) -> bool {
    char.is_ascii_lowercase() || char.is_ascii_digit() || matches!(char, '_' | '-' | '.' | '/')
}

/// A registry as a segment of a path: in lower case, without brackets, `-` for colons. Docker Hub has one name.
fn host_segment(registry: &Registry) -> String {
    if registry.is_docker_hub() {
        return Registry::docker_hub().as_str().to_owned();
    }
    let segment = registry.as_str().to_ascii_lowercase();
    let segment = segment.replace(['[', ']'], "").replace(':', "-");
    segment.trim_matches('-').to_owned()
}

/// Two sources meeting in one destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Collision {
    /// Where they meet.
    pub destination: Repository,
    /// Who meets, each with whose wish it is.
    pub sources: Vec<(String, Repository)>,
}

impl std::fmt::Display for Collision {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "several sources lead to {}: ", self.destination)?;
        for (index, (whose, source)) in self.sources.iter().take(MOST_SHOWN).enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}{source} ({})", plain(whose))?;
        }
        match self.sources.len().checked_sub(MOST_SHOWN) {
            None | Some(0) => Ok(()),
            Some(more) => write!(f, " and {more} more"),
        }
    }
}

/// So many sources of a collision are shown.
const MOST_SHOWN: usize = 5;

/// Sources that meet: by their one name, as they were given, and whose they are.
type Meeting<'a> = BTreeSet<(Cow<'a, Repository>, &'a Repository, &'a String)>;

/// Finds destinations that more than one source leads to. `wishes`: whose, source, destination.
///
/// Sorted, each wish once, whatever their order. One source that several wish for is no collision.
pub fn collisions(wishes: &[(String, Repository, Repository)]) -> Vec<Collision> {
    // By their one name; shown as somebody gave it.
    let mut by_destination: BTreeMap<Cow<'_, Repository>, (&Repository, Meeting<'_>)> =
        BTreeMap::new();
    for (whose, source, destination) in wishes {
        let (shown, meeting) = by_destination
            .entry(canonical::repository(destination))
            .or_insert_with(|| (destination, Meeting::new()));
        *shown = (*shown).min(destination);
        meeting.insert((canonical::repository(source), source, whose));
    }
    let several = by_destination.into_values().filter(|(_, meeting)| {
        let first = meeting.first().map(|(name, ..)| name);
        let last = meeting.last().map(|(name, ..)| name);
        first != last
    });
    several
        .map(|(destination, meeting)| Collision {
            destination: destination.clone(),
            sources: meeting
                .into_iter()
                .map(|(_, source, whose)| (whose.clone(), source.clone()))
                .collect(),
        })
        .collect()
}

/// Why a template does not do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Error(pub String);
