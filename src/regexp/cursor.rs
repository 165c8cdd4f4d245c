//! A place in a pattern, moved forward as the pattern is read.

use super::{Code, Error};

/// Reads a pattern character by character, and cuts excerpts from it for errors.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cursor<'p> {
    pattern: &'p str,
    at: usize,
}

impl<'p> Cursor<'p> {
    pub(super) fn new(pattern: &'p str) -> Self {
        Self { pattern, at: 0 }
    }

    /// The offset of the next character in bytes.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    pub(super) fn rest(&self) -> &'p str {
        self.pattern.get(self.at..).unwrap_or_default()
    }

    pub(super) fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    pub(super) fn next(&mut self) -> Option<char> {
        let char = self.peek()?;
        self.at += char.len_utf8();
        Some(char)
    }

    /// Steps over `text` if it comes next.
    pub(super) fn eat(&mut self, text: &str) -> bool {
        let comes_next = self.rest().starts_with(text);
        if comes_next {
            self.at += text.len();
        }
        comes_next
    }

    /// Steps over the next character if it is a `wanted` one.
    pub(super) fn eat_if(&mut self, wanted: impl Fn(char) -> bool) -> Option<char> {
        let char = self.peek().filter(|char| wanted(*char))?;
        self.next()?;
        Some(char)
    }

    /// Steps over everything up to and including the first `end`; returns what stood before it.
    pub(super) fn eat_through(&mut self, end: &str) -> Option<&'p str> {
        let (before, _) = self.rest().split_once(end)?;
        self.at += before.len() + end.len();
        Some(before)
    }

    /// Steps to the end; returns what stood before it.
    pub(super) fn eat_all(&mut self) -> &'p str {
        let rest = self.rest();
        self.at = self.pattern.len();
        rest
    }

    /// The error `code` about what was read since `start`.
    pub(super) fn error_since(&self, start: usize, code: Code) -> Error {
        let excerpt = self.pattern.get(start..self.at).unwrap_or_default();
        Error {
            code,
            excerpt: excerpt.to_owned(),
        }
    }

    /// The error `code` about everything from `start` to the end of the pattern.
    pub(super) fn error_from(&self, start: usize, code: Code) -> Error {
        Error {
            code,
            excerpt: self.pattern.get(start..).unwrap_or_default().to_owned(),
        }
    }
}
