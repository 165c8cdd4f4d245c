//! Makes a stranger's words fit for a message: bounded, escaped, and without what we sent them.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use crate::secret::{Credential, ExposeSecret as _};

/// As many characters of an answer's own words as a message takes.
const SHOWN_CHARS: usize = 300;
/// Shorter secrets would blank out ordinary words; they are still never printed by us.
const SHORTEST: usize = 4;

/// Knows what must not be said.
#[derive(Default)]
pub(super) struct Redactor {
    secrets: Vec<String>,
}

impl Redactor {
    /// Keeps `credential` out of messages, in the forms in which it is sent.
    pub(super) fn for_credential(credential: Option<&Credential>) -> Self {
        let mut redactor = Self::default();
        match credential {
            Some(Credential::Basic { username, password }) => {
                redactor.hide(password.expose_secret());
                redactor.hide(
                    &BASE64_STANDARD.encode(format!("{username}:{}", password.expose_secret())),
                );
            }
            Some(Credential::IdentityToken(token) | Credential::RegistryToken(token)) => {
                redactor.hide(token.expose_secret());
            }
            None => {}
        }
        redactor
    }

    /// Keeps `secret` out of messages from now on.
    pub(super) fn hide(&mut self, secret: &str) {
        if secret.len() >= SHORTEST && !self.secrets.iter().any(|known| known == secret) {
            self.secrets.push(secret.to_owned());
        }
    }

    /// `words` as they may be shown.
    pub(super) fn clean(&self, words: &str) -> String {
        let mut words = words.to_owned();
        for secret in &self.secrets {
            if words.contains(secret.as_str()) {
                words = words.replace(secret.as_str(), "[redacted]");
            }
        }
        shorten(&words, SHOWN_CHARS)
    }
}

/// At most `chars` characters of `text`, control characters and the like escaped.
pub(super) fn shorten(text: &str, chars: usize) -> String {
    let mut shown = String::new();
    for (index, c) in text.chars().enumerate() {
        if index == chars {
            shown.push('…');
            break;
        }
        // Escapes controls and invisible characters; quotes and backslashes stay as they are.
        match c {
            '"' | '\'' | '\\' => shown.push(c),
            _ => shown.extend(c.escape_debug()),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_blanked_in_the_forms_they_are_sent() {
        let credential = Credential::Basic {
            username: "me".into(),
            password: "hunter2".into(),
        };
        let mut redactor = Redactor::for_credential(Some(&credential));
        redactor.hide("abc.def.token");
        let clean = redactor.clean("no hunter2, no bWU6aHVudGVyMg==, no abc.def.token\n\u{1b}[31m");
        assert_eq!(
            clean,
            "no [redacted], no [redacted], no [redacted]\\n\\u{1b}[31m"
        );
    }

    #[test]
    fn a_novel_is_cut() {
        assert_eq!(shorten(&"x".repeat(1 << 20), 5), "xxxxx…");
    }
}
