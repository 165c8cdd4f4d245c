//! Builds requirements from tokens, with upstream's words for what does not fit.

use super::lexer::{Kind, Token, tokens};
use super::{Error, Operator, Requirement, syntax};
use crate::apiserver::status::field::{FieldError, aggregate};

/// The requirements of `text`, sorted by key.
pub(super) fn parse(text: &str) -> Result<Vec<Requirement>, Error> {
    let mut parser = Parser {
        tokens: tokens(text),
        position: 0,
    };
    let mut requirements = parser.requirements().map_err(Error)?;
    requirements.sort_by(|a, b| a.key.cmp(&b.key));
    Ok(requirements)
}

struct Parser<'a> {
    tokens: Vec<Token<'a>>,
    position: usize,
}

impl<'a> Parser<'a> {
    /// The next token as an operator position reads it.
    fn peek_raw(&self) -> Token<'a> {
        self.tokens.get(self.position).copied().unwrap_or(Token {
            kind: Kind::End,
            text: "",
        })
    }

    /// The next token where `in` and `notin` are words like others.
    fn peek(&self) -> Token<'a> {
        let token = self.peek_raw();
        match token.kind {
            Kind::In | Kind::NotIn => Token {
                kind: Kind::Identifier,
                ..token
            },
            Kind::End
            | Kind::ClosedParenthesis
            | Kind::Comma
            | Kind::Not
            | Kind::DoubleEquals
            | Kind::Equals
            | Kind::GreaterThan
            | Kind::Identifier
            | Kind::LessThan
            | Kind::NotEquals
            | Kind::OpenParenthesis => token,
        }
    }

    fn next(&mut self) -> Token<'a> {
        let token = self.peek();
        self.position += 1;
        token
    }

    fn requirements(&mut self) -> Result<Vec<Requirement>, String> {
        let mut requirements = Vec::new();
        loop {
            let token = self.peek();
            match token.kind {
                Kind::End => return Ok(requirements),
                Kind::Identifier | Kind::Not => {}
                _ => {
                    return Err(format!(
                        "found '{}', expected: !, identifier, or 'end of string'",
                        token.text
                    ));
                }
            }
            let requirement = self
                .requirement()
                .map_err(|error| format!("unable to parse requirement: {error}"))?;
            requirements.push(requirement);
            let separator = self.next();
            match separator.kind {
                Kind::End => return Ok(requirements),
                Kind::Comma => {
                    let after = self.peek();
                    if !matches!(after.kind, Kind::Identifier | Kind::Not) {
                        return Err(format!(
                            "found '{}', expected: identifier after ','",
                            after.text
                        ));
                    }
                }
                _ => {
                    return Err(format!(
                        "found '{}', expected: ',' or 'end of string'",
                        separator.text
                    ));
                }
            }
        }
    }

    fn requirement(&mut self) -> Result<Requirement, String> {
        let mut negated = false;
        let mut token = self.next();
        if token.kind == Kind::Not {
            negated = true;
            token = self.next();
        }
        if token.kind != Kind::Identifier {
            return Err(format!("found '{}', expected: identifier", token.text));
        }
        let key = token.text.to_owned();
        let problems = syntax::key_problems(&key);
        if !problems.is_empty() {
            return Err(FieldError::invalid("<nil>", &key, problems.join("; ")).to_string());
        }
        if negated {
            return Ok(Requirement {
                key,
                operator: Operator::DoesNotExist,
                values: Vec::new(),
            });
        }
        if matches!(self.peek().kind, Kind::End | Kind::Comma) {
            return Ok(Requirement {
                key,
                operator: Operator::Exists,
                values: Vec::new(),
            });
        }
        let operator = self.operator()?;
        let mut values = match operator.shape {
            Shape::Set => self.set()?,
            Shape::One => vec![self.value()?],
        };
        values.sort();
        values.dedup();
        check(&key, operator.operator, &values)?;
        Ok(Requirement {
            key,
            operator: operator.operator,
            values,
        })
    }

    fn operator(&mut self) -> Result<Comparison, String> {
        let token = self.peek_raw();
        self.position += 1;
        let (operator, shape) = match token.kind {
            Kind::In => (Operator::In, Shape::Set),
            Kind::NotIn => (Operator::NotIn, Shape::Set),
            Kind::Equals | Kind::DoubleEquals => (Operator::In, Shape::One),
            Kind::NotEquals => (Operator::NotIn, Shape::One),
            Kind::GreaterThan => (Operator::GreaterThan, Shape::One),
            Kind::LessThan => (Operator::LessThan, Shape::One),
            Kind::End
            | Kind::ClosedParenthesis
            | Kind::Comma
            | Kind::Not
            | Kind::Identifier
            | Kind::OpenParenthesis => {
                return Err(format!(
                    "found '{}', expected: in, notin, =, ==, !=, gt, lt",
                    token.text
                ));
            }
        };
        Ok(Comparison { operator, shape })
    }

    /// `(a, b)`; also `()`, `(,a)` and `(a,)`, where the gaps are empty values.
    fn set(&mut self) -> Result<Vec<String>, String> {
        let open = self.next();
        if open.kind != Kind::OpenParenthesis {
            return Err(format!("found '{}' expected: '('", open.text));
        }
        let mut values = Vec::new();
        let mut gap = true;
        loop {
            let token = self.next();
            match token.kind {
                Kind::Identifier if gap => {
                    values.push(token.text.to_owned());
                    gap = false;
                }
                Kind::Comma => {
                    if gap {
                        values.push(String::new());
                    }
                    gap = true;
                }
                Kind::ClosedParenthesis => {
                    if gap {
                        values.push(String::new());
                    }
                    return Ok(values);
                }
                _ if gap && values.is_empty() => {
                    return Err(format!(
                        "found '{}', expected: ',', ')' or identifier",
                        token.text
                    ));
                }
                _ if gap => {
                    return Err(format!(
                        "found '{}', expected: ',', or identifier",
                        token.text
                    ));
                }
                _ => return Err(format!("found '{}', expected: ',' or ')'", token.text)),
            }
        }
    }

    fn value(&mut self) -> Result<String, String> {
        if matches!(self.peek().kind, Kind::End | Kind::Comma) {
            return Ok(String::new());
        }
        let token = self.next();
        if token.kind == Kind::Identifier {
            return Ok(token.text.to_owned());
        }
        Err(format!("found '{}', expected: identifier", token.text))
    }
}

struct Comparison {
    operator: Operator,
    shape: Shape,
}

enum Shape {
    Set,
    One,
}

fn check(key: &str, operator: Operator, values: &[String]) -> Result<(), String> {
    let mut errors = Vec::new();
    if matches!(operator, Operator::GreaterThan | Operator::LessThan) {
        for (index, value) in values.iter().enumerate() {
            if value.parse::<i64>().is_err() {
                let detail = "for 'Gt', 'Lt' operators, the value must be an integer";
                errors.push(FieldError::invalid(
                    format!("values[{index}]"),
                    value,
                    detail,
                ));
            }
        }
    }
    for (index, value) in values.iter().enumerate() {
        let problems = syntax::value_problems(value);
        if !problems.is_empty() {
            errors.push(FieldError::invalid(
                format!("values[{index}][{key}]"),
                value,
                problems.join("; "),
            ));
        }
    }
    if errors.is_empty() {
        Ok(())
    } else {
        Err(aggregate(&errors))
    }
}
