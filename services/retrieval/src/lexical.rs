//! Full-text search over the live catalogue.
//!
//! tantivy keeps the texts: words, how often and where they occur, and a dictionary that can be walked by prefix and by
//! distance. What a query's word stands for ([`variants`]) and how well an item fits ([`score`]) is decided here, because
//! an answer needs every match with its place in the live table: counts, facets and orders are of all of them.
//!
//! - [`words`]: texts into words. [`distance`]: how many typing errors lie between two.
//! - [`variants`]: the catalogue's words that a query's word stands for.
//! - [`view`]: the index at one moment. [`score`]: BM25 over its postings.
//! - [`highlight`]: the found words in an item's texts.

mod distance;
mod highlight;
mod score;
mod variants;
mod view;
mod words;

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
};

use arc_swap::ArcSwap;
use tantivy::{
    Index, IndexReader, IndexWriter, ReloadPolicy, TantivyDocument, Term, doc,
    index::SegmentId,
    schema::{FAST, Field, IndexRecordOption, STRING, Schema, TextFieldIndexing, TextOptions},
};
use waggle_contracts::api::Highlight;
use waggle_model::{CatalogChange, Item};

use crate::{
    bits::Bits,
    table::{Entries, Slot},
};
use score::scores;
use variants::{Spelling, Variant, variants};
use view::View;
use words::{STEMMED, WHOLE, Words};

/// Memory for a batch of changes before it is written out, in bytes; tantivy wants at least 15 MB.
const WRITER_BYTES: usize = 15_000_000;
/// Items with words of a text that [`alike`](LexicalIndex::alike) looks at; beyond the rarest word, words that would lead to
/// more do not count. A word of a tenth of a large catalogue says little, and takes the longest.
const MAX_ALIKE: u64 = 20_000;
/// Longest query, in different words; the rest is ignored.
pub const MAX_QUERY_WORDS: usize = 16;
/// What an item scores beyond its words if the query is its id: more than any words do.
const ID_SCORE: f32 = 1_000.0;

#[derive(Debug, thiserror::Error)]
#[error("text index failed: {0}")]
pub struct LexicalError(#[from] tantivy::TantivyError);

impl From<std::io::Error> for LexicalError {
    fn from(error: std::io::Error) -> Self {
        Self(error.into())
    }
}

/// The text index, in memory: it is rebuilt from the catalogue topic at start.
pub struct LexicalIndex {
    writer: Mutex<Writer>,
    /// What searches see; they never wait for a writer.
    view: ArcSwap<View>,
    fields: Fields,
    words: Words,
}

struct Writer {
    index: IndexWriter,
    reader: IndexReader,
    /// The slots of what is in the index. Only that is taken out before it is put in anew: tantivy keeps a kilobyte for
    /// every deletion until all parts have gone through it, and at the start every item is new.
    present: Bits,
}

/// Fields of the index.
#[derive(Clone, Copy)]
struct Fields {
    /// The item's id as it is.
    id: Field,
    /// Its slot in the live table.
    slot: Field,
    /// The words of all texts as they are written, which are the dictionary.
    word: Field,
    /// The words of each text by stem.
    texts: [TextField; N_TEXTS],
}

#[derive(Clone, Copy)]
struct TextField {
    field: Field,
    /// What a word counts for here.
    boost: f32,
}

const N_TEXTS: usize = 4;
const TEXTS: [(&str, f32); N_TEXTS] =
    [("title", 3.0), ("brand", 2.0), ("category", 1.5), ("description", 1.0)];

/// The texts of an item in the order of [`TEXTS`].
fn texts_of(item: &Item) -> [Option<&str>; N_TEXTS] {
    [Some(&item.title), item.brand.as_deref(), item.category.as_deref(), item.description.as_deref()]
}

/// What is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SearchQuery<'a> {
    pub text: &'a str,
    /// The last word may be the beginning of one, unless something other than letters follows it.
    pub completes: bool,
}

/// Every item that matches.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Found {
    /// No item has every word: these have most of them.
    pub is_partial: bool,
    /// Words that are spelt alike were taken for some word of the query, too.
    pub is_corrected: bool,
    /// In no order.
    pub hits: Vec<Hit>,
    /// The index's words that the query's words stand for, which [`LexicalIndex::highlight`] looks for.
    pub terms: BTreeSet<String>,
    pub work: Work,
}

/// One item that matches.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Hit {
    pub slot: Slot,
    /// Higher is better; comparable within one query only.
    pub score: f32,
}

/// What a query cost, in steps whose time does not depend on the query.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Work {
    /// Entries of the dictionary that were looked at.
    pub n_entries: usize,
    /// Occurrences of words in items.
    pub n_postings: usize,
}

