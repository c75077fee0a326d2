//! The peer: tantivy as its own documentation uses it. Title, category, brand and description stemmed; each word exactly, or
//! in the title with as many errors as ours forgives, the last one as a prefix; all words, and if no item has them, any.

use anyhow::Result;
use tantivy::{
    Index, IndexReader, TantivyDocument, Term,
    collector::{Count, TopDocs},
    query::{BooleanQuery, BoostQuery, FuzzyTermQuery, Occur, Query, TermQuery},
    schema::{Field, IndexRecordOption, STORED, STRING, Schema, TextFieldIndexing, TextOptions, Value as _},
    tokenizer::TextAnalyzer,
};
use waggle_model::{Item, ItemId};

const ANALYZER: &str = "en_stem";
const WRITER_BYTES: usize = 15_000_000;

pub(super) struct Peer {
    reader: IndexReader,
    analyzer: TextAnalyzer,
    id: Field,
    /// With what a word counts for there; the title first.
    texts: [(Field, f32); 4],
}

impl Peer {
    pub(super) fn new(items: &[Item]) -> Result<Self> {
        let mut schema = Schema::builder();
        let indexing = TextFieldIndexing::default()
            .set_tokenizer(ANALYZER)
            .set_index_option(IndexRecordOption::WithFreqsAndPositions);
        let text = TextOptions::default().set_indexing_options(indexing);
        let id = schema.add_text_field("id", STRING | STORED);
        let texts = [("title", 3.0), ("brand", 2.0), ("category", 1.5), ("description", 1.0)]
            .map(|(name, boost)| (schema.add_text_field(name, text.clone()), boost));
        let index = Index::create_in_ram(schema.build());
        let mut writer = index.writer_with_num_threads::<TantivyDocument>(1, WRITER_BYTES)?;
        for item in items {
            let mut document = TantivyDocument::default();
            document.add_text(id, item.item_id.as_str());
            let held =
                [Some(&item.title), item.brand.as_ref(), item.category.as_ref(), item.description.as_ref()];
            for ((field, _), text) in texts.iter().zip(held) {
                if let Some(text) = text {
                    document.add_text(*field, text);
                }
            }
            writer.add_document(document)?;
        }
        writer.commit()?;
        let analyzer = index.tokenizers().get(ANALYZER).unwrap_or_default();
        Ok(Self { reader: index.reader()?, analyzer, id, texts })
    }

    pub(super) fn search(&self, text: &str, limit: usize) -> Result<Vec<ItemId>> {
        let mut analyzer = self.analyzer.clone();
        let (mut words, mut stream) = (Vec::new(), analyzer.token_stream(text));
        while let Some(token) = stream.next() {
            words.push(token.text.clone());
        }
        let searcher = self.reader.searcher();
        for n_required in [words.len(), 1] {
            let last = words.len().saturating_sub(1);
            let clauses =
                words.iter().enumerate().map(|(at, word)| (Occur::Should, self.word(word, at == last)));
            let query = BooleanQuery::with_minimum_required_clauses(clauses.collect(), n_required);
            let top = TopDocs::with_limit(limit).order_by_score();
            let (n_matches, hits) = searcher.search(&query, &(Count, top))?;
            if n_matches > 0 {
                return hits
                    .into_iter()
                    .map(|(_, address)| {
                        let document: TantivyDocument = searcher.doc(address)?;
                        let id =
                            document.get_first(self.id).and_then(|value| value.as_str()).unwrap_or_default();
                        Ok(ItemId::try_new(id)?)
                    })
                    .collect();
            }
        }
        Ok(Vec::new())
    }

    fn word(&self, word: &str, is_last: bool) -> Box<dyn Query> {
        let mut anywhere: Vec<(Occur, Box<dyn Query>)> = Vec::new();
        for (field, boost) in self.texts {
            let exact = TermQuery::new(Term::from_field_text(field, word), IndexRecordOption::WithFreqs);
            anywhere.push((Occur::Should, Box::new(BoostQuery::new(Box::new(exact), boost))));
        }
        let distance = match word.chars().count() {
            0..4 => 0,
            4..8 => 1,
            _ => 2,
        };
        let term = Term::from_field_text(self.texts[0].0, word);
        let alike = match is_last {
            true => FuzzyTermQuery::new_prefix(term, distance, true),
            false => FuzzyTermQuery::new(term, distance, true),
        };
        anywhere.push((Occur::Should, Box::new(BoostQuery::new(Box::new(alike), 0.3))));
        Box::new(BooleanQuery::new(anywhere))
    }
}
