//! The text index at one moment.

use std::sync::Arc;

use tantivy::{
    DocId, Searcher, SegmentReader, TantivyError,
    columnar::ColumnValues,
    fastfield::AliveBitSet,
    fieldnorm::FieldNormReader,
    index::InvertedIndexReader,
    postings::Postings as _,
    schema::{Field, IndexRecordOption},
    termdict::TermDictionary,
    {DocSet as _, TERMINATED},
};

use super::{Fields, LexicalError, N_TEXTS};
use crate::table::Slot;

/// The parts of the index, opened once for all searches until the next change.
pub(super) struct View {
    pub(super) segments: Vec<Segment>,
    /// With those that were replaced and not cleared away yet, as the postings count them.
    pub(super) n_docs: usize,
    /// Mean length of each text, in words.
    pub(super) mean_lengths: [f32; N_TEXTS],
    /// What a word counts for in each text.
    pub(super) boosts: [f32; N_TEXTS],
    word: Field,
}

pub(super) struct Segment {
    pub(super) texts: [Text; N_TEXTS],
    pub(super) n_docs: usize,
    word: Arc<InvertedIndexReader>,
    id: Arc<InvertedIndexReader>,
    slots: Arc<dyn ColumnValues<u64>>,
    alive: Option<AliveBitSet>,
}

/// One text of all items of a segment.
pub(super) struct Text {
    postings: Arc<InvertedIndexReader>,
    lengths: FieldNormReader,
}

impl View {
    pub(super) fn new(searcher: &Searcher, fields: &Fields) -> Result<Self, LexicalError> {
        let segments: Vec<Segment> = searcher
            .segment_readers()
            .iter()
            .map(|reader| Segment::new(reader, fields))
            .collect::<Result<_, TantivyError>>()?;
        let n_docs: usize = segments.iter().map(|segment| segment.n_docs).sum();
        let mean_length = |text: usize| {
            let n_words: u64 = segments.iter().map(|s| s.texts[text].postings.total_num_tokens()).sum();
            n_words as f32 / n_docs.max(1) as f32
        };
        Ok(Self {
            n_docs,
            mean_lengths: std::array::from_fn(mean_length),
            boosts: fields.texts.map(|text| text.boost),
            word: fields.word,
            segments,
        })
    }

    /// The words of all texts as they are written, in each part of the index.
    pub(super) fn dictionaries(&self) -> impl Iterator<Item = &TermDictionary> {
        self.segments.iter().map(|segment| segment.word.terms())
    }

    pub(super) fn word_field(&self) -> Field {
        self.word
    }

    /// How many items have a word with this stem in the text where it is most common.
    pub(super) fn n_items(&self, stem: &str) -> Result<u64, LexicalError> {
        let mut most = 0;
        for text in 0..N_TEXTS {
            let mut n_items = 0;
            for segment in &self.segments {
                let info = segment.texts[text].postings.terms().get(stem)?;
                n_items += info.map_or(0, |info| u64::from(info.doc_freq));
            }
            most = most.max(n_items);
        }
        Ok(most)
    }

    /// The item of this id.
    pub(super) fn by_id(&self, id: &str) -> Result<Option<Slot>, LexicalError> {
        for segment in &self.segments {
            let Some(info) = segment.id.terms().get(id)? else { continue };
            let mut docs = segment.id.read_postings_from_terminfo(&info, IndexRecordOption::Basic)?;
            while docs.doc() != TERMINATED {
                if let Some(slot) = segment.slot(docs.doc()) {
                    return Ok(Some(slot));
                }
                docs.advance();
            }
        }
        Ok(None)
    }
}

impl Segment {
    fn new(reader: &SegmentReader, fields: &Fields) -> Result<Self, TantivyError> {
        let text = |field: Field| -> Result<Text, TantivyError> {
            Ok(Text {
                postings: reader.inverted_index(field)?,
                lengths: reader.get_fieldnorms_reader(field)?,
            })
        };
        let [title, brand, category, description] = fields.texts.map(|text| text.field);
        Ok(Self {
            texts: [text(title)?, text(brand)?, text(category)?, text(description)?],
            n_docs: reader.max_doc() as usize,
            word: reader.inverted_index(fields.word)?,
            id: reader.inverted_index(fields.id)?,
            slots: reader.fast_fields().column_first_or_default("slot")?,
            alive: reader.alive_bitset().cloned(),
        })
    }

    /// The slot of a document; none if it was replaced.
    pub(super) fn slot(&self, doc: DocId) -> Option<Slot> {
        if self.alive.as_ref().is_some_and(|alive| alive.is_deleted(doc)) {
            return None;
        }
        u32::try_from(self.slots.get_val(doc)).ok().map(Slot)
    }
}

impl Text {
    /// Calls `each` for every document that has the stem, with how often and among how many words.
    pub(super) fn occurrences(
        &self,
        stem: &str,
        mut each: impl FnMut(usize, f32, f32),
    ) -> Result<(), LexicalError> {
        let Some(info) = self.postings.terms().get(stem)? else { return Ok(()) };
        let mut docs = self.postings.read_postings_from_terminfo(&info, IndexRecordOption::WithFreqs)?;
        while docs.doc() != TERMINATED {
            let doc = docs.doc();
            each(doc as usize, docs.term_freq() as f32, self.lengths.fieldnorm(doc) as f32);
            docs.advance();
        }
        Ok(())
    }
}