impl LexicalIndex {
    /// # Errors
    /// [`LexicalError`] when tantivy cannot allocate its writer.
    pub fn try_new() -> Result<Self, LexicalError> {
        let mut schema = Schema::builder();
        let indexed = |tokenizer: &str, option| {
            TextFieldIndexing::default().set_tokenizer(tokenizer).set_index_option(option)
        };
        let text =
            TextOptions::default().set_indexing_options(indexed(STEMMED, IndexRecordOption::WithFreqs));
        let word = indexed(WHOLE, IndexRecordOption::Basic).set_fieldnorms(false);
        let fields = Fields {
            id: schema.add_text_field("id", STRING),
            slot: schema.add_u64_field("slot", FAST),
            word: schema.add_text_field("word", TextOptions::default().set_indexing_options(word)),
            texts: TEXTS
                .map(|(name, boost)| TextField { field: schema.add_text_field(name, text.clone()), boost }),
        };
        let index = Index::create_in_ram(schema.build());
        let words = Words::new();
        words.register(&index);
        let writer = Writer {
            index: index.writer_with_num_threads(1, WRITER_BYTES)?,
            reader: index.reader_builder().reload_policy(ReloadPolicy::Manual).try_into()?,
            present: Bits::default(),
        };
        let view = ArcSwap::from_pointee(View::new(&writer.reader.searcher(), &fields)?);
        Ok(Self { writer: Mutex::new(writer), view, fields, words })
    }

    /// Applies changes in order; searches see all of them when this returns. Items that are hidden or out of stock are not
    /// in the index. `entries` is a table that has the changes.
    ///
    /// # Errors
    /// [`LexicalError`] when the index cannot be written.
    pub fn apply(&self, changes: &[CatalogChange], entries: &Entries) -> Result<(), LexicalError> {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        for change in changes {
            let Some(slot) = entries.slot(change.item_id().key()) else { continue };
            if writer.present.has(slot.place()) {
                writer.index.delete_term(Term::from_field_text(self.fields.id, change.item_id().as_str()));
            }
            let shown = match change {
                CatalogChange::Put(item) => Some(item).filter(|item| !item.hidden && item.in_stock),
                CatalogChange::Delete(_) => None,
            };
            if let Some(item) = shown {
                writer.index.add_document(self.document(item, slot))?;
            }
            writer.present.set(slot.place(), shown.is_some());
        }
        writer.index.commit()?;
        writer.reader.reload()?;
        self.view.store(Arc::new(View::new(&writer.reader.searcher(), &self.fields)?));
        Ok(())
    }

    /// Lets go of the parts of the index that tantivy has merged into larger ones in the background: searches would read the
    /// old ones, and memory hold both, until the next change.
    ///
    /// # Errors
    /// [`LexicalError`] when the index cannot be read.
    pub fn follow_merges(&self) -> Result<(), LexicalError> {
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let present: BTreeSet<SegmentId> =
            writer.index.index().searchable_segment_ids()?.into_iter().collect();
        if present != segment_ids(&writer.reader) {
            writer.reader.reload()?;
            self.view.store(Arc::new(View::new(&writer.reader.searcher(), &self.fields)?));
        }
        Ok(())
    }

    /// All items that match and that `may_show` lets through. A query without words finds the item whose id it is, or
    /// nothing.
    ///
    /// Every word of the query must match somewhere, the title weighing most. A word that the catalogue does not have
    /// stands for those spelt alike; so does every word if no item has them all. If there is still none, one word may be
    /// missing, then half of them, then all but one; the answer says so.
    ///
    /// # Errors
    /// [`LexicalError`] when the index cannot be read.
    pub fn search(
        &self,
        query: SearchQuery<'_>,
        may_show: impl Fn(Slot) -> bool,
    ) -> Result<Found, LexicalError> {
        let view = self.view.load();
        let words = self.words.of_query(query.text, query.completes, MAX_QUERY_WORDS);
        let mut work = Work::default();
        let mut stands_for = |spelling| -> Result<Vec<Vec<Variant>>, LexicalError> {
            words.iter().map(|word| variants(&view, &self.words, word, spelling, &mut work)).collect()
        };
        let as_written = stands_for(Spelling::AsWritten)?;
        let mut found = self.found(&view, query.text, &as_written, &may_show)?;
        if found.is_partial || found.hits.is_empty() {
            let forgiven = stands_for(Spelling::Forgiving)?;
            if forgiven != as_written {
                work.n_postings += found.work.n_postings;
                found = self.found(&view, query.text, &forgiven, &may_show)?;
            }
        }
        work.n_postings += found.work.n_postings;
        Ok(Found { work, ..found })
    }

