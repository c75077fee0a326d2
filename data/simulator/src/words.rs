//! What the market's things are called.

/// A kind of things: what it is called, what it costs, what goes with it.
pub(crate) struct Category {
    pub name: &'static str,
    /// Median price.
    pub price: f64,
    /// Days after which a buyer needs it again; 0 for what lasts.
    pub cycle_days: u32,
    /// The category whose things are bought along.
    pub goes_with: &'static str,
    pub nouns: [&'static str; 8],
    pub qualities: [&'static str; 8],
}

macro_rules! category {
    ($name:literal, $price:literal, $cycle:literal, $with:literal, [$($noun:literal),*], [$($quality:literal),*]) => {
        Category {
            name: $name, price: $price, cycle_days: $cycle, goes_with: $with, nouns: [$($noun),*], qualities: [$($quality),*],
        }
    };
}

#[rustfmt::skip]
pub(crate) static CATEGORIES: [Category; 24] = [
    category!("Garden", 24.0, 0, "Candles & Lanterns", ["Garden Lantern", "Plant Pot", "Watering Can", "Bird Feeder", "Trellis", "Hanging Basket", "Garden Bench", "Herb Planter"], ["Copper", "Terracotta", "Weathered", "Galvanised", "Mossy", "Cedar", "Slatted", "Potter's"]),
    category!("Candles & Lanterns", 14.0, 35, "Living Room", ["Pillar Candle", "Tea Light Holder", "Scented Candle", "Storm Lantern", "Candle Snuffer", "Wax Melt", "Candlestick", "Votive Glass"], ["Beeswax", "Soy", "Cedarwood", "Smoked", "Ribbed", "Amber", "Fig Leaf", "Hand-Poured"]),
    category!("Kitchen", 28.0, 0, "Tableware", ["Saucepan", "Mixing Bowl", "Chopping Board", "Colander", "Oven Dish", "Pepper Mill", "Kitchen Scale", "Rolling Pin"], ["Cast-Iron", "Enamelled", "Oak", "Stoneware", "Steel", "Olive Wood", "Farmhouse", "Non-Stick"]),
    category!("Tableware", 19.0, 0, "Kitchen", ["Dinner Plate", "Soup Bowl", "Serving Platter", "Cutlery Set", "Carafe", "Wine Glass", "Salad Servers", "Butter Dish"], ["Speckled", "Glazed", "Porcelain", "Fluted", "Rimmed", "Recycled Glass", "Bistro", "Scalloped"]),
    category!("Coffee", 11.0, 21, "Mugs & Teapots", ["Espresso Beans", "Filter Coffee", "Decaf Beans", "Cold Brew Bags", "Coffee Capsules", "Breakfast Blend", "House Blend", "Single Origin Beans"], ["Ethiopian", "Colombian", "Dark Roast", "Light Roast", "Fairtrade", "Guatemalan", "Nutty", "Organic"]),
    category!("Tea", 8.0, 28, "Mugs & Teapots", ["Breakfast Tea", "Green Tea", "Chai", "Camomile Infusion", "Earl Grey", "Oolong", "Peppermint Tea", "Rooibos"], ["Loose-Leaf", "Organic", "Smoky", "First Flush", "Spiced", "Garden", "Mountain", "Jasmine"]),
    category!("Mugs & Teapots", 16.0, 0, "Tea", ["Mug", "Teapot", "Espresso Cup", "Travel Cup", "Tea Strainer", "Milk Jug", "Sugar Bowl", "Cafetière"], ["Stoneware", "Hand-Thrown", "Double-Walled", "Dipped", "Bone China", "Ridged", "Enamel", "Two-Tone"]),
    category!("Bedding", 55.0, 0, "Bathroom", ["Duvet Cover", "Pillowcase", "Fitted Sheet", "Bed Throw", "Quilt", "Mattress Topper", "Down Pillow", "Bedspread"], ["Linen", "Cotton", "Washed", "Waffle", "Percale", "Sateen", "Quilted", "Flannel"]),
    category!("Bathroom", 18.0, 0, "Soap & Skincare", ["Bath Towel", "Bath Mat", "Soap Dish", "Shower Curtain", "Laundry Basket", "Toothbrush Holder", "Bathrobe", "Hand Towel"], ["Cotton", "Bamboo", "Ribbed", "Slate", "Turkish", "Waffle", "Teak", "Quick-Dry"]),
    category!("Soap & Skincare", 9.0, 30, "Bathroom", ["Hand Soap", "Body Lotion", "Bath Salts", "Face Cream", "Shampoo Bar", "Lip Balm", "Shower Oil", "Hand Cream"], ["Lavender", "Oat Milk", "Sea Salt", "Rosemary", "Honey", "Almond", "Unscented", "Citrus"]),
    category!("Living Room", 65.0, 0, "Lighting", ["Cushion", "Wool Throw", "Side Table", "Floor Rug", "Armchair", "Bookcase", "Magazine Rack", "Footstool"], ["Boucle", "Velvet", "Walnut", "Woven", "Herringbone", "Ash", "Tufted", "Rattan"]),
    category!("Lighting", 48.0, 0, "Living Room", ["Table Lamp", "Floor Lamp", "Pendant Light", "Wall Light", "Reading Lamp", "String Lights", "Lampshade", "Desk Lamp"], ["Brass", "Pleated", "Opal", "Arched", "Paper", "Concrete", "Dimmable", "Rattan"]),
    category!("Stationery", 7.0, 0, "Desk & Office", ["Notebook", "Fountain Pen", "Weekly Planner", "Pencil Set", "Sketchbook", "Letter Paper", "Ink Bottle", "Sticky Notes"], ["Dotted", "Linen-Bound", "Recycled", "Pocket", "Marbled", "Ruled", "Refillable", "Letterpress"]),
    category!("Desk & Office", 32.0, 0, "Stationery", ["Desk Organiser", "Monitor Stand", "Pen Pot", "Desk Mat", "Letter Tray", "Bookends", "Cable Box", "Desk Clock"], ["Walnut", "Cork", "Felt", "Steel", "Leather", "Birch", "Stackable", "Minimal"]),
    category!("Toys & Games", 21.0, 0, "Children's Books", ["Building Blocks", "Jigsaw Puzzle", "Board Game", "Wooden Train", "Spinning Top", "Card Game", "Stacking Rings", "Marble Run"], ["Wooden", "Rainbow", "Magnetic", "Family", "Woodland", "Travel", "Giant", "Classic"]),
    category!("Children's Books", 10.0, 0, "Toys & Games", ["Picture Book", "Bedtime Stories", "Activity Book", "Board Book", "Atlas", "Colouring Book", "Puzzle Book", "Pop-Up Book"], ["Illustrated", "Little", "Big", "Animal", "Space", "Ocean", "Forest", "Dinosaur"]),
    category!("Bags", 58.0, 0, "Scarves & Hats", ["Backpack", "Tote Bag", "Shoulder Bag", "Weekend Bag", "Belt Bag", "Wash Bag", "Laptop Sleeve", "Card Wallet"], ["Canvas", "Leather", "Waxed", "Roll-Top", "Woven", "Recycled", "Quilted", "Everyday"]),
    category!("Scarves & Hats", 34.0, 0, "Bags", ["Scarf", "Beanie", "Gloves", "Bucket Hat", "Headband", "Mittens", "Straw Hat", "Shawl"], ["Merino", "Lambswool", "Cashmere", "Ribbed", "Checked", "Fringed", "Cable-Knit", "Alpaca"]),
    category!("Jewellery", 42.0, 0, "Scarves & Hats", ["Necklace", "Hoop Earrings", "Bracelet", "Signet Ring", "Stud Earrings", "Pendant", "Anklet", "Brooch"], ["Silver", "Gold-Plated", "Pearl", "Hammered", "Twisted", "Moonstone", "Beaded", "Fine"]),
    category!("Running", 62.0, 0, "Sports Nutrition", ["Running Shoes", "Running Shorts", "Windbreaker", "Running Socks", "Hydration Vest", "Running Cap", "Tights", "Head Torch"], ["Trail", "Lightweight", "Reflective", "Cushioned", "Breathable", "Marathon", "Seamless", "Winter"]),
    category!("Sports Nutrition", 22.0, 25, "Running", ["Energy Gel", "Protein Powder", "Recovery Drink", "Energy Bar", "Electrolyte Tabs", "Oat Bar", "Nut Butter", "Protein Bar"], ["Berry", "Vanilla", "Cocoa", "Citrus", "Salted Caramel", "Vegan", "Unflavoured", "Espresso"]),
    category!("Camping", 78.0, 0, "Running", ["Tent", "Sleeping Bag", "Camping Stove", "Sleeping Mat", "Water Bottle", "Cool Box", "Camp Chair", "Hammock"], ["Two-Person", "Ultralight", "Insulated", "Folding", "Four-Season", "Compact", "Alpine", "Family"]),
    category!("Pet Food", 17.0, 20, "Pet Accessories", ["Dry Dog Food", "Cat Biscuits", "Dog Treats", "Wet Cat Food", "Puppy Food", "Kitten Food", "Chew Sticks", "Salmon Bites"], ["Grain-Free", "Chicken", "Lamb", "Sensitive", "Senior", "Turkey", "Farmhouse", "Duck"]),
    category!("Pet Accessories", 23.0, 0, "Pet Food", ["Dog Bed", "Dog Lead", "Cat Tree", "Food Bowl", "Chew Toy", "Pet Carrier", "Scratching Post", "Collar"], ["Orthopaedic", "Rope", "Felt", "Waterproof", "Sisal", "Leather", "Washable", "Sturdy"]),
];

/// Colours and finishes after a comma.
pub(crate) const FINISHES: [&str; 24] = [
    "",
    "Sage",
    "Charcoal",
    "Ivory",
    "Ochre",
    "Navy",
    "Rust",
    "Blush",
    "Forest Green",
    "Sand",
    "Slate Blue",
    "Terracotta",
    "Plum",
    "Mustard",
    "Sky Blue",
    "Olive",
    "Stone",
    "Black",
    "Cream",
    "Coral",
    "Teal",
    "Lilac",
    "Cobalt",
    "Chestnut",
];

/// Sizes after the finish.
pub(crate) const SIZES: [&str; 6] = ["", "Large", "Small", "Set of 2", "Mini", "Extra Large"];

const BRAND_STARTS: [&str; 40] = [
    "Al", "Bram", "Cor", "Del", "El", "Fen", "Gal", "Hav", "Il", "Jor", "Kel", "Lum", "Mar", "Nor", "Ol",
    "Pel", "Quin", "Ros", "Sol", "Tam", "Ul", "Ver", "Wil", "Yar", "Zel", "Ash", "Bel", "Cal", "Dor", "Em",
    "Fal", "Har", "Isk", "Lor", "Mel", "Orm", "Rav", "Sten", "Tor", "Vil",
];
const BRAND_ENDS: [&str; 50] = [
    "ado", "bury", "cote", "den", "elle", "ford", "gate", "holm", "ino", "jord", "kin", "lund", "mere",
    "nova", "ora", "port", "quist", "rose", "stad", "ton", "una", "vane", "wick", "ya", "zen", "ander",
    "berg", "by", "dale", "en", "field", "garth", "hurst", "ia", "ko", "lea", "mond", "nell", "over", "penn",
    "rick", "sand", "thorpe", "ula", "vik", "well", "worth", "yard", "asto", "ette",
];

/// An invented brand; different for every number below 2,000.
pub(crate) fn brand(number: usize) -> String {
    let n_starts = BRAND_STARTS.len();
    let round = number / n_starts;
    // Each round pairs the starts with other ends.
    format!(
        "{}{}",
        BRAND_STARTS[number % n_starts],
        BRAND_ENDS[(number % n_starts + round) % BRAND_ENDS.len()]
    )
}

/// Countries and how many of 100 shoppers live there.
pub(crate) const COUNTRIES: [(&str, u32); 10] = [
    ("Germany", 22),
    ("France", 17),
    ("United Kingdom", 16),
    ("Italy", 11),
    ("Spain", 10),
    ("Poland", 8),
    ("Netherlands", 6),
    ("Sweden", 4),
    ("Ireland", 3),
    ("Denmark", 3),
];
