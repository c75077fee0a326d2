use std::collections::BTreeSet;

use waggle_model::ItemId;

use super::*;

fn found(scores: &[f32]) -> SearchResponse {
    let item = |n: usize| Arc::new(Item::new(ItemId::try_new(n.to_string()).unwrap(), "thing"));
    SearchResponse {
        n_matches: scores.len(),
        is_partial: false,
        is_corrected: false,
        items: scores.iter().enumerate().map(|(n, score)| (item(n), *score)).collect(),
        best_score: scores.iter().copied().fold(0.0, f32::max),
        facets: BTreeMap::new(),
        terms: BTreeSet::new(),
    }
}

/// Ids in the order that text and taste make of it.
fn order(scores: &[f32], places: &[f32]) -> Vec<String> {
    let mut found = found(scores);
    mix(&mut found, places);
    found.items.iter().map(|(item, _)| item.item_id.to_string()).collect()
}

#[test]
fn taste_decides_between_what_fits_alike() {
    assert_eq!(order(&[4.0, 4.0, 4.0], &[0.0, 0.5, 1.0]), ["2", "1", "0"]);
    assert_eq!(order(&[0.0, 0.0], &[0.0, 1.0]), ["1", "0"], "nothing was looked for");
}

#[test]
fn taste_moves_an_item_past_what_fits_up_to_twice_as_well_and_no_further() {
    assert_eq!(order(&[4.0, 2.1], &[0.0, 1.0]), ["1", "0"]);
    assert_eq!(order(&[4.0, 1.9], &[0.0, 1.0]), ["0", "1"]);
}

#[test]
fn what_is_behind_the_window_stays_there_on_the_same_scale() {
    let mut found = found(&[4.0, 3.0, 2.0, 1.0]);
    mix(&mut found, &[0.0, 1.0]);
    let scores: Vec<f32> = found.items.iter().map(|(_, score)| *score).collect();
    assert_eq!(scores, [1.5, 1.0, 0.5, 0.25]);
}
