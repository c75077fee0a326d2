//! Vectors to search: of a snapshot, or simulated like those of a matrix factorisation.

use std::collections::BTreeSet;

use anyhow::Result;
use ndarray::{Array2, s};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use waggle_model::{ItemIdx, Timestamp};
use waggle_models::{Als, AlsParams, HistoryEntry, Snapshot};

/// What is searched, and with what.
pub(super) struct Vectors {
    /// For people, and for the name of the folder.
    pub(super) name: String,
    /// `[n_items, n_factors]`.
    pub(super) items: Array2<f32>,
    /// `[n_queries, n_factors]`.
    pub(super) queries: Array2<f32>,
}

/// Groups of items that are alike.
const N_TASTES: usize = 200;
/// Longest history.
const MAX_HISTORY: usize = 30;

impl Vectors {
    /// A snapshot's items, and the people its index is measured with.
    pub(super) fn of_snapshot(snapshot: &Snapshot, n_queries: usize) -> Self {
        let n = n_queries.min(snapshot.sample_queries.nrows());
        Self {
            name: format!("snapshot-{}", snapshot.manifest.version),
            items: snapshot.als.item_factors().to_owned(),
            queries: snapshot.sample_queries.slice(s![..n, ..]).to_owned(),
        }
    }

    /// Items lie around the centres of tastes, in a space whose dimensions matter less and less, with log-normal norms
    /// (1st percentile 0.29, median 0.82, 99th 2.3). A person likes three tastes, and long vectors more than short ones;
    /// their history of up to 30 items is folded in, as serving does.
    pub(super) fn simulated(n_items: usize, n_factors: usize, n_queries: usize, seed: u64) -> Result<Self> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let spectrum: Vec<f32> = (0..n_factors).map(|f| (1.0 + f as f32 / 8.0).sqrt().recip()).collect();
        let centres = Array2::from_shape_fn((N_TASTES, n_factors), |(_, f)| normal(&mut rng) * spectrum[f]);
        let mut of_taste = vec![Vec::new(); N_TASTES];
        let mut norms = Vec::with_capacity(n_items);
        let mut items = Array2::zeros((n_items, n_factors));
        for (row, mut item) in items.outer_iter_mut().enumerate() {
            let taste = popular(&mut rng, N_TASTES);
            of_taste[taste].push(row);
            for (f, x) in item.iter_mut().enumerate() {
                *x = 0.7 * centres[[taste, f]] + normal(&mut rng) * spectrum[f];
            }
            let norm = 0.82 * (0.45 * normal(&mut rng)).exp();
            item *= norm / item.dot(&item).sqrt().max(f32::MIN_POSITIVE);
            norms.push(norm);
        }
        of_taste.retain(|rows| !rows.is_empty());

        let als = Als::try_new(items.clone(), AlsParams { n_factors, ..AlsParams::default() })?;
        let mut queries = Array2::zeros((n_queries, n_factors));
        let mut out = vec![0.0; n_factors];
        for mut query in queries.outer_iter_mut() {
            let liked: [usize; 3] = std::array::from_fn(|_| popular(&mut rng, of_taste.len()));
            let n = rng.gen_range(1..=MAX_HISTORY.min(n_items));
            let history: BTreeSet<usize> =
                (0..n).map(|_| touched(&mut rng, &of_taste, liked, &norms)).collect();
            let entry = |row| HistoryEntry {
                item: ItemIdx::from_row(row),
                weight: 1.0,
                time: Timestamp::from_millis(0),
            };
            als.fold_in(&history.into_iter().map(entry).collect::<Vec<_>>(), &mut out)?;
            query.assign(&ndarray::ArrayView1::from(&out));
        }
        Ok(Self { name: format!("simulated-{n_items}x{n_factors}-{n_queries}-{seed}"), items, queries })
    }
}

/// The item with the longest vector of five that the person meets.
fn touched(rng: &mut ChaCha8Rng, of_taste: &[Vec<usize>], liked: [usize; 3], norms: &[f32]) -> usize {
    let mut met = || {
        if rng.gen_bool(0.8) {
            let rows = &of_taste[liked[rng.gen_range(0..liked.len())]];
            rows[rng.gen_range(0..rows.len())]
        } else {
            rng.gen_range(0..norms.len())
        }
    };
    (1..5).fold(met(), |best, _| {
        let other = met();
        if norms[other] > norms[best] { other } else { best }
    })
}

/// One of `n`, the first ones more often.
fn popular(rng: &mut ChaCha8Rng, n: usize) -> usize {
    let place: f64 = rng.r#gen();
    ((place * place * n as f64) as usize).min(n - 1)
}

fn normal(rng: &mut ChaCha8Rng) -> f32 {
    StandardNormal.sample(rng)
}
