//! What a catalogue says of its items, as terms.

use std::collections::{BTreeMap, HashMap};

use waggle_model::{Item, ItemKey};
use waggle_models::Vocabulary;

/// Terms of the items of a vocabulary.
#[derive(Debug, PartialEq)]
pub(crate) struct ItemTerms {
    pub(crate) n_terms: usize,
    /// By row; empty where the catalogue does not know the item.
    pub(crate) of_items: Vec<Vec<u32>>,
}

impl ItemTerms {
    /// Words of titles and descriptions, categories, brands, and the shop's own properties that are texts. Words are runs of
    /// letters and digits in lower case; a brand is another term than the same word in a title.
    pub(crate) fn new(vocabulary: &Vocabulary, items: &[Item]) -> Self {
        let by_key: HashMap<ItemKey, &Item> = items.iter().map(|item| (item.item_id.key(), item)).collect();
        let known = (0..vocabulary.len())
            .map(|row| by_key.get(&vocabulary.key(waggle_model::ItemIdx::from_row(row))));
        let texts: Vec<Vec<String>> =
            known.map(|item| item.map(|item| terms(item)).unwrap_or_default()).collect();
        let mut numbers: BTreeMap<&str, u32> =
            texts.iter().flatten().map(|term| (term.as_str(), 0)).collect();
        numbers.values_mut().zip(0..).for_each(|(number, next)| *number = next);
        let of_items =
            texts.iter().map(|terms| terms.iter().map(|term| numbers[term.as_str()]).collect()).collect();
        Self { n_terms: numbers.len(), of_items }
    }
}

fn terms(item: &Item) -> Vec<String> {
    let words = |text: &str| -> Vec<String> {
        text.split(|c: char| !c.is_alphanumeric())
            .filter(|word| !word.is_empty())
            .map(str::to_lowercase)
            .collect()
    };
    let mut terms = words(&item.title);
    terms.extend(item.description.iter().flat_map(|text| words(text)));
    // With a character that no word has.
    terms.extend(item.category.iter().map(|category| format!("category={category}")));
    terms.extend(item.brand.iter().map(|brand| format!("brand={brand}")));
    let texts = item.properties.iter().filter_map(|(name, value)| Some((name, value.as_str()?)));
    terms.extend(texts.map(|(name, value)| format!("{name}={value}")));
    terms
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use waggle_model::ItemId;

    use super::*;

    #[test]
    fn an_item_is_known_by_its_words_and_properties() {
        let item = |id: &str, rest: serde_json::Value| -> Item {
            let mut fields = json!({ "item_id": id, "title": "" });
            fields.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
            serde_json::from_value(fields).unwrap()
        };
        let items = [
            item(
                "mug",
                json!({ "title": "Red Mug, red", "brand": "red", "properties": { "size": "L", "n": 3 } }),
            ),
            item("cup", json!({ "title": "CUP", "category": "Cups", "description": "a mug" })),
            item("unsold", json!({ "title": "nobody knows" })),
        ];
        let ids = ["cup", "gone", "mug"].map(|id| ItemId::try_new(id).unwrap());
        let vocabulary = Vocabulary::try_new(ids).unwrap();
        // a, brand=red, category=Cups, cup, mug, red, size=L
        let terms = ItemTerms::new(&vocabulary, &items);
        assert_eq!(terms.n_terms, 7);
        assert_eq!(terms.of_items, [vec![3, 0, 4, 2], vec![], vec![5, 4, 5, 1, 6]]);
    }
}
