//! One pass over a pattern in Go's syntax, writing it anew in Rust's.
//!
//! Flags are resolved on the spot, so that none is left standing alone in what is written; group names go to a
//! table, because Go's may repeat. The first error from left to right wins, unclosed groups come last.

use super::cursor::Cursor;
use super::flags::Flags;
use super::group::{Group, Item, MAX_REPEATS, Times};
use super::unicode::Classes;
use super::{Code, Error, class, counter, escape};

/// How many groups may be open at once. Go has no such limit but one on the height of the whole.
const MAX_OPEN_GROUPS: usize = 32;
/// Enough for what a pattern within our limits becomes.
pub(super) const MAX_WRITTEN_NESTING: u32 = 1000;

/// A pattern as Rust reads it.
pub(super) struct Translation {
    pub(super) text: String,
    /// The groups' names by number; empty for those without.
    pub(super) names: Vec<String>,
}

/// Translates a whole pattern.
pub(super) fn translate(pattern: &str) -> Result<Translation, Error> {
    let mut translator = Translator {
        cursor: Cursor::new(pattern),
        flags: Flags::default(),
        group: Group::new(""),
        outer: Vec::new(),
        names: vec![String::new()],
        classes: Classes::default(),
        last_operator: None,
    };
    while let Some(char) = translator.cursor.peek() {
        let start = translator.cursor.at();
        let token = translator.token(char)?;
        translator.last_operator = (token == Token::Operator).then_some(start);
    }
    if translator.outer.is_empty() {
        Ok(Translation {
            text: translator.group.into_text(),
            names: translator.names,
        })
    } else {
        Err(translator.whole(Code::MissingParen))
    }
}

struct Translator<'p> {
    cursor: Cursor<'p>,
    flags: Flags,
    group: Group,
    /// The groups around `group`, each with the flags to go back to.
    outer: Vec<(Group, Flags)>,
    names: Vec<String>,
    classes: Classes,
    /// Where the last token began, if it was a repetition operator.
    last_operator: Option<usize>,
}

/// What a token was, as far as the next one cares.
#[derive(PartialEq, Eq)]
enum Token {
    Operator,
    Other,
}

