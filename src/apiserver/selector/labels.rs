//! Label selectors, by the grammar of `k8s.io/apimachinery/pkg/labels`: equality, sets, existence and order.

mod lexer;
mod parser;
mod syntax;
#[cfg(any(test, feature = "fuzzing"))]
mod written;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Why a label selector does not parse, in upstream's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Error(String);

/// How a requirement compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::apiserver) enum Operator {
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

    /// What is required of each label: key, operator, values.
    pub(in crate::apiserver) fn requirements(
        &self,
    ) -> impl Iterator<Item = (&str, Operator, &[String])> {
        self.0.iter().map(|requirement| {
            let Requirement {
                key,
                operator,
                values,
            } = requirement;
            (key.as_str(), *operator, values.as_slice())
        })
    }

    /// Whether labels like these are selected.
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.matches_by(|key| labels.get(key).map(|value| Cow::Borrowed(value.as_str())))
    }

    /// Whether something is selected whose label of a key has this `value`.
    pub(super) fn matches_by<'a>(&self, value: impl Fn(&str) -> Option<Cow<'a, str>>) -> bool {
        self.0
            .iter()
            .all(|requirement| requirement.matches(value(&requirement.key).as_deref()))
    }
}

impl Requirement {
    fn matches(&self, value: Option<&str>) -> bool {
        let is_named = || value.is_some_and(|value| self.values.iter().any(|named| named == value));
        match self.operator {
            Operator::In => is_named(),
            Operator::NotIn => !is_named(),
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

    fn ordered(&self, value: Option<&str>) -> Option<(i64, i64)> {
        Some((value?.parse().ok()?, self.values.first()?.parse().ok()?))
    }
}

#[cfg(test)]
mod tests;
