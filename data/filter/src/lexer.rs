//! Text into tokens: names, values, symbols.

use std::ops::Range;

use winnow::{
    ModalResult, Parser,
    combinator::{alt, opt, peek, preceded, repeat, terminated},
    error::{ErrMode, ParserError},
    stream::{LocatingSlice, Location, Stream},
    token::{any, literal, one_of, take_till, take_while},
};

use crate::{
    error::{Failure, Reason, cut},
    limits::MAX_OFFSET_DAYS,
};

/// One word of the language.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Token<'a> {
    /// A name or a keyword.
    Word(&'a str),
    /// A name in backquotes, which is never a keyword.
    Quoted(String),
    Text(String),
    /// Finite and not negative.
    Number(f64),
    Span {
        millis: i64,
    },
    Symbol(&'static str),
    End,
}

/// A token and where it stands, in bytes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Lexeme<'a> {
    pub(crate) token: Token<'a>,
    pub(crate) span: Range<usize>,
}

/// Symbols and what people write for them, those before others that begin like them. `None` is a symbol.
const SYMBOLS: [(&str, Option<&'static str>); 45] = [
    ("===", Some("=")),
    ("!==", Some("!=")),
    ("...", Some("..")),
    ("==", Some("=")),
    ("=<", Some("<=")),
    ("=>", Some(">=")),
    ("<>", Some("!=")),
    ("&&", Some("and")),
    ("||", Some("or")),
    ("<=", None),
    (">=", None),
    ("!=", None),
    ("..", None),
    ("(", None),
    (")", None),
    ("[", None),
    ("]", None),
    (",", None),
    ("=", None),
    ("<", None),
    (">", None),
    (".", None),
    ("-", None),
    ("+", None),
    ("&", Some("and")),
    ("|", Some("or")),
    ("!", Some("not")),
    ("~", Some("=")),
    (":", Some("=")),
    ("{", Some("[")),
    ("}", Some("]")),
    ("≤", Some("<=")),
    ("≥", Some(">=")),
    ("≠", Some("!=")),
    ("…", Some("..")),
    ("–", Some("-")),
    ("−", Some("-")),
    ("“", Some("\"")),
    ("”", Some("\"")),
    ("„", Some("\"")),
    ("«", Some("\"")),
    ("»", Some("\"")),
    ("‘", Some("'")),
    ("’", Some("'")),
    ("´", Some("'")),
];

type Input<'a> = LocatingSlice<&'a str>;
type Lexed<T> = ModalResult<T, Failure>;

/// All tokens of the text, and [`Token::End`] after them.
pub(crate) fn lex(text: &str) -> Result<Vec<Lexeme<'_>>, Failure> {
    let mut input = LocatingSlice::new(text);
    let space = || take_while(0.., char::is_whitespace);
    let mut lexemes: Vec<Lexeme<'_>> = terminated(repeat(0.., preceded(space(), lexeme)), space())
        .parse_next(&mut input)
        .map_err(|e: ErrMode<Failure>| e.into_inner().unwrap_or_else(|_| Failure::from_input(&input)))?;
    lexemes.push(Lexeme { token: Token::End, span: text.len()..text.len() });
    Ok(lexemes)
}

/// Whether a name needs no backquotes for its letters; it may still be a keyword.
pub(crate) fn is_plain(name: &str) -> bool {
    name.starts_with(starts_word) && name.chars().all(continues_word)
}

fn starts_word(letter: char) -> bool {
    letter.is_alphabetic() || letter == '_'
}

fn continues_word(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}

fn lexeme<'a>(input: &mut Input<'a>) -> Lexed<Lexeme<'a>> {
    let first = peek(any).parse_next(input)?;
    let (token, span) = match first {
        '"' | '\'' => text.with_span().parse_next(input)?,
        '`' => quoted.with_span().parse_next(input)?,
        '0'..='9' => number.with_span().parse_next(input)?,
        letter if starts_word(letter) => {
            take_while(1.., continues_word).map(Token::Word).with_span().parse_next(input)?
        }
        _ => symbol.with_span().parse_next(input)?,
    };
    Ok(Lexeme { token, span })
}

