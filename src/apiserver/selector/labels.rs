//! Label selectors, by the grammar of `k8s.io/apimachinery/pkg/labels`: equality, sets, existence and order.

mod lexer;
mod parser;
mod syntax;
#[cfg(any(test, feature = "fuzzing"))]
mod written;

use std::collections::BTreeMap;
use std::sync::Arc;

/// Why a label selector does not parse, in upstream's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Error(String);

/// How a requirement compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    In,
    NotIn,
    Exists,
    DoesNotExist,
    GreaterThan,
    LessThan,
}

/// One condition on one label.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Requirement {
    key: String,
    operator: Operator,
    /// Sorted; for order comparisons the one number.
    values: Vec<String>,
}

/// A parsed selector: all requirements must hold. The default selects everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selector(Arc<[Requirement]>);

impl Selector {
    /// Parses the text of a `labelSelector` parameter; the empty text selects everything.
    pub fn parse(text: &str) -> Result<Self, Error> {
        Ok(Self(parser::parse(text)?.into()))
    }

    /// Whether there is no requirement.
    pub fn is_everything(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether labels like these are selected.
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.0
            .iter()
            .all(|requirement| requirement.matches(labels.get(&requirement.key)))
    }
}

impl Requirement {
    fn matches(&self, value: Option<&String>) -> bool {
        match self.operator {
            Operator::In => value.is_some_and(|value| self.values.contains(value)),
            Operator::NotIn => !value.is_some_and(|value| self.values.contains(value)),
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
            Operator::GreaterThan => self
                .ordered(value)
                .is_some_and(|(label, bound)| label > bound),
            Operator::LessThan => self
                .ordered(value)
                .is_some_and(|(label, bound)| label < bound),
        }
    }

    fn ordered(&self, value: Option<&String>) -> Option<(i64, i64)> {
        Some((value?.parse().ok()?, self.values.first()?.parse().ok()?))
    }
}

#[cfg(test)]
mod tests;
