//! One wrong field, in the words of `k8s.io/apimachinery/pkg/util/validation/field`.

use crate::quote::quote;

/// What is wrong with a field.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Problem {
    Invalid,
    NotSupported,
    Forbidden,
}

/// An error about one field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldError {
    field: String,
    problem: Problem,
    /// The value, quoted; none where the words do not show it.
    value: Option<String>,
    detail: String,
}

impl FieldError {
    /// The value breaks the field's rule.
    pub fn invalid(field: impl Into<String>, value: &str, detail: impl Into<String>) -> Self {
        let value = Some(quote(value));
        Self {
            field: field.into(),
            problem: Problem::Invalid,
            value,
            detail: detail.into(),
        }
    }

    /// The value is not one of those that are known.
    pub fn not_supported(field: impl Into<String>, value: &str, supported: &[&str]) -> Self {
        let quoted: Vec<String> = supported.iter().map(|value| quote(value)).collect();
        let detail = format!("supported values: {}", quoted.join(", "));
        Self {
            field: field.into(),
            problem: Problem::NotSupported,
            value: Some(quote(value)),
            detail,
        }
    }

    /// The field may not be set here.
    pub fn forbidden(field: impl Into<String>, detail: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            problem: Problem::Forbidden,
            value: None,
            detail: detail.into(),
        }
    }

    /// The field's path.
    pub fn field(&self) -> &str {
        &self.field
    }

    /// The machine-readable reason of the cause.
    pub fn reason(&self) -> &'static str {
        match self.problem {
            Problem::Invalid => "FieldValueInvalid",
            Problem::NotSupported => "FieldValueNotSupported",
            Problem::Forbidden => "FieldValueForbidden",
        }
    }

    /// The words without the field's path.
    pub fn body(&self) -> String {
        let problem = match self.problem {
            Problem::Invalid => "Invalid value",
            Problem::NotSupported => "Unsupported value",
            Problem::Forbidden => "Forbidden",
        };
        match &self.value {
            Some(value) => format!("{problem}: {value}: {}", self.detail),
            None => format!("{problem}: {}", self.detail),
        }
    }
}

/// `path: words`.
impl std::fmt::Display for FieldError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.field, self.body())
    }
}

/// Several errors in one line: a single one bare, more in brackets, equal ones once.
pub fn aggregate(errors: &[FieldError]) -> String {
    let mut texts: Vec<String> = Vec::with_capacity(errors.len());
    for error in errors {
        let text = error.to_string();
        if !texts.contains(&text) {
            texts.push(text);
        }
    }
    match texts.as_slice() {
        [only] => only.clone(),
        several => format!("[{}]", several.join(", ")),
    }
}