    /// Items whose text has words in common with `text`, rare words counting most: the best `limit` that `may_show` lets
    /// through, best first.
    ///
    /// # Errors
    /// [`LexicalError`] when the index cannot be read.
    pub fn alike(
        &self,
        text: &str,
        limit: usize,
        may_show: impl Fn(Slot) -> bool,
    ) -> Result<Vec<Hit>, LexicalError> {
        let view = self.view.load();
        let words = self.words.of_query(text, false, MAX_QUERY_WORDS);
        let exact = words.iter().map(|word| variants::exact(&view, &self.words, word));
        let mut exact = exact.collect::<Result<Vec<_>, _>>()?;
        exact.sort_by_key(|word| n_items(word));
        let mut n_looked_at = 0;
        exact.retain(|word| {
            let is_first = n_looked_at == 0;
            n_looked_at += n_items(word);
            is_first || n_looked_at <= MAX_ALIKE
        });
        let matches = scores(&view, &exact, may_show)?.matches;
        let mut hits: Vec<Hit> = matches.into_iter().map(|m| Hit { slot: m.slot, score: m.score }).collect();
        hits.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.slot.cmp(&b.slot)));
        hits.truncate(limit);
        Ok(hits)
    }

    /// The item's texts with the found words marked: the title always, the others where they have one of the words.
    pub fn highlight(&self, item: &Item, terms: &BTreeSet<String>) -> Vec<(&'static str, Highlight)> {
        let texts = TEXTS.iter().zip(texts_of(item));
        texts
            .filter_map(|(&(name, _), text)| {
                let highlight = highlight::mark(&self.words, text?, terms);
                (name == "title" || !highlight.ranges.is_empty()).then_some((name, highlight))
            })
            .collect()
    }

    /// The matches that have as many of the words as some item has.
    fn found(
        &self,
        view: &View,
        text: &str,
        words: &[Vec<Variant>],
        may_show: impl Fn(Slot) -> bool,
    ) -> Result<Found, LexicalError> {
        let scored = scores(view, words, &may_show)?;
        let most = scored.matches.iter().map(|m| m.n_words()).max().unwrap_or(0);
        let n_required = required(words.len(), most);
        let fits = scored.matches.iter().filter(|m| m.n_words() >= n_required);
        let mut hits: Vec<Hit> = fits.map(|m| Hit { slot: m.slot, score: m.score }).collect();
        let by_id = self.by_id(view, text.trim())?.filter(|slot| may_show(*slot));
        if let Some(slot) = by_id {
            hits.retain(|hit| hit.slot != slot);
            hits.push(Hit { slot, score: ID_SCORE });
        }
        Ok(Found {
            is_partial: by_id.is_none() && !hits.is_empty() && n_required < words.len(),
            is_corrected: words.iter().flatten().any(|variant| variant.is_typo),
            hits,
            terms: words.iter().flatten().map(|variant| variant.stem.clone()).collect(),
            work: Work { n_postings: scored.n_postings, ..Work::default() },
        })
    }

    /// The item whose id was typed, as it is or in small letters.
    fn by_id(&self, view: &View, text: &str) -> Result<Option<Slot>, LexicalError> {
        match view.by_id(text)? {
            None => view.by_id(&text.to_uppercase()),
            found => Ok(found),
        }
    }

    fn document(&self, item: &Item, slot: Slot) -> TantivyDocument {
        let f = self.fields;
        let mut document = doc!(f.id => item.item_id.as_str(), f.slot => u64::from(slot.0));
        for (to, text) in f.texts.iter().zip(texts_of(item)) {
            if let Some(text) = text {
                document.add_text(to.field, text);
                document.add_text(f.word, text);
            }
        }
        document
    }
}

/// The parts that the reader has open.
fn segment_ids(reader: &IndexReader) -> BTreeSet<SegmentId> {
    reader.searcher().segment_readers().iter().map(|segment| segment.segment_id()).collect()
}

/// How many items have some variant of a word, each counted once a variant.
fn n_items(word: &[Variant]) -> u64 {
    word.iter().map(|variant| variant.n_items).sum()
}

/// How many words an item must have, if the best one has `most`: all, or all but one, or half of them, or one.
fn required(n_words: usize, most: usize) -> usize {
    let steps = [n_words, n_words.saturating_sub(1), n_words.div_ceil(2)];
    steps.into_iter().find(|n| *n <= most).unwrap_or(1).max(1)
}

#[cfg(test)]
mod tests;
