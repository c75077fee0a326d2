//! Tokens into a tree of comparisons, checked against the schema on the way.
//!
//! ```text
//! expression  = conjunction ("or" conjunction)*
//! conjunction = negation ("and" negation)*
//! negation    = "not"* primary
//! primary     = "(" expression ")" | "true" | "false" | "exists" "(" subject ")" | subject comparison?
//! ```
//!
//! Only parentheses recurse, and their depth is limited.

mod comparison;
mod operand;

use std::ops::Range;

use winnow::{
    ModalResult, Parser,
    combinator::{opt, repeat, separated},
    error::ErrMode,
    stream::{Location, Stateful, Stream, TokenSlice},
    token::any,
};

use self::comparison::{comparison, exists};
use crate::{
    condition::Comparison,
    error::{Failure, Reason, cut},
    filter::spelling,
    lexer::{Lexeme, Token, fail, lex},
    limits::{MAX_BYTES, MAX_DEPTH},
    schema::Schema,
    tree::Tree,
};

/// Words that are no names unless in backquotes.
pub(crate) const KEYWORDS: [&str; 12] =
    ["and", "or", "not", "in", "contains", "starts", "exists", "true", "false", "now", "time", "user"];

type Input<'t> = Stateful<TokenSlice<'t, Lexeme<'t>>, State<'t>>;
type Parsed<T> = ModalResult<T, Failure>;

#[derive(Debug)]
struct State<'t> {
    schema: &'t Schema,
    depth: usize,
    n_comparisons: usize,
}

pub(crate) fn parse(text: &str, schema: &Schema) -> Result<Tree<Comparison>, Failure> {
    if text.len() > MAX_BYTES {
        let end = text.floor_char_boundary(MAX_BYTES);
        return Err(Failure { reason: Reason::TooLong { bytes: text.len() }, span: end..end });
    }
    let lexemes = lex(text)?;
    let [first, ..] = &lexemes[..] else { unreachable!("the end is a token") };
    if first.token == Token::End {
        return Err(Failure { reason: Reason::Empty, span: first.span.clone() });
    }
    let mut input =
        Stateful { input: TokenSlice::new(&lexemes), state: State { schema, depth: 0, n_comparisons: 0 } };
    whole(&mut input).map_err(|error| match error {
        ErrMode::Cut(failure) | ErrMode::Backtrack(failure) => failure,
        ErrMode::Incomplete(_) => unreachable!("the input is complete"),
    })
}

fn whole(input: &mut Input<'_>) -> Parsed<Tree<Comparison>> {
    let tree = expression(input)?;
    let next = next(input);
    match &next.token {
        Token::End => Ok(tree),
        Token::Symbol(")") => Err(expected("an opening parenthesis before this one", next)),
        _ => Err(expected("`and`, `or` or the end", next)),
    }
}

fn expression(input: &mut Input<'_>) -> Parsed<Tree<Comparison>> {
    separated(1.., conjunction, word("or")).map(|parts: Vec<_>| joint(Tree::or(parts))).parse_next(input)
}

fn conjunction(input: &mut Input<'_>) -> Parsed<Tree<Comparison>> {
    separated(1.., negation, word("and")).map(|parts: Vec<_>| joint(Tree::and(parts))).parse_next(input)
}

fn negation(input: &mut Input<'_>) -> Parsed<Tree<Comparison>> {
    let negated = repeat(0.., word("not")).fold(|| false, |negated, ()| !negated).parse_next(input)?;
    let tree = primary(input)?;
    Ok(if negated { tree.not() } else { tree })
}

fn primary(input: &mut Input<'_>) -> Parsed<Tree<Comparison>> {
    let first = next(input);
    match first.token {
        Token::Symbol("(") => group(input),
        Token::Word("true") => word("true").value(Tree::Constant(true)).parse_next(input),
        Token::Word("false") => word("false").value(Tree::Constant(false)).parse_next(input),
        Token::Word("exists") => exists(input),
        _ => comparison(input),
    }
}

fn group(input: &mut Input<'_>) -> Parsed<Tree<Comparison>> {
    let open = take(input)?;
    if input.state.depth == MAX_DEPTH {
        return Err(fail(Reason::TooDeep, open.span.clone()));
    }
    input.state.depth += 1;
    let tree = expression(input)?;
    input.state.depth -= 1;
    symbol(input, ")", "`and`, `or` or a closing parenthesis")?;
    Ok(tree)
}

