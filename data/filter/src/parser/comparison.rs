//! A property or the user, an operator, and what is right of it.

use std::{ops::Bound, sync::Arc};

use winnow::{Parser, combinator::opt, error::ErrMode};

use super::{
    Input, KEYWORDS, Parsed, expected, next,
    operand::{Operand, Placed, list, operand, user},
    second, symbol, take, upper_case, word,
};
use crate::{
    condition::{Choice, Comparison, Condition, End, Subject},
    error::{Failure, Reason, cut},
    lexer::{Lexeme, Token, fail},
    limits::MAX_COMPARISONS,
    property::{Type, Value},
    schema::Unresolved,
    tree::Tree,
    values::Values,
};

type Compared = Tree<Comparison>;

/// Left of the operator, with the token that shows where.
struct Left<'t> {
    subject: Subject,
    at: &'t Lexeme<'t>,
}

pub(super) fn exists(input: &mut Input<'_>) -> Parsed<Compared> {
    take(input)?;
    symbol(input, "(", "`(` and the name of a property")?;
    let left = left(input)?;
    symbol(input, ")", "a closing parenthesis")?;
    Ok(left.leaf(Condition::Exists))
}

pub(super) fn comparison(input: &mut Input<'_>) -> Parsed<Compared> {
    let left = left(input)?;
    let operator = next(input);
    match operator.token {
        Token::Symbol("=") => {
            take(input)?;
            equal(input, &left, "=")
        }
        Token::Symbol("!=") => {
            take(input)?;
            equal(input, &left, "!=").map(Tree::not)
        }
        Token::Symbol(symbol @ ("<" | "<=" | ">" | ">=")) => {
            take(input)?;
            order(input, &left, symbol)
        }
        Token::Word("in") => {
            take(input)?;
            within(input, &left)
        }
        Token::Word("not") if second(input) == Some(&Token::Word("in")) => {
            take(input)?;
            take(input)?;
            within(input, &left).map(Tree::not)
        }
        Token::Word("starts") => {
            take(input)?;
            if opt(word("with")).parse_next(input)?.is_none() {
                return Err(expected("`with` after `starts`", next(input)));
            }
            starts_with(input, &left)
        }
        Token::Word("contains") => {
            take(input)?;
            contains(input, &left)
        }
        _ => alone(&left, operator),
    }
}

fn left<'t>(input: &mut Input<'t>) -> Parsed<Left<'t>> {
    let at = next(input);
    let subject = match &at.token {
        Token::Word("user") => Subject::User(user(input)?),
        Token::Quoted(name) => property(input, name, at)?,
        // Asked before upper case is suspected: a shop may have a property `AND`.
        Token::Word(name) if !KEYWORDS.contains(name) => property(input, name, at)?,
        _ => return Err(expected("the name of a property", at)),
    };
    input.state.n_comparisons += 1;
    if input.state.n_comparisons > MAX_COMPARISONS {
        return Err(fail(Reason::TooManyComparisons, at.span.clone()));
    }
    Ok(Left { subject, at })
}

fn property<'t>(input: &mut Input<'t>, name: &str, at: &Lexeme<'t>) -> Parsed<Subject> {
    let reason = match input.state.schema.resolve(name) {
        Ok(property) => {
            take(input)?;
            return Ok(Subject::Property(property));
        }
        Err(Unresolved::Unclear(conflict)) => Reason::Unclear(conflict),
        Err(Unresolved::Unknown { nearest }) => {
            // A name in backquotes is meant as it is.
            match upper_case(name).filter(|_| matches!(at.token, Token::Word(_))) {
                Some(instead) => Reason::Spelling { found: cut(name), instead },
                None => Reason::UnknownProperty { name: cut(name), nearest },
            }
        }
    };
    Err(fail(reason, at.span.clone()))
}

/// A boolean property needs no operator.
fn alone(left: &Left<'_>, next: &Lexeme<'_>) -> Parsed<Compared> {
    let ends = matches!(next.token, Token::End | Token::Symbol(")") | Token::Word("and" | "or"));
    match left.kind() {
        _ if !ends => Err(expected("a comparison such as `=`", next)),
        Some(Type::Boolean) | None => {
            Ok(left.leaf(Condition::OneOf(Choice::Values(Values::Booleans(vec![true])))))
        }
        Some(kind) => Err(left.inapplicable("", kind)),
    }
}

