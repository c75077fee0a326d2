//! What stands right of an operator.

use std::{ops::Range, sync::Arc};

use waggle_model::Timestamp;
use winnow::{Parser, combinator::separated, token::any};

use super::{Input, KEYWORDS, Parsed, expected, habit, next, span_since, symbol, take};
use crate::{
    error::{Reason, cut},
    lexer::{Lexeme, Token, fail},
    limits::MAX_LIST,
    property::Type,
    values::unsigned_zero,
};

#[derive(Debug, Clone)]
pub(super) enum Operand {
    Text(String),
    Number(f64),
    Boolean(bool),
    Time(Timestamp),
    Now { offset_ms: i64 },
    User(Arc<str>),
}

/// An operand and where it stands.
#[derive(Debug, Clone)]
pub(super) struct Placed {
    pub(super) operand: Operand,
    pub(super) span: Range<usize>,
}

impl Operand {
    /// `None` for what a user holds, which shows only when they ask.
    pub(super) fn kind(&self) -> Option<Type> {
        match self {
            Self::Text(_) => Some(Type::String),
            Self::Number(_) => Some(Type::Number),
            Self::Boolean(_) => Some(Type::Boolean),
            Self::Time(_) | Self::Now { .. } => Some(Type::Time),
            Self::User(_) => None,
        }
    }
}

/// A value, a time relative to now, or a property of the user.
pub(super) fn operand(input: &mut Input<'_>) -> Parsed<Placed> {
    let first = next(input);
    let operand = match &first.token {
        Token::Word("user") => Operand::User(user(input)?),
        Token::Word("now") => now(input)?,
        _ => return literal(input),
    };
    Ok(Placed { operand, span: span_since(first, input) })
}

/// Values in brackets. May be empty: programs write such lists.
pub(super) fn list(input: &mut Input<'_>) -> Parsed<Vec<Placed>> {
    let open = next(input);
    symbol(input, "[", "a list")?;
    if next(input).token == Token::Symbol("]") {
        take(input)?;
        return Ok(Vec::new());
    }
    let comma = any.verify(|lexeme: &Lexeme<'_>| lexeme.token == Token::Symbol(","));
    let values: Vec<Placed> = separated(1.., element, comma).parse_next(input)?;
    symbol(input, "]", "a comma or `]`")?;
    if values.len() > MAX_LIST {
        return Err(fail(Reason::ListTooLong { values: values.len() }, span_since(open, input)));
    }
    Ok(values)
}

/// The name behind `user.`.
pub(super) fn user(input: &mut Input<'_>) -> Parsed<Arc<str>> {
    take(input)?;
    symbol(input, ".", "a dot and the name of a property of the user")?;
    let lexeme = next(input);
    let name = match &lexeme.token {
        Token::Word(name) => Arc::from(*name),
        Token::Quoted(name) => Arc::from(&**name),
        _ => return Err(expected("the name of a property of the user", lexeme)),
    };
    take(input)?;
    Ok(name)
}

fn element(input: &mut Input<'_>) -> Parsed<Placed> {
    let first = next(input);
    match first.token {
        Token::Word("user" | "now") => Err(expected("a string, a number, a boolean or a time", first)),
        _ => literal(input),
    }
}

fn literal(input: &mut Input<'_>) -> Parsed<Placed> {
    let first = next(input);
    let operand = match &first.token {
        Token::Text(text) => Operand::Text(text.clone()),
        Token::Number(number) => Operand::Number(*number),
        Token::Word("true") => Operand::Boolean(true),
        Token::Word("false") => Operand::Boolean(false),
        Token::Word("time") => return time(input),
        Token::Symbol("-") => return negative(input),
        Token::Word(name) if habit(first).is_none() && !KEYWORDS.contains(name) => {
            return Err(fail(Reason::Unquoted { name: cut(name) }, first.span.clone()));
        }
        Token::Quoted(name) => return Err(fail(Reason::Unquoted { name: cut(name) }, first.span.clone())),
        _ => return Err(expected("a value", first)),
    };
    take(input)?;
    Ok(Placed { operand, span: first.span.clone() })
}

fn negative(input: &mut Input<'_>) -> Parsed<Placed> {
    let minus = take(input)?;
    let lexeme = next(input);
    let Token::Number(number) = lexeme.token else { return Err(expected("a number", lexeme)) };
    take(input)?;
    Ok(Placed { operand: Operand::Number(unsigned_zero(-number)), span: span_since(minus, input) })
}

/// `time("2026-01-01T00:00:00Z")`.
fn time(input: &mut Input<'_>) -> Parsed<Placed> {
    let first = take(input)?;
    symbol(input, "(", "`(` and a time in quotes")?;
    let lexeme = next(input);
    let Token::Text(text) = &lexeme.token else { return Err(expected("a time in quotes", lexeme)) };
    let time = Timestamp::parse_rfc3339(text).ok().filter(|time| time.is_expressible());
    let Some(time) = time else {
        return Err(fail(Reason::Time { found: cut(text) }, lexeme.span.clone()));
    };
    take(input)?;
    symbol(input, ")", "a closing parenthesis")?;
    Ok(Placed { operand: Operand::Time(time), span: span_since(first, input) })
}

/// `now`, `now - 30d`, `now + 12h`.
fn now(input: &mut Input<'_>) -> Parsed<Operand> {
    take(input)?;
    let sign = match next(input).token {
        Token::Symbol("-") => -1,
        Token::Symbol("+") => 1,
        _ => return Ok(Operand::Now { offset_ms: 0 }),
    };
    take(input)?;
    let lexeme = next(input);
    match lexeme.token {
        Token::Span { millis } => {
            take(input)?;
            Ok(Operand::Now { offset_ms: sign * millis })
        }
        Token::Number(number) => {
            Err(fail(Reason::Span { found: cut(&number.to_string()) }, lexeme.span.clone()))
        }
        _ => Err(expected("a span of time such as 30d", lexeme)),
    }
}
