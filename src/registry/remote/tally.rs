//! What a run asked, counted, and what registries warned of. Each run has its own; nothing here decides anything.

use std::collections::{BTreeMap, BTreeSet};

use http::HeaderMap;
use http::header::WARNING;
use parking_lot::Mutex;

use crate::registry::redact::Redactor;

/// More different warnings are not kept.
const WARNINGS: usize = 64;
/// Longer headers are not looked at.
const HEADER_BYTES: usize = 4 << 10;

/// Counts the requests of whoever shares it.
#[derive(Debug, Default)]
pub struct Tally(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    counts: Counts,
    warnings: BTreeSet<(String, String)>,
}

/// What was counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// Requests by API host: of the registry on whose behalf they were, tokens and redirects included.
    pub requests: BTreeMap<String, u64>,
    /// Requests made again, after trouble or a wish for patience.
    pub retries: u64,
}

impl Tally {
    /// So far.
    pub fn counts(&self) -> Counts {
        self.0.lock().counts.clone()
    }

    /// What registries warned of (`Warning: 299`), each once: host and words, fit to be shown.
    pub fn warnings(&self) -> Vec<(String, String)> {
        self.0.lock().warnings.iter().cloned().collect()
    }

    /// One more request on behalf of the registry `host`.
    pub(in crate::registry) fn asked(&self, host: &str) {
        let requests = &mut self.0.lock().counts.requests;
        match requests.get_mut(host) {
            Some(count) => *count += 1,
            None => {
                requests.insert(host.to_owned(), 1);
            }
        }
    }

    /// One more request is made again.
    pub(in crate::registry) fn retried(&self) {
        self.0.lock().counts.retries += 1;
    }

    /// Keeps the warnings of `host` in `headers` (distribution specification, "warnings": `299 - "words"`).
    pub(in crate::registry) fn warned(&self, host: &str, headers: &HeaderMap, redactor: &Redactor) {
        for value in headers.get_all(WARNING).iter().take(WARNINGS) {
            let text = value
                .to_str()
                .ok()
                .filter(|text| text.len() <= HEADER_BYTES);
            let Some(words) = text.and_then(words) else {
                continue;
            };
            let warnings = &mut self.0.lock().warnings;
            if warnings.len() < WARNINGS {
                warnings.insert((host.to_owned(), redactor.clean(&words)));
            }
        }
    }
}

/// The words of a `299 - "words"`.
fn words(text: &str) -> Option<String> {
    let quoted = text.trim().strip_prefix("299 ")?.trim_start();
    let (_agent, quoted) = quoted.split_once(' ')?;
    let quoted = quoted.trim().strip_prefix('"')?.strip_suffix('"')?;
    Some(quoted.replace("\\\"", "\"").replace("\\\\", "\\"))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn a_warning_is_kept_once_and_nothing_else_is_one() {
        let tally = Tally::default();
        let mut headers = HeaderMap::new();
        for text in [
            "299 - \"goes away soon\"",
            "299 - \"goes away soon\"",
            "299 - \"the \\\"old\\\" way\"",
            "110 - \"stale\"",
            "299",
            "299 - bare",
        ] {
            headers.append(WARNING, HeaderValue::from_static(text));
        }
        tally.warned("a.test", &headers, &Redactor::default());
        tally.warned("a.test", &headers, &Redactor::default());
        let words: Vec<_> = tally
            .warnings()
            .into_iter()
            .map(|(_, words)| words)
            .collect();
        assert_eq!(words, ["goes away soon", "the \"old\" way"]);
    }

    #[test]
    fn the_number_of_warnings_is_bounded() {
        let tally = Tally::default();
        for n in 0..1000 {
            let text = format!("299 - \"number {n}\"");
            let headers = HeaderMap::from_iter([(WARNING, HeaderValue::from_str(&text).unwrap())]);
            tally.warned("a.test", &headers, &Redactor::default());
        }
        assert_eq!(tally.warnings().len(), WARNINGS);
    }
}
