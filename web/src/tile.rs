//! A picture for an item that has none: drawn from its id, title and category, the same each time.
//!
//! The category chooses the paper behind it, words of the title choose the thing ([`pictograms`]), its colour and what is
//! printed on it ("Lunch Bag Red Retrospot" is a red lunch bag with dots), and the id varies the rest. A title that names
//! nothing we can draw gets its initials on a label.

mod palette;
mod pictograms;
#[cfg(test)]
mod tests;

use std::fmt::Write as _;

use waggle_model::Item;

use self::{
    palette::{Colour, Paper},
    pictograms::{PICTOGRAMS, Pictogram, Tier},
};

/// What a tile is drawn from.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    pub item_id: &'a str,
    pub title: &'a str,
    pub category: Option<&'a str>,
}

impl<'a> From<&'a Item> for Subject<'a> {
    fn from(item: &'a Item) -> Self {
        Self { item_id: item.item_id.as_str(), title: &item.title, category: item.category.as_deref() }
    }
}

/// A well-formed SVG document of 240 × 240 without scripts, styles or links; any text in it is escaped.
pub fn svg(item: &Item) -> String {
    draw(&Subject::from(item))
}

/// [`svg`] for whoever has no whole [`Item`] at hand.
pub fn draw(subject: &Subject<'_>) -> String {
    let words = words(subject.title);
    let seed = hash(subject.item_id);
    let pictogram = choose(&words).or_else(|| choose(&self::words(subject.category.unwrap_or_default())));
    let colour = palette::of_words(&words).unwrap_or_else(|| palette::by_chance(seed));
    let paper = palette::paper_of(hash(subject.category.unwrap_or_default()), seed, colour);
    let motif = Motif::of(&words, pictogram);

    let mut out = String::with_capacity(3072);
    out.push_str(r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 240 240" width="240" height="240" role="img"><title>"#);
    escape_into(subject.title, &mut out);
    out.push_str("</title>");
    if let Some(motif) = motif {
        motif.define(colour, &mut out);
    }
    background(paper, seed, &mut out);
    out.push_str(r##"<ellipse cx="120" cy="196" rx="62" ry="9" fill="#2b2a26" opacity=".13"/>"##);
    match pictogram {
        Some(pictogram) => place(pictogram, colour, motif.is_some(), paper, &mut out),
        None => label(subject.title, colour, paper, &mut out),
    }
    out.push_str("</svg>");
    out
}

/// Lower-case singular words; what follows "with", "in" … describes and comes after an empty word.
fn words(title: &str) -> Vec<String> {
    title
        .to_lowercase()
        .replace('\'', "")
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(|word| if SIDE_WORDS.contains(&word) { String::new() } else { singular(word) })
        .collect()
}

/// What comes after one of these says more about the thing before it.
const SIDE_WORDS: [&str; 5] = ["with", "in", "for", "on", "from"];

fn singular(word: &str) -> String {
    const KEEP: [&str; 4] = ["christmas", "glass", "canvas", "princess"];
    if KEEP.contains(&word) || word.len() < 4 {
        word.to_owned()
    } else if let Some(stem) = word.strip_suffix("ies") {
        format!("{stem}y")
    } else if ["xes", "sses", "shes"].iter().any(|end| word.ends_with(end)) {
        word[..word.len() - 2].to_owned()
    } else {
        word.strip_suffix('s').filter(|stem| !stem.ends_with('s')).unwrap_or(word).to_owned()
    }
}

/// English puts the head of a name last: the last thing before the first side word, else any thing; then motifs, then
/// occasions alike.
fn choose(words: &[String]) -> Option<&'static Pictogram> {
    let head = words.iter().position(String::is_empty).unwrap_or(words.len());
    [Tier::Thing, Tier::Motif, Tier::Occasion]
        .into_iter()
        .find_map(|tier| last_match(&words[..head], tier).or_else(|| last_match(words, tier)))
}

fn last_match(words: &[String], tier: Tier) -> Option<&'static Pictogram> {
    (0..words.len()).rev().find_map(|i| {
        let pair = if i > 0 { format!("{} {}", words[i - 1], words[i]) } else { String::new() };
        let named = |name: &str| PICTOGRAMS.iter().find(|p| p.tier == tier && p.words.contains(&name));
        named(&pair).or_else(|| named(&words[i]))
    })
}

