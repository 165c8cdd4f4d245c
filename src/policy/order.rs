//! Which end of an ordering a policy elects from.

use super::InvalidPolicy;

/// The `order` of an alphabetical or numerical policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Order {
    /// Ascending: the greatest is the latest.
    #[default]
    Ascending,
    /// Descending: the smallest is the latest.
    Descending,
}

impl Order {
    /// Reads `asc` or `desc` in any case; empty text means ascending.
    pub fn parse(text: &str) -> Result<Self, InvalidPolicy> {
        let upper: String = text.chars().map(upper_case).collect();
        match upper.as_str() {
            "" | "ASC" => Ok(Self::Ascending),
            "DESC" => Ok(Self::Descending),
            _ => Err(InvalidPolicy::Order(upper)),
        }
    }
}

/// Upper case of one character by one character, as Go's `strings.ToUpper` has it: `ß` stays `ß`.
fn upper_case(char: char) -> char {
    let mut upper = char.to_uppercase();
    match (upper.next(), upper.next()) {
        (Some(single), None) => single,
        _ => char,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_read_in_any_case() {
        for (text, order) in [
            ("", Order::Ascending),
            ("asc", Order::Ascending),
            ("ASC", Order::Ascending),
            ("Asc", Order::Ascending),
            ("desc", Order::Descending),
            ("DESC", Order::Descending),
        ] {
            assert_eq!(Order::parse(text), Ok(order), "{text:?}");
        }
    }

    #[test]
    fn other_orders_are_refused_in_upper_case() {
        for (text, shown) in [("newest", "NEWEST"), (" asc", " ASC"), ("weiß", "WEIß")] {
            let message = format!(
                "invalid policy: invalid order argument provided: '{shown}', must be one of: ASC, DESC"
            );
            assert_eq!(Order::parse(text).unwrap_err().to_string(), message);
        }
    }
}