impl Translator<'_> {
    /// Reads and translates one token, which begins with `char`.
    fn token(&mut self, char: char) -> Result<Token, Error> {
        match char {
            '(' if self.cursor.rest().starts_with("(?") => self.perl_group()?,
            '(' => {
                self.cursor.eat("(");
                self.open_capture("")?;
            }
            '|' => {
                self.cursor.eat("|");
                self.group.alternate();
            }
            ')' => self.close()?,
            '[' => {
                let set = class::read(&mut self.cursor, &mut self.classes)?;
                self.push_folded(&set.written());
            }
            '^' => self.fixed("^", self.flags.choose(Flags::MULTI_LINE, "(?m:^)", r"\A")),
            '$' => self.fixed("$", self.flags.choose(Flags::MULTI_LINE, "(?m:$)", r"\z")),
            '.' => self.fixed(".", self.flags.choose(Flags::DOT_ALL, "(?s:.)", r"[^\n]")),
            '*' => return self.operator(Times::Star),
            '+' => return self.operator(Times::Plus),
            '?' => return self.operator(Times::Question),
            '{' => return self.counter(),
            '\\' => self.escape()?,
            _ => {
                self.cursor.next();
                self.push_literal(u32::from(char));
            }
        }
        Ok(Token::Other)
    }

    /// A token whose translation stands already.
    fn fixed(&mut self, token: &str, written: &str) {
        self.cursor.eat(token);
        self.group.push(Item::simple(written.to_owned()));
    }

    fn push_literal(&mut self, code_point: u32) {
        self.push_folded(&class::Set::of(code_point).written());
    }

    /// Pushes something whose case matters unless the flag says otherwise.
    fn push_folded(&mut self, written: &str) {
        let fold = self.flags.choose(Flags::FOLD_CASE, "(?i:", "(?:");
        self.group.push(Item::simple(format!("{fold}{written})")));
    }

    fn escape(&mut self) -> Result<(), Error> {
        for (token, written) in [
            (r"\A", r"\A"),
            (r"\z", r"\z"),
            (r"\b", r"(?-u:\b)"),
            (r"\B", r"(?-u:\B)"),
        ] {
            if self.cursor.rest().starts_with(token) {
                self.fixed(token, written);
                return Ok(());
            }
        }
        if self.cursor.eat(r"\Q") {
            let quoted = self
                .cursor
                .eat_through(r"\E")
                .unwrap_or_else(|| self.cursor.eat_all());
            quoted
                .chars()
                .for_each(|char| self.push_literal(u32::from(char)));
        } else if let Some(set) = class::read_escape(&mut self.cursor, &mut self.classes)? {
            self.push_folded(&set.written());
        } else {
            let code_point = escape::read(&mut self.cursor)?;
            self.push_literal(code_point);
        }
        Ok(())
    }

    fn open_capture(&mut self, name: &str) -> Result<(), Error> {
        self.names.push(name.to_owned());
        self.open("(", self.flags)
    }

    /// Opens a group with `flags` inside.
    fn open(&mut self, opening: &'static str, flags: Flags) -> Result<(), Error> {
        if self.outer.len() >= MAX_OPEN_GROUPS {
            return Err(self.whole(Code::NestingDepth));
        }
        let around = std::mem::replace(&mut self.group, Group::new(opening));
        self.outer.push((around, self.flags));
        self.flags = flags;
        Ok(())
    }

    fn close(&mut self) -> Result<(), Error> {
        self.cursor.eat(")");
        let Some((around, flags)) = self.outer.pop() else {
            return Err(self.whole(Code::UnexpectedParen));
        };
        let closed = std::mem::replace(&mut self.group, around);
        self.group
            .push(closed.close().map_err(|code| self.whole(code))?);
        self.flags = flags;
        Ok(())
    }

    /// `(?P<name>`, `(?<name>`, `(?flags:` or `(?flags)`.
    fn perl_group(&mut self) -> Result<(), Error> {
        let start = self.cursor.at();
        for opening in ["(?P<", "(?<"] {
            if self.cursor.rest().len() > opening.len() && self.cursor.eat(opening) {
                return self.named_group(start);
            }
        }
        self.cursor.eat("(?");
        let mut flags = self.flags;
        let (mut is_clearing, mut awaits_flag) = (false, false);
        while let Some(char) = self.cursor.next() {
            match char {
                ')' if !awaits_flag => {
                    self.flags = flags;
                    return Ok(());
                }
                ':' if !awaits_flag => return self.open("(?:", flags),
                '-' if !is_clearing => (is_clearing, awaits_flag) = (true, true),
                _ => match Flags::named(char) {
                    Some(flag) => {
                        flags.set(flag, !is_clearing);
                        awaits_flag = false;
                    }
                    None => break,
                },
            }
        }
        Err(self.cursor.error_since(start, Code::InvalidPerlOp))
    }

    /// The rest of a named group; the cursor stands behind the `<`.
    fn named_group(&mut self, start: usize) -> Result<(), Error> {
        let Some(name) = self.cursor.eat_through(">") else {
            return Err(self.cursor.error_from(start, Code::InvalidNamedCapture));
        };
        if name.is_empty()
            || !name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        {
            return Err(self.cursor.error_since(start, Code::InvalidNamedCapture));
        }
        self.open_capture(name)
    }

    /// `*`, `+` or `?`.
    fn operator(&mut self, times: Times) -> Result<Token, Error> {
        let start = self.cursor.at();
        self.cursor.next();
        self.repeat(start, times)
    }

    /// `{n}`, `{n,}` or `{n,m}`; a `{` that begins none of them is a character.
    fn counter(&mut self) -> Result<Token, Error> {
        let start = self.cursor.at();
        let mut ahead = self.cursor;
        let Some((least, most)) = counter::read(&mut ahead) else {
            self.cursor.next();
            self.push_literal(u32::from('{'));
            return Ok(Token::Other);
        };
        self.cursor = ahead;
        if least > MAX_REPEATS || most.is_some_and(|most| most > MAX_REPEATS || most < least) {
            return Err(self.cursor.error_since(start, Code::InvalidRepeatSize));
        }
        self.repeat(start, Times::Counted { least, most })
    }

    /// Applies an operator that began at `start` and is read but for a `?` of its own.
    fn repeat(&mut self, start: usize, times: Times) -> Result<Token, Error> {
        let is_marked = self.cursor.eat("?");
        if let Some(last) = self.last_operator {
            return Err(self.cursor.error_since(last, Code::InvalidRepeatOp));
        }
        let is_lazy = is_marked != self.flags.has(Flags::SWAP_GREED);
        match self.group.repeat(times, is_lazy) {
            Ok(()) => Ok(Token::Operator),
            Err(Code::NestingDepth) => Err(self.whole(Code::NestingDepth)),
            Err(code) => Err(self.cursor.error_since(start, code)),
        }
    }

    fn whole(&self, code: Code) -> Error {
        self.cursor.error_from(0, code)
    }
}
