//! The items as a shop would list them.

use waggle_model::{Item, Timestamp};

use crate::{
    Market,
    market::{DAY_MS, item_id},
    words::{self, CATEGORIES, FINISHES, SIZES},
};

impl Market {
    /// Every item, ascending by id; titles are distinct. `end` is what [`Market::events`] ends at: it dates
    /// `available_from`.
    pub fn items(&self, end: Timestamp) -> Vec<Item> {
        let start = self.start(end);
        (0u32..)
            .zip(&self.items)
            .map(|(number, place)| {
                let mut item =
                    Item::new(item_id(number), title(place.category as usize, place.number as usize));
                item.category = Some(CATEGORIES[place.category as usize].name.to_owned());
                item.brand = Some(words::brand(place.brand as usize));
                item.price = Some(place.price);
                item.currency = Some(CURRENCY.to_owned());
                item.available_from = Some(start.shifted_by_millis(i64::from(place.from_day) * DAY_MS));
                item
            })
            .collect()
    }
}

pub(crate) const CURRENCY: &str = "EUR";

/// `Copper Garden Lantern, Sage, Large`: a different one for every number.
fn title(category: usize, number: usize) -> String {
    let category = &CATEGORIES[category];
    let noun = category.nouns[number % category.nouns.len()];
    let rest = number / category.nouns.len();
    let quality = category.qualities[rest % category.qualities.len()];
    let rest = rest / category.qualities.len();
    let finish = FINISHES[rest % FINISHES.len()];
    let rest = rest / FINISHES.len();
    let size = SIZES[rest % SIZES.len()];
    let series = rest / SIZES.len();
    let mut title = format!("{quality} {noun}");
    for part in [finish, size] {
        if !part.is_empty() {
            title.push_str(", ");
            title.push_str(part);
        }
    }
    if series > 0 {
        title.push_str(&format!(", No. {}", series + 1));
    }
    title
}