fn equal(input: &mut Input<'_>, left: &Left<'_>, operator: &'static str) -> Parsed<Compared> {
    if let Some(kind @ Type::Strings) = left.kind() {
        return Err(left.inapplicable(operator, kind));
    }
    if next(input).token == Token::Symbol("[") {
        let instead = if operator == "=" { "in […]" } else { "not in […]" };
        let reason = Reason::Spelling { found: format!("{operator} […]"), instead };
        return Err(fail(reason, next(input).span.clone()));
    }
    let right = operand(input)?;
    if let Operand::Now { .. } = right.operand {
        return Err(fail(Reason::EqualToNow, right.span));
    }
    left.one_of(vec![right], left.kind())
}

fn order(input: &mut Input<'_>, left: &Left<'_>, operator: &'static str) -> Parsed<Compared> {
    left.has_order(operator)?;
    let right = operand(input)?;
    let end = left.end(&right, left.kind(), operator)?;
    let (lower, upper) = match operator {
        "<" => (Bound::Unbounded, Bound::Excluded(end)),
        "<=" => (Bound::Unbounded, Bound::Included(end)),
        ">" => (Bound::Excluded(end), Bound::Unbounded),
        _ => (Bound::Included(end), Bound::Unbounded),
    };
    Ok(left.leaf(Condition::Within(lower, upper)))
}

/// Behind `in`: a list, a range, or what the user holds.
fn within(input: &mut Input<'_>, left: &Left<'_>) -> Parsed<Compared> {
    if let Some(kind @ Type::Strings) = left.kind() {
        return Err(left.inapplicable("in", kind));
    }
    let first = next(input);
    match first.token {
        Token::Symbol("[") => {
            let values = list(input)?;
            return left.one_of(values, left.kind());
        }
        Token::Symbol("(") => {
            let reason = Reason::Spelling { found: "(…)".to_owned(), instead: "[…]" };
            return Err(fail(reason, first.span.clone()));
        }
        _ => {}
    }
    let lower = operand(input)?;
    if next(input).token != Token::Symbol("..") {
        return match lower.operand {
            Operand::User(_) => left.one_of(vec![lower], left.kind()),
            Operand::Number(_) | Operand::Time(_) | Operand::Now { .. } => {
                Err(expected("`..` and the range's upper end, or a list in brackets", next(input)))
            }
            Operand::Text(_) | Operand::Boolean(_) => Err(expected("a list in brackets", first)),
        };
    }
    take(input)?;
    let upper = operand(input)?;
    range(left, &lower, &upper)
}

fn range(left: &Left<'_>, lower: &Placed, upper: &Placed) -> Parsed<Compared> {
    left.has_order("..")?;
    let kind = left.kind().or(lower.operand.kind());
    let span = lower.span.start..upper.span.end;
    let (lower, upper) = (left.end(lower, kind, "..")?, left.end(upper, kind, "..")?);
    let is_empty = match (&lower, &upper) {
        (End::Number(lower), End::Number(upper)) => lower > upper,
        (End::Time(lower), End::Time(upper)) => lower > upper,
        (End::Now { offset_ms: lower }, End::Now { offset_ms: upper }) => lower > upper,
        _ => false,
    };
    if is_empty {
        return Err(fail(Reason::EmptyRange, span));
    }
    Ok(left.leaf(Condition::Within(Bound::Included(lower), Bound::Included(upper))))
}

fn starts_with(input: &mut Input<'_>, left: &Left<'_>) -> Parsed<Compared> {
    match left.kind() {
        Some(Type::String) | None => {}
        Some(kind) => return Err(left.inapplicable("starts with", kind)),
    }
    let right = operand(input)?;
    match (left.kind(), right.operand.kind()) {
        (None, Some(given)) if given != Type::String => {
            return Err(fail(Reason::Operand { operator: "starts with", given }, right.span));
        }
        _ => {}
    }
    Ok(left
        .choice(vec![right], Some(Type::String))?
        .map_or(Tree::Constant(false), |choice| left.leaf(Condition::StartsWith(choice))))
}

/// `contains "a"` and `contains any ["a", "b"]`. What the user holds may be a list without saying so, and is compared by
/// `=` as a list would be.
fn contains(input: &mut Input<'_>, left: &Left<'_>) -> Parsed<Compared> {
    match left.kind() {
        Some(Type::Strings) | None => {}
        Some(kind) => return Err(left.inapplicable("contains", kind)),
    }
    let any = opt(word("any")).parse_next(input)?.is_some();
    let first = next(input);
    let values = match first.token {
        Token::Symbol("[") if any => list(input)?,
        Token::Symbol("[") => {
            let reason =
                Reason::Spelling { found: "contains […]".to_owned(), instead: "contains any […]" };
            return Err(fail(reason, first.span.clone()));
        }
        Token::Word("user") => vec![operand(input)?],
        _ if any => return Err(expected("a list in brackets", first)),
        _ => vec![operand(input)?],
    };
    if left.kind().is_none() {
        return left.one_of(values, None);
    }
    Ok(left
        .choice(values, Some(Type::String))?
        .map_or(Tree::Constant(false), |choice| left.leaf(Condition::ContainsAny(choice))))
}

