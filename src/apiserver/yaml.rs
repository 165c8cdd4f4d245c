//! Turns JSON text into YAML text, chunk by chunk, whatever the chunks are cut at: no tree is built in between, and of a
//! list of any length one string is held.
//!
//! Block style, as kubectl prints it. A string stands bare only where every YAML reader, also one of YAML 1.1, takes it
//! for a string; all others are quoted.

/// A conversion under way.
#[derive(Debug, Default)]
pub(super) struct Yaml {
    levels: Vec<Level>,
    token: Token,
    /// The string or scalar that is being read, as JSON has it.
    text: Vec<u8>,
    /// Something has been written, so that the next entry needs a line of its own.
    is_begun: bool,
    /// A dash has just been written: the first entry of what it introduces goes on its line.
    after_dash: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Token {
    #[default]
    None,
    /// Within a string.
    String,
    /// Within a string, behind a backslash.
    Escape,
    /// Within a number, `true`, `false` or `null`.
    Scalar,
}

/// A container that is open.
#[derive(Debug, Clone, Copy)]
struct Level {
    container: Container,
    /// The column of its entries.
    column: usize,
    is_empty: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Container {
    Array,
    /// The next string is a key.
    ObjectBeforeKey,
    /// The next thing is a key's value.
    ObjectBeforeValue,
}

/// All of `json` as YAML.
pub(super) fn whole(json: &[u8]) -> Vec<u8> {
    let mut yaml = Yaml::default();
    let mut out = yaml.push(json);
    out.extend(yaml.end());
    out
}

impl Yaml {
    /// The YAML of the next piece of JSON text.
    pub(super) fn push(&mut self, json: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(json.len() + json.len() / 4);
        for &byte in json {
            self.byte(byte, &mut out);
        }
        out
    }

    /// What is left when the JSON text is at its end.
    pub(super) fn end(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        self.end_scalar(&mut out);
        out.push(b'\n');
        out
    }

    fn byte(&mut self, byte: u8, out: &mut Vec<u8>) {
        match self.token {
            Token::String => {
                self.text.push(byte);
                match byte {
                    b'\\' => self.token = Token::Escape,
                    b'"' => self.end_string(out),
                    _ => {}
                }
                return;
            }
            Token::Escape => {
                self.text.push(byte);
                self.token = Token::String;
                return;
            }
            Token::None | Token::Scalar => {}
        }
        match byte {
            b'"' => {
                self.token = Token::String;
                self.text.push(byte);
            }
            b'{' => self.open(Container::ObjectBeforeKey, out),
            b'[' => self.open(Container::Array, out),
            b'}' | b']' => {
                self.end_scalar(out);
                self.close(out);
            }
            b',' => {
                self.end_scalar(out);
                if let Some(level) = self.levels.last_mut()
                    && level.container == Container::ObjectBeforeValue
                {
                    level.container = Container::ObjectBeforeKey;
                }
            }
            b':' => {
                out.push(b':');
                if let Some(level) = self.levels.last_mut() {
                    level.container = Container::ObjectBeforeValue;
                }
            }
            b' ' | b'\t' | b'\r' | b'\n' => self.end_scalar(out),
            _ => {
                self.token = Token::Scalar;
                self.text.push(byte);
            }
        }
    }

    fn end_string(&mut self, out: &mut Vec<u8>) {
        self.token = Token::None;
        let json = std::mem::take(&mut self.text);
        let is_key = self
            .levels
            .last()
            .is_some_and(|level| level.container == Container::ObjectBeforeKey);
        if is_key {
            self.entry(out);
        } else {
            self.value(out);
        }
        match serde_json::from_slice::<String>(&json) {
            Ok(text) => write_string(&text, out),
            // Not JSON; then the reader had better see it as it is.
            Err(_) => out.extend_from_slice(&json),
        }
        self.text = json;
        self.text.clear();
    }

    fn end_scalar(&mut self, out: &mut Vec<u8>) {
        if self.token == Token::Scalar {
            self.token = Token::None;
            self.value(out);
            out.append(&mut self.text);
        }
    }

    fn open(&mut self, container: Container, out: &mut Vec<u8>) {
        let column = match self.levels.last() {
            None => 0,
            // The dashes of a list stand under its key.
            Some(level) if level.container != Container::Array && container == Container::Array => {
                level.column
            }
            Some(level) => level.column + 2,
        };
        self.item(out);
        self.levels.push(Level {
            container,
            column,
            is_empty: true,
        });
    }

    fn close(&mut self, out: &mut Vec<u8>) {
        let Some(level) = self.levels.pop() else {
            return;
        };
        if level.is_empty {
            self.blank(out);
            out.extend_from_slice(if level.container == Container::Array {
                b"[]"
            } else {
                b"{}"
            });
            self.after_dash = false;
        }
    }

    /// Begins a string or scalar that is no key.
    fn value(&mut self, out: &mut Vec<u8>) {
        self.item(out);
        self.blank(out);
        self.after_dash = false;
    }

    /// Parts a value from the key or dash before it.
    fn blank(&mut self, out: &mut Vec<u8>) {
        if self.is_begun {
            out.push(b' ');
        }
        self.is_begun = true;
    }

    /// The dash, when what begins is the item of an array.
    fn item(&mut self, out: &mut Vec<u8>) {
        if self
            .levels
            .last()
            .is_some_and(|level| level.container == Container::Array)
        {
            self.entry(out);
            out.push(b'-');
            self.after_dash = true;
        }
    }

