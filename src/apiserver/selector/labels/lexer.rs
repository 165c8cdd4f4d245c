//! Cuts a label selector into tokens, longest operator first. `in` and `notin` are words or operators by context.

/// A token with the text it was read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Token<'a> {
    pub(super) kind: Kind,
    pub(super) text: &'a str,
}

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    End,
    ClosedParenthesis,
    Comma,
    Not,
    DoubleEquals,
    Equals,
    GreaterThan,
    Identifier,
    In,
    LessThan,
    NotEquals,
    NotIn,
    OpenParenthesis,
}

/// All tokens of `text`; the last one is [`Kind::End`].
pub(super) fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches([' ', '\t', '\r', '\n']);
        // A NUL ends the text for upstream's reader.
        let (token, after) = match rest.chars().next() {
            None | Some('\0') => {
                tokens.push(Token {
                    kind: Kind::End,
                    text: "",
                });
                return tokens;
            }
            Some(first) if is_special(first) => special(rest),
            Some(_) => word(rest),
        };
        tokens.push(token);
        rest = after;
    }
}

fn is_special(character: char) -> bool {
    matches!(character, '=' | '!' | '(' | ')' | ',' | '>' | '<')
}

fn special(rest: &str) -> (Token<'_>, &str) {
    const SYMBOLS: [(&str, Kind); 9] = [
        ("==", Kind::DoubleEquals),
        ("!=", Kind::NotEquals),
        ("=", Kind::Equals),
        ("!", Kind::Not),
        ("(", Kind::OpenParenthesis),
        (")", Kind::ClosedParenthesis),
        (",", Kind::Comma),
        (">", Kind::GreaterThan),
        ("<", Kind::LessThan),
    ];
    for (symbol, kind) in SYMBOLS {
        if let Some(after) = rest.strip_prefix(symbol) {
            return (Token { kind, text: symbol }, after);
        }
    }
    (
        Token {
            kind: Kind::End,
            text: "",
        },
        "",
    )
}

fn word(rest: &str) -> (Token<'_>, &str) {
    let end = rest
        .find(|character: char| {
            is_special(character) || matches!(character, ' ' | '\t' | '\r' | '\n' | '\0')
        })
        .unwrap_or(rest.len());
    let (text, after) = rest.split_at(end);
    let kind = match text {
        "in" => Kind::In,
        "notin" => Kind::NotIn,
        _ => Kind::Identifier,
    };
    (Token { kind, text }, after)
}
