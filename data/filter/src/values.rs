//! Values to compare with, and how values and names are spelt.

use std::{
    fmt::{self, Display},
    sync::Arc,
};

use waggle_model::Timestamp;

use crate::{
    lexer::is_plain,
    parser::KEYWORDS,
    property::{Type, Value},
};

/// Values of one type, ascending and distinct, at least one.
#[derive(Debug, Clone, PartialEq)]
pub enum Values {
    Strings(Vec<Arc<str>>),
    /// Finite; zero is never negative.
    Numbers(Vec<f64>),
    Booleans(Vec<bool>),
    Times(Vec<Timestamp>),
}

impl Values {
    pub fn len(&self) -> usize {
        match self {
            Self::Strings(values) => values.len(),
            Self::Numbers(values) => values.len(),
            Self::Booleans(values) => values.len(),
            Self::Times(values) => values.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The type of each value.
    pub fn kind(&self) -> Type {
        match self {
            Self::Strings(_) => Type::String,
            Self::Numbers(_) => Type::Number,
            Self::Booleans(_) => Type::Boolean,
            Self::Times(_) => Type::Time,
        }
    }

    /// Whether the value is one of these.
    pub fn has(&self, value: &Value<'_>) -> bool {
        match (self, value) {
            (Self::Strings(values), Value::String(value)) => values.iter().any(|v| **v == **value),
            (Self::Numbers(values), Value::Number(value)) => values.contains(value),
            (Self::Booleans(values), Value::Boolean(value)) => values.contains(value),
            (Self::Times(values), Value::Time(value)) => values.contains(value),
            _ => false,
        }
    }

    /// Those of the values that are of type `kind`; `None` if none is, or for a list of lists.
    pub(crate) fn collect<'a>(kind: Type, values: impl Iterator<Item = Value<'a>>) -> Option<Self> {
        let mut found = match kind {
            Type::String => Self::Strings(Vec::new()),
            Type::Number => Self::Numbers(Vec::new()),
            Type::Boolean => Self::Booleans(Vec::new()),
            Type::Time => Self::Times(Vec::new()),
            Type::Strings => return None,
        };
        for value in values {
            match (&mut found, value) {
                (Self::Strings(found), Value::String(value)) => found.push(Arc::from(value)),
                (Self::Numbers(found), Value::Number(value)) => found.push(unsigned_zero(value)),
                (Self::Booleans(found), Value::Boolean(value)) => found.push(value),
                (Self::Times(found), Value::Time(value)) => found.push(value),
                _ => {}
            }
        }
        found.normalise();
        Some(found).filter(|found| !found.is_empty())
    }

    /// Takes the other's values in, if they are of the same type.
    pub(crate) fn merge(&mut self, other: &Self) -> bool {
        match (&mut *self, other) {
            (Self::Strings(mine), Self::Strings(others)) => mine.extend(others.iter().cloned()),
            (Self::Numbers(mine), Self::Numbers(others)) => mine.extend(others),
            (Self::Booleans(mine), Self::Booleans(others)) => mine.extend(others),
            (Self::Times(mine), Self::Times(others)) => mine.extend(others),
            _ => return false,
        }
        self.normalise();
        true
    }

    fn normalise(&mut self) {
        match self {
            Self::Strings(values) => {
                values.sort_unstable();
                values.dedup();
            }
            Self::Numbers(values) => {
                values.sort_unstable_by(f64::total_cmp);
                values.dedup();
            }
            Self::Booleans(values) => {
                values.sort_unstable();
                values.dedup();
            }
            Self::Times(values) => {
                values.sort_unstable();
                values.dedup();
            }
        }
    }
}

/// 0 for −0, which compares equal and would be written otherwise.
pub(crate) fn unsigned_zero(number: f64) -> f64 {
    number + 0.0
}

/// Separated by commas, without brackets.
impl Display for Values {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Strings(values) => separated(f, values, |f, value| write_string(f, value)),
            Self::Numbers(values) => separated(f, values, |f, value| write_number(f, *value)),
            Self::Booleans(values) => separated(f, values, |f, value| write!(f, "{value}")),
            Self::Times(values) => separated(f, values, |f, value| write_time(f, *value)),
        }
    }
}

fn separated<T>(
    f: &mut fmt::Formatter<'_>,
    values: &[T],
    write: impl Fn(&mut fmt::Formatter<'_>, &T) -> fmt::Result,
) -> fmt::Result {
    for (at, value) in values.iter().enumerate() {
        if at > 0 {
            f.write_str(", ")?;
        }
        write(f, value)?;
    }
    Ok(())
}

pub(crate) fn write_string(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    f.write_str("\"")?;
    for letter in text.chars() {
        match letter {
            '"' => f.write_str("\\\"")?,
            '\\' => f.write_str("\\\\")?,
            '\n' => f.write_str("\\n")?,
            '\t' => f.write_str("\\t")?,
            '\r' => f.write_str("\\r")?,
            other => write!(f, "{other}")?,
        }
    }
    f.write_str("\"")
}

/// As short as it goes: what is far from 1 has an exponent.
pub(crate) fn write_number(f: &mut fmt::Formatter<'_>, number: f64) -> fmt::Result {
    let size = number.abs();
    if size == 0.0 || (1e-5..1e16).contains(&size) { write!(f, "{number}") } else { write!(f, "{number:e}") }
}

pub(crate) fn write_time(f: &mut fmt::Formatter<'_>, time: Timestamp) -> fmt::Result {
    let written = time.to_rfc3339();
    write!(f, "time(\"{}\")", written.replace(".000Z", "Z"))
}

/// `now - 30d`, in the largest unit that needs no fraction; weeks are written as days.
pub(crate) fn write_now(f: &mut fmt::Formatter<'_>, offset_ms: i64) -> fmt::Result {
    const UNITS: [(u64, char); 4] = [(86_400_000, 'd'), (3_600_000, 'h'), (60_000, 'm'), (1_000, 's')];
    f.write_str("now")?;
    let size = offset_ms.unsigned_abs();
    match UNITS.into_iter().find(|(unit_ms, _)| size > 0 && size.is_multiple_of(*unit_ms)) {
        Some((unit_ms, unit)) => {
            write!(f, " {} {}{unit}", if offset_ms < 0 { '-' } else { '+' }, size / unit_ms)
        }
        None => Ok(()),
    }
}

pub(crate) fn write_name(f: &mut fmt::Formatter<'_>, name: &str) -> fmt::Result {
    if is_plain(name) && !KEYWORDS.contains(&name) {
        f.write_str(name)
    } else {
        write!(f, "`{}`", name.replace('`', "``"))
    }
}
