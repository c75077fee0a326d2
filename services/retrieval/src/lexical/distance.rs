//! How many typing errors lie between two words.

/// Typing errors that make one word of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Errors {
    /// Between the words.
    pub(super) whole: usize,
    /// Between the first word and the nearest beginning of the second.
    pub(super) beginning: usize,
}

/// Optimal string alignment: insertions, deletions, substitutions, and neighbours that changed places, by letter. Costs the
/// product of the lengths.
pub(super) fn errors(typed: &str, word: &str) -> Errors {
    let typed: Vec<char> = typed.chars().collect();
    let n = typed.len();
    // By letters of `typed`, for the letters of `word` so far; `before` for one less.
    let (mut before, mut last): (Vec<usize>, Vec<usize>) = (Vec::new(), (0..=n).collect());
    let mut beginning = last[n];
    let mut previous = None;
    for (i, letter) in word.chars().enumerate() {
        let mut row = Vec::with_capacity(n + 1);
        row.push(i + 1);
        for j in 0..n {
            let mut least = (last[j] + usize::from(typed[j] != letter)).min(last[j + 1] + 1).min(row[j] + 1);
            if j > 0 && previous == Some(typed[j]) && typed[j - 1] == letter {
                least = least.min(before[j - 1] + 1);
            }
            row.push(least);
        }
        beginning = beginning.min(row[n]);
        previous = Some(letter);
        before = std::mem::replace(&mut last, row);
    }
    Errors { whole: last[n], beginning }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(typed: &str, word: &str, whole: usize, beginning: usize) {
        assert_eq!(errors(typed, word), Errors { whole, beginning }, "{typed} {word}");
    }

    #[test]
    fn a_letter_more_less_or_other_and_two_that_changed_places_are_one_error() {
        check("lantern", "lantern", 0, 0);
        check("lantrn", "lantern", 1, 1);
        check("lanntern", "lantern", 1, 1);
        check("lanteen", "lantern", 1, 1);
        check("lantenr", "lantern", 1, 1);
        check("wkicer", "wicker", 2, 2);
        check("", "abc", 3, 0);
        check("abc", "", 3, 3);
    }

    #[test]
    fn the_beginning_of_a_word_is_compared_as_far_as_was_typed() {
        check("chris", "christmas", 4, 0);
        check("chirst", "christmas", 4, 1);
        check("xhrist", "christmas", 4, 1);
        // Letters, not bytes.
        check("йл", "ёлка", 3, 1);
    }
}
