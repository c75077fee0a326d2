//! People of similar taste, and what each such group wants more than others do.

#[cfg(test)]
mod tests;

use ndarray::{Array2, ArrayView2};
use waggle_model::ItemIdx;

use crate::linalg::dot;

/// Groups of people by the direction of their folded-in vectors, with a list of items each.
#[derive(Debug, Clone, PartialEq)]
pub struct Segments {
    /// `[n_segments, n_factors]`, rows of length 1.
    centroids: Array2<f32>,
    /// By segment.
    n_people: Vec<u32>,
    /// The list of segment `s` is `items[indptr[s]..indptr[s + 1]]`, best first.
    indptr: Vec<usize>,
    items: Vec<ItemIdx>,
    scores: Vec<f32>,
}

/// Why arrays are not segments.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum SegmentsError {
    #[error("{n_centroids} centroids have {got} {what}, not {expected}")]
    Lengths { n_centroids: usize, what: &'static str, expected: usize, got: usize },
    #[error("the list of segment {segment} does not follow the one before it")]
    Pointers { segment: usize },
    #[error("centroid {segment} has length {got}, not 1")]
    Centroid { segment: usize, got: f32 },
    #[error("the list of segment {segment} holds an item twice")]
    Repeated { segment: usize },
    #[error("scores of segment {segment} are not finite, above 0 and best first")]
    Scores { segment: usize },
}

/// How far the length of a centroid may be from 1.
const ROUNDING: f32 = 1e-3;

impl Segments {
    /// - `centroids`: `[n_segments, n_factors]`, rows of length 1
    /// - `n_people`: by segment
    /// - `indptr`: `n_segments + 1` places in `items` and `scores`, where each list begins; the last one ends there
    ///
    /// # Errors
    /// [`SegmentsError`] says what is wrong with the arrays.
    pub fn try_new(
        centroids: Array2<f32>,
        n_people: Vec<u32>,
        indptr: Vec<usize>,
        items: Vec<ItemIdx>,
        scores: Vec<f32>,
    ) -> Result<Self, SegmentsError> {
        let n_centroids = centroids.nrows();
        for (what, expected, got) in [
            ("counts of people", n_centroids, n_people.len()),
            ("list pointers", n_centroids + 1, indptr.len()),
            ("scores", items.len(), scores.len()),
        ] {
            if got != expected {
                return Err(SegmentsError::Lengths { n_centroids, what, expected, got });
            }
        }
        if indptr[0] != 0 {
            return Err(SegmentsError::Pointers { segment: 0 });
        }
        if indptr[n_centroids] != items.len() {
            return Err(SegmentsError::Pointers { segment: n_centroids });
        }
        if let Some(segment) = indptr.windows(2).position(|pair| pair[0] > pair[1]) {
            return Err(SegmentsError::Pointers { segment });
        }
        // Rows are read as slices.
        let centroids = centroids.as_standard_layout().into_owned();
        let segments = Self { centroids, n_people, indptr, items, scores };
        (0..n_centroids).try_for_each(|segment| segments.check(segment))?;
        Ok(segments)
    }

    fn check(&self, segment: usize) -> Result<(), SegmentsError> {
        let centroid = self.centroid(segment);
        let length = dot(centroid, centroid).sqrt();
        if !length.is_finite() || (length - 1.0).abs() > ROUNDING {
            return Err(SegmentsError::Centroid { segment, got: length });
        }
        let (items, scores) = self.list(segment);
        let mut distinct = items.to_vec();
        distinct.sort_unstable();
        if distinct.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(SegmentsError::Repeated { segment });
        }
        let is_proper = |score: &f32| score.is_finite() && *score > 0.0;
        if !scores.iter().all(is_proper) || scores.windows(2).any(|pair| pair[0] < pair[1]) {
            return Err(SegmentsError::Scores { segment });
        }
        Ok(())
    }

    pub fn len(&self) -> usize {
        self.n_people.len()
    }

    pub fn is_empty(&self) -> bool {
        self.n_people.is_empty()
    }

    pub fn n_factors(&self) -> usize {
        self.centroids.ncols()
    }

    /// One more than the greatest row that a list names.
    pub fn n_rows(&self) -> usize {
        self.items.iter().map(|item| item.row() + 1).max().unwrap_or(0)
    }

    /// `[n_segments, n_factors]`, rows of length 1.
    pub fn centroids(&self) -> ArrayView2<'_, f32> {
        self.centroids.view()
    }

    /// People that training counted, by segment.
    pub fn n_people(&self) -> &[u32] {
        &self.n_people
    }

    pub fn indptr(&self) -> &[usize] {
        &self.indptr
    }

    pub fn items(&self) -> &[ItemIdx] {
        &self.items
    }

    pub fn scores(&self) -> &[f32] {
        &self.scores
    }

    /// The segment whose centroid has the greatest cosine with a person's factors, ties by the smaller number; `None` for
    /// a vector without direction and where there are no segments. Costs `O(n_segments·f)`.
    ///
    /// # Panics
    /// If `factors` is not as long as the centroids.
    pub fn nearest(&self, factors: &[f32]) -> Option<usize> {
        assert!(
            self.is_empty() || factors.len() == self.n_factors(),
            "one factor per column of the centroids"
        );
        if factors.iter().all(|factor| *factor == 0.0) {
            return None;
        }
        // All centroids have length 1, so the inner product orders them as the cosine does.
        let products = (0..self.len()).map(|segment| dot(self.centroid(segment), factors));
        products.enumerate().rev().max_by(|a, b| a.1.total_cmp(&b.1)).map(|(segment, _)| segment)
    }

    /// What the segment's people want, best first, with scores.
    ///
    /// # Panics
    /// If there is no such segment.
    pub fn list(&self, segment: usize) -> (&[ItemIdx], &[f32]) {
        let range = self.indptr[segment]..self.indptr[segment + 1];
        (&self.items[range.clone()], &self.scores[range])
    }

    fn centroid(&self, segment: usize) -> &[f32] {
        let row = self.centroids.row(segment);
        row.to_slice().expect("the centroids are in standard layout")
    }
}
