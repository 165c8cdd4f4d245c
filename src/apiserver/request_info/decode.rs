//! Percent-decoding of paths: once, at the edge, and never with a panic.

use std::borrow::Cow;

/// `text` with every `%xx` replaced by its byte; malformed escapes stay as they are, bytes that are no UTF-8 become
/// U+FFFD. `+` stays `+`: that rule is for queries.
pub(super) fn lenient(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return Cow::Borrowed(text);
    }
    let (bytes, _) = decode(text.as_bytes());
    Cow::Owned(
        String::from_utf8(bytes)
            .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()),
    )
}

/// As [`lenient`], but `None` when there is a malformed escape or no UTF-8 comes out.
pub(in crate::apiserver) fn strict(text: &str) -> Option<String> {
    let (bytes, clean) = decode(text.as_bytes());
    if clean {
        String::from_utf8(bytes).ok()
    } else {
        None
    }
}

/// The decoded bytes, and whether every escape was well-formed.
fn decode(mut rest: &[u8]) -> (Vec<u8>, bool) {
    let mut decoded = Vec::with_capacity(rest.len());
    let mut clean = true;
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        if first != b'%' {
            decoded.push(first);
            continue;
        }
        match after {
            [high, low, tail @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                decoded.push((nibble(*high) << 4) | nibble(*low));
                rest = tail;
            }
            _ => {
                decoded.push(b'%');
                clean = false;
            }
        }
    }
    (decoded, clean)
}

fn nibble(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        b'a'..=b'f' => digit - b'a' + 10,
        b'A'..=b'F' => digit - b'A' + 10,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_decode_and_broken_ones_stay() {
        let cases = [
            ("plain", "plain", Some("plain")),
            ("a%2Fb", "a/b", Some("a/b")),
            ("%41%c3%b6", "A\u{f6}", Some("A\u{f6}")),
            ("1+1", "1+1", Some("1+1")),
            ("100%", "100%", None),
            ("%zz%41", "%zzA", None),
            ("%4", "%4", None),
            ("%ff", "\u{fffd}", None),
        ];
        for (text, lenient_text, strict_text) in cases {
            assert_eq!(lenient(text), lenient_text, "{text}");
            assert_eq!(strict(text).as_deref(), strict_text, "{text}");
        }
    }
}
