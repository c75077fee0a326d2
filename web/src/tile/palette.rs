//! Colours of tiles: of things, from words; of the paper behind them, from the category.

/// One thing's colour in three shades.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Colour {
    pub main: &'static str,
    pub dark: &'static str,
    pub light: &'static str,
    /// Needs a darker ground to stand out.
    pub is_light: bool,
    /// Place on the wheel; neighbours make poor accents of each other.
    family: Family,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    Red,
    Orange,
    Green,
    Blue,
    Violet,
    Neutral,
}

const fn colour(main: &'static str, dark: &'static str, light: &'static str, family: Family) -> Colour {
    Colour { main, dark, light, is_light: false, family }
}

const fn pale(main: &'static str, dark: &'static str, light: &'static str) -> Colour {
    Colour { main, dark, light, is_light: true, family: Family::Neutral }
}

const RED: Colour = colour("#c43b45", "#8f2733", "#e58a86", Family::Red);
const PINK: Colour = colour("#e3829b", "#b9566f", "#f6c3cd", Family::Red);
const BLUE: Colour = colour("#4f7fae", "#2f567f", "#a5c4de", Family::Blue);
const GREEN: Colour = colour("#5c8a62", "#3b6144", "#a9c9a6", Family::Green);
const YELLOW: Colour = colour("#e2aa3c", "#b07c1d", "#f5d894", Family::Orange);
const ORANGE: Colour = colour("#dc7a3c", "#a95423", "#f2b88d", Family::Orange);
const PURPLE: Colour = colour("#84629f", "#5d4276", "#c1a9d2", Family::Violet);
const TURQUOISE: Colour = colour("#4a9c9a", "#2f6f70", "#a5d3cf", Family::Blue);
const BROWN: Colour = colour("#96694a", "#69462f", "#cda88c", Family::Orange);
const BLACK: Colour = colour("#45433f", "#2a2926", "#85817a", Family::Neutral);
const SILVER: Colour = colour("#a9b0b5", "#7b848b", "#dadfe2", Family::Neutral);
const GOLD: Colour = colour("#cda243", "#997426", "#ecd596", Family::Orange);
const WHITE: Colour = pale("#fbf7ef", "#cfc6b6", "#ffffff");
const IVORY: Colour = pale("#f4e9d2", "#c7b491", "#fdf7e9");

/// The colour of the first word that names one.
pub(super) fn of_words(words: &[String]) -> Option<Colour> {
    words.iter().find_map(|word| {
        Some(match word.as_str() {
            "red" | "ruby" | "cherry" | "strawberry" | "poppy" | "retrospot" | "burgundy" => RED,
            "pink" | "fuschia" | "fuchsia" | "cerise" | "rose" | "peony" | "blossom" => PINK,
            "blue" | "navy" | "sapphire" | "montana" | "denim" | "spaceboy" | "sailor" => BLUE,
            "green" | "mint" | "olive" | "emerald" | "jade" | "herb" | "pistachio" | "holly" => GREEN,
            "yellow" | "lemon" | "daisy" | "sunflower" | "mustard" | "honey" | "chick" => YELLOW,
            "orange" | "amber" | "peach" | "topaz" | "coral" => ORANGE,
            "purple" | "lilac" | "lavender" | "amethyst" | "violet" => PURPLE,
            "turquoise" | "turq" | "aqua" | "teal" | "sky" => TURQUOISE,
            "brown" | "chocolate" | "wooden" | "wood" | "wicker" | "rattan" | "coffee" | "natural"
            | "beech" => BROWN,
            "black" | "jet" | "skull" | "slate" => BLACK,
            "silver" | "zinc" | "metal" | "grey" | "crystal" | "diamante" | "steel" => SILVER,
            "gold" | "golden" | "brass" | "bronze" | "copper" | "antique" => GOLD,
            "white" | "porcelain" | "snow" | "pearl" | "clear" => WHITE,
            "ivory" | "cream" | "lace" | "linen" | "beige" => IVORY,
            _ => return None,
        })
    })
}

/// A colour for a thing whose title names none.
pub(super) fn by_chance(seed: u64) -> Colour {
    const ALL: [Colour; 8] = [RED, PINK, BLUE, GREEN, YELLOW, TURQUOISE, PURPLE, ORANGE];
    ALL[((seed >> 16) % 8) as usize]
}

/// Christmas trees are green; white, silver, gold and pink ones exist and say so.
pub(super) fn tree(colour: Colour) -> &'static str {
    if colour.is_light || colour == SILVER || colour == GOLD || colour == PINK {
        colour.main
    } else {
        GREEN.main
    }
}

/// Two tones of paper.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Paper {
    pub pale: &'static str,
    pub mid: &'static str,
    family: Family,
}

impl Paper {
    /// A colour that is neither the thing's nor the paper's.
    pub(super) fn accent(self, thing: Colour) -> &'static str {
        let free = |accent: &&Colour| accent.family != thing.family && accent.family != self.family;
        [RED, YELLOW, BLUE, GREEN].iter().find(free).map_or(RED.main, |accent| accent.main)
    }
}

const fn paper(pale: &'static str, mid: &'static str, family: Family) -> Paper {
    Paper { pale, mid, family }
}

/// The paper of a category: one of its two tones, by the item's seed; deeper behind light things.
pub(super) fn paper_of(category: u64, seed: u64, thing: Colour) -> Paper {
    const PAPERS: [(Paper, Paper); 12] = [
        (paper("#fbe9e4", "#f4d2c9", Family::Red), paper("#e8b4a8", "#dc9c8f", Family::Red)),
        (paper("#fdf3da", "#f7e3b0", Family::Orange), paper("#e9cb85", "#deb966", Family::Orange)),
        (paper("#e9f1e4", "#d0e2c8", Family::Green), paper("#adc9a3", "#97b88d", Family::Green)),
        (paper("#e3eff1", "#c6dfe3", Family::Blue), paper("#9dc2ca", "#86b0b9", Family::Blue)),
        (paper("#f8e6ec", "#efcbd7", Family::Red), paper("#dba5b6", "#cf90a4", Family::Red)),
        (paper("#e8ebf6", "#cfd6ec", Family::Blue), paper("#a9b5d9", "#94a2cb", Family::Blue)),
        (paper("#f3ecdf", "#e4d6bf", Family::Neutral), paper("#cbb592", "#bea47d", Family::Neutral)),
        (paper("#e4f2ec", "#c5e3d6", Family::Green), paper("#98c5b2", "#82b49f", Family::Green)),
        (paper("#fbeadb", "#f3d2b5", Family::Orange), paper("#e2b287", "#d69f70", Family::Orange)),
        (paper("#f1e8f3", "#e0cfe5", Family::Violet), paper("#c3a8cc", "#b394bd", Family::Violet)),
        (paper("#eef0dc", "#dde2bb", Family::Green), paper("#bfc78c", "#adb676", Family::Green)),
        (paper("#e2f1f5", "#c0e0ea", Family::Blue), paper("#94c4d4", "#7ab2c5", Family::Blue)),
    ];
    let tone = (category % 12 + (seed >> 24) % 2 * 5) % 12;
    let (soft, deep) = PAPERS[tone as usize];
    if thing.is_light { deep } else { soft }
}
