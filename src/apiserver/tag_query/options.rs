//! The query of a create: metav1's CreateOptions, with kube-apiserver's rules and words.

use serde_json::json;

use crate::apiserver::query::Query;
use crate::apiserver::status::Status;
use crate::apiserver::status::field::FieldError;

/// What becomes of fields that nobody knows, and of those that are there twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Validation {
    /// Nothing.
    Ignore,
    /// The answer warns of them.
    Warn,
    /// The request is refused.
    Strict,
}

/// What the query asks for. A dry run is a run: a query has no effect that could be left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Options {
    pub(super) validation: Validation,
}

const LONGEST_MANAGER: usize = 128;

impl Options {
    pub(super) fn read(query: &Query) -> Result<Self, Status> {
        let mut errors = Vec::new();
        let manager = query.first("fieldManager").unwrap_or_default();
        if manager.len() > LONGEST_MANAGER {
            errors.push(FieldError::too_long("fieldManager", LONGEST_MANAGER));
        } else {
            let unprintable = manager.char_indices().find(|(_, c)| !is_printable(*c));
            errors.extend(unprintable.map(|(at, c)| {
                let why = format!(
                    "invalid character U+{:04X} (at position {at})",
                    u32::from(c)
                );
                FieldError::invalid("fieldManager", manager, why)
            }));
        }
        let dry_run: Vec<&str> = query.all("dryRun").collect();
        if dry_run.iter().any(|value| *value != "All") {
            let value = json!(dry_run);
            errors.push(FieldError::not_supported_json("dryRun", &value, &["All"]));
        }
        let validation = match query.first("fieldValidation").unwrap_or_default() {
            "" | "Warn" => Validation::Warn,
            "Ignore" => Validation::Ignore,
            "Strict" => Validation::Strict,
            other => {
                errors.push(FieldError::not_supported(
                    "fieldValidation",
                    other,
                    &["", "Ignore", "Strict", "Warn"],
                ));
                Validation::Warn
            }
        };
        if errors.is_empty() {
            Ok(Self { validation })
        } else {
            Err(Status::invalid_create_options(&errors))
        }
    }
}

/// As Go's `unicode.IsPrint`, near enough: no control characters, no blanks but the plain one.
fn is_printable(c: char) -> bool {
    c == ' ' || !(c.is_control() || c.is_whitespace())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str) -> Result<Options, Status> {
        Options::read(&Query::parse(Some(query)))
    }

    #[test]
    fn options_are_those_of_a_create() {
        for (query, validation) in [
            ("", Validation::Warn),
            ("fieldValidation=", Validation::Warn),
            (
                "fieldValidation=Strict&fieldManager=kubectl-create",
                Validation::Strict,
            ),
            (
                "fieldValidation=Ignore&dryRun=All&dryRun=All&unknown=1",
                Validation::Ignore,
            ),
        ] {
            assert_eq!(read(query), Ok(Options { validation }), "{query}");
        }
        for (query, message) in [
            (
                "fieldValidation=X",
                r#"fieldValidation: Unsupported value: "X": supported values: "", "Ignore", "Strict", "Warn""#,
            ),
            (
                "dryRun=All&dryRun=x",
                r#"dryRun: Unsupported value: ["All","x"]: supported values: "All""#,
            ),
            (
                "dryRun=",
                r#"dryRun: Unsupported value: [""]: supported values: "All""#,
            ),
            (
                "fieldManager=a%07b",
                r#"fieldManager: Invalid value: "a\ab": invalid character U+0007 (at position 1)"#,
            ),
        ] {
            let refusal = read(query).unwrap_err();
            assert_eq!((refusal.code, refusal.reason), (422, "Invalid"));
            let expected = format!("CreateOptions.meta.k8s.io \"\" is invalid: {message}");
            assert_eq!(refusal.message, expected);
        }
        let long = read(&format!("fieldManager={}", "m".repeat(129))).unwrap_err();
        assert!(
            long.message
                .ends_with("fieldManager: Too long: may not be more than 128 bytes")
        );
        assert!(read(&format!("fieldManager={}", "m".repeat(128))).is_ok());
    }
}