impl Left<'_> {
    /// `None` for a property of the user, which is of any type.
    fn kind(&self) -> Option<Type> {
        match &self.subject {
            Subject::Property(property) => Some(property.kind()),
            Subject::User(_) => None,
        }
    }

    fn leaf(&self, condition: Condition) -> Compared {
        Tree::Leaf(Comparison { subject: self.subject.clone(), condition })
    }

    fn one_of(&self, values: Vec<Placed>, kind: Option<Type>) -> Parsed<Compared> {
        Ok(self
            .choice(values, kind)?
            .map_or(Tree::Constant(false), |choice| self.leaf(Condition::OneOf(choice))))
    }

    /// Values of one type, or what the user holds; `None` for an empty list, of which nothing is one.
    fn choice(&self, values: Vec<Placed>, kind: Option<Type>) -> Parsed<Option<Choice>> {
        let Some(first) = values.first() else { return Ok(None) };
        if let Operand::User(name) = &first.operand {
            self.is_property(first)?;
            return Ok(Some(Choice::User(Arc::clone(name))));
        }
        let kind = kind.or(first.operand.kind());
        for value in &values {
            self.check_type(value, kind)?;
        }
        let kind = kind.unwrap_or(Type::String);
        let values = values.iter().filter_map(|value| match &value.operand {
            Operand::Text(text) => Some(Value::String(text)),
            Operand::Number(number) => Some(Value::Number(*number)),
            Operand::Boolean(value) => Some(Value::Boolean(*value)),
            Operand::Time(time) => Some(Value::Time(*time)),
            Operand::Now { .. } | Operand::User(_) => None,
        });
        Ok(Values::collect(kind, values).map(Choice::Values))
    }

    /// The end of a range of numbers or times.
    fn end(&self, right: &Placed, kind: Option<Type>, operator: &'static str) -> Parsed<End> {
        self.check_type(right, kind)?;
        Ok(match &right.operand {
            Operand::Number(number) => End::Number(*number),
            Operand::Time(time) => End::Time(*time),
            Operand::Now { offset_ms } => End::Now { offset_ms: *offset_ms },
            Operand::User(name) => {
                self.is_property(right)?;
                End::User(Arc::clone(name))
            }
            Operand::Text(_) => {
                return Err(fail(Reason::Operand { operator, given: Type::String }, right.span.clone()));
            }
            Operand::Boolean(_) => {
                return Err(fail(Reason::Operand { operator, given: Type::Boolean }, right.span.clone()));
            }
        })
    }

    /// Refuses a value that is not of the type that the others have.
    fn check_type(&self, right: &Placed, kind: Option<Type>) -> Parsed<()> {
        let (Some(kind), Some(given)) = (kind, right.operand.kind()) else { return Ok(()) };
        let reason = match &self.subject {
            // A list is compared by what it holds.
            Subject::Property(property) if property.kind() == Type::Strings && given == Type::String => {
                return Ok(());
            }
            _ if kind == given => return Ok(()),
            Subject::Property(property) => {
                Reason::Mistyped { property: self.name(), kind: property.kind(), given }
            }
            Subject::User(_) => Reason::Mixed { first: kind, other: given },
        };
        Err(fail(reason, right.span.clone()))
    }

    fn has_order(&self, operator: &'static str) -> Parsed<()> {
        match self.kind() {
            Some(Type::Number | Type::Time) | None => Ok(()),
            Some(kind) => Err(self.inapplicable(operator, kind)),
        }
    }

    fn is_property(&self, right: &Placed) -> Parsed<()> {
        match self.subject {
            Subject::Property(_) => Ok(()),
            Subject::User(_) => Err(fail(Reason::OnlyUser, right.span.clone())),
        }
    }

    fn inapplicable(&self, operator: &'static str, kind: Type) -> ErrMode<Failure> {
        fail(Reason::Inapplicable { property: self.name(), kind, operator }, self.at.span.clone())
    }

    fn name(&self) -> String {
        match &self.subject {
            Subject::Property(property) => cut(property.name()),
            Subject::User(name) => cut(&format!("user.{name}")),
        }
    }
}
