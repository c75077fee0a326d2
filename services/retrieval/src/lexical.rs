//! Full-text search over the live catalogue: BM25 over title, brand, category and description (tantivy).

use std::{ops::Bound, sync::Mutex};

use tantivy::{
    Index, IndexReader, IndexWriter, ReloadPolicy, TantivyDocument, Term,
    collector::{Count, TopDocs},
    doc,
    query::{BooleanQuery, BoostQuery, FuzzyTermQuery, Occur, Query, RangeQuery, TermQuery},
    schema::{
        FAST, Field, INDEXED, IndexRecordOption, STORED, STRING, Schema, TextFieldIndexing, TextOptions,
        Value,
    },
    tokenizer::{
        AsciiFoldingFilter, Language, LowerCaser, RemoveLongFilter, SimpleTokenizer, Stemmer, TextAnalyzer,
    },
};
use waggle_model::{CatalogChange, Item, ItemId, Timestamp};

/// Memory for a batch of changes before it is written out, in bytes; tantivy wants at least 15 MB.
const WRITER_BYTES: usize = 15_000_000;
/// Longest query, in words; the rest is ignored.
const MAX_QUERY_WORDS: usize = 16;
/// Words of at least this many letters may differ by one letter, for less weight.
const FUZZY_FROM_LETTERS: usize = 4;
const ANALYZER: &str = "waggle_en";

#[derive(Debug, thiserror::Error)]
#[error("text index failed: {0}")]
pub struct LexicalError(#[from] tantivy::TantivyError);

/// The text index, in memory: it is rebuilt from the catalogue topic at start.
pub struct LexicalIndex {
    reader: IndexReader,
    writer: Mutex<IndexWriter>,
    fields: Fields,
    analyzer: TextAnalyzer,
}

#[derive(Clone, Copy)]
struct Fields {
    id: Field,
    title: Field,
    brand: Field,
    category: Field,
    description: Field,
    /// The whole category, for filtering.
    category_exact: Field,
    /// When the shop first offers it, in milliseconds; the beginning of time where nothing is said.
    available_from: Field,
    /// When it stops, in milliseconds; the end of time where nothing is said.
    available_until: Field,
}

/// What is looked for, and which page of it.
#[derive(Debug, Clone, Copy)]
pub struct SearchQuery<'a> {
    pub text: &'a str,
    /// Only items of this category.
    pub category: Option<&'a str>,
    /// Only items that are offered then.
    pub now: Timestamp,
    pub limit: usize,
    pub offset: usize,
}

/// One page of hits, best first.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Found {
    /// How many items match in all.
    pub n_matches: usize,
    /// No item has every word: these have most of them.
    pub is_partial: bool,
    pub hits: Vec<Hit>,
}

/// One hit.
#[derive(Debug, Clone, PartialEq)]
pub struct Hit {
    pub item_id: ItemId,
    /// BM25, boosted by field; higher is better.
    pub score: f32,
}

impl LexicalIndex {
    /// # Errors
    /// [`LexicalError`] when tantivy cannot allocate its writer.
    pub fn try_new() -> Result<Self, LexicalError> {
        let mut schema = Schema::builder();
        let text = TextOptions::default().set_indexing_options(
            TextFieldIndexing::default()
                .set_tokenizer(ANALYZER)
                .set_index_option(IndexRecordOption::WithFreqsAndPositions),
        );
        let fields = Fields {
            id: schema.add_text_field("id", STRING | STORED),
            title: schema.add_text_field("title", text.clone()),
            brand: schema.add_text_field("brand", text.clone()),
            category: schema.add_text_field("category", text.clone()),
            description: schema.add_text_field("description", text),
            category_exact: schema.add_text_field("category_exact", STRING),
            available_from: schema.add_i64_field("available_from", INDEXED | FAST),
            available_until: schema.add_i64_field("available_until", INDEXED | FAST),
        };
        let index = Index::create_in_ram(schema.build());
        let analyzer = TextAnalyzer::builder(SimpleTokenizer::default())
            .filter(RemoveLongFilter::limit(64))
            .filter(LowerCaser)
            .filter(AsciiFoldingFilter)
            .filter(Stemmer::new(Language::English))
            .build();
        index.tokenizers().register(ANALYZER, analyzer.clone());
        let writer = index.writer_with_num_threads(1, WRITER_BYTES)?;
        let reader = index.reader_builder().reload_policy(ReloadPolicy::Manual).try_into()?;
        Ok(Self { reader, writer: Mutex::new(writer), fields, analyzer })
    }

    /// Applies changes in order; searches see all of them when this returns. Items that are hidden or out of stock are not
    /// in the index.
    ///
    /// # Errors
    /// [`LexicalError`] when the index cannot be written.
    pub fn apply(&self, changes: &[CatalogChange]) -> Result<(), LexicalError> {
        let mut writer = self.writer.lock().expect("no writer of the text index panics");
        for change in changes {
            writer.delete_term(Term::from_field_text(self.fields.id, change.item_id().as_str()));
            match change {
                CatalogChange::Put(item) if !item.hidden && item.in_stock => {
                    writer.add_document(self.document(item))?;
                }
                CatalogChange::Put(_) | CatalogChange::Delete(_) => {}
            }
        }
        writer.commit()?;
        self.reader.reload()?;
        Ok(())
    }

