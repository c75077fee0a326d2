//! Why a text is no filter, in one sentence, and where.

use std::ops::Range;

use crate::{
    limits::{MAX_BYTES, MAX_COMPARISONS, MAX_DEPTH, MAX_LIST, MAX_OFFSET_DAYS},
    property::Type,
    schema::Conflict,
};

/// Why a text is no filter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("column {column}: {reason}")]
pub struct FilterError {
    pub reason: Reason,
    /// Characters from the beginning of the text, the first being 1.
    pub column: usize,
    /// How many characters it is about, at least 1.
    pub width: usize,
}

impl FilterError {
    /// The part of the text around the error, and in the line below it carets that point at it. `text` is what was
    /// parsed; it may be a stranger's, so no control character and not more than a line's length of it is repeated.
    pub fn excerpt(&self, text: &str) -> String {
        const BEFORE: usize = 40;
        const LENGTH: usize = 80;
        let start = self.column.saturating_sub(1);
        let from = start.saturating_sub(BEFORE);
        let shown = |letter: char| if letter.is_control() || letter.is_whitespace() { ' ' } else { letter };
        let mut line: String = text.chars().skip(from).take(LENGTH).map(shown).collect();
        line.truncate(line.trim_end().len());
        if from > 0 {
            line = format!("…{line}");
        }
        if text.chars().nth(from + LENGTH).is_some() {
            line.push('…');
        }
        let at = start - from + usize::from(from > 0);
        let width = self.width.min(from + LENGTH - start);
        format!("{line}\n{}{}", " ".repeat(at), "^".repeat(width))
    }

    pub(crate) fn new(failure: Failure, text: &str) -> Self {
        let before = text.get(..failure.span.start).unwrap_or(text);
        let within = text.get(failure.span).unwrap_or_default();
        Self {
            reason: failure.reason,
            column: before.chars().count() + 1,
            width: within.chars().count().max(1),
        }
    }
}

/// What is wrong. Names and values are repeated as they were written, cut at 40 characters.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    #[error("the filter has {bytes} bytes, at most {MAX_BYTES} are allowed")]
    TooLong { bytes: usize },
    #[error("parentheses are nested more than {MAX_DEPTH} levels deep")]
    TooDeep,
    #[error("the filter has more than {MAX_COMPARISONS} comparisons")]
    TooManyComparisons,
    #[error("the list has {values} values, at most {MAX_LIST} are allowed")]
    ListTooLong { values: usize },
    #[error("the filter is empty")]
    Empty,

    #[error("`{}` has no meaning here", visible(*.character))]
    Character { character: char },
    #[error("the string has no closing {quote}")]
    OpenString { quote: char },
    #[error("the name has no closing `")]
    OpenName,
    #[error(r#"`\{}` is no escape, a backslash itself is written `\\`"#, visible(*.character))]
    Escape { character: char },
    #[error("`{found}` is not a number")]
    Number { found: String },
    #[error(
        "`{found}` is not a span of time, write a whole number and s, m, h, d or w, such as 30d, up to {MAX_OFFSET_DAYS}d"
    )]
    Span { found: String },
    #[error("\"{found}\" is not a time, write one like time(\"2026-01-31T12:00:00Z\")")]
    Time { found: String },

    /// A habit from another language.
    #[error("write `{instead}` instead of `{found}`")]
    Spelling { found: String, instead: &'static str },
    #[error("expected {expected}, found {found}")]
    Expected { expected: &'static str, found: String },
    #[error("expected a value, found the name `{name}`, a string is written in quotes")]
    Unquoted { name: String },

    #[error("there is no property `{name}`{}", suggestion(.nearest.as_deref()))]
    UnknownProperty { name: String, nearest: Option<String> },
    #[error("{0}, so its type must be declared before filters can use it")]
    Unclear(Conflict),
    #[error("`{property}` is a {kind} and cannot be compared with a {given}{}", remedy(*.kind, *.given))]
    Mistyped { property: String, kind: Type, given: Type },
    #[error("`{property}` is a {kind}, {}", use_of(.operator, *.kind))]
    Inapplicable { property: String, kind: Type, operator: &'static str },
    #[error("`{operator}` cannot compare with a {given}")]
    Operand { operator: &'static str, given: Type },
    #[error("a comparison has values of one type, this one has a {first} and a {other}")]
    Mixed { first: Type, other: Type },
    #[error("`now` is never met exactly, use <, <=, >, >= or a range")]
    EqualToNow,
    #[error("the range is empty, its lower end comes first")]
    EmptyRange,
    #[error("one side of a comparison must be a property of the item")]
    OnlyUser,
}

/// Where in the text something is wrong, in bytes.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    pub(crate) reason: Reason,
    pub(crate) span: Range<usize>,
}

/// As much of a stranger's text as a message repeats.
pub(crate) fn cut(text: &str) -> String {
    const CHARS: usize = 40;
    let shown: String =
        text.chars().take(CHARS).map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
    if text.chars().nth(CHARS).is_some() { format!("{shown}…") } else { shown }
}

/// A control character by its code.
fn visible(character: char) -> String {
    if character.is_control() { character.escape_unicode().to_string() } else { character.to_string() }
}

pub(crate) fn suggestion(nearest: Option<&str>) -> String {
    nearest.map(|name| format!(", did you mean `{}`?", cut(name))).unwrap_or_default()
}

fn remedy(kind: Type, given: Type) -> &'static str {
    match (kind, given) {
        (Type::Time, Type::String) => ", write time(\"2026-01-31T12:00:00Z\")",
        (Type::Number | Type::Boolean, Type::String) => ", leave the quotes out",
        (Type::String, Type::Number | Type::Boolean) => ", put the value in quotes",
        _ => "",
    }
}

fn use_of(operator: &str, kind: Type) -> String {
    match (operator, kind) {
        ("", Type::Strings) => "ask what it holds with `contains`".to_owned(),
        ("", _) => "so it needs a comparison such as `=`".to_owned(),
        ("contains", _) => "`contains` looks into lists of strings".to_owned(),
        ("starts with", _) => "`starts with` compares strings".to_owned(),
        ("=" | "!=" | "in", Type::Strings) => format!("use `contains` instead of `{operator}`"),
        ("..", _) => "ranges are of numbers and times".to_owned(),
        (_, Type::Strings | Type::String | Type::Boolean) => {
            format!("`{operator}` compares numbers and times")
        }
        _ => format!("`{operator}` cannot be used with it"),
    }
}

#[cfg(test)]
mod tests;