/// What is printed on a thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Motif {
    Dots,
    Stripes,
    Checks,
    Hearts,
    Flowers,
    Stars,
}

impl Motif {
    fn of(words: &[String], pictogram: Option<&Pictogram>) -> Option<Self> {
        let pictogram = pictogram?;
        words.iter().find_map(|word| {
            let motif = match word.as_str() {
                "retrospot" | "polkadot" | "spot" | "spotty" | "dot" | "dotty" => Self::Dots,
                "stripe" | "striped" | "stripey" | "stripy" | "circus" => Self::Stripes,
                "gingham" | "check" | "checked" | "tartan" | "picnic" => Self::Checks,
                "heart" | "sweetheart" | "love" => Self::Hearts,
                "flower" | "rose" | "floral" | "daisy" | "blossom" | "botanical" | "paisley" | "poppy"
                | "doily" | "apple" | "strawberry" => Self::Flowers,
                "star" | "spaceboy" | "circu" => Self::Stars,
                _ => return None,
            };
            let says_it_already = matches!(
                (motif, pictogram.name),
                (
                    Self::Hearts,
                    "heart" | "t-light" | "keyring" | "hot water bottle" | "doormat" | "plate" | "glove"
                ) | (Self::Flowers, "flower" | "vase" | "strawberry")
                    | (Self::Stars, "star" | "hanging decoration")
            );
            (!says_it_already).then_some(motif)
        })
    }

