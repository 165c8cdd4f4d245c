//! Numbers as Go's `strconv.ParseFloat(text, 64)` reads them, because numerical policies do.
//!
//! Rust's own parser differs: it takes `+nan` and overflow, and knows neither underscores nor hexadecimal floats.
//! Source: Go 1.26 `internal/strconv/atof.go`.

#[cfg(test)]
mod tests;

/// Reads a number; `None` where Go reports a syntax or a range error.
pub fn parse(text: &str) -> Option<f64> {
    let (negative, unsigned) = match text.as_bytes() {
        [b'-', ..] => (true, text.strip_prefix('-')?),
        [b'+', ..] => (false, text.strip_prefix('+')?),
        _ => (false, text),
    };
    let signed = |value: f64| if negative { -value } else { value };
    if ["inf", "infinity"]
        .iter()
        .any(|name| unsigned.eq_ignore_ascii_case(name))
    {
        return Some(signed(f64::INFINITY));
    }
    if text.eq_ignore_ascii_case("nan") {
        return Some(f64::NAN);
    }
    let value = match unsigned.as_bytes() {
        [b'0', b'x' | b'X', digits @ ..] => hexadecimal(digits)?,
        digits => decimal(digits)?,
    };
    value.is_finite().then(|| signed(value))
}

/// The pieces of a number without sign and prefix; digits are what the base says, or `_`.
struct Literal<'a> {
    whole: &'a [u8],
    fraction: &'a [u8],
    /// With its sign; absent when there is no exponent mark.
    exponent: Option<&'a [u8]>,
}

impl<'a> Literal<'a> {
    /// Splits `digits[.digits][mark[sign]digits]` and checks each piece, the underscores apart.
    fn split(text: &'a [u8], mark: u8, is_digit: fn(u8) -> bool) -> Option<Self> {
        let (mantissa, exponent) = cut(text, |byte| byte.eq_ignore_ascii_case(&mark));
        let (whole, fraction) = cut(mantissa, |byte| byte == b'.');
        let fraction = fraction.unwrap_or_default();
        let mut mantissa = whole.iter().chain(fraction).copied();
        let is_sound = mantissa.clone().any(is_digit)
            && mantissa.all(|byte| is_digit(byte) || byte == b'_')
            && exponent.is_none_or(is_exponent);
        is_sound.then_some(Self {
            whole,
            fraction,
            exponent,
        })
    }
}

/// `[sign]digits`, where the first is a digit and the others may be `_`.
fn is_exponent(text: &[u8]) -> bool {
    let (_, digits) = sign(text);
    digits.first().is_some_and(u8::is_ascii_digit)
        && digits
            .iter()
            .all(|byte| byte.is_ascii_digit() || *byte == b'_')
}

/// Whether the number is negative, and what stands behind its sign.
fn sign(text: &[u8]) -> (bool, &[u8]) {
    match text {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] | digits => (false, digits),
    }
}

fn cut(text: &[u8], is_separator: impl Fn(u8) -> bool) -> (&[u8], Option<&[u8]>) {
    let mut pieces = text.splitn(2, |byte| is_separator(*byte));
    (pieces.next().unwrap_or_default(), pieces.next())
}

/// Whether each underscore has a digit before and a digit behind it. A base prefix counts as a digit before.
fn underscores_part_digits(text: &[u8], is_digit: fn(u8) -> bool, after_prefix: bool) -> bool {
    let mut before = after_prefix;
    let mut bytes = text.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        if byte == b'_' && !(before && bytes.peek().copied().is_some_and(is_digit)) {
            return false;
        }
        before = is_digit(byte);
    }
    true
}

fn decimal(text: &[u8]) -> Option<f64> {
    let is_digit = |byte: u8| byte.is_ascii_digit();
    Literal::split(text, b'e', is_digit)?;
    if !text.contains(&b'_') {
        return str::from_utf8(text).ok()?.parse().ok();
    }
    if !underscores_part_digits(text, is_digit, false) {
        return None;
    }
    let bare: Vec<u8> = text.iter().copied().filter(|byte| *byte != b'_').collect();
    str::from_utf8(&bare).ok()?.parse().ok()
}

