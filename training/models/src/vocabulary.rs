//! Identities outside, rows of matrices inside.

use waggle_model::{ItemId, ItemIdx, ItemKey, KeyMap};

/// The items of one snapshot, in row order.
#[derive(Debug, Clone, Default)]
pub struct Vocabulary {
    ids: Vec<ItemId>,
    keys: Vec<ItemKey>,
    rows: KeyMap<ItemIdx>,
}

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
            match vocabulary.rows.get(&id.key()) {
                None => {
                    vocabulary.rows.insert(id.key(), ItemIdx::from_row(vocabulary.ids.len()));
                    vocabulary.keys.push(id.key());
                    vocabulary.ids.push(id);
                }
                Some(row) if vocabulary.ids[row.row()] == id => {}
                Some(row) => {
                    return Err(KeyCollision { first: vocabulary.ids[row.row()].clone(), second: id });
                }
            }
        }
        Ok(vocabulary)
    }

    pub fn len(&self) -> usize {
        self.ids.len()
    }

    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// All ids, in row order.
    pub fn ids(&self) -> &[ItemId] {
        &self.ids
    }

    pub fn id(&self, item: ItemIdx) -> &ItemId {
        &self.ids[item.row()]
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
        self.rows.get(&key).copied()
    }
}
