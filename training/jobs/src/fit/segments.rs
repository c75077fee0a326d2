//! Segments by k-means over people's vectors, and what each wants more than all do.

use std::time::Duration;

use linfa::{DatasetBase, traits::Fit as _};
use linfa_clustering::{KMeans, KMeansInit};
use ndarray::{Array1, Array2, ArrayView1, Axis};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use waggle_model::{ItemIdx, Timestamp};
use waggle_models::{Als, Segments};

use super::{FitError, Interactions, popularity::faded, user_factors};

/// Settings of the segments.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SegmentParams {
    /// Most people that are grouped, evenly spread over all.
    pub max_people: usize,
    /// Most segments. There are `√n / 2` for `n` people, rounded, if those are fewer.
    pub max_segments: usize,
    /// A segment of fewer people is given up and its people join the nearest of the others: a list must not tell of one
    /// person, and few people are noise.
    pub min_people: usize,
    /// Items that a segment's list holds.
    pub n_items: usize,
    /// A touch this long ago counts half; `None`: all count alike.
    pub half_life: Option<Duration>,
    /// Touches by everybody that are added to each segment's own.
    pub prior: f64,
    /// How much more an item counts for being wanted by the segment rather than by all: 0 not at all, 1 in proportion.
    pub temper: f64,
}

impl Default for SegmentParams {
    fn default() -> Self {
        Self {
            max_people: 20_000,
            max_segments: 64,
            min_people: 30,
            n_items: 300,
            half_life: Some(Duration::from_secs(30 * 86_400)),
            prior: 100.0,
            temper: 0.5,
        }
    }
}

/// Steps of k-means; it starts once, from centroids that are spread by k-means++.
const MAX_ITERATIONS: u64 = 15;

/// Groups people by the direction of their folded-in vectors and lists what each group wants. `None` where people are too
/// few for two segments.
///
/// 1. Spherical k-means (Dhillon and Modha, "Concept decompositions for large sparse text data using clustering", 2001) by
///    linfa on vectors of length 1, where `‖a − b‖² = 2 − 2·cos(a, b)`. linfa's centroids are means and are brought to
///    length 1 at the end, not in every step.
/// 2. While a segment has fewer than `min_people`, the smallest is given up.
/// 3. With `c_s(i)` touches of item `i` in segment `s` (a person counts once per item, faded by the half-life) and `C_s`
///    their sum, and `p(i) = c(i)/C` over all segments, the share is smoothed towards everybody's,
///    `p_s(i) = (c_s(i) + prior·p(i)) / (C_s + prior)`, and `score_s(i) = p_s(i) · (p_s(i)/p(i))^temper`.
///
/// Only what the segment's own people touched is listed. The same input and seed give the same segments.
///
/// # Errors
/// [`FitError`] for settings out of range, or if a vector cannot be solved or clustered.
pub fn fit_segments(
    histories: &Interactions,
    als: &Als,
    params: &SegmentParams,
    now: Timestamp,
    seed: u64,
) -> Result<Option<Segments>, FitError> {
    params.validate()?;
    let people = spread(histories, params.max_people);
    let mut vectors = user_factors(&people, als)?;
    let directed = normalise(&mut vectors);
    let (people, vectors) = (people.of_users(&directed), vectors.select(Axis(0), &directed));
    let wanted = ((directed.len() as f64).sqrt() / 2.0).round() as usize;
    let n_segments = wanted.min(params.max_segments).min(directed.len() / params.min_people);
    if n_segments < 2 {
        return Ok(None);
    }
    let (centroids, segments) = cluster(vectors, n_segments, params.min_people, seed)?;
    if centroids.nrows() < 2 {
        return Ok(None);
    }
    let counts = Counts::of(&people, &segments, centroids.nrows(), params, now);
    let mut n_people = vec![0; centroids.nrows()];
    segments.iter().for_each(|&segment| n_people[segment] += 1);
    let (mut indptr, mut items, mut scores) = (vec![0], Vec::new(), Vec::new());
    for segment in 0..centroids.nrows() {
        for (item, score) in counts.best(segment, params) {
            items.push(item);
            scores.push(score);
        }
        indptr.push(items.len());
    }
    Ok(Some(Segments::try_new(centroids, n_people, indptr, items, scores)?))
}

impl SegmentParams {
    /// # Errors
    /// [`FitError::Param`] names the first setting out of range.
    pub fn validate(&self) -> Result<(), FitError> {
        let half_life = self.half_life.map_or(1.0, |half_life| half_life.as_secs_f64());
        let positive = "greater than 0";
        for (name, got, is_fine, rule) in [
            ("min_people", self.min_people as f64, self.min_people > 0, positive),
            ("half_life", half_life, half_life > 0.0, "longer than zero"),
            ("prior", self.prior, self.prior.is_finite() && self.prior >= 0.0, "finite and not negative"),
            ("temper", self.temper, (0.0..=4.0).contains(&self.temper), "between 0 and 4"),
        ] {
            if !is_fine {
                return Err(FitError::Param { name, got, rule });
            }
        }
        Ok(())
    }
}

