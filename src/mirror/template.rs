//! The name of a destination repository, made from the source's.
//!
//! Placeholders: `{host}` (`:` becomes `-`), `{path}`, `{name}` (its last segment). Two sources that would meet in one
//! destination repository are found here.

use crate::image::Repository;

/// A parsed template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template(String);

impl Template {
    /// What is used where none is given: `{host}/{path}`.
    pub fn by_default() -> Self {
        Self("{host}/{path}".to_owned())
    }
    /// Parses a template.
    pub fn parse(_text: &str) -> Result<Self, Error> {
        todo!()
    }
    /// The destination of `source` at `registry` (a host, or host/prefix).
    pub fn apply(&self, _registry: &str, _source: &Repository) -> Result<Repository, Error> {
        todo!()
    }
}

/// Two sources meeting in one destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Collision {
    /// Where they meet.
    pub destination: Repository,
    /// Who meets, each with whose wish it is.
    pub sources: Vec<(String, Repository)>,
}

/// Finds destinations that more than one source leads to. `wishes`: whose, source, destination.
pub fn collisions(_wishes: &[(String, Repository, Repository)]) -> Vec<Collision> {
    todo!()
}

/// Why a template does not do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Error(pub String);
