//! All states in memory: what a training replay folds into, and what tests compare with.

use std::collections::HashMap;

use waggle_model::{ItemKey, PersonKey};

use crate::{ItemState, PersonState, fold::States};

/// The states of everybody and everything that events touched.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct MemoryStates {
    pub people: HashMap<PersonKey, PersonState>,
    pub items: HashMap<ItemKey, ItemState>,
}

impl States for MemoryStates {
    fn person(&mut self, key: PersonKey) -> &mut PersonState {
        self.people.entry(key).or_default()
    }

    fn item(&mut self, key: ItemKey) -> &mut ItemState {
        self.items.entry(key).or_default()
    }

    fn remove_person(&mut self, key: PersonKey) {
        self.people.remove(&key);
    }
}
