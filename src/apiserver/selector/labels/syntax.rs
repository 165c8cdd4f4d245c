//! What a label's key and value may look like, and upstream's words for what they may not.

const MAX_LENGTH: usize = 63;
const MAX_PREFIX_LENGTH: usize = 253;
const EMPTY: &str = "must be non-empty";
const TOO_LONG: &str = "must be no more than 63 bytes";
const NAME_RULE: &str = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an \
    alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is \
    '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const VALUE_RULE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or \
    '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex \
    used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
const PREFIX_RULE: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or \
    '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is \
    '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";

/// What is wrong with a label key; empty when nothing is.
pub(super) fn key_problems(key: &str) -> Vec<String> {
    let mut problems = Vec::new();
    let (prefix, name) = match key.split_once('/') {
        None => (None, key),
        Some((_, name)) if name.contains('/') => {
            return vec![format!(
                "a valid label key {NAME_RULE} with an optional DNS subdomain prefix and '/' (e.g. \
                 'example.com/MyName')"
            )];
        }
        Some((prefix, name)) => (Some(prefix), name),
    };
    if let Some(prefix) = prefix {
        if prefix.is_empty() {
            problems.push(format!("prefix part {EMPTY}"));
        } else {
            if prefix.len() > MAX_PREFIX_LENGTH {
                problems.push("prefix part must be no more than 253 bytes".to_owned());
            }
            if !prefix.split('.').all(is_dns_label) {
                problems.push(format!("prefix part {PREFIX_RULE}"));
            }
        }
    }
    if name.is_empty() {
        problems.push(format!("name part {EMPTY}"));
    } else if name.len() > MAX_LENGTH {
        problems.push(format!("name part {TOO_LONG}"));
    }
    if !is_label_text(name) {
        problems.push(format!("name part {NAME_RULE}"));
    }
    problems
}

/// What is wrong with a label value; empty when nothing is.
pub(super) fn value_problems(value: &str) -> Vec<String> {
    let mut problems = Vec::new();
    if value.len() > MAX_LENGTH {
        problems.push(TOO_LONG.to_owned());
    }
    if !value.is_empty() && !is_label_text(value) {
        problems.push(VALUE_RULE.to_owned());
    }
    problems
}

fn is_label_text(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphanumeric())
        && text.ends_with(|last: char| last.is_ascii_alphanumeric())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}

fn is_dns_label(text: &str) -> bool {
    let is_edge = |edge: char| edge.is_ascii_lowercase() || edge.is_ascii_digit();
    text.starts_with(is_edge)
        && text.ends_with(is_edge)
        && text
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}
