//! The catalogue's words that a word of a query stands for.

use std::collections::HashMap;

use tantivy::{Term, postings::TermInfo, query::FuzzyTermQuery};

use super::{
    LexicalError, Work,
    distance::errors,
    view::View,
    words::{QueryWord, Words},
};

/// Words of at least so many letters may have one error, …
const ONE_ERROR_FROM: usize = 4;
/// … or two. The automaton grows with the square of the errors and with the length, so very long ones have one again.
const TWO_ERRORS_FROM: usize = 8;
const TWO_ERRORS_TO: usize = 20;
/// Most words that one stands for; the commonest are taken.
const MAX_VARIANTS: usize = 64;
/// Most words of the dictionary that are looked at for one word, in each part of the index.
pub(super) const MAX_ENTRIES: usize = 10_000;
/// A word that at most so many items have, …
const RARE: u64 = 5;
/// … while so many times as many have one that is spelt alike, may itself be a typing error.
const MUCH_COMMONER: u64 = 10;

/// What a word counts for that is longer than what was typed.
const COMPLETED: f32 = 0.8;
/// What a word counts for by the errors in what was typed.
const BY_ERRORS: [f32; 3] = [1.0, 0.5, 0.25];

/// A word of the index that a query's word stands for.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Variant {
    pub(super) stem: String,
    /// What a match counts for: 1 for the word as it is written.
    pub(super) weight: f32,
    /// How many items have it, including some that have just gone.
    pub(super) n_items: u64,
    /// It is spelt otherwise than what was typed.
    pub(super) is_typo: bool,
}

/// When words that are spelt alike are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spelling {
    /// Only for a word that the catalogue does not have, or hardly.
    AsWritten,
    /// For every word.
    Forgiving,
}

/// The word itself.
pub(super) fn exact(view: &View, words: &Words, word: &QueryWord) -> Result<Vec<Variant>, LexicalError> {
    let stem = words.stem(&word.text);
    let n_items = view.n_items(&stem)?;
    let itself = Variant { stem, weight: 1.0, n_items, is_typo: false };
    Ok(if n_items == 0 { Vec::new() } else { vec![itself] })
}

/// All that the word stands for, what counts most first.
pub(super) fn variants(
    view: &View,
    words: &Words,
    word: &QueryWord,
    spelling: Spelling,
    work: &mut Work,
) -> Result<Vec<Variant>, LexicalError> {
    let exact = exact(view, words, word)?;
    let mut entries = if word.is_open { starting_with(view, &word.text, work)? } else { Vec::new() };
    let n_completed = entries.iter().map(|entry| entry.n_items).max().unwrap_or(0);
    let n_written = exact.iter().map(|itself| itself.n_items).fold(n_completed, u64::max);
    if spelling == Spelling::Forgiving || n_written <= RARE {
        let is_probable =
            |entry: &Entry| spelling == Spelling::Forgiving || entry.n_items >= MUCH_COMMONER * n_written;
        entries.extend(spelt_alike(view, word, work)?.into_iter().filter(is_probable));
    }
    Ok(best(words, exact, entries))
}

/// A word as the dictionary has it.
struct Entry {
    text: String,
    /// What it counts for.
    weight: f32,
    n_items: u64,
    is_typo: bool,
}

/// One of each stem, what counts most first and then what is commonest.
fn best(words: &Words, mut kept: Vec<Variant>, mut entries: Vec<Entry>) -> Vec<Variant> {
    entries.sort_unstable_by(|a, b| {
        b.weight.total_cmp(&a.weight).then(b.n_items.cmp(&a.n_items)).then_with(|| a.text.cmp(&b.text))
    });
    for Entry { text, weight, n_items, is_typo } in entries {
        if kept.len() == MAX_VARIANTS {
            break;
        }
        let stem = words.stem(&text);
        if !kept.iter().any(|known| known.stem == stem) {
            kept.push(Variant { stem, weight, n_items, is_typo });
        }
    }
    kept
}

/// Words that begin with `text`, which is none of them.
fn starting_with(view: &View, text: &str, work: &mut Work) -> Result<Vec<Entry>, LexicalError> {
    let mut found = HashMap::new();
    // No letter is written with this byte, so it stands behind all of them.
    let end = [text.as_bytes(), &[0xFF]].concat();
    for dictionary in view.dictionaries() {
        let mut entries = dictionary.range().gt(text.as_bytes()).lt(&end).into_stream()?;
        collect(|| entries.next().map(owned), &mut found, work);
    }
    let completed = |(text, n_items)| Entry { text, weight: COMPLETED, n_items, is_typo: false };
    Ok(found.into_iter().map(completed).collect())
}

/// Words that differ from this one, or the beginnings of which do, by few errors for its length.
fn spelt_alike(view: &View, word: &QueryWord, work: &mut Work) -> Result<Vec<Entry>, LexicalError> {
    let allowed = match word.text.chars().count() {
        n if n < ONE_ERROR_FROM => return Ok(Vec::new()),
        TWO_ERRORS_FROM..=TWO_ERRORS_TO => 2,
        _ => 1,
    };
    let term = Term::from_field_text(view.word_field(), &word.text);
    let query = if word.is_open {
        FuzzyTermQuery::new_prefix(term, allowed, true)
    } else {
        FuzzyTermQuery::new(term, allowed, true)
    };
    let mut found = HashMap::new();
    for dictionary in view.dictionaries() {
        let mut entries = dictionary.search(query.automaton()?).into_stream()?;
        collect(|| entries.next().map(owned), &mut found, work);
    }
    let weighed = found.into_iter().filter_map(|(text, n_items)| {
        let errors = errors(&word.text, &text);
        let whole = BY_ERRORS.get(errors.whole).copied().unwrap_or(0.0);
        let beginning = COMPLETED * BY_ERRORS.get(errors.beginning).copied().unwrap_or(0.0);
        let weight = if word.is_open { whole.max(beginning) } else { whole };
        // What is spelt as it was typed, or begins so, is none that is spelt alike.
        let is_typo = errors.whole > 0 && !(word.is_open && errors.beginning == 0);
        (is_typo && weight > 0.0).then_some(Entry { text, weight, n_items, is_typo })
    });
    Ok(weighed.collect())
}

/// Adds the entries of one part of the index.
fn collect(
    mut next: impl FnMut() -> Option<(String, u64)>,
    found: &mut HashMap<String, u64>,
    work: &mut Work,
) {
    for (text, n_items) in std::iter::from_fn(&mut next).take(MAX_ENTRIES) {
        work.n_entries += 1;
        *found.entry(text).or_default() += n_items;
    }
}

fn owned((text, info): (&[u8], &TermInfo)) -> (String, u64) {
    (String::from_utf8_lossy(text).into_owned(), u64::from(info.doc_freq))
}
