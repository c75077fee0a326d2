//! Small drawings of things that gift shops sell, and the words of a title that call for them.
//!
//! A drawing lies in a box of 100 × 100 and stands at about y = 88. Its colours are tokens: `$m` the thing's own colour
//! (with its motif), `$d` and `$l` the same darker and lighter, `$a` an accent, `$i` ink, `$p` paper, `$h` what is printed on the thing.

/// A drawing and the words (singular, lower case; one or two) that name it.
pub(super) struct Pictogram {
    pub name: &'static str,
    pub words: &'static [&'static str],
    pub tier: Tier,
    pub drawing: &'static str,
}

/// What gives way to what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tier {
    /// A thing by itself.
    Thing,
    /// What a thing may show: a heart, a star, a bird.
    Motif,
    /// Says little: "hanging", "christmas".
    Occasion,
}

const fn thing(name: &'static str, words: &'static [&'static str], drawing: &'static str) -> Pictogram {
    Pictogram { name, words, tier: Tier::Thing, drawing }
}

const fn motif(name: &'static str, words: &'static [&'static str], drawing: &'static str) -> Pictogram {
    Pictogram { name, words, tier: Tier::Motif, drawing }
}

const fn occasion(name: &'static str, words: &'static [&'static str], drawing: &'static str) -> Pictogram {
    Pictogram { name, words, tier: Tier::Occasion, drawing }
}

pub(super) const PICTOGRAMS: &[Pictogram] = &[
    // The table
    thing(
        "mug",
        &["mug", "beaker", "tumbler", "tankard"],
        r##"<path d="M66 42h8a13 13 0 0 1 0 27h-8" stroke="$d" stroke-width="6"/><path d="M22 32h46v42a11 11 0 0 1-11 11H33a11 11 0 0 1-11-11z" fill="$m"/><ellipse cx="45" cy="32" rx="23" ry="5.5" fill="$l"/><ellipse cx="45" cy="33" rx="18" ry="3.5" fill="$i" opacity=".55"/><path d="M37 21c-5-5 4-8 0-14M52 21c-5-5 4-8 0-14" stroke="$p" stroke-width="3" opacity=".9"/>"##,
    ),
    thing(
        "teacup",
        &["teacup", "cup", "saucer", "coffee", "expresso", "tea"],
        r##"<ellipse cx="48" cy="81" rx="40" ry="7" fill="$d"/><ellipse cx="48" cy="78.5" rx="40" ry="7" fill="$l"/><path d="M68 45h7a11 11 0 0 1 0 22H64" stroke="$d" stroke-width="5"/><path d="M19 38h53c0 27-11 39-26.5 39S19 65 19 38z" fill="$m"/><ellipse cx="45.5" cy="38" rx="26.5" ry="6" fill="$l"/><ellipse cx="45.5" cy="39" rx="21" ry="4" fill="#8a5a33"/><path d="M38 26c-5-5 4-8 0-14M53 26c-5-5 4-8 0-14" stroke="$p" stroke-width="3" opacity=".9"/>"##,
    ),
    thing(
        "teapot",
        &["teapot", "kettle", "cafetiere", "tea pot", "coffee pot"],
        r##"<path d="M24 62C10 52 16 44 6 38" stroke="$d" stroke-width="8"/><path d="M74 46c22-6 22 26-2 26" stroke="$d" stroke-width="6"/><path d="M18 60c0-19 14-27 31-27s31 8 31 27c0 15-10 26-31 26S18 75 18 60z" fill="$m"/><path d="M32 36c2-9 32-9 34 0 0 4-34 4-34 0z" fill="$l"/><circle cx="49" cy="25" r="5.5" fill="$a"/><path d="M33 86h32" stroke="$d" stroke-width="4"/>"##,
    ),
    thing(
        "plate",
        &["plate", "saucer set", "platter", "coaster", "placemat"],
        r##"<circle cx="50" cy="51" r="38" fill="$d"/><circle cx="50" cy="49" r="38" fill="$m"/><circle cx="50" cy="49" r="25" fill="$l"/><circle cx="50" cy="49" r="25" stroke="$p" stroke-width="2" stroke-dasharray="1 6"/><path d="M50 60c-11-8-10-17-5-17 3.5 0 5 4 5 4s1.5-4 5-4c5 0 6 9-5 17z" fill="$a"/>"##,
    ),
    thing(
        "bowl",
        &["bowl", "dish", "colander", "trinket pot", "sugar bowl"],
        r##"<path d="M12 42h76c0 26-14 42-38 42S12 68 12 42z" fill="$m"/><ellipse cx="50" cy="42" rx="38" ry="9" fill="$l"/><ellipse cx="50" cy="43" rx="31" ry="6" fill="$d" opacity=".6"/><path d="M36 84h28v5H36z" fill="$d"/>"##,
    ),
    thing(
        "cutlery",
        &["cutlery", "spoon", "fork", "knife", "teaspoon", "spatula", "utensil", "ladle", "server"],
        r##"<path d="M26 14v18M33 14v18M40 14v18M33 40v48" stroke="$d" stroke-width="5"/><path d="M24 28c0 14 18 14 18 0z" fill="$d" stroke="$d" stroke-width="4"/><path d="M66 48v40" stroke="$m" stroke-width="6"/><ellipse cx="66" cy="30" rx="12" ry="18" fill="$m"/><ellipse cx="64" cy="27" rx="6" ry="11" fill="$l"/>"##,
    ),
    thing(
        "napkin",
        &[
            "napkin",
            "serviette",
            "tissue",
            "tablecloth",
            "tea towel",
            "teatowel",
            "towel",
            "flannel",
            "handkerchief",
            "runner",
        ],
        r##"<path d="M18 34l32-14 32 14-32 14z" fill="$l"/><path d="M18 34l32 14v40L18 74z" fill="$m"/><path d="M82 34L50 48v40l32-14z" fill="$d"/><path d="M24 44l20 9M24 52l20 9" stroke="$p" stroke-width="2.5" opacity=".8"/>"##,
    ),
    thing(
        "tray",
        &["tray"],
        r##"<path d="M8 46c-6 0-6 12 2 12M92 46c6 0 6 12-2 12" stroke="$d" stroke-width="5"/><path d="M12 36h76l-6 38H18z" fill="$d"/><path d="M18 40h64l-4 28H22z" fill="$m"/><circle cx="40" cy="52" r="9" fill="$p"/><circle cx="40" cy="52" r="5" fill="#8a5a33"/><path d="M56 46h14v12H56z" fill="$l"/>"##,
    ),
    thing(
        "jug",
        &["jug", "pitcher", "milk jug", "carafe", "decanter"],
        r##"<path d="M66 38c24-4 22 32-2 32" stroke="$d" stroke-width="6"/><path d="M28 20c-2 4-8 4-10 3 4 6 10 6 10 14-8 14-8 34 2 49h36c9-16 8-36 0-49V18z" fill="$m"/><path d="M22 24c6 0 8-4 8-4l36-3v7z" fill="$l"/><path d="M26 60c14 6 30 6 44 0" stroke="$p" stroke-width="3"/>"##,
    ),
    thing(
        "glass",
        &["goblet", "wine glass", "champagne"],
        r##"<path d="M28 14h44c2 28-6 42-22 42S26 42 28 14z" fill="$l" opacity=".85"/><path d="M29 30h42c-2 18-9 26-21 26S31 48 29 30z" fill="$m"/><path d="M50 56v26M34 86h32" stroke="$d" stroke-width="5"/>"##,
    ),
    // The kitchen
    thing(
        "cake",
        &["cake", "cakes", "gateaux", "gateau"],
        r##"<path d="M12 54L70 30c12 4 18 12 18 24z" fill="$p"/><path d="M12 54h76v30H12z" fill="#e9b872"/><path d="M12 64h76v7H12z" fill="$m"/><path d="M12 54L70 30c12 4 18 12 18 24-6 8-10-2-16 4s-10 6-16 0-12 6-18 0-10 4-26-4z" fill="$l"/><circle cx="66" cy="29" r="7" fill="#c8324b"/><path d="M66 23c2-8 6-10 10-11" stroke="$i" stroke-width="2"/>"##,
    ),
    thing(
        "cupcake",
        &["cupcake", "muffin", "cake case", "baking case", "fairy cake", "baking", "petit four", "bun"],
        r##"<path d="M24 54h52l-8 34H32z" fill="$m"/><path d="M36 54l3 34M50 54v34M64 54l-3 34" stroke="$d" stroke-width="2.5"/><path d="M20 54c-8-12 4-20 10-18 0-12 14-16 20-12 10-6 22 2 20 12 10-2 16 10 10 18z" fill="$l"/><circle cx="50" cy="20" r="6.5" fill="#c8324b"/><path d="M36 44l3 3M60 38l4 3M48 34l-3 3M66 47l3-3" stroke="$a" stroke-width="3"/>"##,
    ),
    thing(
        "cakestand",
        &["cakestand", "cake stand", "tier"],
        r##"<path d="M50 12v74" stroke="$d" stroke-width="4"/><circle cx="50" cy="10" r="5" stroke="$d" stroke-width="3"/><path d="M34 30h32c0 6-32 6-32 0zM24 53h52c0 7-52 7-52 0zM14 76h72c0 8-72 8-72 0z" fill="$m"/><path d="M40 29c0-9 9-9 9 0zM54 29c0-7 8-7 8 0z" fill="$a"/><path d="M30 52c0-11 11-11 11 0zM58 52c0-11 11-11 11 0z" fill="#e9b872"/><path d="M20 75c0-12 13-12 13 0zM66 75c0-12 13-12 13 0z" fill="$l"/><path d="M38 90h24" stroke="$d" stroke-width="4"/>"##,
    ),
    thing(
        "tin",
        &["tin", "canister", "cannister", "bread bin", "biscuit", "container", "cake tin"],
        r##"<path d="M20 34h60v46c0 10-60 10-60 0z" fill="$m"/><ellipse cx="50" cy="32" rx="32" ry="9" fill="$d"/><ellipse cx="50" cy="28" rx="32" ry="9" fill="$l"/><circle cx="50" cy="26" r="4" fill="$d"/><rect x="32" y="50" width="36" height="20" rx="4" fill="$p"/><path d="M38 57h24M42 63h16" stroke="$i" stroke-width="2.5" opacity=".6"/>"##,
    ),
    thing(
        "jar",
        &["jar", "jam", "marmalade", "preserve", "honey", "chutney", "sweet jar"],
        r##"<path d="M30 26h40v8c8 4 10 10 10 16v26c0 8-4 12-10 12H30c-6 0-10-4-10-12V50c0-6 2-12 10-16z" fill="$l"/><path d="M20 54h60v22c0 8-4 12-10 12H30c-6 0-10-4-10-12z" fill="$m"/><path d="M24 12h52l4 16c-20 6-40 6-60 0z" fill="$a"/><rect x="32" y="50" width="36" height="24" rx="3" fill="$p"/><path d="M50 69c-9-6-8-13-4-13 3 0 4 3 4 3s1-3 4-3c4 0 5 7-4 13z" fill="$a"/>"##,
    ),
    thing(
        "bottle",
        &["bottle", "oil", "perfume", "fragrance oil", "flask"],
        r##"<path d="M42 14h16v20c10 6 14 12 14 22v24c0 6-3 8-8 8H36c-5 0-8-2-8-8V56c0-10 4-16 14-22z" fill="$m"/><rect x="39" y="8" width="22" height="12" rx="3" fill="$d"/><rect x="28" y="54" width="44" height="20" fill="$p"/><path d="M36 61h28M40 67h20" stroke="$a" stroke-width="2.5"/>"##,
    ),
    thing(
        "apron",
        &["apron", "poncho", "pinny"],
        r##"<path d="M36 24c0-18 28-18 28 0" stroke="$d" stroke-width="4"/><path d="M34 22h32v16l14 14v36H20V52l14-14z" fill="$m"/><path d="M20 54L8 60M80 54l12 6" stroke="$d" stroke-width="4"/><path d="M34 60h32v12c0 8-32 8-32 0z" fill="$l"/>"##,
    ),
    thing(
        "glove",
        &["oven glove", "glove", "mitten", "mitt"],
        r##"<path d="M32 82V40c0-30 36-30 36 0v10c4-12 20-10 16 2-4 14-8 20-16 30z" fill="$m"/><path d="M28 78h44v11H28z" fill="$l"/><path d="M44 60c-9-6-8-13-4-13 3 0 4 3 4 3s1-3 4-3c4 0 5 7-4 13z" fill="$h"/>"##,
    ),
    thing(
        "scales",
        &["scale", "weighing", "timer", "thermometer", "measuring"],
        r##"<path d="M22 20h56l-8 14H30z" fill="$l"/><path d="M50 34v12" stroke="$d" stroke-width="5"/><path d="M22 86c0-54 56-54 56 0z" fill="$m"/><circle cx="50" cy="66" r="15" fill="$p"/><path d="M50 66l7-9" stroke="$i" stroke-width="3"/><path d="M50 54v2M38 66h2M60 66h2" stroke="$i" stroke-width="2"/>"##,
    ),
    thing(
        "rolling pin",
        &["rolling", "rolling pin", "whisk"],
        r##"<g transform="rotate(-38 50 50)"><path d="M6 50h88" stroke="$d" stroke-width="8"/><rect x="20" y="38" width="60" height="24" rx="6" fill="$m"/><path d="M24 43h52" stroke="$l" stroke-width="4"/></g>"##,
    ),
    thing(
        "pan",
        &["pan", "frying", "saucepan", "casserole"],
        r##"<path d="M62 56h32" stroke="$d" stroke-width="8"/><path d="M8 44h58v24c0 10-8 16-18 16H26c-10 0-18-6-18-16z" fill="$m"/><ellipse cx="37" cy="44" rx="29" ry="7" fill="$l"/><path d="M28 32c-5-5 4-8 0-14M44 32c-5-5 4-8 0-14" stroke="$p" stroke-width="3"/>"##,
    ),
    thing(
        "book",
        &["book", "recipe", "album", "novel", "atlas", "guide"],
        r##"<path d="M24 16h50c4 0 6 2 6 6v56H30c-4 0-8 2-8 6V20c0-2 0-4 2-4z" fill="$m"/><path d="M22 84c0-5 4-7 8-7h50v11H30c-5 0-8-1-8-4z" fill="$p"/><path d="M22 84c0-5 4-7 8-7h50" stroke="$d" stroke-width="3"/><rect x="36" y="28" width="32" height="20" rx="3" fill="$l"/><path d="M42 36h20M46 42h12" stroke="$i" stroke-width="2.5" opacity=".6"/>"##,
    ),
    // Light
    thing(
        "candle",
        &["candle", "candlestick", "candelabra", "pillar", "wick"],
        r##"<path d="M50 6c10 11 8 21 0 21s-10-10 0-21z" fill="#f3a93a"/><path d="M50 15c5 6 3 11 0 11s-5-5 0-11z" fill="#fff1c2"/><path d="M50 36V25" stroke="$i" stroke-width="2.5"/><rect x="34" y="36" width="32" height="42" fill="$m"/><path d="M34 38c0-6 32-6 32 0v6c-4 5-6-2-9 3s-6 12-8 3-6 3-9-1-4 1-6-3z" fill="$l"/><path d="M22 78h56l-7 10H29z" fill="$d"/>"##,
    ),
    thing(
        "t-light",
        &[
            "t light",
            "tlight",
            "tealight",
            "light holder",
            "candleholder",
            "candle holder",
            "votive",
            "holder",
            "night light",
        ],
        r##"<path d="M28 22C28 4 72 4 72 22" stroke="$i" stroke-width="2" opacity=".55"/><path d="M50 18c10 11 8 22 0 22s-10-11 0-22z" fill="#f3a93a"/><path d="M50 27c5 6 3 11 0 11s-5-5 0-11z" fill="#fff1c2"/><path d="M24 40h52l-7 46H31z" fill="$m"/><ellipse cx="50" cy="40" rx="26" ry="6" fill="$l" opacity=".75"/><path d="M28 22l-4 18M72 22l4 18" stroke="$i" stroke-width="2" opacity=".55"/><path d="M50 75c-13-9-12-20-6-20 4 0 6 5 6 5s2-5 6-5c6 0 7 11-6 20z" fill="$h" opacity=".92"/>"##,
    ),
    thing(
        "lantern",
        &["lantern"],
        r##"<path d="M40 18a10 10 0 0 1 20 0" stroke="$i" stroke-width="3"/><path d="M26 36l14-18h20l14 18z" fill="$d"/><rect x="30" y="36" width="40" height="42" fill="#fff1c2"/><path d="M50 44c8 9 7 17 0 17s-8-8 0-17z" fill="#f3a93a"/><rect x="42" y="61" width="16" height="17" fill="$l"/><path d="M32 36v42M68 36v42" stroke="$m" stroke-width="5"/><path d="M24 78h52v9H24z" fill="$m"/>"##,
    ),
    thing(
        "lamp",
        &["lamp", "lampshade", "shade", "chandelier", "torch", "bulb", "lightbulb"],
        r##"<path d="M34 14h32l16 36H18z" fill="$m"/><path d="M18 50h64" stroke="$l" stroke-width="5"/><path d="M50 52v28" stroke="$d" stroke-width="6"/><path d="M30 88c0-10 40-10 40 0z" fill="$d"/><path d="M66 52v12" stroke="$i" stroke-width="2"/><circle cx="66" cy="67" r="3" fill="$a"/>"##,
    ),
    thing(
        "lights",
        &["light", "string light", "fairy light"],
        r##"<path d="M4 26c22 30 70 30 92 0" stroke="$i" stroke-width="2.5"/><g stroke="$i" stroke-width="0"><path d="M16 40c8 8 8 20 0 22-8-2-8-14 0-22z" fill="$m"/><path d="M34 48c8 8 8 20 0 22-8-2-8-14 0-22z" fill="$a"/><path d="M52 50c8 8 8 20 0 22-8-2-8-14 0-22z" fill="$l"/><path d="M70 47c8 8 8 20 0 22-8-2-8-14 0-22z" fill="$m"/><path d="M86 38c8 8 8 20 0 22-8-2-8-14 0-22z" fill="$a"/></g>"##,
    ),
    // Bags and things to carry
    thing(
        "bag",
        &["bag", "shopper", "tote", "gift bag", "carrier", "charlotte bag"],
        r##"<path d="M35 42V30a15 15 0 0 1 30 0v12" stroke="$d" stroke-width="5"/><path d="M20 38h60l6 50H14z" fill="$m"/><path d="M20 38h60l1 7H19z" fill="$d"/>"##,
    ),
    thing(
        "jumbo bag",
        &["jumbo bag", "storage bag", "jumbo shopper", "jumbo storage"],
        r##"<path d="M30 36V24c0-12 16-12 16 0v12M54 36V24c0-12 16-12 16 0v12" stroke="$d" stroke-width="5"/><path d="M10 36h80l-5 52H15z" fill="$m"/><path d="M10 36h80l-1 8H11z" fill="$l"/><path d="M32 44v12M68 44v12" stroke="$d" stroke-width="5"/>"##,
    ),
    thing(
        "lunch bag",
        &["lunch bag", "lunch", "lunch box", "snack box"],
        r##"<path d="M38 20c0-12 24-12 24 0" stroke="$d" stroke-width="5"/><path d="M26 20h48l6 14H20z" fill="$d"/><path d="M20 34h60v48c0 4-2 6-6 6H26c-4 0-6-2-6-6z" fill="$m"/><path d="M20 34h60" stroke="$l" stroke-width="4"/><rect x="43" y="29" width="14" height="11" rx="3" fill="$a"/>"##,
    ),
    thing(
        "purse",
        &["purse", "wallet", "handbag", "washbag", "cosmetic", "clutch", "shoulder bag", "shoulder", "pouch"],
        r##"<path d="M24 44C8 76 22 88 50 88s42-12 26-44z" fill="$m"/><path d="M22 46c2-26 54-26 56 0" stroke="$a" stroke-width="6"/><path d="M22 46h56" stroke="$d" stroke-width="5"/><circle cx="45" cy="24" r="5" fill="$a"/><circle cx="55" cy="24" r="5" fill="$a"/>"##,
    ),
    thing(
        "suitcase",
        &["luggage", "passport", "suitcase", "travel", "backpack", "rucksack", "satchel"],
        r##"<path d="M38 28V18h24v10" stroke="$d" stroke-width="5"/><rect x="12" y="28" width="76" height="56" rx="8" fill="$m"/><path d="M28 28v56M72 28v56" stroke="$d" stroke-width="6"/><rect x="42" y="48" width="16" height="12" rx="2" fill="$a"/>"##,
    ),
    thing(
        "umbrella",
        &["umbrella", "parasol"],
        r##"<path d="M50 14v62c0 14-20 14-20 2" stroke="$d" stroke-width="4.5"/><path d="M8 54C10 6 90 6 92 54c-5-6-13-6-21 0-8-6-13-6-21 0-8-6-13-6-21 0-8-6-16-6-21 0z" fill="$m"/><path d="M50 18c-12 8-18 20-21 36 8-6 13-6 21 0 8-6 13-6 21 0-3-16-9-28-21-36z" fill="$l" opacity=".8"/><path d="M50 8v8" stroke="$d" stroke-width="4"/>"##,
    ),
    thing(
        "basket",
        &["basket", "hamper", "picnic"],
        r##"<path d="M24 48C24 6 76 6 76 48" stroke="$d" stroke-width="5"/><path d="M12 46h76l-8 42H20z" fill="$m"/><path d="M15 58h70M17 68h66M19 78h62M34 48l3 40M50 48v40M66 48l-3 40" stroke="$d" stroke-width="2.5"/><path d="M10 46h80" stroke="$l" stroke-width="7"/>"##,
    ),
    // Home
    thing(
        "clock",
        &["clock", "alarm clock", "watch"],
        r##"<circle cx="28" cy="22" r="10" fill="$d"/><circle cx="72" cy="22" r="10" fill="$d"/><path d="M28 80l-8 8M72 80l8 8" stroke="$d" stroke-width="6"/><circle cx="50" cy="52" r="36" fill="$m"/><circle cx="50" cy="52" r="27" fill="$p"/><path d="M50 52V34M50 52l12 8" stroke="$i" stroke-width="4"/><path d="M50 28v3M50 73v3M26 52h3M71 52h3" stroke="$i" stroke-width="2.5"/><circle cx="50" cy="52" r="3.5" fill="$a"/>"##,
    ),
    thing(
        "wall clock",
        &["wall clock", "kitchen clock"],
        r##"<circle cx="50" cy="50" r="40" fill="$d"/><circle cx="50" cy="48" r="40" fill="$m"/><circle cx="50" cy="48" r="30" fill="$p"/><path d="M50 48V28M50 48l14 6" stroke="$i" stroke-width="4"/><path d="M50 21v4M50 71v4M23 48h4M73 48h4M31 29l2 2M69 29l-2 2M31 67l2-2M69 67l-2-2" stroke="$i" stroke-width="2.5"/><circle cx="50" cy="48" r="3.5" fill="$a"/>"##,
    ),
    thing(
        "frame",
        &["frame", "picture", "photo", "canvas", "print", "painting"],
        r##"<path d="M34 18L50 6l16 12" stroke="$i" stroke-width="2"/><rect x="16" y="18" width="68" height="70" rx="3" fill="$m"/><rect x="26" y="28" width="48" height="50" fill="$p"/><path d="M26 78V66l14-14 12 12 8-8 14 14v8z" fill="$l"/><circle cx="60" cy="42" r="6" fill="$a"/>"##,
    ),
    thing(
        "mirror",
        &["mirror"],
        r##"<path d="M50 72v16M36 90h28" stroke="$d" stroke-width="6"/><ellipse cx="50" cy="42" rx="32" ry="36" fill="$m"/><ellipse cx="50" cy="42" rx="24" ry="28" fill="#dfeaf0"/><path d="M38 50l18-24M48 56l16-22" stroke="#fff" stroke-width="4"/><path d="M44 6c4-6 8-6 12 0" stroke="$a" stroke-width="4"/>"##,
    ),
    thing(
        "sign",
        &["sign", "plaque", "poster", "metal sign", "wall art", "art", "tile", "sticker", "signpost"],
        r##"<path d="M26 34L50 10l24 24" stroke="$i" stroke-width="2.5"/><circle cx="50" cy="10" r="3" fill="$i"/><rect x="10" y="34" width="80" height="46" rx="6" fill="$m"/><rect x="15" y="39" width="70" height="36" rx="4" stroke="$h" stroke-width="2"/><path d="M34 52h32M28 62h44" stroke="$h" stroke-width="4"/>"##,
    ),
    thing(
        "chalkboard",
        &["chalkboard", "blackboard", "slate", "memo board", "memo", "noticeboard", "chalk"],
        r##"<path d="M34 22L50 8l16 14" stroke="$i" stroke-width="2"/><rect x="12" y="22" width="76" height="60" rx="3" fill="$m"/><rect x="19" y="29" width="62" height="46" fill="#34423e"/><path d="M28 42h30M28 52h38M28 62h20" stroke="#f3efe4" stroke-width="3" opacity=".85"/><path d="M60 84h14" stroke="#fff" stroke-width="5"/>"##,
    ),
    thing(
        "cushion",
        &["cushion", "pillow", "throw", "quilt", "blanket", "bedspread", "curtain", "rug", "cover"],
        r##"<path d="M18 22c18 6 46 6 64 0 6-2 8 2 7 6-5 16-5 34 0 50 1 5-2 8-7 6-18-6-46-6-64 0-5 2-8-1-7-6 5-16 5-34 0-50-1-4 2-8 7-6z" fill="$m"/><path d="M24 30c16 4 36 4 52 0-3 14-3 28 0 42-16-4-36-4-52 0 3-14 3-28 0-42z" stroke="$l" stroke-width="2.5" stroke-dasharray="4 5"/><circle cx="50" cy="51" r="5" fill="$a"/>"##,
    ),
    thing(
        "doormat",
        &["doormat", "mat"],
        r##"<path d="M8 40h84v36H8z" fill="$m"/><path d="M8 40v36M92 40v36" stroke="$d" stroke-width="4" stroke-dasharray="1.5 4"/><rect x="16" y="46" width="68" height="24" stroke="$h" stroke-width="2.5"/><path d="M50 68c-11-8-10-17-5-17 3.5 0 5 4 5 4s1.5-4 5-4c5 0 6 9-5 17z" fill="$h"/><path d="M24 58h10M66 58h10" stroke="$h" stroke-width="3"/>"##,
    ),
    thing(
        "doorstop",
        &["doorstop", "draught"],
        r##"<path d="M50 12c-8 0-8 12 0 14 8-2 8-14 0-14z" stroke="$d" stroke-width="4"/><path d="M30 40c8-16 32-16 40 0l12 42c1 4-2 6-6 6H24c-4 0-7-2-6-6z" fill="$m"/><path d="M34 34h32" stroke="$a" stroke-width="5"/>"##,
    ),
    thing(
        "hook",
        &["hook", "hanger", "coat rack", "rack", "peg", "towel rail"],
        r##"<rect x="10" y="22" width="80" height="20" rx="6" fill="$m"/><path d="M30 42v16c0 12 18 12 18 0M66 42v16c0 12 18 12 18 0" stroke="$d" stroke-width="6"/><circle cx="30" cy="32" r="4" fill="$p"/><circle cx="66" cy="32" r="4" fill="$p"/><circle cx="48" cy="57" r="4" fill="$a"/><circle cx="84" cy="57" r="4" fill="$a"/>"##,
    ),
    thing(
        "knob",
        &["knob", "drawerknob", "handle", "drawer knob", "drawer pull"],
        r##"<ellipse cx="50" cy="82" rx="26" ry="6" fill="$i" opacity=".18"/><path d="M42 62h16l4 20H38z" fill="$d"/><circle cx="50" cy="42" r="30" fill="$m"/><circle cx="50" cy="42" r="18" stroke="$l" stroke-width="3"/><circle cx="50" cy="42" r="5" fill="$a"/><path d="M34 30c4-6 8-8 14-9" stroke="$p" stroke-width="4"/>"##,
    ),
    thing(
        "chair",
        &["chair", "stool", "bench", "deckchair", "furniture", "hammock", "table"],
        r##"<path d="M26 12v76M68 52v36" stroke="$d" stroke-width="6"/><path d="M26 16h6c14 0 16 4 16 10s-2 22-2 26" stroke="$d" stroke-width="5"/><path d="M22 50h46c6 0 8 2 8 7v5H22z" fill="$m"/><path d="M28 24h16M28 34h16" stroke="$l" stroke-width="4"/>"##,
    ),
    thing(
        "cabinet",
        &[
            "cabinet",
            "drawer",
            "chest",
            "cupboard",
            "shelf",
            "dresser",
            "desk",
            "wardrobe",
            "tidy",
            "organiser",
        ],
        r##"<path d="M22 82v8M78 82v8" stroke="$d" stroke-width="6"/><rect x="14" y="16" width="72" height="68" rx="4" fill="$m"/><path d="M10 16h80" stroke="$d" stroke-width="6"/><rect x="20" y="24" width="60" height="15" rx="2" fill="$l"/><rect x="20" y="43" width="60" height="15" rx="2" fill="$l"/><rect x="20" y="62" width="60" height="15" rx="2" fill="$l"/><circle cx="50" cy="31" r="3" fill="$a"/><circle cx="50" cy="50" r="3" fill="$a"/><circle cx="50" cy="69" r="3" fill="$a"/>"##,
    ),
    thing(
        "box",
        &["box", "crate", "case", "trinket", "storage", "trinket box"],
        r##"<path d="M16 44h68v40c0 3-2 4-4 4H20c-2 0-4-1-4-4z" fill="$m"/><path d="M10 28h80v17H10z" fill="$d"/><path d="M10 28h80v5H10z" fill="$l"/><rect x="36" y="56" width="28" height="16" rx="2" fill="$p"/><path d="M42 64h16" stroke="$i" stroke-width="3" opacity=".55"/>"##,
    ),
    thing(
        "money box",
        &["money", "piggy", "bank"],
        r##"<path d="M30 76v12M66 76v12" stroke="$d" stroke-width="9"/><path d="M12 54c0-18 18-28 38-28 8 0 14 2 19 5l12-7-2 14c5 4 7 9 8 13h7v14h-9c-5 12-19 18-35 18-22 0-38-11-38-29z" fill="$m"/><path d="M40 38h18" stroke="$i" stroke-width="4"/><circle cx="74" cy="46" r="3.5" fill="$i"/><path d="M12 52c-8 0-8-10-2-10" stroke="$d" stroke-width="4"/><circle cx="49" cy="16" r="9" fill="#e0a83a"/>"##,
    ),
    thing(
        "hot water bottle",
        &["water bottle", "hottie", "warmer", "hand warmer", "hot water"],
        r##"<rect x="40" y="6" width="20" height="20" rx="4" fill="$d"/><path d="M36 24h28c0 6 14 8 14 20v30c0 10-6 14-14 14H36c-8 0-14-4-14-14V44c0-12 14-14 14-20z" fill="$m"/><path d="M50 74c-15-11-14-23-7-23 5 0 7 6 7 6s2-6 7-6c7 0 8 12-7 23z" fill="$h" opacity=".9"/>"##,
    ),
    thing(
        "soap",
        &["soap", "bath", "bathroom", "toilet", "shower", "sponge", "balm"],
        r##"<ellipse cx="50" cy="80" rx="40" ry="9" fill="$d"/><rect x="20" y="48" width="60" height="30" rx="14" fill="$m"/><path d="M32 58h36" stroke="$l" stroke-width="5"/><circle cx="34" cy="34" r="10" fill="$p" opacity=".85"/><circle cx="54" cy="24" r="13" fill="$p" opacity=".7"/><circle cx="70" cy="38" r="7" fill="$p" opacity=".85"/>"##,
    ),
    thing(
        "incense",
        &["incense", "joss", "potpourri", "burner", "sachet"],
        r##"<path d="M52 52C40 44 62 34 50 24s8-14 0-18" stroke="$p" stroke-width="4"/><path d="M50 80l4-28" stroke="$i" stroke-width="3"/><path d="M18 62h64c0 16-12 26-32 26S18 78 18 62z" fill="$m"/><path d="M14 62h72" stroke="$l" stroke-width="6"/>"##,
    ),
    thing(
        "magnet",
        &["magnet", "fridge magnet"],
        r##"<path d="M26 84V46c0-34 48-34 48 0v38" stroke="$m" stroke-width="18" stroke-linecap="butt"/><path d="M26 84V70M74 84V70" stroke="$p" stroke-width="18" stroke-linecap="butt"/>"##,
    ),
    // The garden
    thing(
        "vase",
        &["vase", "artificial", "bouquet", "posy"],
        r##"<path d="M50 52C50 36 44 30 36 26M50 52c0-18 4-26 14-30M50 52V22" stroke="#5d7f5b" stroke-width="3.5"/><circle cx="34" cy="24" r="8" fill="$a"/><circle cx="66" cy="20" r="8" fill="$l"/><circle cx="50" cy="16" r="9" fill="$a"/><circle cx="50" cy="16" r="3.5" fill="#f4c95d"/><path d="M36 50h28c-2 6 10 12 10 24 0 10-8 14-14 14H40c-6 0-14-4-14-14 0-12 12-18 10-24z" fill="$m"/>"##,
    ),
    thing(
        "plant",
        &[
            "plant",
            "planter",
            "flowerpot",
            "herb",
            "pot",
            "seed",
            "basil",
            "grow",
            "trellis",
            "garden",
            "sunflower",
            "cactus",
        ],
        r##"<path d="M50 58C50 40 48 30 50 18" stroke="#4f7350" stroke-width="4"/><path d="M50 46c-22 2-28-12-28-20 16-2 28 6 28 20zM50 36c20 2 26-10 26-18-16-2-26 6-26 18z" fill="#6f9a68"/><path d="M22 54h56v12H22z" fill="$d"/><path d="M26 66h48l-6 22H32z" fill="$m"/>"##,
    ),
    thing(
        "watering can",
        &["watering", "watering can", "can", "bucket"],
        r##"<path d="M62 46c26-14 34 6 16 34" stroke="$d" stroke-width="5"/><path d="M30 62L10 36" stroke="$d" stroke-width="7"/><path d="M2 38l16-12" stroke="$d" stroke-width="6"/><path d="M28 44h44v38c0 4-2 6-6 6H34c-4 0-6-2-6-6z" fill="$m"/><path d="M32 44c0-20 36-20 36 0" stroke="$d" stroke-width="5"/><path d="M28 54h44" stroke="$l" stroke-width="4"/>"##,
    ),
    thing(
        "birdhouse",
        &["birdhouse", "feeder", "bird house", "house", "playhouse", "cottage", "hut"],
        r##"<path d="M50 70v24" stroke="$d" stroke-width="7"/><path d="M22 40h56v38H22z" fill="$m"/><path d="M50 8L12 44h76z" fill="$d"/><circle cx="50" cy="54" r="10" fill="$i"/><path d="M44 70h12" stroke="$a" stroke-width="4"/>"##,
    ),
    thing(
        "windmill",
        &["windmill", "spinner"],
        r##"<path d="M50 40v50" stroke="$i" stroke-width="4"/><path d="M50 40C40 20 56 10 68 12zM50 40c20-10 30 6 28 18zM50 40c10 20-6 30-18 28zM50 40C30 50 20 34 22 22z" fill="$m"/><circle cx="50" cy="40" r="5" fill="$a"/>"##,
    ),
    // Something to wear
    thing(
        "necklace",
        &["necklace", "pendant", "choker", "bead", "lariat", "neckl", "jewellery", "diamante"],
        r##"<path d="M20 14c0 70 60 70 60 0" stroke="$d" stroke-width="3"/><g fill="$m"><circle cx="23" cy="34" r="5"/><circle cx="31" cy="50" r="6"/><circle cx="42" cy="61" r="6.5"/><circle cx="58" cy="61" r="6.5"/><circle cx="69" cy="50" r="6"/><circle cx="77" cy="34" r="5"/></g><path d="M50 62l11 13-11 15-11-15z" fill="$a"/><path d="M50 62l11 13H39z" fill="$p" opacity=".45"/>"##,
    ),
    thing(
        "bracelet",
        &["bracelet", "bangle", "anklet"],
        r##"<ellipse cx="50" cy="52" rx="36" ry="28" stroke="$d" stroke-width="4"/><g fill="$m"><circle cx="14" cy="52" r="8"/><circle cx="22" cy="69" r="8"/><circle cx="40" cy="79" r="8"/><circle cx="60" cy="79" r="8"/><circle cx="78" cy="69" r="8"/><circle cx="86" cy="52" r="8"/><circle cx="78" cy="35" r="7"/><circle cx="22" cy="35" r="7"/><circle cx="40" cy="25" r="6"/><circle cx="60" cy="25" r="6"/></g><circle cx="50" cy="81" r="9" fill="$a"/>"##,
    ),
    thing(
        "earrings",
        &["earring", "stud"],
        r##"<path d="M30 34c-8-14 0-24 6-20M70 34c-8-14 0-24 6-20" stroke="$d" stroke-width="3"/><path d="M32 34c14 22 12 40 0 42-12-2-14-20 0-42zM72 34c14 22 12 40 0 42-12-2-14-20 0-42z" fill="$m"/><circle cx="32" cy="62" r="4" fill="$p" opacity=".7"/><circle cx="72" cy="62" r="4" fill="$p" opacity=".7"/><circle cx="32" cy="84" r="4" fill="$a"/><circle cx="72" cy="84" r="4" fill="$a"/>"##,
    ),
    thing(
        "ring",
        &["ring", "brooch"],
        r##"<circle cx="50" cy="62" r="25" stroke="$d" stroke-width="7"/><path d="M32 22h36l10 12-28 26-28-26z" fill="$m"/><path d="M22 34h56M40 34l10 26 10-26-10-12z" stroke="$p" stroke-width="2" opacity=".8"/>"##,
    ),
    thing(
        "bow",
        &[
            "hair",
            "hairband",
            "hairslide",
            "hairclip",
            "grip",
            "barrette",
            "hairgrip",
            "bow",
            "bow tie",
            "comb",
        ],
        r##"<path d="M50 50C30 22 10 24 12 50s18 28 38 0zM50 50c20-28 40-26 38 0s-18 28-38 0z" fill="$m"/><path d="M46 54L32 86l10-4 4 6 6-32zM54 54l14 32-10-4-4 6-6-32z" fill="$d"/><rect x="42" y="42" width="16" height="17" rx="6" fill="$a"/>"##,
    ),
    thing(
        "scarf",
        &["scarf", "shawl", "sarong", "sock", "stocking", "slipper", "hat", "shirt", "legwarmer"],
        r##"<path d="M36 10h32v38c0 6 2 8 8 12 14 10 8 28-8 28-20 0-32-8-32-24z" fill="$m"/><path d="M32 10h40v14H32z" fill="$p"/><path d="M66 88c-8-6-8-18 4-24 18 6 18 24-4 24z" fill="$d"/>"##,
    ),
    thing(
        "key",
        &["key", "key hook", "key rack"],
        r##"<circle cx="30" cy="32" r="20" fill="$m"/><circle cx="30" cy="32" r="9" fill="$p"/><path d="M44 46l38 38M70 72l10-10M60 62l8-8" stroke="$d" stroke-width="8"/>"##,
    ),
    thing(
        "keyring",
        &["keyring", "charm", "key ring", "phone charm", "key chain", "chain", "phone"],
        r##"<circle cx="50" cy="24" r="17" stroke="$i" stroke-width="4" opacity=".7"/><path d="M50 40v10" stroke="$d" stroke-width="5"/><path d="M50 92C22 72 24 48 38 48c8 0 12 8 12 8s4-8 12-8c14 0 16 24-12 44z" fill="$m"/>"##,
    ),
    // Paper and craft
    thing(
        "notebook",
        &["notebook", "sketchbook", "notepad", "journal", "diary", "calendar", "pad", "jotter"],
        r##"<rect x="22" y="12" width="60" height="76" rx="5" fill="$d"/><rect x="22" y="12" width="56" height="74" rx="5" fill="$m"/><path d="M18 24h10M18 38h10M18 52h10M18 66h10M18 78h10" stroke="$i" stroke-width="3.5"/><rect x="40" y="26" width="28" height="16" rx="2" fill="$p"/><path d="M45 34h18" stroke="$i" stroke-width="2.5" opacity=".6"/>"##,
    ),
    thing(
        "pencil",
        &["pencil", "pen", "crayon", "sharpener", "rubber", "eraser", "ruler", "stationery", "marker"],
        r##"<g transform="rotate(40 50 50)"><rect x="40" y="8" width="20" height="10" rx="3" fill="$a"/><rect x="40" y="17" width="20" height="8" fill="$p"/><rect x="40" y="24" width="20" height="46" fill="$m"/><path d="M47 24v46" stroke="$l" stroke-width="5"/><path d="M40 70h20L50 94z" fill="#ecc99a"/><path d="M46 84h8l-4 10z" fill="$i"/></g>"##,
    ),
    thing(
        "card",
        &["card", "greeting", "postcard", "envelope", "notelet", "invite", "letter", "birthday card"],
        r##"<path d="M22 14h56v50H22z" fill="$p"/><path d="M50 50c-13-9-12-20-6-20 4 0 6 5 6 5s2-5 6-5c6 0 7 11-6 20z" fill="$a"/><path d="M10 40l40 28 40-28v46c0 2-1 3-3 3H13c-2 0-3-1-3-3z" fill="$m"/><path d="M10 88l32-28M90 88L58 60" stroke="$d" stroke-width="2.5"/>"##,
    ),
    thing(
        "wrap",
        &["wrap", "giftwrap", "gift", "gift tape", "wrapping", "tag", "present"],
        r##"<rect x="16" y="42" width="68" height="46" rx="3" fill="$m"/><path d="M10 32h80v14H10z" fill="$d"/><path d="M44 32h12v56H44z" fill="$a"/><path d="M50 32C34 8 18 18 28 28c4 4 14 4 22 4zM50 32c16-24 32-14 22-4-4 4-14 4-22 4z" stroke="$a" stroke-width="5"/>"##,
    ),
    thing(
        "reel",
        &["reel", "ribbon", "tape", "thread", "twine", "lace"],
        r##"<path d="M72 78c14 0 8 12 22 8" stroke="$m" stroke-width="6"/><rect x="28" y="26" width="44" height="54" fill="$m"/><path d="M28 36h44M28 46h44M28 56h44M28 66h44" stroke="$d" stroke-width="2"/><ellipse cx="50" cy="80" rx="32" ry="8" fill="$l"/><ellipse cx="50" cy="24" rx="32" ry="9" fill="$l"/><ellipse cx="50" cy="23" rx="8" ry="3" fill="$i" opacity=".6"/>"##,
    ),
    thing(
        "button",
        &["sewing", "button", "knitting", "patch", "craft", "needle", "sewing box", "sewing kit"],
        r##"<circle cx="50" cy="54" r="34" fill="$d"/><circle cx="50" cy="50" r="34" fill="$m"/><circle cx="50" cy="50" r="24" stroke="$l" stroke-width="3"/><g fill="$p"><circle cx="42" cy="42" r="4.5"/><circle cx="58" cy="42" r="4.5"/><circle cx="42" cy="58" r="4.5"/><circle cx="58" cy="58" r="4.5"/></g><path d="M42 42l16 16M58 42L42 58" stroke="$a" stroke-width="3"/>"##,
    ),
    // Parties and seasons
    thing(
        "bunting",
        &["bunting", "paper chain", "streamer", "party", "confetti", "flag"],
        r##"<path d="M2 24c30 18 66 18 96 0" stroke="$i" stroke-width="2.5"/><path d="M8 28l20 8-13 26zM32 37l18 1-8 28z" fill="$m"/><path d="M54 38l18-2-5 28z" fill="$a"/><path d="M76 34l18-9-1 28z" fill="$m"/><path d="M36 78l3 3M58 80l4-3M24 74l-3 3M76 76l3 3M48 86v3" stroke="$p" stroke-width="4"/>"##,
    ),
    thing(
        "balloon",
        &["balloon", "inflatable"],
        r##"<path d="M38 62c2 12-6 14 0 28M64 56c2 14 6 18 0 34" stroke="$i" stroke-width="2"/><path d="M64 8c14 0 22 10 22 24S74 56 64 56 44 46 44 32 52 8 64 8z" fill="$a"/><path d="M36 14c14 0 23 10 23 24S46 62 37 62 14 52 14 38s8-24 22-24z" fill="$m"/><path d="M26 28c2-5 5-7 9-8" stroke="$p" stroke-width="4"/>"##,
    ),
    thing(
        "wreath",
        &["wreath", "garland"],
        r##"<circle cx="50" cy="48" r="29" stroke="#5f8a5e" stroke-width="13"/><circle cx="50" cy="48" r="29" stroke="#86ad7c" stroke-width="5" stroke-dasharray="3 9"/><g fill="$m"><circle cx="26" cy="34" r="5"/><circle cx="74" cy="34" r="5"/><circle cx="24" cy="60" r="5"/><circle cx="76" cy="60" r="5"/><circle cx="50" cy="18" r="5"/></g><path d="M50 76C36 62 26 70 32 80c4 6 12 2 18-4zM50 76c14-14 24-6 18 4-4 6-12 2-18-4z" fill="$a"/><path d="M48 78l-8 14M52 78l8 14" stroke="$a" stroke-width="5"/>"##,
    ),
    thing(
        "christmas tree",
        &["christmas tree", "xmas tree"],
        r##"<rect x="44" y="78" width="12" height="12" fill="#8a5a33"/><path d="M50 10l20 26H60l16 20H66l18 24H16l18-24H24l16-20H30z" fill="$t"/><path d="M38 42c8 5 16 5 24 0M28 68c14 8 30 8 44 0" stroke="$p" stroke-width="3"/><circle cx="42" cy="56" r="4" fill="$a"/><circle cx="58" cy="62" r="4" fill="$m"/><circle cx="52" cy="34" r="3.5" fill="$a"/><path d="M50 2l3 6 6 1-4 5 1 6-6-3-6 3 1-6-4-5 6-1z" fill="#efb73e"/>"##,
    ),
    thing(
        "bauble",
        &["bauble", "ornament"],
        r##"<path d="M50 6v14" stroke="$i" stroke-width="2"/><rect x="42" y="18" width="16" height="10" rx="2" fill="#d2a642"/><circle cx="50" cy="57" r="31" fill="$m"/><path d="M20 52c18 10 42 10 60 0M22 66c18 8 38 8 56 0" stroke="$l" stroke-width="4"/><path d="M32 40c3-5 7-8 12-9" stroke="$p" stroke-width="4"/>"##,
    ),
    thing(
        "bell",
        &["bell", "jingle"],
        r##"<path d="M50 8v10" stroke="$i" stroke-width="3"/><path d="M50 14c22 0 24 22 24 38 0 10 4 14 10 20H16c6-6 10-10 10-20 0-16 2-38 24-38z" fill="$m"/><path d="M16 72h68" stroke="$d" stroke-width="6"/><circle cx="50" cy="82" r="8" fill="$a"/>"##,
    ),
    thing(
        "egg",
        &["egg", "easter", "egg cup"],
        r##"<path d="M50 8c16 0 28 24 28 42H22C22 32 34 8 50 8z" fill="$p"/><path d="M26 36l8 6 8-6 8 6 8-6 8 6 8-6" stroke="$a" stroke-width="4"/><path d="M18 50h64c0 16-8 24-20 26H38c-12-2-20-10-20-26z" fill="$m"/><path d="M42 76h16l8 12H34z" fill="$d"/>"##,
    ),
    // Playthings
    thing(
        "teddy",
        &["teddy", "toy", "soft toy", "puppet", "rattle", "game", "bear"],
        r##"<circle cx="26" cy="26" r="14" fill="$d"/><circle cx="74" cy="26" r="14" fill="$d"/><circle cx="26" cy="26" r="7" fill="$l"/><circle cx="74" cy="26" r="7" fill="$l"/><circle cx="50" cy="52" r="36" fill="$m"/><ellipse cx="50" cy="64" rx="17" ry="13" fill="$p"/><circle cx="37" cy="46" r="4" fill="$i"/><circle cx="63" cy="46" r="4" fill="$i"/><path d="M45 58h10l-5 6z" fill="$i"/><path d="M50 64v5M43 70c4 4 10 4 14 0" stroke="$i" stroke-width="2.5"/>"##,
    ),
    thing(
        "doll",
        &["doll", "babushka", "soldier", "figurine", "fairy", "angel", "princess", "statue"],
        r##"<path d="M50 8c16 0 22 10 20 24 12 10 14 26 10 42-2 10-10 14-30 14s-28-4-30-14c-4-16-2-32 10-42C28 18 34 8 50 8z" fill="$m"/><circle cx="50" cy="30" r="13" fill="#f6dcc0"/><path d="M37 29c2-12 24-12 26 0-8 0-12-4-13-6-2 3-6 6-13 6z" fill="#6b4630"/><circle cx="45" cy="33" r="1.800" fill="$i"/><circle cx="55" cy="33" r="1.800" fill="$i"/><path d="M47 38c2 2 4 2 6 0" stroke="#c8324b" stroke-width="2"/><circle cx="50" cy="66" r="13" fill="$l"/><circle cx="50" cy="66" r="5" fill="$a"/>"##,
    ),
    thing(
        "jigsaw",
        &["jigsaw", "puzzle", "domino", "ludo", "playing"],
        r##"<path d="M16 36h24c-8-16 16-20 14-2l-2 2h18v18c18-8 22 18 4 14l-4-2v20H16V66c18 6 18-16 2-12l-2 2z" fill="$m"/><path d="M16 36h24c-8-16 16-20 14-2l-2 2h18" stroke="$l" stroke-width="3"/>"##,
    ),
    motif(
        "rocket",
        &["rocket", "spaceboy", "robot", "helicopter", "aeroplane"],
        r##"<path d="M32 60L18 78l20-4zM68 60l14 18-20-4z" fill="$d"/><path d="M50 4c18 16 22 44 14 72H36C28 48 32 20 50 4z" fill="$m"/><circle cx="50" cy="38" r="10" fill="$p"/><circle cx="50" cy="38" r="6" fill="#8fb8cc"/><path d="M42 78c0 8 4 12 8 18 4-6 8-10 8-18z" fill="#f3a93a"/>"##,
    ),
    thing(
        "skipping rope",
        &["skipping", "skittle", "marble", "kaleidoscope", "solitaire", "yoyo", "spinning"],
        r##"<path d="M50 10v14" stroke="$i" stroke-width="5"/><path d="M14 42c0-14 72-14 72 0 0 16-22 28-32 44h-8C36 70 14 58 14 42z" fill="$m"/><path d="M14 42c10 10 62 10 72 0" stroke="$l" stroke-width="5"/><path d="M24 58c12 6 40 6 52 0" stroke="$a" stroke-width="5"/><path d="M46 86h8l-4 8z" fill="$i"/>"##,
    ),
    occasion(
        "hanging decoration",
        &["decoration", "hanging", "mobile"],
        r##"<path d="M50 4v18" stroke="$i" stroke-width="2.5"/><path d="M50 18l9 20 22 3-16 15 4 22-19-11-19 11 4-22-16-15 22-3z" fill="$m"/><circle cx="50" cy="48" r="8" fill="$p" opacity=".85"/><path d="M50 72v18" stroke="$i" stroke-width="2"/><circle cx="50" cy="90" r="4" fill="$a"/>"##,
    ),
    // Motifs: what a thing shows when nothing says what it is.
    motif(
        "heart",
        &["heart", "love", "sweetheart", "wicker heart"],
        r##"<path d="M50 4c-8 8-6 16 0 24 6-8 8-16 0-24z" stroke="$i" stroke-width="2.5"/><path d="M50 90C8 62 10 26 34 26c11 0 16 11 16 11s5-11 16-11c24 0 26 36-16 64z" fill="$m"/><path d="M26 42c1-5 4-7 8-8" stroke="$p" stroke-width="4.5" opacity=".8"/>"##,
    ),
    motif(
        "star",
        &["star"],
        r##"<path d="M50 10l12 26 28 3-21 19 6 28-25-14-25 14 6-28-21-19 28-3z" fill="$m"/><path d="M50 24l8 17 18 2-14 12 4 18-16-9z" fill="$l" opacity=".7"/>"##,
    ),
    motif(
        "snowflake",
        &["snowflake", "snow", "icicle"],
        r##"<g stroke="$m" stroke-width="6"><path d="M50 10v80M15 30l70 40M85 30L15 70"/><path d="M40 18l10 10 10-10M40 82l10-10 10 10M16 44l13-4-3-13M84 56l-13 4 3 13M84 44l-13-4 3-13M16 56l13 4-3 13" stroke-width="4.5"/></g><circle cx="50" cy="50" r="7" fill="$p"/>"##,
    ),
    motif(
        "tree",
        &["tree", "woodland", "leaf", "forest"],
        r##"<rect x="45" y="64" width="10" height="26" fill="#8a5a33"/><circle cx="50" cy="40" r="28" fill="#6f9a68"/><circle cx="32" cy="52" r="17" fill="#5f8a5e"/><circle cx="68" cy="52" r="17" fill="#86ad7c"/><g fill="$m"><circle cx="42" cy="32" r="4"/><circle cx="60" cy="38" r="4"/><circle cx="34" cy="52" r="4"/><circle cx="52" cy="54" r="4"/><circle cx="68" cy="54" r="4"/></g>"##,
    ),
    motif(
        "bird",
        &["bird", "dove", "lovebird", "swallow", "robin", "hen", "cockerel", "chick", "duck", "chicken"],
        r##"<path d="M44 80v10M56 80v10" stroke="$i" stroke-width="3.5"/><path d="M14 44l-10 6 10 4z" fill="#e59b2f"/><path d="M14 46c0-20 14-28 26-28 16 0 22 12 26 24 6 8 18 4 30-6-2 30-18 46-42 46S14 68 14 46z" fill="$m"/><path d="M44 50c10-4 24 2 28 14-14 8-28 0-28-14z" fill="$d"/><circle cx="30" cy="38" r="4" fill="$p"/><circle cx="30" cy="38" r="2.200" fill="$i"/>"##,
    ),
    motif(
        "owl",
        &["owl"],
        r##"<path d="M20 24l12 6c10-6 26-6 36 0l12-6v36c0 18-12 28-30 28S20 78 20 60z" fill="$m"/><circle cx="37" cy="44" r="13" fill="$p"/><circle cx="63" cy="44" r="13" fill="$p"/><circle cx="37" cy="44" r="5" fill="$i"/><circle cx="63" cy="44" r="5" fill="$i"/><path d="M45 54h10l-5 9z" fill="#e59b2f"/><path d="M38 74c4 4 8 4 12 0 4 4 8 4 12 0" stroke="$l" stroke-width="3.5"/>"##,
    ),
    motif(
        "butterfly",
        &["butterfly", "dragonfly", "bee", "ladybird"],
        r##"<path d="M50 44C40 10 8 14 12 38c2 14 22 18 38 10zM50 44c10-34 42-30 38-6-2 14-22 18-38 10z" fill="$m"/><path d="M50 50c-22 2-32 14-26 26 6 10 22 6 26-18zM50 50c22 2 32 14 26 26-6 10-22 6-26-18z" fill="$l"/><path d="M50 36v40M50 36c-2-10-8-14-12-14M50 36c2-10 8-14 12-14" stroke="$i" stroke-width="4"/><circle cx="28" cy="34" r="5" fill="$a"/><circle cx="72" cy="34" r="5" fill="$a"/>"##,
    ),
    motif(
        "flower",
        &[
            "flower",
            "rose",
            "daisy",
            "poppy",
            "tulip",
            "lily",
            "blossom",
            "floral",
            "orchid",
            "peony",
            "botanical",
            "pansy",
            "paisley",
            "doily",
        ],
        r##"<path d="M50 50v40" stroke="#5d7f5b" stroke-width="5"/><path d="M50 78c-16 0-22-8-22-16 12-2 22 4 22 16zM50 72c14 0 20-6 20-14-10-2-20 2-20 14z" fill="#6f9a68"/><g fill="$m"><circle cx="50" cy="18" r="13"/><circle cx="68" cy="31" r="13"/><circle cx="61" cy="52" r="13"/><circle cx="39" cy="52" r="13"/><circle cx="32" cy="31" r="13"/></g><circle cx="50" cy="37" r="11" fill="#f4c95d"/>"##,
    ),
    motif(
        "rabbit",
        &["rabbit", "bunny", "hare"],
        r##"<path d="M38 40C28 12 34 4 40 6c6 2 8 18 8 32zM62 40c10-28 4-36-2-34-6 2-8 18-8 32z" fill="$m"/><path d="M40 34c-5-14-3-22 0-22s4 12 4 22zM60 34c5-14 3-22 0-22s-4 12-4 22z" fill="$l"/><circle cx="50" cy="60" r="29" fill="$m"/><circle cx="40" cy="55" r="3.5" fill="$i"/><circle cx="60" cy="55" r="3.5" fill="$i"/><path d="M46 65h8l-4 5z" fill="$a"/><path d="M50 70v4M30 68l-12-2M30 73l-12 3M70 68l12-2M70 73l12 3" stroke="$i" stroke-width="2"/>"##,
    ),
    motif(
        "cat",
        &["cat", "kitty", "kitten", "dog", "fox", "suki"],
        r##"<path d="M20 14l20 16h20l20-16v42c0 20-12 32-30 32S20 76 20 56z" fill="$m"/><path d="M26 26l10 9M74 26l-10 9" stroke="$l" stroke-width="5"/><circle cx="38" cy="52" r="4" fill="$i"/><circle cx="62" cy="52" r="4" fill="$i"/><path d="M45 62h10l-5 6z" fill="$a"/><path d="M50 68c-2 6-8 6-10 3M50 68c2 6 8 6 10 3M26 62l-14-3M26 68l-14 3M74 62l14-3M74 68l14 3" stroke="$i" stroke-width="2"/>"##,
    ),
    motif(
        "toadstool",
        &["toadstool", "mushroom"],
        r##"<path d="M38 52h24c-2 14 4 24 6 36H32c2-12 8-22 6-36z" fill="$p"/><path d="M10 56C10 26 28 10 50 10s40 16 40 46z" fill="#c8324b"/><g fill="$p"><circle cx="36" cy="32" r="7"/><circle cx="62" cy="26" r="6"/><circle cx="72" cy="44" r="6"/><circle cx="50" cy="46" r="5"/><circle cx="24" cy="48" r="4"/></g>"##,
    ),
    motif(
        "strawberry",
        &["strawberry", "cherry", "fruit", "apple", "berry", "pear"],
        r##"<path d="M50 90C20 76 12 46 22 34c8-8 20-4 28 0 8-4 20-8 28 0 10 12 2 42-28 56z" fill="$m"/><path d="M50 34c-4-12 2-20 8-24" stroke="#5d7f5b" stroke-width="4"/><path d="M52 24c8-12 20-12 26-8-6 10-16 14-26 8z" fill="#6f9a68"/><path d="M30 46c1-4 3-6 6-7" stroke="$p" stroke-width="4"/>"##,
    ),
    motif(
        "skull",
        &["skull", "pirate"],
        r##"<path d="M50 12c24 0 36 16 36 34 0 12-6 18-12 22v12c0 4-2 6-6 6H32c-4 0-6-2-6-6V68c-6-4-12-10-12-22 0-18 12-34 36-34z" fill="$p"/><circle cx="35" cy="48" r="9" fill="$i"/><circle cx="65" cy="48" r="9" fill="$i"/><path d="M46 66l4-8 4 8z" fill="$i"/><path d="M42 86V76M50 86V76M58 86V76" stroke="$i" stroke-width="3"/><path d="M62 14c8-8 18-4 16 4 8-2 12 8 4 14z" fill="$m"/>"##,
    ),
    motif(
        "sun",
        &["sun", "moon", "sky", "sunset"],
        r##"<g stroke="$m" stroke-width="6"><path d="M50 6v10M50 84v10M6 50h10M84 50h10M19 19l7 7M74 74l7 7M81 19l-7 7M26 74l-7 7"/></g><circle cx="50" cy="50" r="25" fill="$m"/><circle cx="42" cy="46" r="3" fill="$i"/><circle cx="58" cy="46" r="3" fill="$i"/><path d="M42 57c5 5 11 5 16 0" stroke="$i" stroke-width="3"/>"##,
    ),
    occasion(
        "present",
        &["christmas", "noel", "advent", "xmas", "cracker"],
        r##"<path d="M14 40l14 10-14 12M86 40L72 50l14 12" fill="$a"/><path d="M14 38c8 4 10 4 14 8v10c-4 4-6 4-14 8V38zM86 38c-8 4-10 4-14 8v10c4 4 6 4 14 8V38z" fill="$l"/><rect x="26" y="36" width="48" height="30" rx="8" fill="$m"/><path d="M34 36v30M66 36v30" stroke="$a" stroke-width="5"/><path d="M50 40l3 6 7 1-5 5 1 7-6-3-6 3 1-7-5-5 7-1z" fill="$p"/>"##,
    ),
];
