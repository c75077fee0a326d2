//! How well items fit a query: BM25 by field (Robertson and Zaragoza 2009), over words that may stand for several.

use super::{
    LexicalError, N_TEXTS, n_items,
    variants::Variant,
    view::{Segment, View},
};
use crate::table::Slot;

/// How fast repeating a word stops to count.
const K1: f32 = 1.2;
/// How much long texts are held against their words.
const B: f32 = 0.75;

/// An item that has at least one of the words.
pub(super) struct Match {
    pub(super) slot: Slot,
    /// Higher is better; comparable within one query only.
    pub(super) score: f32,
    /// Which of the words it has, by their places.
    words: u32,
}

impl Match {
    pub(super) fn n_words(&self) -> usize {
        self.words.count_ones() as usize
    }
}

pub(super) struct Scores {
    /// In no order.
    pub(super) matches: Vec<Match>,
    /// Occurrences that were looked at.
    pub(super) n_postings: usize,
}

/// Scores every item that `may_show` lets through and that has one of the words; at most 32 of them count.
///
/// `Σ_words idf · Σ_texts boost · max_variants weight · tf·(k₁+1) / (tf + k₁·(1 − b + b·length/mean length))`, where
/// `idf = ln(1 + (n − m + ½)/(m + ½))` for `n` items of which `m` have some variant of the word. All variants of a word share
/// its idf, so that a rare typing error is worth no more than the word.
pub(super) fn scores(
    view: &View,
    words: &[Vec<Variant>],
    may_show: impl Fn(Slot) -> bool,
) -> Result<Scores, LexicalError> {
    let mut scores = Scores { matches: Vec::new(), n_postings: 0 };
    let weighted: Vec<(f32, &[Variant])> =
        words.iter().map(|word| (idf(view, word), word.as_slice())).collect();
    for segment in &view.segments {
        let mut sums = Sums::new(segment.n_docs);
        for (bit, (idf, variants)) in weighted.iter().take(32).enumerate() {
            sums.add_word(view, segment, 1 << bit, *idf, variants)?;
        }
        scores.n_postings += sums.n_postings;
        scores.matches.extend(sums.docs.iter().filter_map(|&doc| {
            let slot = segment.slot(doc).filter(|slot| may_show(*slot))?;
            Some(Match { slot, score: sums.scores[doc as usize], words: sums.words[doc as usize] })
        }));
    }
    Ok(scores)
}

fn idf(view: &View, word: &[Variant]) -> f32 {
    let n = view.n_docs as f32;
    // An item may have several variants.
    let m = (n_items(word) as f32).min(n);
    (1.0 + (n - m + 0.5) / (m + 0.5)).ln()
}

/// Scores of one segment's documents so far.
struct Sums {
    /// By document.
    scores: Vec<f32>,
    /// By document, which words it has.
    words: Vec<u32>,
    /// Those that have one.
    docs: Vec<u32>,
    /// By document, the best of a word's variants in one text; 0 between texts.
    best: Vec<f32>,
    n_postings: usize,
}

impl Sums {
    fn new(n_docs: usize) -> Self {
        let (scores, best, words) = (vec![0.0; n_docs], vec![0.0; n_docs], vec![0; n_docs]);
        Self { scores, words, docs: Vec::new(), best, n_postings: 0 }
    }

    fn add_word(
        &mut self,
        view: &View,
        segment: &Segment,
        bit: u32,
        idf: f32,
        variants: &[Variant],
    ) -> Result<(), LexicalError> {
        for text in 0..N_TEXTS {
            let mean_length = view.mean_lengths[text];
            let mut with_word: Vec<u32> = Vec::new();
            for Variant { stem, weight, .. } in variants {
                segment.texts[text].occurrences(stem, |doc, n_times, length| {
                    let fit = n_times * (K1 + 1.0) / (n_times + K1 * (1.0 - B + B * length / mean_length));
                    if self.best[doc] == 0.0 {
                        with_word.push(doc as u32);
                    }
                    self.best[doc] = self.best[doc].max(weight * fit);
                    self.n_postings += 1;
                })?;
            }
            for doc in with_word {
                let at = doc as usize;
                if self.words[at] == 0 {
                    self.docs.push(doc);
                }
                self.words[at] |= bit;
                self.scores[at] += idf * view.boosts[text] * std::mem::take(&mut self.best[at]);
            }
        }
        Ok(())
    }
}
