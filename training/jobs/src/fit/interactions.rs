//! Who touched what, how strongly and when, as compressed rows.

use waggle_model::{ItemIdx, Timestamp};
use waggle_models::HistoryEntry;

/// A sparse matrix of users by items. Within a row items ascend and are distinct; every weight is finite and greater
/// than zero. A user without items is an empty row.
#[derive(Debug, Clone, PartialEq)]
pub struct Interactions {
    matrix: SparseRows,
    times: Vec<Timestamp>,
}

/// [`Interactions`] without times: what most models are fitted on, and half as large.
#[derive(Debug, Clone, PartialEq)]
pub struct SparseRows {
    n_columns: usize,
    /// Row `r` lies at `indptr[r]..indptr[r + 1]`.
    indptr: Vec<usize>,
    columns: Vec<ItemIdx>,
    weights: Vec<f32>,
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
    #[error("the history of user row {user} names item row {item} twice")]
    Repeated { user: usize, item: u32 },
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
        accumulate(&mut indptr);
        let columns = triples.iter().map(|triple| triple.item).collect();
        let weights = triples.iter().map(|triple| triple.weight).collect();
        let times = triples.iter().map(|triple| triple.time).collect();
        Ok(Self { matrix: SparseRows { n_columns: n_items, indptr, columns, weights }, times })
    }

    /// One row per history, in which an item occurs once and counts 1; places in the history are the times. Needs hardly more
    /// memory than what it makes.
    ///
    /// # Errors
    /// [`InteractionsError`] names the first history with an item that is out of range, or there twice.
    pub fn from_histories<'a>(
        n_items: usize,
        histories: impl ExactSizeIterator<Item = &'a [u32]> + Clone,
    ) -> Result<Self, InteractionsError> {
        let len = histories.clone().map(<[u32]>::len).sum();
        let mut indptr = Vec::with_capacity(histories.len() + 1);
        indptr.push(0);
        let (mut columns, mut times) = (Vec::with_capacity(len), Vec::with_capacity(len));
        let mut row: Vec<(u32, i64)> = Vec::new();
        for (user, history) in histories.enumerate() {
            row.clear();
            row.extend(history.iter().copied().zip(0..));
            row.sort_unstable();
            if let Some(pair) = row.windows(2).find(|pair| pair[0].0 == pair[1].0) {
                return Err(InteractionsError::Repeated { user, item: pair[0].0 });
            }
            if let Some(&(got, place)) = row.last().filter(|(item, _)| *item as usize >= n_items) {
                return Err(InteractionsError::Item { index: columns.len() + place as usize, got, n_items });
            }
            columns.extend(row.iter().map(|(item, _)| ItemIdx(*item)));
            times.extend(row.iter().map(|(_, place)| Timestamp::from_millis(*place)));
            indptr.push(columns.len());
        }
        let weights = vec![1.0; len];
        Ok(Self { matrix: SparseRows { n_columns: n_items, indptr, columns, weights }, times })
    }

    /// Who touched what, and how strongly.
    pub fn matrix(&self) -> &SparseRows {
        &self.matrix
    }

    /// What is left without times.
    pub fn into_matrix(self) -> SparseRows {
        self.matrix
    }

    pub fn n_users(&self) -> usize {
        self.matrix.n_rows()
    }

    pub fn n_items(&self) -> usize {
        self.matrix.n_columns
    }

    /// Distinct pairs of user and item.
    pub fn len(&self) -> usize {
        self.matrix.len()
    }

    /// `Σc`.
    pub fn total_weight(&self) -> f64 {
        self.matrix.weights.iter().copied().map(f64::from).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.matrix.is_empty()
    }

    /// How many users touched each item.
    pub fn item_counts(&self) -> Vec<usize> {
        let mut counts = vec![0; self.n_items()];
        self.matrix.columns.iter().for_each(|item| counts[item.row()] += 1);
        counts
    }

    /// In memory.
    pub fn size_bytes(&self) -> usize {
        self.matrix.size_bytes() + size_of_val(self.times.as_slice())
    }

    /// Items of a user, ascending.
    ///
    /// # Panics
    /// If there is no such user; as all methods that take a row.
    pub fn items(&self, user: usize) -> &[ItemIdx] {
        self.matrix.columns(user)
    }

    /// Weights of a user's items, in the order of [`items`](Self::items).
    pub fn weights(&self, user: usize) -> &[f32] {
        self.matrix.weights(user)
    }

    /// Times of a user's items, in the order of [`items`](Self::items).
    pub fn times(&self, user: usize) -> &[Timestamp] {
        &self.times[self.matrix.places(user)]
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
                let row = self.matrix.places(user);
                indptr.push(indptr[indptr.len() - 1] + row.len());
                row
            })
            .collect();
        let matrix = SparseRows {
            n_columns: self.n_items(),
            indptr,
            columns: places.iter().map(|&at| self.matrix.columns[at]).collect(),
            weights: places.iter().map(|&at| self.matrix.weights[at]).collect(),
        };
        Self { matrix, times: places.iter().map(|&at| self.times[at]).collect() }
    }

    /// The first `n_items` items alone.
    ///
    /// # Panics
    /// If there are fewer.
    #[must_use]
    pub fn of_first_items(&self, n_items: usize) -> Self {
        assert!(n_items <= self.n_items(), "there are {} items", self.n_items());
        let mut matrix =
            SparseRows { n_columns: n_items, indptr: vec![0], columns: Vec::new(), weights: Vec::new() };
        let mut times = Vec::new();
        for user in 0..self.n_users() {
            let n_kept = self.items(user).partition_point(|item| item.row() < n_items);
            matrix.columns.extend(&self.items(user)[..n_kept]);
            matrix.weights.extend(&self.weights(user)[..n_kept]);
            times.extend(&self.times(user)[..n_kept]);
            matrix.indptr.push(matrix.columns.len());
        }
        Self { matrix, times }
    }

    /// Rows and columns exchanged: row `i` of the result holds who touched item `i`, with rows of users where items
    /// were.
    #[must_use]
    pub fn transpose(&self) -> Self {
        let mut times = vec![Timestamp::default(); self.len()];
        let matrix = self.matrix.transpose_with(|from, to| times[to] = self.times[from]);
        Self { matrix, times }
    }
}