    fn define(self, colour: Colour, out: &mut String) {
        let Colour { main, light, .. } = colour;
        let on = if colour.is_light { colour.dark } else { "#fffaf0" };
        let (size, drawing) = match self {
            Self::Dots => (
                16,
                format!(
                    r#"<circle cx="4" cy="4" r="3" fill="{on}"/><circle cx="12" cy="12" r="3" fill="{on}"/>"#
                ),
            ),
            Self::Stripes => (12, format!(r#"<rect width="5" height="12" fill="{on}" opacity=".85"/>"#)),
            Self::Checks => (
                14,
                format!(
                    r#"<rect width="7" height="14" fill="{on}" opacity=".4"/><rect width="14" height="7" fill="{on}" opacity=".4"/>"#
                ),
            ),
            Self::Hearts => (
                18,
                format!(
                    r#"<path d="M9 15C2 10 3 4 6 4c2 0 3 2 3 2s1-2 3-2c3 0 4 6-3 11z" fill="{on}" opacity=".9"/>"#
                ),
            ),
            Self::Flowers => (
                20,
                format!(
                    r#"<g fill="{on}"><circle cx="10" cy="6" r="2.6"/><circle cx="14" cy="9" r="2.6"/><circle cx="12.5" cy="13.5" r="2.6"/><circle cx="7.5" cy="13.5" r="2.6"/><circle cx="6" cy="9" r="2.6"/></g><circle cx="10" cy="10" r="2" fill="{light}"/>"#
                ),
            ),
            Self::Stars => (
                18,
                format!(
                    r#"<path d="M9 3l2 4 4 .5-3 3 1 4.500-4-2.200-4 2.200 1-4.500-3-3 4-.5z" fill="{on}"/>"#
                ),
            ),
        };
        // Writing to a String does not fail.
        let _ = write!(
            out,
            r#"<defs><pattern id="m" width="{size}" height="{size}" patternUnits="userSpaceOnUse"><rect width="{size}" height="{size}" fill="{main}"/>{drawing}</pattern></defs>"#
        );
    }
}

/// The pictogram, its tokens replaced by colours, in the middle of the tile.
fn place(pictogram: &Pictogram, colour: Colour, has_motif: bool, paper: Paper, out: &mut String) {
    out.push_str(
        r#"<g transform="translate(50 56) scale(1.42)" fill="none" stroke-linecap="round" stroke-linejoin="round">"#,
    );
    let mut rest = pictogram.drawing;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        out.push_str(match rest.as_bytes().get(at + 1) {
            Some(b'm') if has_motif => "url(#m)",
            Some(b'm') => colour.main,
            Some(b'd') => colour.dark,
            Some(b'l') => colour.light,
            Some(b'a') => paper.accent(colour),
            Some(b'h') if colour.is_light => colour.dark,
            Some(b'h' | b'p') => "#fffaf0",
            // A tree is green unless its title says otherwise.
            Some(b't') => palette::tree(colour),
            _ => "#3a3733",
        });
        rest = &rest[at + 2..];
    }
    out.push_str(rest);
    out.push_str("</g>");
}

/// Soft paper with a pattern, and a disc or an arch to stand on.
fn background(paper: Paper, seed: u64, out: &mut String) {
    let Paper { pale, mid, .. } = paper;
    let pattern = match seed % 6 {
        0 => r#"<circle cx="6" cy="6" r="2.5"/><circle cx="18" cy="18" r="2.5"/>"#,
        1 => r#"<path d="M-6 18L18-6M6 30L30 6" stroke-width="3"/>"#,
        2 => r#"<path d="M0 0h12v24H0zM0 0h24v12H0z" opacity=".55" stroke="none"/>"#,
        3 => {
            r#"<path d="M12 20c0-6 0-8 0-12M12 14c-5 0-6-3-6-5 4 0 6 2 6 5zM12 11c4 0 6-3 6-5-4 0-6 2-6 5z" stroke-width="1.5"/>"#
        }
        4 => {
            r#"<path d="M0 12a12 12 0 0 0 24 0M-12 24a12 12 0 0 0 24 0M12 24a12 12 0 0 0 24 0" fill="none" stroke-width="2"/>"#
        }
        _ => r#"<path d="M12 6v12M6 12h12" stroke-width="2.5"/>"#,
    };
    let stand = match (seed >> 8) % 3 {
        0 => format!(r#"<circle cx="120" cy="122" r="84" fill="{pale}"/>"#),
        1 => format!(r#"<path d="M40 202V120a80 80 0 0 1 160 0v82z" fill="{pale}"/>"#),
        _ => format!(
            r#"<path d="M120 34c14 0 18 12 32 12s26-2 34 12-2 20 6 32 18 16 18 32-10 20-18 32 2 18-6 32-20 12-34 12-18 12-32 12-18-12-32-12-26 2-34-12 2-20-6-32-18-16-18-32 10-20 18-32-2-18 6-32 20-12 34-12 18-12 32-12z" fill="{pale}"/>"#
        ),
    };
    let _ = write!(
        out,
        r#"<defs><pattern id="b" width="24" height="24" patternUnits="userSpaceOnUse"><g fill="{pale}" stroke="{pale}" stroke-linecap="round" opacity=".6">{pattern}</g></pattern></defs><rect width="240" height="240" fill="{mid}"/><rect width="240" height="240" fill="url(#b)"/>{stand}"#
    );
}

/// Initials on a parcel label.
fn label(title: &str, colour: Colour, paper: Paper, out: &mut String) {
    let initials: String = title
        .split(|c: char| !c.is_alphanumeric())
        .filter_map(|word| word.chars().next())
        .filter(|c| c.is_alphanumeric())
        .flat_map(char::to_uppercase)
        .take(2)
        .collect();
    let initials = if initials.is_empty() { "·".to_owned() } else { initials };
    let Colour { main, dark, .. } = colour;
    let accent = paper.accent(colour);
    let _ = write!(
        out,
        r##"<path d="M120 58c-10-18-34-14-30 2" fill="none" stroke="{accent}" stroke-width="4" stroke-linecap="round"/><path d="M78 84l42-28 42 28v104H78z" fill="{main}"/><path d="M86 90l34-23 34 23v90H86z" fill="none" stroke="#fffaf0" stroke-width="2"/><circle cx="120" cy="80" r="7" fill="{dark}"/><rect x="92" y="100" width="56" height="60" rx="6" fill="#fffaf0"/><text x="120" y="142" text-anchor="middle" font-family="Georgia, serif" font-size="34" font-weight="700" fill="#3a3733">"##
    );
    escape_into(&initials, out);
    out.push_str("</text>");
}

/// Appends `text` as XML character data; characters XML does not know become spaces.
fn escape_into(text: &str, out: &mut String) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\u{fffe}' | '\u{ffff}' => out.push(' '),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
}

/// FNV-1a, 64 bits, with a final mix so that neighbouring ids look different.
fn hash(text: &str) -> u64 {
    let mut h = 0xcbf2_9ce4_8422_2325_u64;
    for byte in text.bytes() {
        h = (h ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    h ^= h >> 29;
    h = h.wrapping_mul(0xbf58_476d_1ce4_e5b9);
    h ^ (h >> 32)
}
