//! Identities outside, rows of matrices inside.

use waggle_model::{ItemId, ItemIdx, ItemKey};

/// The items of one snapshot, in row order.
///
/// Made for many: the ids are one text, and the index from key to row is four bytes a place, at most half of them in
/// use. An item takes some 40 bytes, where a string and an entry of a hash map took a hundred.
#[derive(Debug, Clone, Default)]
pub struct Vocabulary {
    /// All ids, one after the other.
    text: String,
    /// Where each row's id ends.
    ends: Vec<usize>,
    keys: Vec<ItemKey>,
    /// Rows by key with open addressing: a row lies at the first free place from its key's on. A power of two of places,
    /// [`FREE`] where there is none.
    places: Vec<u32>,
}

const FREE: u32 = u32::MAX;

/// Two different identifiers have the same 64-bit key.
#[derive(Debug, thiserror::Error)]
#[error("items \"{first}\" and \"{second}\" have the same key; rename one of them")]
pub struct KeyCollision {
    pub first: ItemId,
    pub second: ItemId,
}

impl Vocabulary {
    /// Rows in the order given; a repeated id keeps its first row.
    ///
    /// # Errors
    /// [`KeyCollision`] when two ids share a key.
    pub fn try_new(ids: impl IntoIterator<Item = ItemId>) -> Result<Self, KeyCollision> {
        let mut vocabulary = Self::default();
        for id in ids {
            match vocabulary.idx_of_key(id.key()) {
                None => vocabulary.push(&id),
                Some(row) if vocabulary.text(row) == id.as_str() => {}
                Some(row) => return Err(KeyCollision { first: vocabulary.id(row), second: id }),
            }
        }
        vocabulary.text.shrink_to_fit();
        vocabulary.ends.shrink_to_fit();
        vocabulary.keys.shrink_to_fit();
        Ok(vocabulary)
    }

    pub fn len(&self) -> usize {
        self.keys.len()
    }

    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// All ids, in row order.
    pub fn ids(&self) -> impl Iterator<Item = ItemId> {
        (0..self.len()).map(|row| self.id(ItemIdx::from_row(row)))
    }

    /// # Panics
    /// If there is no such row; as [`text`](Self::text) and [`key`](Self::key).
    pub fn id(&self, item: ItemIdx) -> ItemId {
        ItemId::try_new(self.text(item)).expect("it came as an id")
    }

    /// [`id`](Self::id) as text.
    pub fn text(&self, item: ItemIdx) -> &str {
        let start = item.row().checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.text[start..self.ends[item.row()]]
    }

    pub fn key(&self, item: ItemIdx) -> ItemKey {
        self.keys[item.row()]
    }

    /// All keys, in row order.
    pub fn keys(&self) -> &[ItemKey] {
        &self.keys
    }

    pub fn idx(&self, id: &ItemId) -> Option<ItemIdx> {
        self.idx_of_key(id.key())
    }

    pub fn idx_of_key(&self, key: ItemKey) -> Option<ItemIdx> {
        if self.places.is_empty() {
            return None;
        }
        match self.places[self.place_of(key)] {
            FREE => None,
            row => Some(ItemIdx(row)),
        }
    }

    fn push(&mut self, id: &ItemId) {
        let row = ItemIdx::from_row(self.len()).0;
        self.text.push_str(id.as_str());
        self.ends.push(self.text.len());
        self.keys.push(id.key());
        if 2 * self.len() > self.places.len() {
            self.places = vec![FREE; (2 * self.len()).next_power_of_two()];
            for row in 0..row {
                let place = self.place_of(self.keys[row as usize]);
                self.places[place] = row;
            }
        }
        let place = self.place_of(id.key());
        self.places[place] = row;
    }

    /// The place that holds the key's row, or the free one where it would be.
    fn place_of(&self, key: ItemKey) -> usize {
        let mask = self.places.len() - 1;
        // Keys are hashes: their lower bits are as good as any.
        let mut place = key.0 as usize & mask;
        while self.places[place] != FREE && self.keys[self.places[place] as usize] != key {
            place = (place + 1) & mask;
        }
        place
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_id_finds_its_row_and_every_row_its_id() {
        for n in [0, 1, 2, 3, 64, 1_000, 4_097] {
            let ids: Vec<ItemId> =
                (0..n).map(|n| ItemId::try_new(format!("\u{e9}tem-{n}")).unwrap()).collect();
            // Each twice: the first row counts.
            let vocabulary = Vocabulary::try_new(ids.iter().chain(&ids).cloned()).unwrap();
            assert_eq!((vocabulary.len(), vocabulary.is_empty()), (n, n == 0));
            assert_eq!(vocabulary.ids().collect::<Vec<_>>(), ids);
            for (row, id) in ids.iter().enumerate() {
                assert_eq!(vocabulary.idx(id), Some(ItemIdx::from_row(row)));
                assert_eq!(vocabulary.key(ItemIdx::from_row(row)), id.key());
            }
            assert_eq!(vocabulary.idx(&ItemId::try_new("nobody").unwrap()), None);
        }
    }

    #[test]
    fn keys_that_want_the_same_place_are_told_apart() {
        let mut vocabulary =
            Vocabulary::try_new((0..3).map(|n| ItemId::try_new(n.to_string()).unwrap())).unwrap();
        // The last three places of the index lead to its first.
        vocabulary.keys = [7, 15, 23].map(ItemKey).to_vec();
        vocabulary.places = vec![FREE; 8];
        for row in 0..3 {
            let place = vocabulary.place_of(vocabulary.keys[row]);
            vocabulary.places[place] = row as u32;
        }
        let found = [7, 15, 23, 31].map(|key| vocabulary.idx_of_key(ItemKey(key)));
        assert_eq!(found, [Some(ItemIdx(0)), Some(ItemIdx(1)), Some(ItemIdx(2)), None]);
    }
}