impl SparseRows {
    pub fn n_rows(&self) -> usize {
        self.indptr.len() - 1
    }

    pub fn n_columns(&self) -> usize {
        self.n_columns
    }

    /// Entries.
    pub fn len(&self) -> usize {
        self.columns.len()
    }

    pub fn is_empty(&self) -> bool {
        self.columns.is_empty()
    }

    /// In memory.
    pub fn size_bytes(&self) -> usize {
        size_of_val(self.indptr.as_slice())
            + size_of_val(self.columns.as_slice())
            + size_of_val(self.weights.as_slice())
    }

    /// Of a row, ascending.
    ///
    /// # Panics
    /// If there is no such row; as all methods that take one.
    pub fn columns(&self, row: usize) -> &[ItemIdx] {
        &self.columns[self.places(row)]
    }

    /// In the order of [`columns`](Self::columns).
    pub fn weights(&self, row: usize) -> &[f32] {
        &self.weights[self.places(row)]
    }

    /// Rows and columns exchanged.
    #[must_use]
    pub fn transpose(&self) -> Self {
        self.transpose_with(|_, _| ())
    }

    /// Tells of every entry from which place to which it went.
    fn transpose_with(&self, mut moved: impl FnMut(usize, usize)) -> Self {
        let mut indptr = vec![0; self.n_columns + 1];
        for column in &self.columns {
            indptr[column.row() + 1] += 1;
        }
        accumulate(&mut indptr);
        let mut next = indptr.clone();
        let mut columns = vec![ItemIdx(0); self.len()];
        let mut weights = vec![0.0; self.len()];
        for row in 0..self.n_rows() {
            for from in self.places(row) {
                let to = &mut next[self.columns[from].row()];
                columns[*to] = ItemIdx::from_row(row);
                weights[*to] = self.weights[from];
                moved(from, *to);
                *to += 1;
            }
        }
        Self { n_columns: self.n_rows(), indptr, columns, weights }
    }

    fn places(&self, row: usize) -> std::ops::Range<usize> {
        self.indptr[row]..self.indptr[row + 1]
    }
}

/// Lengths to places.
fn accumulate(indptr: &mut [usize]) {
    for row in 1..indptr.len() {
        indptr[row] += indptr[row - 1];
    }
}
