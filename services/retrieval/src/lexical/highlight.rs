//! The found words in a text.

use std::{collections::BTreeSet, ops::Range};

use waggle_contracts::api::{Highlight, TextRange};

use super::words::Words;

/// So much of a text is looked through, in bytes.
pub(super) const MAX_TEXT_BYTES: usize = 4_096;
/// A longer text is cut to about so many bytes around the place that has most of the found words.
pub(super) const SNIPPET_BYTES: usize = 240;
/// What stands for the rest of a text that is cut.
const CUT: &str = "…";

/// Marks every word whose stem is one of `terms`.
pub(super) fn mark(words: &Words, text: &str, terms: &BTreeSet<String>) -> Highlight {
    let looked_at = &text[..text.floor_char_boundary(MAX_TEXT_BYTES)];
    let mut found: Vec<Range<usize>> = Vec::new();
    words.stems(looked_at, |bytes, stem| {
        if terms.contains(stem) {
            found.push(bytes);
        }
    });
    Highlight { html: html(text, &found, window(text, &found)), ranges: utf16(text, &found) }
}

/// The part of the text to be shown: all of it if it is short.
fn window(text: &str, found: &[Range<usize>]) -> Range<usize> {
    if text.len() <= SNIPPET_BYTES {
        return 0..text.len();
    }
    let n_within = |from: usize| {
        let up_to = found.partition_point(|range| range.end <= from + SNIPPET_BYTES);
        up_to.saturating_sub(found.partition_point(|range| range.start < from))
    };
    // The first of the best places, a little before the word.
    let starts = found.iter().map(|range| range.start);
    let best = starts.rev().max_by_key(|start| n_within(*start)).unwrap_or(0);
    let from =
        text.floor_char_boundary(best.saturating_sub(SNIPPET_BYTES / 4).min(text.len() - SNIPPET_BYTES));
    let to = text.floor_char_boundary(from + SNIPPET_BYTES);
    let is_within = |range: &&Range<usize>| range.start >= from && range.end <= to;
    let (first, last) = (found.iter().find(is_within), found.iter().rfind(is_within));
    // Whole words, as long as a space is near; no found word is cut.
    let near_start = &text[from..first.map_or(to, |range| range.start)];
    let near_end = &text[last.map_or(from, |range| range.end)..to];
    let start = if from == 0 { None } else { near_start.find(char::is_whitespace) };
    let end = if to == text.len() { None } else { near_end.rfind(char::is_whitespace) };
    start.map_or(from, |at| from + at)..end.map_or(to, |at| to - near_end.len() + at)
}

/// The window as HTML: everything escaped, the found words in `<mark>`.
fn html(text: &str, found: &[Range<usize>], window: Range<usize>) -> String {
    let mut html = String::with_capacity(window.len() + 16);
    if window.start > 0 {
        html.push_str(CUT);
    }
    let mut at = window.start;
    for range in found.iter().filter(|range| range.start >= window.start && range.end <= window.end) {
        escape(&text[at..range.start], &mut html);
        html.push_str("<mark>");
        escape(&text[range.clone()], &mut html);
        html.push_str("</mark>");
        at = range.end;
    }
    escape(&text[at..window.end], &mut html);
    if window.end < text.len() {
        html.push_str(CUT);
    }
    html
}

fn escape(text: &str, html: &mut String) {
    for letter in text.chars() {
        match letter {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            other => html.push(other),
        }
    }
}

/// Bytes as UTF-16 code units, in which strings of browsers are counted.
fn utf16(text: &str, found: &[Range<usize>]) -> Vec<TextRange> {
    let n_units = |part: &str| part.chars().map(char::len_utf16).sum::<usize>();
    let (mut at_byte, mut at_unit) = (0, 0);
    found
        .iter()
        .map(|range| {
            let start = at_unit + n_units(&text[at_byte..range.start]);
            let end = start + n_units(&text[range.clone()]);
            (at_byte, at_unit) = (range.end, end);
            TextRange { start, end }
        })
        .collect()
}

#[cfg(test)]
mod tests;
