//! Stock descriptions as titles a shop would show.

/// `"WHITE HANGING HEART T-LIGHT HOLDER"` becomes `"White Hanging Heart T-Light Holder"`.
///
/// Every word gets a capital but the small ones in the middle; sizes (`15cm`, `A4`), short forms that are read as letters
/// (`TV`, `UK`) and possessives keep their shape; the shop's own abbreviations are written out (`S/3`, `ASSTD`);
/// spaces and stray punctuation are mended.
pub(super) fn readable(description: &str) -> String {
    let mut words: Vec<String> = Vec::new();
    for token in mend(description).split_whitespace() {
        let is_first = words.is_empty();
        if let Some((_, full)) = ABBREVIATIONS.iter().find(|(short, _)| token.eq_ignore_ascii_case(short)) {
            words.push(if is_first { capital(full) } else { (*full).to_owned() });
        } else if let Some(n) = set_size(token) {
            words.push(format!("{} of {n}", if token.starts_with(['p', 'P']) { "Pack" } else { "Set" }));
        } else {
            words.push(word(token, is_first));
        }
    }
    let title = words.join(" ");
    let end = |c: char| c.is_whitespace() || ".,;:-+&/*".contains(c);
    capital(title.trim_end_matches(end).trim_start_matches(end))
}

/// Puts the spaces where they belong: after commas, around plus signs, not before commas.
fn mend(description: &str) -> String {
    let mut out = String::with_capacity(description.len() + 8);
    let characters: Vec<char> = description.chars().collect();
    for (i, &c) in characters.iter().enumerate() {
        let before = if i > 0 { characters[i - 1] } else { ' ' };
        let after = characters.get(i + 1).copied().unwrap_or(' ');
        match c {
            ',' if before.is_ascii_digit() && after.is_ascii_digit() => out.push(c),
            ',' | ';' => {
                out.truncate(out.trim_end().len());
                out.push(c);
                out.push(' ');
            }
            '+' if before.is_alphabetic() || after.is_alphabetic() => out.push_str(" & "),
            '.' if before.is_alphabetic()
                && after.is_alphabetic()
                && i > 1
                && characters[i - 2].is_alphabetic() =>
            {
                out.push_str(". ");
            }
            '"' if before.is_ascii_digit() && after.is_alphabetic() => out.push_str("\" "),
            _ => out.push(c),
        }
    }
    out
}

/// `3` of `S/3`, `SET/3`, `OF4`-less `SET3` and `PACK/3`.
fn set_size(token: &str) -> Option<&str> {
    let upper = token.to_ascii_uppercase();
    let prefix =
        ["SET/", "S/", "PACK/", "PK/", "SET"].into_iter().find(|prefix| upper.starts_with(prefix))?;
    let n = &token[prefix.len()..];
    (!n.is_empty() && n.len() <= 3 && n.bytes().all(|b| b.is_ascii_digit())).then_some(n)
}

fn word(token: &str, is_first: bool) -> String {
    let lower = token.to_lowercase();
    let core = lower.trim_matches(|c: char| !c.is_alphanumeric());
    if LETTERS.contains(&core) || is_paper_size(core) {
        return token.to_uppercase();
    }
    if !is_first && core == lower && SMALL.contains(&core) {
        return lower;
    }
    if core.starts_with(|c: char| c.is_ascii_digit()) && !core.contains('/') {
        // 15cm, 250g, 50's, 3d
        return if core == "3d" { token.to_uppercase() } else { lower };
    }
    let mut out = String::with_capacity(lower.len());
    let mut starts = true;
    for c in lower.chars() {
        if starts && c.is_alphabetic() {
            out.extend(c.to_uppercase());
        } else {
            out.push(c);
        }
        // The letter after an apostrophe goes on with its word; every other sign starts a new one.
        starts = !c.is_alphanumeric() && !matches!(c, '\'' | '’');
    }
    out
}

/// `a4`, `a7` …
fn is_paper_size(core: &str) -> bool {
    matches!(core.as_bytes(), [b'a', b'0'..=b'9'])
}

fn capital(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map_or_else(String::new, |first| first.to_uppercase().chain(characters).collect())
}

/// Not capitalised in the middle of a title.
const SMALL: [&str; 19] = [
    "a", "an", "and", "as", "at", "by", "de", "en", "for", "from", "in", "it", "of", "on", "or", "the", "to",
    "with", "du",
];

/// Read letter by letter.
const LETTERS: [&str; 14] =
    ["tv", "uk", "usa", "led", "usb", "diy", "cd", "dvd", "ny", "ii", "iii", "bbq", "xl", "i.o.u"];

/// The shop's own short forms.
const ABBREVIATIONS: [(&str, &str); 41] = [
    ("w", "with"),
    ("w/", "with"),
    ("ass", "Assorted"),
    ("ass.", "Assorted"),
    ("asst", "Assorted"),
    ("asstd", "Assorted"),
    ("asst.", "Assorted"),
    ("assort", "Assorted"),
    ("col", "Colour"),
    ("colours", "Colours"),
    ("des", "Design"),
    ("des.", "Design"),
    ("dec", "Decoration"),
    ("dec.", "Decoration"),
    ("deco", "Decoration"),
    ("ant", "Antique"),
    ("c/cover", "Cushion Cover"),
    ("p/frame", "Photo Frame"),
    ("w/sucker", "with Sucker"),
    ("w/clear", "with Clear"),
    ("w/knif", "with Knife"),
    ("b'fly", "Butterfly"),
    ("b'draw", "Bedside Drawer"),
    ("p'weight", "Paperweight"),
    ("neckl", "Necklace"),
    ("neckl.", "Necklace"),
    ("necklac", "Necklace"),
    ("f.fairy", "Flower Fairy"),
    ("f.fairy,", "Flower Fairy,"),
    ("m.o.p", "Mother-of-Pearl"),
    ("m.o.p.", "Mother-of-Pearl"),
    ("l.blue", "Light Blue"),
    ("choc", "Chocolate"),
    ("xmas", "Christmas"),
    ("childs", "Child's"),
    ("childrens", "Children's"),
    ("ladies", "Ladies'"),
    ("mens", "Men's"),
    ("hldr", "Holder"),
    ("lge", "Large"),
    ("sml", "Small"),
];
