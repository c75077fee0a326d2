//! Full-text search over the live catalogue: BM25 over title, brand, category and description (tantivy).

use std::sync::Mutex;

use tantivy::{
    Index, IndexReader, IndexWriter, ReloadPolicy, TantivyDocument, Term,
    collector::{Count, TopDocs},
    doc,
    query::{BooleanQuery, BoostQuery, FuzzyTermQuery, Occur, Query, TermQuery},
    schema::{Field, IndexRecordOption, STORED, STRING, Schema, TextFieldIndexing, TextOptions, Value},
    tokenizer::{
        AsciiFoldingFilter, Language, LowerCaser, RemoveLongFilter, SimpleTokenizer, Stemmer, TextAnalyzer,
    },
};
use waggle_model::{CatalogChange, Item, ItemId};

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

    /// Applies changes in order; searches see all of them when this returns.
    ///
    /// # Errors
    /// [`LexicalError`] when the index cannot be written.
    pub fn apply(&self, changes: &[CatalogChange]) -> Result<(), LexicalError> {
        let mut writer = self.writer.lock().expect("no writer of the text index panics");
        for change in changes {
            writer.delete_term(Term::from_field_text(self.fields.id, change.item_id().as_str()));
            match change {
                CatalogChange::Put(item) if !item.hidden => {
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
    /// Every word of the query must match somewhere: exactly, or with one letter wrong for less weight. The title weighs
    /// most.
    ///
    /// # Errors
    /// [`LexicalError`] when the index cannot be read.
    pub fn search(
        &self,
        text: &str,
        category: Option<&str>,
        limit: usize,
        offset: usize,
    ) -> Result<(usize, Vec<Hit>), LexicalError> {
        let Some(query) = self.query(text, category) else { return Ok((0, Vec::new())) };
        let searcher = self.reader.searcher();
        let top = TopDocs::with_limit(limit.max(1)).and_offset(offset).order_by_score();
        let (n_matches, hits) = searcher.search(&query, &(Count, top))?;
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
        document
    }

    fn query(&self, text: &str, category: Option<&str>) -> Option<BooleanQuery> {
        let mut clauses: Vec<(Occur, Box<dyn Query>)> =
            self.words(text).iter().map(|word| (Occur::Must, self.word_query(word))).collect();
        if clauses.is_empty() {
            return None;
        }
        if let Some(category) = category {
            let term = Term::from_field_text(self.fields.category_exact, category);
            let filter = TermQuery::new(term, IndexRecordOption::Basic);
            clauses.push((Occur::Must, Box::new(BoostQuery::new(Box::new(filter), 0.0))));
        }
        Some(BooleanQuery::new(clauses))
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
    fn word_query(&self, word: &str) -> Box<dyn Query> {
        let f = self.fields;
        let mut anywhere: Vec<(Occur, Box<dyn Query>)> = Vec::new();
        for (field, boost) in [(f.title, 3.0), (f.brand, 2.0), (f.category, 1.5), (f.description, 1.0)] {
            let term = Term::from_field_text(field, word);
            let exact = TermQuery::new(term.clone(), IndexRecordOption::WithFreqs);
            anywhere.push((Occur::Should, Box::new(BoostQuery::new(Box::new(exact), boost))));
            if word.chars().count() >= FUZZY_FROM_LETTERS && field == f.title {
                let fuzzy = FuzzyTermQuery::new(term, 1, true);
                anywhere.push((Occur::Should, Box::new(BoostQuery::new(Box::new(fuzzy), 0.3))));
            }
        }
        Box::new(BooleanQuery::new(anywhere))
    }
}
