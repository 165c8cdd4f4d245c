//! A field selector as text again, as upstream writes it: for tests and fuzzing, which hold that it reads back.

use super::{Label, Selector, Term};

impl Selector {
    /// Its terms, in ascending order of their texts.
    pub(in crate::apiserver) fn written(&self) -> Vec<String> {
        let mut terms: Vec<String> = self.0.iter().map(Term::written).collect();
        terms.sort();
        terms
    }

    /// Whether only an object of this name can be selected.
    pub(in crate::apiserver) fn requires_name(&self, name: &str) -> bool {
        let mut terms = self.0.iter();
        terms.any(|term| term.label == Label::Name && !term.negated && term.value == name)
    }
}

impl Term {
    fn written(&self) -> String {
        let Self {
            label,
            negated,
            value,
        } = self;
        let label = match label {
            Label::Name => "metadata.name",
            Label::Namespace => "metadata.namespace",
            Label::Repository => "repository",
            Label::Image => "image",
            Label::Tag => "tag",
            Label::Digest => "digest",
        };
        let operator = if *negated { "!=" } else { "=" };
        let value = value.replace('\\', r"\\");
        let value = value.replace(',', r"\,").replace('=', r"\=");
        format!("{label}{operator}{value}")
    }
}