/// The same set of children is the same joint, in whatever order and however often they were written.
fn joint(tree: Tree<Comparison>) -> Tree<Comparison> {
    let sorted = |children: Vec<Tree<Comparison>>| {
        let mut written: Vec<_> = children.into_iter().map(|child| (spelling(&child), child)).collect();
        written.sort_by(|a, b| a.0.cmp(&b.0));
        written.dedup_by(|a, b| a.0 == b.0);
        written.into_iter().map(|(_, child)| child)
    };
    match tree {
        Tree::And(children) => Tree::and(sorted(children)),
        Tree::Or(children) => Tree::or(sorted(children)),
        other => other,
    }
}

/// The token that comes next; after the last one, the end.
fn next<'t>(input: &Input<'t>) -> &'t Lexeme<'t> {
    peek_all(input).first().expect("the end is never taken")
}

/// The token after the next, if there is one.
fn second<'t>(input: &Input<'t>) -> Option<&'t Token<'t>> {
    peek_all(input).get(1).map(|lexeme| &lexeme.token)
}

fn peek_all<'t>(input: &Input<'t>) -> &'t [Lexeme<'t>] {
    input.input.peek_finish()
}

fn take<'t>(input: &mut Input<'t>) -> Parsed<&'t Lexeme<'t>> {
    any.parse_next(input)
}

/// A keyword, if it comes next.
fn word<'t>(word: &'static str) -> impl Parser<Input<'t>, (), ErrMode<Failure>> {
    any.verify(move |lexeme: &Lexeme<'t>| lexeme.token == Token::Word(word)).void()
}

fn symbol<'t>(input: &mut Input<'t>, symbol: &'static str, what: &'static str) -> Parsed<()> {
    let is_it = |lexeme: &Lexeme<'t>| lexeme.token == Token::Symbol(symbol);
    match opt(any.verify(is_it)).parse_next(input)? {
        Some(_) => Ok(()),
        None => Err(expected(what, next(input))),
    }
}

/// What was expected where something else stands. What people write by habit gets a better word.
fn expected(expected: &'static str, lexeme: &Lexeme<'_>) -> ErrMode<Failure> {
    let reason =
        habit(lexeme).unwrap_or_else(|| Reason::Expected { expected, found: describe(&lexeme.token) });
    fail(reason, lexeme.span.clone())
}

/// Keywords in upper case.
fn upper_case(word: &str) -> Option<&'static str> {
    let lower = word.to_lowercase();
    match KEYWORDS.into_iter().find(|keyword| *keyword == lower && *keyword != word) {
        Some("starts") => Some("starts with"),
        keyword => keyword,
    }
}

/// Keywords in upper case, and those of other languages.
fn habit(lexeme: &Lexeme<'_>) -> Option<Reason> {
    const HABITS: [(&str, &str); 13] = [
        ("like", "starts with"),
        ("ilike", "starts with"),
        ("startswith", "starts with"),
        ("starts_with", "starts with"),
        ("is", "="),
        ("eq", "="),
        ("equals", "="),
        ("ne", "!="),
        ("between", "in 10..20"),
        ("to", ".."),
        ("has", "contains"),
        ("includes", "contains"),
        ("null", "not exists(…)"),
    ];
    let Token::Word(word) = lexeme.token else { return None };
    let lower = word.to_lowercase();
    let instead = upper_case(word)
        .or_else(|| HABITS.into_iter().find(|(habit, _)| *habit == lower).map(|(_, instead)| instead))?;
    Some(Reason::Spelling { found: cut(word), instead })
}

fn describe(token: &Token<'_>) -> String {
    match token {
        Token::Word(word) if KEYWORDS.contains(word) => format!("`{word}`"),
        Token::Word(name) => format!("the name `{}`", cut(name)),
        Token::Quoted(name) => format!("the name `{}`", cut(name)),
        Token::Text(text) => format!("the string \"{}\"", cut(text)),
        Token::Number(number) => format!("the number {}", cut(&number.to_string())),
        Token::Span { .. } => "a span of time".to_owned(),
        Token::Symbol(symbol) => format!("`{symbol}`"),
        Token::End => "the end".to_owned(),
    }
}

/// From the beginning of one token to the end of what was read since.
fn span_since(from: &Lexeme<'_>, input: &Input<'_>) -> Range<usize> {
    from.span.start..input.previous_token_end().max(from.span.end)
}

impl Location for Lexeme<'_> {
    fn previous_token_end(&self) -> usize {
        self.span.end
    }

    fn current_token_start(&self) -> usize {
        self.span.start
    }
}

#[cfg(test)]
mod tests;
