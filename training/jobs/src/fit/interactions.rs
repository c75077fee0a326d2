//! Who touched what, how strongly and when, as compressed rows.

use waggle_model::{ItemIdx, Timestamp};
use waggle_models::HistoryEntry;

/// A sparse matrix of users by items. Within a row items ascend and are distinct; every weight is finite and greater
/// than zero. A user without items is an empty row.
#[derive(Debug, Clone, PartialEq)]
pub struct Interactions {
    n_users: usize,
    n_items: usize,
    indptr: Vec<usize>,
    items: Vec<ItemIdx>,
    weights: Vec<f32>,
    times: Vec<Timestamp>,
}

/// One observation. The same user and item may occur again.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Triple {
    /// Row of the user, below `n_users`.
    pub user: u32,
    pub item: ItemIdx,
    pub weight: f32,
    /// The epoch where the data has no times.
    pub time: Timestamp,
}

#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum InteractionsError {
    #[error("interaction {index} is of user row {got}, there are {n_users} users")]
    User { index: usize, got: u32, n_users: usize },
    #[error("interaction {index} is of item row {got}, there are {n_items} items")]
    Item { index: usize, got: u32, n_items: usize },
    #[error("interaction {index} has weight {got}, it must be finite and greater than 0")]
    Weight { index: usize, got: f32 },
    #[error("the weights of user row {user} and item row {item} add up to infinity")]
    Overflow { user: u32, item: u32 },
}

impl Interactions {
    /// Sorts and merges: observations of the same user and item become one, whose weight is the sum of theirs (added
    /// in order of time, so that the order of `triples` does not matter) and whose time is the latest.
    ///
    /// No triples, no users or no items are fine here; fitting refuses them.
    ///
    /// # Errors
    /// [`InteractionsError`] names the first triple that is out of range or has no proper weight.
    pub fn from_triples(
        n_users: usize,
        n_items: usize,
        mut triples: Vec<Triple>,
    ) -> Result<Self, InteractionsError> {
        for (index, triple) in triples.iter().enumerate() {
            if triple.user as usize >= n_users {
                return Err(InteractionsError::User { index, got: triple.user, n_users });
            }
            if triple.item.row() >= n_items {
                return Err(InteractionsError::Item { index, got: triple.item.0, n_items });
            }
            if !(triple.weight.is_finite() && triple.weight > 0.0) {
                return Err(InteractionsError::Weight { index, got: triple.weight });
            }
        }
        triples.sort_unstable_by(|a, b| {
            (a.user, a.item, a.time).cmp(&(b.user, b.item, b.time)).then(a.weight.total_cmp(&b.weight))
        });
        triples.dedup_by(|next, kept| {
            let same = next.user == kept.user && next.item == kept.item;
            if same {
                kept.weight += next.weight;
                kept.time = next.time;
            }
            same
        });
        if let Some(sum) = triples.iter().find(|triple| !triple.weight.is_finite()) {
            return Err(InteractionsError::Overflow { user: sum.user, item: sum.item.0 });
        }
        let mut indptr = vec![0; n_users + 1];
        for triple in &triples {
            indptr[triple.user as usize + 1] += 1;
        }
        for row in 0..n_users {
            indptr[row + 1] += indptr[row];
        }
        Ok(Self {
            n_users,
            n_items,
            indptr,
            items: triples.iter().map(|triple| triple.item).collect(),
            weights: triples.iter().map(|triple| triple.weight).collect(),
            times: triples.iter().map(|triple| triple.time).collect(),
        })
    }

    pub fn n_users(&self) -> usize {
        self.n_users
    }

    pub fn n_items(&self) -> usize {
        self.n_items
    }

    /// Distinct pairs of user and item.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// `Σc`.
    pub fn total_weight(&self) -> f64 {
        self.weights.iter().copied().map(f64::from).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Items of a user, ascending.
    ///
    /// # Panics
    /// If there is no such user; as all methods that take a row.
    pub fn items(&self, user: usize) -> &[ItemIdx] {
        &self.items[self.row(user)]
    }

    /// Weights of a user's items, in the order of [`items`](Self::items).
    pub fn weights(&self, user: usize) -> &[f32] {
        &self.weights[self.row(user)]
    }

    /// Times of a user's items, in the order of [`items`](Self::items).
    pub fn times(&self, user: usize) -> &[Timestamp] {
        &self.times[self.row(user)]
    }

    /// A user's history as recommenders take it: the item touched longest ago first, ties by the smaller row.
    pub fn history(&self, user: usize) -> Vec<HistoryEntry> {
        let entries = self.items(user).iter().zip(self.weights(user)).zip(self.times(user));
        let mut history: Vec<_> =
            entries.map(|((&item, &weight), &time)| HistoryEntry { item, weight, time }).collect();
        history.sort_by_key(|entry| (entry.time, entry.item));
        history
    }

    /// These users alone, in this order.
    #[must_use]
    pub fn of_users(&self, users: &[usize]) -> Self {
        let mut indptr = vec![0];
        let places: Vec<usize> = users
            .iter()
            .flat_map(|&user| {
                let row = self.row(user);
                indptr.push(indptr[indptr.len() - 1] + row.len());
                row
            })
            .collect();
        Self {
            n_users: users.len(),
            n_items: self.n_items,
            indptr,
            items: places.iter().map(|&at| self.items[at]).collect(),
            weights: places.iter().map(|&at| self.weights[at]).collect(),
            times: places.iter().map(|&at| self.times[at]).collect(),
        }
    }

    /// Rows and columns exchanged: row `i` of the result holds who touched item `i`, with rows of users where items
    /// were.
    #[must_use]
    pub fn transpose(&self) -> Self {
        let mut indptr = vec![0; self.n_items + 1];
        for item in &self.items {
            indptr[item.row() + 1] += 1;
        }
        for row in 0..self.n_items {
            indptr[row + 1] += indptr[row];
        }
        let mut next = indptr.clone();
        let mut items = vec![ItemIdx(0); self.len()];
        let mut weights = vec![0.0; self.len()];
        let mut times = vec![Timestamp::default(); self.len()];
        for user in 0..self.n_users {
            for at in self.row(user) {
                let place = &mut next[self.items[at].row()];
                items[*place] = ItemIdx::from_row(user);
                weights[*place] = self.weights[at];
                times[*place] = self.times[at];
                *place += 1;
            }
        }
        Self { n_users: self.n_items, n_items: self.n_users, indptr, items, weights, times }
    }

    fn row(&self, user: usize) -> std::ops::Range<usize> {
        self.indptr[user]..self.indptr[user + 1]
    }
}
