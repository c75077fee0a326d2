//! What people might look for, made of the catalogue's titles.

use rand::{Rng, seq::SliceRandom as _};
use waggle_model::{Item, ItemId};

/// Texts of one seed.
pub(super) struct Queries {
    /// One to three words that follow each other in a title.
    pub(super) words: Vec<String>,
    /// The same with one typing error.
    pub(super) misspelt: Vec<String>,
    /// The same cut within the last word.
    pub(super) half_typed: Vec<String>,
    /// Whole titles with one typing error, and the item.
    pub(super) titles: Vec<(ItemId, String)>,
}

impl Queries {
    pub(super) fn new(items: &[Item], n: usize, random: &mut impl Rng) -> Self {
        let mut queries =
            Self { words: Vec::new(), misspelt: Vec::new(), half_typed: Vec::new(), titles: Vec::new() };
        let mut items: Vec<&Item> = items.iter().collect();
        items.shuffle(random);
        for item in items.iter().cycle().take(n) {
            let title = item.title.to_lowercase();
            let all: Vec<&str> = title.split_whitespace().collect();
            let n_words = random.gen_range(1..=3).min(all.len());
            let from = random.gen_range(0..=all.len() - n_words);
            let words = all[from..from + n_words].join(" ");
            queries.misspelt.push(with_typo(&words, random));
            queries.half_typed.push(cut(&words, random));
            queries.words.push(words);
        }
        // Each title once: of two items with the same one, either may be found.
        items.sort_by(|a, b| a.title.cmp(&b.title));
        items.dedup_by(|a, b| a.title == b.title);
        items.shuffle(random);
        let titles = items.iter().take(n).map(|item| (item.item_id.clone(), with_typo(&item.title, random)));
        queries.titles = titles.collect();
        queries
    }
}

/// One error in one word of at least four letters, if there is one: a letter less, more or another, or two that changed
/// places.
fn with_typo(text: &str, random: &mut impl Rng) -> String {
    let mut words: Vec<Vec<char>> = text.split(' ').map(|word| word.chars().collect()).collect();
    let is_long = |word: &&mut Vec<char>| word.len() >= 4 && word.iter().all(|c| c.is_alphabetic());
    let mut long: Vec<&mut Vec<char>> = words.iter_mut().filter(is_long).collect();
    if let Some(word) = long.choose_mut(random) {
        let at = random.gen_range(0..word.len() - 1);
        let letter = char::from(random.gen_range(b'a'..=b'z'));
        match random.gen_range(0..4) {
            0 => drop(word.remove(at)),
            1 => word.insert(at, letter),
            2 => word[at] = letter,
            _ => word.swap(at, at + 1),
        }
    }
    let words: Vec<String> = words.iter().map(|word| word.iter().collect()).collect();
    words.join(" ")
}

fn cut(text: &str, random: &mut impl Rng) -> String {
    let last = text.rfind(' ').map_or(0, |space| space + 1);
    let n_letters = text[last..].chars().count();
    let kept = random.gen_range(1..=n_letters.max(1));
    text.chars().take(text[..last].chars().count() + kept).collect()
}
