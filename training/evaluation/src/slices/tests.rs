use waggle_model::{Scored, Timestamp};
use waggle_models::{HistoryEntry, Query, RecommendError, Recommender};

use super::*;
use crate::evaluate;

/// Everybody is recommended items 0 and 1.
struct TwoItems;

impl Recommender for TwoItems {
    fn name(&self) -> &str {
        "two items"
    }

    fn recommend(&self, _: &Query<'_>, k: usize) -> Result<Vec<Scored>, RecommendError> {
        Ok([0, 1].into_iter().take(k).map(|row| Scored { item: ItemIdx(row), score: 1.0 }).collect())
    }
}

fn case(n_known: usize, truth: &[u32]) -> Case {
    let entry = HistoryEntry { item: ItemIdx(9), weight: 1.0, time: Timestamp::default() };
    Case {
        person: None,
        history: vec![entry; n_known],
        truth: truth.iter().copied().map(ItemIdx).collect(),
        exclude: Vec::new(),
        now: Timestamp::default(),
    }
}

fn shown(slices: &[Slice]) -> Vec<(&str, usize, f64)> {
    slices.iter().map(|s| (s.name.as_str(), s.n_cases, s.metrics["recall_of_truth@2"].value)).collect()
}

#[test]
fn people_are_grouped_by_what_is_known_of_them() {
    let cases = [
        case(1, &[0]),
        case(7, &[5]),
        case(9, &[]),
        case(1, &[4]),
        case(1, &[0, 1]),
        case(3, &[1, 6]),
        case(8, &[0]),
    ];
    let evaluation = evaluate(&TwoItems, &cases, &[2], 10).unwrap();
    let slices = by_activity(&evaluation, &cases, 3, &Bootstrap::default()).unwrap();
    // The three with one item stay together, and the one without a truth is nowhere.
    assert_eq!(
        shown(&slices),
        [
            ("0 to 1 known items", 3, 2.0 / 3.0),
            ("2 to 3 known items", 1, 0.5),
            ("4 to 8 known items", 2, 0.5)
        ]
    );
}

#[test]
fn cold_items_are_judged_as_if_nothing_else_had_been_chosen() {
    let cases = [case(1, &[0, 1]), case(1, &[1]), case(1, &[0, 3]), case(1, &[30])];
    let counts = [2, 50, 50, 5, 6];
    let evaluation = evaluate(&TwoItems, &cases, &[2], 10).unwrap();
    let slices = by_item_age(&evaluation, &cases, &counts, &Bootstrap::default()).unwrap();
    // Items 0 and 3 are cold, and 30, which nobody knew.
    assert_eq!(
        shown(&slices),
        [("items that at most 5 touched", 3, 0.5), ("items that more than 5 touched", 2, 1.0)]
    );
}
