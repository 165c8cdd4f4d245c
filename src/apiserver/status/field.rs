//! One wrong field, in the words of `k8s.io/apimachinery/pkg/util/validation/field`.

use crate::quote::quote;

/// What is wrong with a field.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Problem {
    Invalid,
    NotSupported,
    Forbidden,
    Required,
    TooLong,
    TooMany,
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

    /// The value, here as JSON writes it, breaks the field's rule.
    pub fn invalid_json(
        field: impl Into<String>,
        value: &impl ToString,
        detail: impl Into<String>,
    ) -> Self {
        Self {
            field: field.into(),
            problem: Problem::Invalid,
            value: Some(value.to_string()),
            detail: detail.into(),
        }
    }

    /// As [`not_supported`](Self::not_supported), for a value that is written as JSON.
    pub fn not_supported_json(
        field: impl Into<String>,
        value: &impl ToString,
        supported: &[&str],
    ) -> Self {
        Self {
            value: Some(value.to_string()),
            ..Self::not_supported(field, "", supported)
        }
    }

    /// The field has to be set.
    pub fn required(field: impl Into<String>, detail: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            problem: Problem::Required,
            value: None,
            detail: detail.into(),
        }
    }

    /// The text may have `most` bytes.
    pub fn too_long(field: impl Into<String>, most: usize) -> Self {
        Self {
            field: field.into(),
            problem: Problem::TooLong,
            value: None,
            detail: format!("may not be more than {most} bytes"),
        }
    }

    /// The list has `given` items and may have `most`.
    pub fn too_many(field: impl Into<String>, given: usize, most: usize) -> Self {
        Self {
            field: field.into(),
            problem: Problem::TooMany,
            value: Some(given.to_string()),
            detail: format!("must have at most {most} items"),
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
            Problem::Required => "FieldValueRequired",
            Problem::TooLong => "FieldValueTooLong",
            Problem::TooMany => "FieldValueTooMany",
        }
    }

    /// The words without the field's path.
    pub fn body(&self) -> String {
        let problem = match self.problem {
            Problem::Invalid => "Invalid value",
            Problem::NotSupported => "Unsupported value",
            Problem::Forbidden => "Forbidden",
            Problem::Required => "Required value",
            Problem::TooLong => "Too long",
            Problem::TooMany => "Too many",
        };
        match &self.value {
            Some(value) => format!("{problem}: {value}: {}", self.detail),
            None if self.detail.is_empty() => problem.to_owned(),
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