fn text<'a>(input: &mut Input<'a>) -> Lexed<Token<'a>> {
    let from = input.current_token_start();
    let quote = one_of(['"', '\'']).parse_next(input)?;
    let mut value = String::new();
    loop {
        value.push_str(take_till(0.., [quote, '\\']).parse_next(input)?);
        let Some(end) = opt(any).parse_next(input)? else {
            return Err(fail(Reason::OpenString { quote }, from..from + 1));
        };
        if end == quote {
            return Ok(Token::Text(value));
        }
        let at = input.previous_token_end();
        match opt(any).parse_next(input)? {
            Some('n') => value.push('\n'),
            Some('t') => value.push('\t'),
            Some('r') => value.push('\r'),
            Some(same @ ('"' | '\'' | '\\')) => value.push(same),
            Some(character) => {
                return Err(fail(Reason::Escape { character }, at - 1..input.previous_token_end()));
            }
            None => return Err(fail(Reason::OpenString { quote }, from..from + 1)),
        }
    }
}

/// A name in backquotes, which doubles those in it.
fn quoted<'a>(input: &mut Input<'a>) -> Lexed<Token<'a>> {
    let from = input.current_token_start();
    literal("`").parse_next(input)?;
    let part = alt((literal("``").value("`"), take_while(1.., |letter| letter != '`')));
    let name = repeat(0.., part)
        .fold(String::new, |mut name, part: &str| {
            name.push_str(part);
            name
        })
        .parse_next(input)?;
    match opt(literal("`")).parse_next(input)? {
        Some(_) => Ok(Token::Quoted(name)),
        None => Err(fail(Reason::OpenName, from..from + 1)),
    }
}

/// A number, or with a unit behind it a span of time.
fn number<'a>(input: &mut Input<'a>) -> Lexed<Token<'a>> {
    let digits = || take_while(1.., '0'..='9');
    // Two dots are a range, so a dot belongs to the number only before a digit.
    let fraction = opt((literal("."), digits()));
    let exponent = opt((one_of(['e', 'E']), opt(one_of(['+', '-'])), digits()));
    let behind = take_while(0.., continues_word);
    let ((written, unit), span) =
        ((digits(), fraction, exponent).take(), behind).with_span().parse_next(input)?;
    let found = || cut(&format!("{written}{unit}"));
    if unit.is_empty() {
        return match written.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(Token::Number(number)),
            _ => Err(fail(Reason::Number { found: found() }, span)),
        };
    }
    match millis(written, unit) {
        Some(millis) => Ok(Token::Span { millis }),
        None if unit_ms(unit).is_some() => Err(fail(Reason::Span { found: found() }, span)),
        None => Err(fail(Reason::Number { found: found() }, span)),
    }
}

/// `30` and `d` in milliseconds.
fn millis(written: &str, unit: &str) -> Option<i64> {
    let amount: u64 = written.parse().ok()?;
    let millis = amount.checked_mul(unit_ms(unit)?).filter(|millis| *millis <= MAX_OFFSET_DAYS * DAY_MS)?;
    i64::try_from(millis).ok()
}

const DAY_MS: u64 = 86_400_000;

fn unit_ms(unit: &str) -> Option<u64> {
    Some(match unit {
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => DAY_MS,
        "w" => 7 * DAY_MS,
        _ => return None,
    })
}

fn symbol<'a>(input: &mut Input<'a>) -> Lexed<Token<'a>> {
    let from = input.current_token_start();
    for (written, instead) in SYMBOLS {
        if opt(literal(written)).parse_next(input)?.is_none() {
            continue;
        }
        return match instead {
            None => Ok(Token::Symbol(written)),
            Some(instead) => {
                let reason = Reason::Spelling { found: written.to_owned(), instead };
                Err(fail(reason, from..input.previous_token_end()))
            }
        };
    }
    let character = any.parse_next(input)?;
    Err(fail(Reason::Character { character }, from..input.previous_token_end()))
}

/// An error that no alternative can make good.
pub(crate) fn fail(reason: Reason, span: Range<usize>) -> ErrMode<Failure> {
    ErrMode::Cut(Failure { reason, span })
}

/// What winnow makes where an alternative does not fit: it says where, and that something else was expected. Whoever
/// has no other alternative left says what.
impl<I: Stream + Location> ParserError<I> for Failure {
    type Inner = Self;

    fn from_input(input: &I) -> Self {
        let at = input.current_token_start();
        Self {
            reason: Reason::Expected { expected: "something else", found: "this".to_owned() },
            span: at..at,
        }
    }

    fn into_inner(self) -> Result<Self, Self> {
        Ok(self)
    }
}

#[cfg(test)]
mod tests;
