use proptest::prelude::*;

use super::*;

fn marked(text: &str, terms: &[&str]) -> Highlight {
    mark(&Words::new(), text, &terms.iter().map(|term| (*term).to_owned()).collect())
}

#[track_caller]
fn check(text: &str, terms: &[&str], html: &str, ranges: &[(usize, usize)]) {
    let got = marked(text, terms);
    let ranges: Vec<TextRange> = ranges.iter().map(|&(start, end)| TextRange { start, end }).collect();
    assert_eq!((got.html.as_str(), got.ranges), (html, ranges));
}

#[test]
fn words_are_marked_and_the_rest_is_escaped() {
    check("Red lanterns", &["lantern"], "Red <mark>lanterns</mark>", &[(4, 12)]);
    check("<i>&\"'", &["i"], "&lt;<mark>i</mark>&gt;&amp;&quot;&#39;", &[(1, 2)]);
    check("Nothing here", &["lantern"], "Nothing here", &[]);
    check("", &["x"], "", &[]);
}

#[test]
fn ranges_count_as_browsers_do() {
    // Two code units for the bee, one for each accented letter.
    check("🐝 crème jug", &["jug"], "🐝 crème <mark>jug</mark>", &[(9, 12)]);
    check("🐝jug", &["jug"], "🐝<mark>jug</mark>", &[(2, 5)]);
}

#[test]
fn a_long_text_is_cut_around_the_place_with_most_words() {
    let text = format!("lamp {} lamp shade {}", "filler ".repeat(100), "filler ".repeat(100));
    let highlight = marked(&text, &["lamp", "shade"]);
    assert!(highlight.html.contains("<mark>lamp</mark> <mark>shade</mark>"), "{}", highlight.html);
    assert!(highlight.html.starts_with('…') && highlight.html.ends_with('…'));
    assert_eq!(highlight.ranges.len(), 3, "all are told");
    // Nothing beyond the first bytes is looked at.
    let text = format!("{}lamp", " ".repeat(MAX_TEXT_BYTES));
    assert_eq!(marked(&text, &["lamp"]).ranges, []);
}

proptest! {
    #[test]
    fn html_says_what_the_text_says(text in "[a-c <&🐝é\u{301}]{0,400}", terms in prop::collection::vec("[a-c]{1,2}", 0..4)) {
        let terms: Vec<&str> = terms.iter().map(String::as_str).collect();
        let highlight = marked(&text, &terms);
        let plain = highlight.html.replace("<mark>", "").replace("</mark>", "");
        let plain = plain.replace("&lt;", "<").replace("&amp;", "&");
        prop_assert!(text.contains(plain.trim_matches('…')), "{plain:?}");
        prop_assert!(plain.len() <= SNIPPET_BYTES.max(text.len().min(SNIPPET_BYTES)) + 2 * CUT.len());
        let units: Vec<u16> = text.encode_utf16().collect();
        for TextRange { start, end } in highlight.ranges {
            prop_assert!(start < end && String::from_utf16(&units[start..end]).is_ok());
        }
    }
}
