//! Entries of the table, packed: the items of a large catalogue are most of what the role keeps, and a request looks at
//! few of them. As values an item takes 400 to 500 bytes in a dozen allocations, packed it takes its texts.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use waggle_features::ItemAttributes;
use waggle_model::{Item, ItemId, ItemKey, Timestamp};

/// Entries that are replaced together: one changed item copies so many of them.
pub const CHUNK: usize = 64;

/// [`CHUNK`] places, each with an item or without.
#[derive(Debug, Clone)]
pub struct Chunk {
    /// The packed items, one after the other.
    bytes: Box<[u8]>,
    /// Where each place's bytes end.
    ends: [u32; CHUNK],
    /// `None` where there is no item.
    attributes: [Option<ItemAttributes>; CHUNK],
}

/// An item of the table, and what ranking needs of it, worked out once.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'a> {
    packed: &'a [u8],
    pub attributes: ItemAttributes,
}

impl Default for Chunk {
    fn default() -> Self {
        Self { bytes: Box::default(), ends: [0; CHUNK], attributes: [None; CHUNK] }
    }
}

impl Chunk {
    /// # Panics
    /// If there is no such place.
    pub fn get(&self, place: usize) -> Option<Entry<'_>> {
        Some(Entry { packed: &self.bytes[self.range(place)], attributes: self.attributes[place]? })
    }

    /// All places in order.
    pub fn iter(&self) -> impl Iterator<Item = Option<Entry<'_>>> {
        (0..CHUNK).map(|place| self.get(place))
    }

    /// # Panics
    /// If there is no such place.
    pub fn set(&mut self, place: usize, item: Option<&Item>) {
        let packed = item.map(pack).unwrap_or_default();
        let range = self.range(place);
        let (before, after) = (&self.bytes[..range.start], &self.bytes[range.end..]);
        self.bytes = [before, &packed, after].concat().into();
        for end in &mut self.ends[place..] {
            let moved = *end as usize - range.len() + packed.len();
            *end = u32::try_from(moved).expect("an item comes in a request of a few megabytes");
        }
        self.attributes[place] = item.map(ItemAttributes::of);
    }

    fn range(&self, place: usize) -> std::ops::Range<usize> {
        let start = if place == 0 { 0 } else { self.ends[place - 1] };
        start as usize..self.ends[place] as usize
    }
}

impl<'a> Entry<'a> {
    pub fn id(&self) -> &'a str {
        split(self.packed).0
    }

    pub fn item_id(&self) -> ItemId {
        ItemId::try_new(self.id()).expect("it was an id when it was packed")
    }

    pub fn key(&self) -> ItemKey {
        ItemKey::of(self.id())
    }

    /// The item as the shop put it. Costs about a microsecond.
    pub fn item(&self) -> Item {
        let rest: Rest = rmp_serde::from_slice(split(self.packed).1).expect("packed by this process");
        Item {
            item_id: self.item_id(),
            title: rest.title,
            category: rest.category,
            brand: rest.brand,
            price: rest.price,
            currency: rest.currency,
            description: rest.description,
            image_url: rest.image_url,
            available_from: rest.available_from,
            available_until: rest.available_until,
            hidden: rest.hidden,
            in_stock: rest.in_stock,
            properties: rest.properties,
        }
    }
}

/// All of an item but its id, without names of fields and without leaving any out: places tell them apart.
#[derive(Serialize, Deserialize)]
struct Rest {
    title: String,
    category: Option<String>,
    brand: Option<String>,
    price: Option<f64>,
    currency: Option<String>,
    description: Option<String>,
    image_url: Option<String>,
    available_from: Option<Timestamp>,
    available_until: Option<Timestamp>,
    hidden: bool,
    in_stock: bool,
    properties: Map<String, Value>,
}

/// The length of the id in two bytes, the id, and the rest as MessagePack.
fn pack(item: &Item) -> Vec<u8> {
    let Item { item_id, .. } = item;
    let length = u16::try_from(item_id.as_str().len()).expect("ids are short");
    let mut packed = [&length.to_le_bytes(), item_id.as_str().as_bytes()].concat();
    let item = item.clone();
    let rest = Rest {
        title: item.title,
        category: item.category,
        brand: item.brand,
        price: item.price,
        currency: item.currency,
        description: item.description,
        image_url: item.image_url,
        available_from: item.available_from,
        available_until: item.available_until,
        hidden: item.hidden,
        in_stock: item.in_stock,
        properties: item.properties,
    };
    rmp_serde::encode::write(&mut packed, &rest).expect("an item serialises into memory");
    packed
}

fn split(packed: &[u8]) -> (&str, &[u8]) {
    let (length, rest) = packed.split_first_chunk::<2>().expect("begins with a length");
    let (id, rest) = rest.split_at(u16::from_le_bytes(*length).into());
    (std::str::from_utf8(id).expect("packed from a string"), rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full(id: &str, title: &str) -> Item {
        let mut item = Item::new(ItemId::try_new(id).unwrap(), title);
        item.category = Some("lamp".to_owned());
        item.brand = Some("Kandela".to_owned());
        item.price = Some(0.1 + 0.2);
        item.currency = Some("EUR".to_owned());
        item.description = Some("a \u{1F4A1}".repeat(300));
        item.image_url = Some("https://shop.example/1.png".to_owned());
        item.available_from = Some(Timestamp::from_millis(-1));
        item.available_until = Some(Timestamp::from_millis(i64::MAX));
        (item.hidden, item.in_stock) = (true, false);
        let properties =
            r#"{"n": 18446744073709551615, "m": -3, "x": 1.0, "none": null, "deep": {"a": [true, "b", []]}}"#;
        item.properties = serde_json::from_str(properties).unwrap();
        item
    }

    #[test]
    fn an_item_comes_back_as_it_was_put() {
        let mut chunk = Chunk::default();
        let items = [full("a", "A lamp"), Item::new(ItemId::try_new("\u{e9}\u{e9}").unwrap(), "bare")];
        chunk.set(63, Some(&items[0]));
        chunk.set(0, Some(&items[1]));
        for (place, item) in [(63, &items[0]), (0, &items[1])] {
            let entry = chunk.get(place).unwrap();
            assert_eq!(
                (entry.item(), entry.id(), entry.key()),
                (item.clone(), item.item_id.as_str(), item.item_id.key())
            );
            assert_eq!(entry.attributes, ItemAttributes::of(item));
        }
        assert!(chunk.get(1).is_none());
    }

    #[test]
    fn a_place_changes_without_its_neighbours() {
        let mut chunk = Chunk::default();
        let mut expected: Vec<Option<Item>> = vec![None; CHUNK];
        for step in 0..1_000_usize {
            let place = step * 37 % CHUNK;
            let item = (step % 5 != 0).then(|| full(&format!("item-{step}"), &"long ".repeat(step % 11)));
            chunk.set(place, item.as_ref());
            expected[place] = item;
        }
        let found: Vec<Option<Item>> = chunk.iter().map(|entry| entry.map(|entry| entry.item())).collect();
        assert_eq!(found, expected);
        (0..CHUNK).for_each(|place| chunk.set(place, None));
        assert!(chunk.bytes.is_empty());
    }
}
