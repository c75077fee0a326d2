use ndarray::array;
use waggle_model::Timestamp;

use super::*;
use crate::{HistoryEntry, Recommender};

/// Item 0 speaks for 1 and against 2, item 1 for 2, item 2 for nothing.
fn sparse() -> SparseWeights {
    SparseWeights::try_new(vec![0, 2, 3, 3], vec![ItemIdx(1), ItemIdx(2), ItemIdx(2)], vec![0.5, -0.25, 1.0])
        .unwrap()
}

fn dense() -> Array2<f32> {
    array![[0.0, 0.5, -0.25], [0.0, 0.0, 1.0], [0.0, 0.0, 0.0]]
}

fn scores(model: &LinearAutoencoder, history: &[(u32, f32)]) -> Vec<f32> {
    let entry =
        |&(item, weight)| HistoryEntry { item: ItemIdx(item), weight, time: Timestamp::from_millis(0) };
    let history: Vec<HistoryEntry> = history.iter().map(entry).collect();
    let query = Query { history: &history, exclude: &[], now: Timestamp::from_millis(0), person: None };
    let mut scores = vec![7.0; 3];
    model.score_items(&query, &mut scores).unwrap();
    scores
}

#[test]
fn scores_are_the_history_times_the_weights() {
    for weights in [ItemWeights::Sparse(sparse()), ItemWeights::Dense(dense())] {
        let model = LinearAutoencoder::try_new("ease", weights, LinearScoring::default()).unwrap();
        assert_eq!(scores(&model, &[(0, 2.0), (1, 1.0)]), [0.0, 1.0, 0.5]);
        assert_eq!(scores(&model, &[]), [f32::NEG_INFINITY; 3], "nobody known, no opinion");
    }
}

#[test]
fn what_many_items_followed_counts_less() {
    let scoring = LinearScoring { steps: Some(2.0) };
    let model = LinearAutoencoder::try_new("slist", ItemWeights::Sparse(sparse()), scoring).unwrap();
    let faded = (-0.5_f32).exp();
    assert_eq!(scores(&model, &[(0, 1.0), (1, 1.0)]), [0.0, 0.5 * faded, 1.0 - 0.25 * faded]);
}

#[test]
fn an_item_outside_is_an_error() {
    let model =
        LinearAutoencoder::try_new("ease", ItemWeights::Dense(dense()), LinearScoring::default()).unwrap();
    let entry = HistoryEntry { item: ItemIdx(3), weight: 1.0, time: Timestamp::from_millis(0) };
    let query = Query { history: &[entry], exclude: &[], now: Timestamp::from_millis(0), person: None };
    assert!(matches!(model.recommend(&query, 1), Err(RecommendError::UnknownItem { row: 3, n_items: 3 })));
}

#[test]
fn arrays_that_are_no_weights_are_refused() {
    let sparse = |indptr: &[usize], targets: &[u32], weights: &[f32]| {
        let targets = targets.iter().copied().map(ItemIdx).collect();
        SparseWeights::try_new(indptr.to_vec(), targets, weights.to_vec()).unwrap_err()
    };
    assert_eq!(sparse(&[0, 1], &[0], &[]), LinearError::Lengths { n_targets: 1, n_weights: 0 });
    assert_eq!(sparse(&[1, 1], &[0], &[1.0]), LinearError::Pointers { at: 0, n_entries: 1 });
    assert_eq!(sparse(&[0, 2, 1], &[0], &[1.0]), LinearError::Pointers { at: 1, n_entries: 1 });
    assert_eq!(sparse(&[0, 0], &[0], &[1.0]), LinearError::Pointers { at: 1, n_entries: 1 });
    assert_eq!(sparse(&[0, 1], &[1], &[1.0]), LinearError::Targets { of: 0, n_items: 1 });
    assert_eq!(sparse(&[0, 2, 2], &[1, 1], &[1.0, 1.0]), LinearError::Targets { of: 0, n_items: 2 });
    assert!(matches!(sparse(&[0, 1], &[0], &[f32::NAN]), LinearError::Weight { of: 0, .. }));

    let model = |weights, steps| {
        LinearAutoencoder::try_new("ease", ItemWeights::Dense(weights), LinearScoring { steps }).unwrap_err()
    };
    assert_eq!(model(array![[0.0, 1.0]], None), LinearError::Shape { rows: 1, columns: 2 });
    assert_eq!(model(array![[f32::INFINITY]], None), LinearError::Weight { of: 0, got: f32::INFINITY });
    assert_eq!(model(array![[0.0]], Some(0.0)), LinearError::Steps(0.0));
}
