use super::*;
use crate::HistoryEntry;

const DAY_MS: i64 = 86_400_000;

fn on_day(day: i64) -> Timestamp {
    Timestamp::from_millis(day * DAY_MS)
}

fn list(
    model: &dyn Recommender,
    history: &[HistoryEntry],
    exclude: &[ItemIdx],
    day: i64,
    k: usize,
) -> Vec<u32> {
    let query = Query { history, exclude, now: on_day(day), person: None };
    let list = model.recommend(&query, k).unwrap();
    assert!(list.windows(2).all(|pair| pair[0].score >= pair[1].score), "scores fall: {list:?}");
    list.into_iter().map(|scored| scored.item.0).collect()
}

#[test]
fn the_most_popular_come_first_and_ties_by_row() {
    let popularity = Popularity::try_new(vec![1.0, 5.0, 1.0, 0.0]).unwrap();
    assert_eq!(list(&popularity, &[], &[], 0, 10), [1, 0, 2, 3]);
    assert_eq!(list(&popularity, &[], &[ItemIdx(1)], 0, 2), [0, 2]);
}

#[test]
fn impossible_popularities_are_refused() {
    for bad in [f32::NAN, f32::INFINITY, -1.0] {
        assert!(matches!(Popularity::try_new(vec![1.0, bad]), Err(PopularityError::Score { row: 1, .. })));
    }
    assert!(PopularityInLastDays::try_new(2, 7, [(ItemIdx(2), on_day(0))]).is_err());
}

#[test]
fn only_the_last_days_before_now_count_and_all_time_pads() {
    let touches = [(0, 1), (0, 1), (0, 1), (1, 10), (2, 10), (2, 11), (1, 14), (1, 14)];
    let model =
        PopularityInLastDays::try_new(4, 7, touches.map(|(item, day)| (ItemIdx(item), on_day(day)))).unwrap();
    // On day 14 the two touches of that very moment are not in the past yet.
    assert_eq!(list(&model, &[], &[], 14, 4), [2, 1, 0, 3]);
    assert_eq!(list(&model, &[], &[ItemIdx(0)], 14, 3), [2, 1, 3]);
    assert_eq!(list(&model, &[], &[], 15, 1), [1]);
}

#[test]
fn repeats_come_latest_first_then_heavier_then_by_row_then_popular() {
    let model = RepeatLastPurchases::new(Popularity::try_new(vec![9.0, 1.0, 2.0, 100.0, 8.0, 0.0]).unwrap());
    let entry = |item, weight, day| HistoryEntry { item: ItemIdx(item), weight, time: on_day(day) };
    let history = [entry(1, 1.0, 1), entry(2, 1.0, 5), entry(5, 3.0, 5), entry(0, 1.0, 5)];
    assert_eq!(list(&model, &history, &[], 9, 6), [5, 0, 2, 1, 3, 4]);
    assert_eq!(list(&model, &history, &[ItemIdx(5)], 9, 2), [0, 2]);
    assert_eq!(list(&model, &[], &[], 9, 2), [3, 0]);
}