    /// Goes to where the next entry of the innermost container is written.
    fn entry(&mut self, out: &mut Vec<u8>) {
        let Some(level) = self.levels.last_mut() else {
            return;
        };
        level.is_empty = false;
        if std::mem::take(&mut self.after_dash) {
            out.push(b' ');
        } else {
            if self.is_begun {
                out.push(b'\n');
            }
            out.resize(out.len() + level.column, b' ');
        }
        self.is_begun = true;
    }
}

fn write_string(text: &str, out: &mut Vec<u8>) {
    if is_plain(text) {
        return out.extend_from_slice(text.as_bytes());
    }
    out.push(b'"');
    for character in text.chars() {
        match character {
            '"' => out.extend_from_slice(b"\\\""),
            '\\' => out.extend_from_slice(b"\\\\"),
            '\n' => out.extend_from_slice(b"\\n"),
            '\r' => out.extend_from_slice(b"\\r"),
            '\t' => out.extend_from_slice(b"\\t"),
            // What YAML does not count among the printable characters, or takes for a line's end.
            unprintable
                if unprintable.is_control()
                    || matches!(
                        unprintable,
                        '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}'
                    ) =>
            {
                out.extend_from_slice(format!("\\u{:04x}", u32::from(unprintable)).as_bytes());
            }
            plain => out.extend_from_slice(plain.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    out.push(b'"');
}

/// Whether no reader could take the bare text for anything but a string.
fn is_plain(text: &str) -> bool {
    /// Booleans, nulls and numbers of some reader or other; `y` and `n` are YAML 1.1's.
    const WORDS: [&str; 11] = [
        "y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf",
    ];
    text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '/')
        && !text.ends_with([' ', ':'])
        && !text.contains(": ")
        && text.bytes().all(|byte| {
            byte.is_ascii_alphanumeric()
                || matches!(
                    byte,
                    b' ' | b'_' | b'.' | b'/' | b':' | b'@' | b'+' | b'-' | b'(' | b')' | b'='
                )
        })
        && !WORDS.iter().any(|word| text.eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn text(value: &Value) -> String {
        String::from_utf8(whole(&serde_json::to_vec(value).unwrap())).unwrap()
    }

    #[test]
    fn it_looks_as_kubectl_prints_it() {
        let value = json!({
            "apiVersion": "tags.tagscope.dev/v1alpha1",
            "items": [
                {"metadata": {"labels": {}, "name": "podinfo:6.0.0"}, "selectedBy": []},
                {"tags": ["6.0.0", "latest"], "nested": [[1, [true]], [], {}, null]},
            ],
            "message": "a: b",
        });
        assert_eq!(
            text(&value),
            concat!(
                "apiVersion: tags.tagscope.dev/v1alpha1\n",
                "items:\n",
                "- metadata:\n",
                "    labels: {}\n",
                "    name: podinfo:6.0.0\n",
                "  selectedBy: []\n",
                "- nested:\n",
                "  - - 1\n",
                "    - - true\n",
                "  - []\n",
                "  - {}\n",
                "  - null\n",
                "  tags:\n",
                "  - \"6.0.0\"\n",
                "  - latest\n",
                "message: \"a: b\"\n",
            )
        );
        for (value, expected) in [
            (json!({}), "{}\n"),
            (json!([]), "[]\n"),
            (json!(["a"]), "- a\n"),
            (json!("a"), "a\n"),
            (json!(12.5), "12.5\n"),
        ] {
            assert_eq!(text(&value), expected);
        }
    }

    #[test]
    fn what_some_reader_takes_for_something_else_is_quoted() {
        for quoted in [
            "",
            " ",
            "y",
            "N",
            "yes",
            "Off",
            "TRUE",
            "null",
            "~",
            "1",
            "1.10",
            "0x1F",
            "0o7",
            "1e3",
            "+1",
            "-1",
            ".5",
            ".inf",
            "-",
            "- a",
            "a: b",
            "a:",
            "a #b",
            "# a",
            "!tag",
            "&a",
            "*a",
            "{a",
            "[a",
            "a, b",
            "%a",
            "@a",
            "`a",
            "|",
            ">",
            "?",
            "'a'",
            "\"a\"",
            "2026-03-01",
            "12:30:45",
            "a ",
            "=",
            "<<",
            "---",
            "a\nb",
            "\u{7f}",
            "\u{85}",
            "\u{feff}",
            "\u{2028}",
            "ö",
        ] {
            assert_eq!(text(&json!(quoted)).as_bytes()[0], b'"', "{quoted:?}");
        }
        for bare in [
            "a",
            "v1",
            "tags.tagscope.dev/v1alpha1",
            "sha256:00ff",
            "podinfo:6.0.0",
            "/apis",
            "not found",
            "No way",
        ] {
            assert_eq!(text(&json!(bare)), format!("{bare}\n"));
        }
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
            "[-:#a0. ~yn\"'\\\\]{0,6}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::btree_map("[-:#a0. ~yn\"'\\\\]{0,5}|\\PC{0,4}", inner, 0..5)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn any_value_reads_back_whatever_the_chunks(value in value(), chunk in 1_usize..40) {
            let json = serde_json::to_vec(&value).unwrap();
            let mut yaml = Yaml::default();
            let mut cut = Vec::new();
            for piece in json.chunks(chunk) {
                cut.extend(yaml.push(piece));
            }
            cut.extend(yaml.end());
            prop_assert_eq!(&cut, &whole(&json));
            let text = String::from_utf8(cut).unwrap();
            let back: Value = serde_saphyr::from_str(&text)
                .unwrap_or_else(|error| panic!("{error}\n{text}"));
            prop_assert_eq!(back, value, "{}", text);
        }

        #[test]
        fn text_that_is_no_json_does_no_harm(text in any::<Vec<u8>>()) {
            drop(whole(&text));
        }
    }
}
