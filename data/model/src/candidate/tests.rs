use proptest::prelude::*;

use super::*;

fn scored(item: u32, score: f32) -> Scored {
    Scored { item: ItemIdx(item), score }
}

#[track_caller]
fn check_order(mut given: Vec<Scored>, expected: &[u32]) {
    given.sort_by(Scored::best_first);
    assert_eq!(given.iter().map(|s| s.item.0).collect::<Vec<_>>(), expected);
}

#[test]
fn the_highest_score_comes_first() {
    check_order(vec![scored(1, 0.5), scored(2, 2.0), scored(3, -1.0)], &[2, 1, 3]);
}

#[test]
fn equal_scores_go_by_the_smaller_index() {
    check_order(vec![scored(9, 1.0), scored(2, 1.0), scored(5, 1.0)], &[2, 5, 9]);
}

#[test]
fn infinities_have_their_place_and_minus_zero_is_below_zero() {
    let given = vec![scored(1, f32::NEG_INFINITY), scored(2, -0.0), scored(3, f32::INFINITY), scored(4, 0.0)];
    check_order(given, &[3, 4, 2, 1]);
}

#[test]
fn the_place_of_a_source_in_all_is_its_discriminant() {
    for (place, source) in CandidateSource::ALL.into_iter().enumerate() {
        assert_eq!(source as usize, place, "{source:?}");
    }
}

#[test]
fn a_source_is_written_as_its_name() {
    for source in CandidateSource::ALL {
        assert_eq!(serde_json::to_string(&source).unwrap(), format!("\"{}\"", source.as_str()));
    }
}

proptest! {
    /// Sorting with an order that contradicts itself may panic or depend on where an item started.
    #[test]
    fn the_order_is_total_whatever_the_scores(bits in proptest::collection::vec(any::<u32>(), 0..60)) {
        let given: Vec<_> = (0_u32..).zip(&bits).map(|(i, b)| scored(i, f32::from_bits(*b))).collect();
        let mut forwards = given.clone();
        let mut backwards: Vec<_> = given.into_iter().rev().collect();
        forwards.sort_by(Scored::best_first);
        backwards.sort_by(Scored::best_first);
        let items = |list: &[Scored]| list.iter().map(|s| s.item).collect::<Vec<_>>();
        prop_assert_eq!(items(&forwards), items(&backwards));
    }
}