/// `text` is what stands behind `0x`. The exponent is mandatory, and counts powers of two.
fn hexadecimal(text: &[u8]) -> Option<f64> {
    let is_digit = |byte: u8| byte.is_ascii_hexdigit();
    let literal = Literal::split(text, b'p', is_digit)?;
    let exponent = hexadecimal_exponent(literal.exponent?);
    if !underscores_part_digits(text, is_digit, true) {
        return None;
    }
    let mut mantissa = Mantissa::default();
    for digit in literal.whole {
        mantissa.push(*digit, 0);
    }
    for digit in literal.fraction {
        mantissa.push(*digit, -4);
    }
    Some(round(
        mantissa.value,
        mantissa.exponent.saturating_add(exponent),
    ))
}

/// Stops growing where Go's does: far beyond what a float holds.
fn hexadecimal_exponent(text: &[u8]) -> i64 {
    let (negative, digits) = sign(text);
    let digits = digits.iter().filter(|byte| byte.is_ascii_digit());
    let value = digits.fold(0_i64, |value, digit| {
        if value < 10_000 {
            value * 10 + i64::from(digit - b'0')
        } else {
            value
        }
    });
    if negative { -value } else { value }
}

/// Hexadecimal digits as `value * 2^exponent`. The lowest bit stands for itself and every nonzero digit that
/// did not fit, which is enough to round right: it lies far below a float's last bit.
#[derive(Default)]
struct Mantissa {
    value: u64,
    exponent: i64,
}

impl Mantissa {
    /// Appends a digit, or nothing for `_`. `weight` is what a digit at this place adds to the exponent.
    fn push(&mut self, digit: u8, weight: i64) {
        let Some(digit) = char::from(digit).to_digit(16) else {
            return;
        };
        if self.value >> 60 == 0 {
            self.value = self.value << 4 | u64::from(digit);
            self.exponent += weight;
        } else {
            self.value |= u64::from(digit != 0);
            self.exponent += weight + 4;
        }
    }
}

/// `value * 2^exponent`, rounded half to even; infinite when it is too large.
fn round(value: u64, exponent: i64) -> f64 {
    let Some(top_bit) = value.checked_ilog2() else {
        return 0.0;
    };
    let top = exponent.saturating_add(i64::from(top_bit));
    if top > 1023 {
        return f64::INFINITY;
    }
    // The weight of the result's last bit: 53 bits in all, but never below the smallest subnormal.
    let last = (top - 52).max(-1074);
    let kept = match u32::try_from(last - exponent) {
        Ok(dropped) => shift_right_half_even(value, dropped),
        // Bits are to spare: at most 52 of them, as the value's top bit stays within 53.
        Err(_) => value
            .checked_shl(u32::try_from(exponent - last).unwrap_or(u32::MAX))
            .unwrap_or_default(),
    };
    #[expect(
        clippy::cast_precision_loss,
        reason = "at most 2^53, which a float holds exactly"
    )]
    let kept = kept as f64;
    kept * power_of_two(last)
}

fn shift_right_half_even(value: u64, bits: u32) -> u64 {
    if bits == 0 {
        return value;
    }
    let kept = value.checked_shr(bits).unwrap_or_default();
    let dropped = u128::from(value) - (u128::from(kept) << bits.min(64));
    let half = 1_u128.checked_shl(bits).unwrap_or(u128::MAX) / 2;
    let rounds_up = dropped > half || (dropped == half && kept % 2 == 1);
    kept + u64::from(rounds_up)
}

/// `2^exponent` for exponents from -1074 to 971, exactly.
fn power_of_two(exponent: i64) -> f64 {
    let bits = match u64::try_from(exponent + 1022) {
        Ok(above_smallest_normal) => (above_smallest_normal + 1) << 52,
        Err(_) => 1 << (exponent + 1074),
    };
    f64::from_bits(bits)
}