/// At most so many people who have a history, evenly spread.
fn spread(histories: &Interactions, max: usize) -> Interactions {
    let people: Vec<usize> =
        (0..histories.n_users()).filter(|&user| !histories.items(user).is_empty()).collect();
    let n = people.len().min(max);
    let taken: Vec<usize> = (0..n).map(|at| people[at * people.len() / n]).collect();
    histories.of_users(&taken)
}

/// Brings rows to length 1; gives back those that have a direction.
fn normalise(rows: &mut Array2<f32>) -> Vec<usize> {
    let mut directed = Vec::with_capacity(rows.nrows());
    for (place, mut row) in rows.outer_iter_mut().enumerate() {
        let length = row.dot(&row).sqrt();
        if length.is_finite() && length > 0.0 {
            row /= length;
            directed.push(place);
        }
    }
    directed
}

/// Centroids of length 1 and the segment of every row, none smaller than `min_people` unless it is the last.
fn cluster(
    vectors: Array2<f32>,
    n_segments: usize,
    min_people: usize,
    seed: u64,
) -> Result<(Array2<f32>, Vec<usize>), FitError> {
    let data = DatasetBase::from(vectors);
    let model = KMeans::params_with_rng(n_segments, ChaCha8Rng::seed_from_u64(seed))
        .init_method(KMeansInit::KMeansPlusPlus)
        .n_runs(1)
        .max_n_iterations(MAX_ITERATIONS)
        .tolerance(1e-3)
        .fit(&data)
        .map_err(|e| FitError::Clusters(e.to_string()))?;
    let mut centroids = model.centroids().clone();
    let directed = normalise(&mut centroids);
    let mut centroids = centroids.select(Axis(0), &directed);
    loop {
        // By inner product, as serving does it.
        let products = data.records().dot(&centroids.t());
        let nearest = |row: ArrayView1<'_, f32>| {
            row.iter().enumerate().rev().max_by(|a, b| a.1.total_cmp(b.1)).map_or(0, |(segment, _)| segment)
        };
        let segments: Vec<usize> = products.outer_iter().map(nearest).collect();
        let mut sizes = vec![0; centroids.nrows()];
        segments.iter().for_each(|&segment| sizes[segment] += 1);
        let smallest = (0..sizes.len()).min_by_key(|&segment| sizes[segment]);
        match smallest.filter(|&segment| sizes[segment] < min_people && sizes.len() > 1) {
            None => return Ok((centroids, segments)),
            Some(given_up) => {
                let kept: Vec<usize> = (0..sizes.len()).filter(|&segment| segment != given_up).collect();
                centroids = centroids.select(Axis(0), &kept);
            }
        }
    }
}

/// Faded touches by segment and item.
struct Counts {
    /// `[n_segments, n_items]`.
    by_segment: Array2<f64>,
    /// By item.
    of_all: Array1<f64>,
    total: f64,
}

impl Counts {
    fn of(
        people: &Interactions,
        segments: &[usize],
        n_segments: usize,
        params: &SegmentParams,
        now: Timestamp,
    ) -> Self {
        let mut by_segment = Array2::zeros((n_segments, people.n_items()));
        for (user, &segment) in segments.iter().enumerate() {
            for (item, &time) in people.items(user).iter().zip(people.times(user)) {
                by_segment[[segment, item.row()]] += faded(now, time, params.half_life);
            }
        }
        let of_all = by_segment.sum_axis(Axis(0));
        Self { total: of_all.sum(), by_segment, of_all }
    }

    /// The segment's list, best first, ties by the smaller row.
    fn best(&self, segment: usize, params: &SegmentParams) -> Vec<(ItemIdx, f32)> {
        let own = self.by_segment.row(segment);
        let own_total = own.sum();
        let mut scored: Vec<(ItemIdx, f32)> = own
            .iter()
            .zip(&self.of_all)
            .enumerate()
            .filter(|(_, (touches, _))| **touches > 0.0)
            .map(|(row, (touches, of_all))| {
                let overall = of_all / self.total;
                let share = (touches + params.prior * overall) / (own_total + params.prior);
                (ItemIdx::from_row(row), (share * (share / overall).powf(params.temper)) as f32)
            })
            .filter(|(_, score)| score.is_finite() && *score > 0.0)
            .collect();
        scored.sort_unstable_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        scored.truncate(params.n_items);
        scored
    }
}