    /// The best `limit` hits after the first `offset`, and how many items match in all. An empty query matches nothing.
    ///
    /// Every word of the query must match somewhere: exactly, or with one letter wrong for less weight; the title weighs
    /// most. If no item has them all, one word may be missing, then half of them, then all but one; the answer says so.
    ///
    /// # Errors
    /// [`LexicalError`] when the index cannot be read.
    pub fn search(&self, query: &SearchQuery<'_>) -> Result<Found, LexicalError> {
        let words = self.words(query.text);
        let mut required = [words.len(), words.len().saturating_sub(1), words.len().div_ceil(2), 1].to_vec();
        required.retain(|n| *n > 0);
        required.dedup();
        for n_required in required {
            let matching = words.iter().map(|word| self.word_query(word, Spelling::Forgiving)).collect();
            let (n_matches, hits) = self.run(matching, n_required, query)?;
            if n_matches > 0 {
                return Ok(Found { n_matches, is_partial: n_required < words.len(), hits });
            }
        }
        Ok(Found::default())
    }

    /// Items whose text has words in common with `text`, rare words counting most.
    ///
    /// # Errors
    /// [`LexicalError`] when the index cannot be read.
    pub fn alike(&self, text: &str, limit: usize, now: Timestamp) -> Result<Vec<Hit>, LexicalError> {
        let words = self.words(text);
        let matching = words.iter().map(|word| self.word_query(word, Spelling::Exact)).collect();
        let page = SearchQuery { text, category: None, now, limit, offset: 0 };
        Ok(self.run(matching, 1, &page)?.1)
    }

    /// Items for which at least `n_required` of the queries match.
    fn run(
        &self,
        matching: Vec<Box<dyn Query>>,
        n_required: usize,
        page: &SearchQuery<'_>,
    ) -> Result<(usize, Vec<Hit>), LexicalError> {
        if matching.is_empty() {
            return Ok((0, Vec::new()));
        }
        let any = matching.into_iter().map(|query| (Occur::Should, query)).collect();
        let words: Box<dyn Query> = Box::new(BooleanQuery::with_minimum_required_clauses(any, n_required));
        let mut clauses = vec![(Occur::Must, words)];
        clauses.extend(self.filters(page).into_iter().map(|filter| {
            // It decides, and adds nothing to the score.
            let unscored: Box<dyn Query> = Box::new(BoostQuery::new(filter, 0.0));
            (Occur::Must, unscored)
        }));
        let searcher = self.reader.searcher();
        let top = TopDocs::with_limit(page.limit.max(1)).and_offset(page.offset).order_by_score();
        let (n_matches, hits) = searcher.search(&BooleanQuery::new(clauses), &(Count, top))?;
        let hits = hits
            .into_iter()
            .map(|(score, address)| {
                let document: TantivyDocument = searcher.doc(address)?;
                let id = document.get_first(self.fields.id).and_then(|v| v.as_str()).unwrap_or_default();
                Ok(ItemId::try_new(id).ok().map(|item_id| Hit { item_id, score }))
            })
            .filter_map(Result::transpose)
            .collect::<Result<_, tantivy::TantivyError>>()?;
        Ok((n_matches, hits))
    }

    fn filters(&self, page: &SearchQuery<'_>) -> Vec<Box<dyn Query>> {
        let offered_by = Term::from_field_i64(self.fields.available_from, page.now.as_millis());
        let offered_past = Term::from_field_i64(self.fields.available_until, page.now.as_millis());
        let mut filters: Vec<Box<dyn Query>> = vec![
            Box::new(RangeQuery::new(Bound::Unbounded, Bound::Included(offered_by))),
            Box::new(RangeQuery::new(Bound::Excluded(offered_past), Bound::Unbounded)),
        ];
        if let Some(category) = page.category {
            let term = Term::from_field_text(self.fields.category_exact, category);
            filters.push(Box::new(TermQuery::new(term, IndexRecordOption::Basic)));
        }
        filters
    }

    fn document(&self, item: &Item) -> TantivyDocument {
        let f = self.fields;
        let mut document = doc!(f.id => item.item_id.as_str(), f.title => item.title.as_str());
        let optional =
            [(f.brand, &item.brand), (f.category, &item.category), (f.description, &item.description)];
        for (field, value) in optional {
            if let Some(value) = value {
                document.add_text(field, value);
            }
        }
        if let Some(category) = &item.category {
            document.add_text(f.category_exact, category);
        }
        document.add_i64(f.available_from, item.available_from.map_or(i64::MIN, Timestamp::as_millis));
        document.add_i64(f.available_until, item.available_until.map_or(i64::MAX, Timestamp::as_millis));
        document
    }

    fn words(&self, text: &str) -> Vec<String> {
        let mut analyzer = self.analyzer.clone();
        let mut stream = analyzer.token_stream(text);
        let mut words = Vec::new();
        while let Some(token) = stream.next() {
            if words.len() == MAX_QUERY_WORDS {
                break;
            }
            words.push(token.text.clone());
        }
        words
    }

    /// One word in any field.
    fn word_query(&self, word: &str, spelling: Spelling) -> Box<dyn Query> {
        let is_fuzzy = spelling == Spelling::Forgiving && word.chars().count() >= FUZZY_FROM_LETTERS;
        let f = self.fields;
        let mut anywhere: Vec<(Occur, Box<dyn Query>)> = Vec::new();
        for (field, boost) in [(f.title, 3.0), (f.brand, 2.0), (f.category, 1.5), (f.description, 1.0)] {
            let term = Term::from_field_text(field, word);
            let exact = TermQuery::new(term.clone(), IndexRecordOption::WithFreqs);
            anywhere.push((Occur::Should, Box::new(BoostQuery::new(Box::new(exact), boost))));
            if is_fuzzy && field == f.title {
                let fuzzy = FuzzyTermQuery::new(term, 1, true);
                anywhere.push((Occur::Should, Box::new(BoostQuery::new(Box::new(fuzzy), 0.3))));
            }
        }
        Box::new(BooleanQuery::new(anywhere))
    }
}

/// Whether a word may be written with one letter wrong.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Spelling {
    Exact,
    Forgiving,
}

#[cfg(test)]
mod tests;
