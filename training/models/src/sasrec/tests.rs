use rand::SeedableRng as _;
use waggle_model::{ItemIdx, Timestamp};

use super::*;
use crate::{HistoryEntry, Recommender as _};

const N_ITEMS: usize = 7;

fn model(n_blocks: usize) -> SasRec {
    let mut rng = ChaCha8Rng::seed_from_u64(42);
    SasRec::try_new(SasRecWeights::initial(N_ITEMS, 3, 4, n_blocks, &mut rng)).unwrap()
}

fn history(items: &[u32]) -> Vec<HistoryEntry> {
    items
        .iter()
        .map(|item| HistoryEntry { item: ItemIdx(*item), weight: 1.0, time: Timestamp::default() })
        .collect()
}

fn vector(model: &SasRec, items: &[u32]) -> Option<Array1<f32>> {
    let history = history(items);
    let query = Query { history: &history, exclude: &[], now: Timestamp::default(), person: None };
    model.vector(&query).unwrap()
}

#[test]
fn without_blocks_the_vector_is_the_norm_of_the_newest_item() {
    let model = model(0);
    let vector = vector(&model, &[1, 5]).unwrap();
    let item = model.weights().items.row(5);
    let mean = item.sum() / 4.0;
    let variance = item.iter().map(|x| (x - mean).powi(2)).sum::<f32>() / 4.0;
    for (got, x) in vector.iter().zip(item) {
        assert!((got - (x - mean) / (variance + 1e-5).sqrt()).abs() < 1e-6);
    }
}

#[test]
fn the_order_counts_and_what_has_no_place_does_not() {
    let model = model(2);
    let mut with_places = model.weights().clone();
    with_places.places[[1, 0]] = 1.0;
    let model = SasRec::try_new(with_places).unwrap();
    assert_ne!(vector(&model, &[1, 2, 3]), vector(&model, &[2, 1, 3]));
    assert_eq!(vector(&model, &[6, 1, 2, 3]), vector(&model, &[1, 2, 3]));
    assert_eq!(vector(&model, &[]), None);
}

#[test]
fn several_people_get_what_each_would_get_alone() {
    let model = model(1);
    let histories = [history(&[0, 1]), history(&[]), history(&[4, 3, 2, 6])];
    let queries: Vec<Query<'_>> = histories
        .iter()
        .map(|history| Query { history, exclude: &[], now: Timestamp::default(), person: None })
        .collect();
    let mut all = vec![0.0; 3 * N_ITEMS];
    model.score_items_for_all(&queries, &mut all).unwrap();
    for (query, together) in queries.iter().zip(all.chunks(N_ITEMS)) {
        let mut alone = vec![0.0; N_ITEMS];
        model.score_items(query, &mut alone).unwrap();
        let is_same = |(a, b): (&f32, &f32)| a.is_infinite() && b.is_infinite() || (a - b).abs() < 1e-6;
        assert!(alone.iter().zip(together).all(is_same));
    }
    assert!(model.recommend(&queries[1], 3).unwrap().is_empty());
}

#[test]
fn what_is_no_model_is_refused() {
    let good = model(1).weights().clone();
    let mut broken = good.clone();
    broken.blocks[0].feed_in[[0, 0]] = f32::NAN;
    assert_eq!(SasRec::try_new(broken), Err(SasRecError::NotFinite));
    let mut broken = good.clone();
    broken.items[[3, 2]] = f32::INFINITY;
    assert_eq!(SasRec::try_new(broken), Err(SasRecError::NotFinite));
    let mut broken = good;
    broken.places = Array2::zeros((3, 5));
    assert_eq!(SasRec::try_new(broken), Err(SasRecError::Shape));

    let model = model(1);
    let unknown = history(&[7]);
    let query = Query { history: &unknown, exclude: &[], now: Timestamp::default(), person: None };
    assert!(matches!(model.vector(&query), Err(RecommendError::UnknownItem { row: 7, n_items: 7 })));
}
