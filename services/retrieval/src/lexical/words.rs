//! Texts into words.

use tantivy::{
    Index,
    tokenizer::{
        AsciiFoldingFilter, Language, LowerCaser, RemoveLongFilter, SimpleTokenizer, Stemmer, TextAnalyzer,
    },
};

/// The analyzer that gives words as they are written, in lower case and without accents.
pub(super) const WHOLE: &str = "waggle_whole";
/// The analyzer that gives their English stems.
pub(super) const STEMMED: &str = "waggle_en";
/// Words of so many bytes are none.
const MAX_WORD_BYTES: usize = 64;

/// Takes texts apart, the same way for items and for queries: a word is what stands together of letters and digits.
pub(super) struct Words {
    whole: TextAnalyzer,
    stemmed: TextAnalyzer,
}

/// A word of a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct QueryWord {
    /// As it is written, in lower case and without accents.
    pub(super) text: String,
    /// It may be the beginning of a word.
    pub(super) is_open: bool,
}

impl Words {
    pub(super) fn new() -> Self {
        let whole = || {
            TextAnalyzer::builder(SimpleTokenizer::default())
                .filter(RemoveLongFilter::limit(MAX_WORD_BYTES))
                .filter(LowerCaser)
                .filter(AsciiFoldingFilter)
        };
        Self { whole: whole().build(), stemmed: whole().filter(Stemmer::new(Language::English)).build() }
    }

    pub(super) fn register(&self, index: &Index) {
        index.tokenizers().register(WHOLE, self.whole.clone());
        index.tokenizers().register(STEMMED, self.stemmed.clone());
    }

    /// The query's first so many different words, in their order; the last word is open if it `completes` and the text
    /// ends with it.
    pub(super) fn of_query(&self, text: &str, completes: bool, max: usize) -> Vec<QueryWord> {
        let mut analyzer = self.whole.clone();
        let mut stream = analyzer.token_stream(text);
        let mut words: Vec<QueryWord> = Vec::new();
        while let Some(token) = stream.next() {
            let is_open = completes && token.offset_to == text.len();
            if let Some(known) = words.iter_mut().find(|known| known.text == token.text) {
                known.is_open |= is_open;
            } else if words.len() < max {
                words.push(QueryWord { text: token.text.clone(), is_open });
            }
        }
        words
    }

    pub(super) fn stem(&self, word: &str) -> String {
        let mut analyzer = self.stemmed.clone();
        let mut stream = analyzer.token_stream(word);
        stream.next().map_or_else(|| word.to_owned(), |token| token.text.clone())
    }

    /// Calls `each` with the bytes and the stem of every word of the text, in its order.
    pub(super) fn stems(&self, text: &str, mut each: impl FnMut(std::ops::Range<usize>, &str)) {
        let mut analyzer = self.stemmed.clone();
        let mut stream = analyzer.token_stream(text);
        while let Some(token) = stream.next() {
            each(token.offset_from..token.offset_to, &token.text);
        }
    }
}
