//! Counters: `{n}`, `{n,}` and `{n,m}`.

use super::cursor::Cursor;

/// Reads a counter: `{`, a number, perhaps a comma, perhaps another number, `}`.
pub(super) fn read(cursor: &mut Cursor<'_>) -> Option<(u32, Option<u32>)> {
    cursor.eat("{");
    let least = number(cursor)?;
    let most = match cursor.next()? {
        '}' => return Some((least, Some(least))),
        ',' if cursor.eat("}") => return Some((least, None)),
        ',' => number(cursor)?,
        _ => return None,
    };
    cursor.eat("}").then_some((least, Some(most)))
}

/// A number without leading zeros. What is too large to count with is as large as can be.
fn number(cursor: &mut Cursor<'_>) -> Option<u32> {
    let first = cursor.eat_if(|char| char.is_ascii_digit())?;
    let mut value = first.to_digit(10)?;
    while let Some(digit) = cursor.eat_if(|char| char.is_ascii_digit()) {
        if first == '0' {
            return None;
        }
        value = value.saturating_mul(10).saturating_add(digit.to_digit(10)?);
    }
    Some(value)
}
