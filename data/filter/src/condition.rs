//! One comparison as it was parsed, and its canonical spelling.

use std::{
    fmt::{self, Display},
    ops::Bound,
    sync::Arc,
};

use waggle_model::Timestamp;

use crate::{
    property::Property,
    values::{Values, write_name, write_now, write_number, write_time},
};

/// What is asked, and about whom.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Comparison {
    pub(crate) subject: Subject,
    pub(crate) condition: Condition,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Subject {
    Property(Property),
    User(Arc<str>),
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Condition {
    OneOf(Choice),
    Within(Bound<End>, Bound<End>),
    StartsWith(Choice),
    ContainsAny(Choice),
    Exists,
}

/// What the value is compared with: any of these.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Choice {
    Values(Values),
    User(Arc<str>),
}

/// The end of a range.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum End {
    Number(f64),
    Time(Timestamp),
    Now { offset_ms: i64 },
    User(Arc<str>),
}

impl Comparison {
    pub(crate) fn uses_user(&self) -> bool {
        let user_end = |end: &Bound<End>| matches!(inner(end), Some(End::User(_)));
        matches!(self.subject, Subject::User(_))
            || match &self.condition {
                Condition::OneOf(choice) | Condition::StartsWith(choice) | Condition::ContainsAny(choice) => {
                    matches!(choice, Choice::User(_))
                }
                Condition::Within(lower, upper) => user_end(lower) || user_end(upper),
                Condition::Exists => false,
            }
    }

    pub(crate) fn uses_now(&self) -> bool {
        let Condition::Within(lower, upper) = &self.condition else { return false };
        [lower, upper].into_iter().any(|end| matches!(inner(end), Some(End::Now { .. })))
    }

    /// `negated` writes what `not` before it would say, in the operators' own spelling where they have one.
    pub(crate) fn write(&self, f: &mut fmt::Formatter<'_>, negated: bool) -> fmt::Result {
        let subject = &self.subject;
        match &self.condition {
            Condition::OneOf(Choice::Values(Values::Booleans(values))) if values[..] == [true] => {
                write!(f, "{}{subject}", if negated { "not " } else { "" })
            }
            Condition::OneOf(choice) => {
                let operator = match (choice.is_single(), negated) {
                    (true, false) => "=",
                    (true, true) => "!=",
                    (false, false) => "in",
                    (false, true) => "not in",
                };
                write!(f, "{subject} {operator} {choice}")
            }
            Condition::Within(Bound::Included(lower), Bound::Included(upper)) => {
                write!(f, "{subject} {}in {lower}..{upper}", if negated { "not " } else { "" })
            }
            _ if negated => {
                f.write_str("not ")?;
                self.write(f, false)
            }
            Condition::Within(lower, upper) => match (lower, upper) {
                (Bound::Included(end), _) => write!(f, "{subject} >= {end}"),
                (Bound::Excluded(end), _) => write!(f, "{subject} > {end}"),
                (Bound::Unbounded, Bound::Included(end)) => write!(f, "{subject} <= {end}"),
                (Bound::Unbounded, Bound::Excluded(end)) => write!(f, "{subject} < {end}"),
                (Bound::Unbounded, Bound::Unbounded) => write!(f, "exists({subject})"),
            },
            Condition::StartsWith(choice) => write!(f, "{subject} starts with {choice}"),
            Condition::ContainsAny(choice) => {
                write!(f, "{subject} contains {}{choice}", if choice.is_single() { "" } else { "any " })
            }
            Condition::Exists => write!(f, "exists({subject})"),
        }
    }
}

impl Choice {
    /// Whether it is written without a list's brackets.
    fn is_single(&self) -> bool {
        match self {
            Self::User(_) => true,
            Self::Values(values) => values.len() == 1,
        }
    }
}

fn inner(end: &Bound<End>) -> Option<&End> {
    match end {
        Bound::Included(end) | Bound::Excluded(end) => Some(end),
        Bound::Unbounded => None,
    }
}

impl Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Property(property) => write_name(f, property.name()),
            Self::User(name) => write_user(f, name),
        }
    }
}

fn write_user(f: &mut fmt::Formatter<'_>, name: &str) -> fmt::Result {
    f.write_str("user.")?;
    write_name(f, name)
}

impl Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(name) => write_user(f, name),
            Self::Values(values) if self.is_single() => write!(f, "{values}"),
            Self::Values(values) => write!(f, "[{values}]"),
        }
    }
}

impl Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write_number(f, *number),
            Self::Time(time) => write_time(f, *time),
            Self::Now { offset_ms } => write_now(f, *offset_ms),
            Self::User(name) => write_user(f, name),
        }
    }
}
