//! Writes compact JSON text into one buffer that is used again and again: no tree is built in between.
//!
//! The caller keeps the punctuation right; this knows only strings, numbers and raw text. [`Indent`] turns the
//! compact text into the indented form for people, chunk by chunk.

use jiff::Timestamp;

/// A buffer that JSON text is appended to.
#[derive(Debug, Default)]
pub(super) struct Json {
    text: Vec<u8>,
    /// The last time that was written, in seconds, and its text: tags that were found together tell the same one.
    time: Option<(i64, String)>,
}

impl Json {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// A buffer with room for `bytes`.
    pub(super) fn with_capacity(bytes: usize) -> Self {
        Self {
            text: Vec::with_capacity(bytes),
            time: None,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.text.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// Takes the text out; the buffer is empty afterwards.
    pub(super) fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.text)
    }

    /// Takes the text out, and has room for `bytes` more.
    pub(super) fn take_and_reserve(&mut self, bytes: usize) -> Vec<u8> {
        std::mem::replace(&mut self.text, Vec::with_capacity(bytes))
    }

    /// Appends text that is JSON already.
    #[inline]
    pub(super) fn raw(&mut self, text: &str) -> &mut Self {
        self.text.extend_from_slice(text.as_bytes());
        self
    }

    /// Appends text that is JSON already, as it was taken out of another buffer.
    pub(super) fn taken(&mut self, text: &[u8]) -> &mut Self {
        self.text.extend_from_slice(text);
        self
    }

    /// Appends a quoted string.
    pub(super) fn string(&mut self, value: &str) -> &mut Self {
        self.text.push(b'"');
        self.escaped(value);
        self.text.push(b'"');
        self
    }

    /// Appends the inside of a string, so that one can be written in several pieces.
    pub(super) fn escaped(&mut self, value: &str) -> &mut Self {
        // Without a way out of the loop the compiler looks at many bytes at a time.
        if value.bytes().fold(true, |all, byte| all & is_plain(byte)) {
            return self.raw(value);
        }
        for character in value.chars() {
            match character {
                '"' => self.text.extend_from_slice(b"\\\""),
                '\\' => self.text.extend_from_slice(b"\\\\"),
                '\n' => self.text.extend_from_slice(b"\\n"),
                '\r' => self.text.extend_from_slice(b"\\r"),
                '\t' => self.text.extend_from_slice(b"\\t"),
                // The separators are legal in JSON, but not in the JavaScript that some consoles feed it to.
                control
                    if u32::from(control) < 0x20 || matches!(control, '\u{2028}' | '\u{2029}') =>
                {
                    self.raw(&format!("\\u{:04x}", u32::from(control)));
                }
                plain => {
                    self.text
                        .extend_from_slice(plain.encode_utf8(&mut [0; 4]).as_bytes());
                }
            }
        }
        self
    }

    /// Appends a whole number.
    pub(super) fn number(&mut self, value: impl itoa::Integer) -> &mut Self {
        self.raw(itoa::Buffer::new().format(value))
    }

    /// Appends a time, unquoted: RFC 3339 in UTC without a fraction, as metav1.Time is written.
    pub(super) fn time(&mut self, time: Timestamp) -> &mut Self {
        let seconds = time.as_second();
        if let Some((last, text)) = &self.time
            && *last == seconds
        {
            self.text.extend_from_slice(text.as_bytes());
            return self;
        }
        let text = whole_seconds(time);
        self.raw(&text);
        self.time = Some((seconds, text));
        self
    }

    /// Appends `true` or `false`.
    pub(super) fn boolean(&mut self, value: bool) -> &mut Self {
        self.raw(if value { "true" } else { "false" })
    }
}

/// RFC 3339 in UTC without a fraction, as metav1.Time is written.
pub(super) fn whole_seconds(time: Timestamp) -> String {
    Timestamp::from_second(time.as_second())
        .unwrap_or(time)
        .to_string()
}

fn is_plain(byte: u8) -> bool {
    (0x20..0x7f).contains(&byte) && byte != b'"' && byte != b'\\'
}

/// Re-indents compact JSON by two blanks per level, whatever the chunks are cut at.
#[derive(Debug, Default)]
pub(super) struct Indent {
    depth: usize,
    in_string: bool,
    after_backslash: bool,
    /// An opening bracket was seen whose line is not broken yet: the container may be empty.
    opened: bool,
}

impl Indent {
    /// The indented form of the next piece of text.
    pub(super) fn push(&mut self, compact: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(compact.len() * 2);
        for &byte in compact {
            self.byte(byte, &mut out);
        }
        out
    }

    fn byte(&mut self, byte: u8, out: &mut Vec<u8>) {
        if self.in_string {
            out.push(byte);
            if self.after_backslash {
                self.after_backslash = false;
            } else if byte == b'\\' {
                self.after_backslash = true;
            } else if byte == b'"' {
                self.in_string = false;
            }
            return;
        }
        if self.opened {
            self.opened = false;
            if matches!(byte, b'}' | b']') {
                out.push(byte);
                return;
            }
            self.depth += 1;
            self.line(out);
        }
        match byte {
            b'{' | b'[' => {
                out.push(byte);
                self.opened = true;
            }
            b'}' | b']' => {
                self.depth = self.depth.saturating_sub(1);
                self.line(out);
                out.push(byte);
            }
            b',' => {
                out.push(byte);
                self.line(out);
            }
            b':' => out.extend_from_slice(b": "),
            b'"' => {
                out.push(byte);
                self.in_string = true;
            }
            other => out.push(other),
        }
    }

    fn line(&self, out: &mut Vec<u8>) {
        out.push(b'\n');
        out.resize(out.len() + 2 * self.depth, b' ');
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_string_reads_back(value in any::<String>()) {
            let mut json = Json::new();
            json.string(&value);
            let back: String = serde_json::from_slice(&json.take()).unwrap();
            prop_assert_eq!(back, value);
        }

        #[test]
        fn any_number_and_time_read_back(number: u64, signed: i64, seconds in -2_000_000_000i64..4_000_000_000, again: bool) {
            let mut json = Json::new();
            let time = Timestamp::from_second(seconds).unwrap();
            json.raw("[").number(number).raw(",").number(signed).raw(",\"").time(time).raw("\"");
            if again {
                json.raw(",\"").time(time).raw("\",\"").time(Timestamp::UNIX_EPOCH).raw("\"");
            }
            json.raw("]");
            let back: Vec<serde_json::Value> = serde_json::from_slice(&json.take()).unwrap();
            prop_assert_eq!(back[0].as_u64(), Some(number));
            prop_assert_eq!(back[1].as_i64(), Some(signed));
            prop_assert_eq!(back[2].as_str().unwrap().parse::<Timestamp>().unwrap(), time);
            prop_assert!(!again || (back[3] == back[2] && back[4] == "1970-01-01T00:00:00Z"));
        }

        #[test]
        fn indenting_changes_only_the_layout(text in "[ \"\\\\{}\\[\\],:a]{0,20}", cut in 0usize..60) {
            let value = serde_json::json!({"a": [1, {"b": text}, [], {}], "c": {}, "d": "x\"y"});
            let compact = serde_json::to_vec(&value).unwrap();
            let cut = cut.min(compact.len());
            let mut indent = Indent::default();
            let mut pretty = indent.push(&compact[..cut]);
            pretty.extend(indent.push(&compact[cut..]));
            let expected = serde_json::to_vec_pretty(&value).unwrap();
            prop_assert_eq!(String::from_utf8(pretty).unwrap(), String::from_utf8(expected).unwrap());
        }
    }
}
