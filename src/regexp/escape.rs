//! Escapes that stand for one code point, inside and outside of classes alike.

use super::cursor::Cursor;
use super::{Code, Error};

/// Reads an escape; the cursor stands at its backslash. The code point may be a surrogate, which matches nothing.
pub(super) fn read(cursor: &mut Cursor<'_>) -> Result<u32, Error> {
    let start = cursor.at();
    cursor.eat("\\");
    let Some(char) = cursor.next() else {
        return Err(Error {
            code: Code::TrailingBackslash,
            excerpt: String::new(),
        });
    };
    let code_point = match char {
        '1'..='7' if !cursor.peek().is_some_and(is_octal) => None,
        '0'..='7' => Some(octal(char, cursor)),
        'x' => hexadecimal(cursor),
        'a' => Some(0x07),
        'f' => Some(0x0c),
        'n' => Some(0x0a),
        'r' => Some(0x0d),
        't' => Some(0x09),
        'v' => Some(0x0b),
        _ if char.is_ascii() && !char.is_ascii_alphanumeric() => Some(u32::from(char)),
        _ => None,
    };
    code_point.ok_or_else(|| cursor.error_since(start, Code::InvalidEscape))
}

fn is_octal(char: char) -> bool {
    ('0'..='7').contains(&char)
}

/// `first` and up to two more digits.
fn octal(first: char, cursor: &mut Cursor<'_>) -> u32 {
    let mut value = first.to_digit(8).unwrap_or_default();
    for _ in 0..2 {
        let Some(digit) = cursor.eat_if(is_octal).and_then(|char| char.to_digit(8)) else {
            break;
        };
        value = value * 8 + digit;
    }
    value
}

/// `HH` or `{H…}`. Reads on until it is clear that there is no number, because the error shows how far it got.
fn hexadecimal(cursor: &mut Cursor<'_>) -> Option<u32> {
    if cursor.eat("{") {
        return braced_hexadecimal(cursor);
    }
    let (high, low) = (cursor.next()?, cursor.next()?);
    Some(high.to_digit(16)? * 16 + low.to_digit(16)?)
}

fn braced_hexadecimal(cursor: &mut Cursor<'_>) -> Option<u32> {
    let mut value = None;
    loop {
        match cursor.next()? {
            '}' => return value,
            char => {
                let next = value.unwrap_or(0) * 16 + char.to_digit(16)?;
                value = Some(next).filter(|value| *value <= u32::from(char::MAX));
                value?;
            }
        }
    }
}
