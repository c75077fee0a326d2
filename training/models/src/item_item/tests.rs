use waggle_model::Timestamp;

use super::*;
use crate::HistoryEntry;
use crate::Recommender;

fn items(rows: &[u32]) -> Vec<ItemIdx> {
    rows.iter().map(|&row| ItemIdx(row)).collect()
}

fn model(half_life: Option<Duration>) -> ItemItem {
    let similarities = vec![0.5, 0.25, 0.5];
    ItemItem::try_new(vec![0, 2, 3, 3], items(&[1, 2, 2]), similarities, ItemItemScoring { half_life })
        .unwrap()
}

fn recommend(model: &ItemItem, history: &[(u32, f32, u64)], exclude: &[u32]) -> Vec<(u32, f32)> {
    let now = Timestamp::from_millis(1_000_000);
    let history: Vec<HistoryEntry> = history
        .iter()
        .map(|&(item, weight, age_s)| HistoryEntry {
            item: ItemIdx(item),
            weight,
            time: now - Duration::from_secs(age_s),
        })
        .collect();
    let query = Query { history: &history, exclude: &items(exclude), now, person: None };
    model.recommend(&query, 10).unwrap().into_iter().map(|scored| (scored.item.0, scored.score)).collect()
}

#[test]
fn neighbours_of_the_history_are_summed_with_its_weights() {
    assert_eq!(recommend(&model(None), &[(0, 2.0, 0), (1, 1.0, 500)], &[]), [(1, 1.0), (2, 1.0)]);
    assert_eq!(recommend(&model(None), &[(0, 2.0, 0), (1, 1.0, 500)], &[1]), [(2, 1.0)]);
}

#[test]
fn an_item_one_half_life_ago_counts_half() {
    let model = model(Some(Duration::from_secs(100)));
    assert_eq!(recommend(&model, &[(0, 2.0, 100), (1, 1.0, 200)], &[]), [(1, 0.5), (2, 0.375)]);
}

#[test]
fn without_history_or_neighbours_there_is_no_opinion() {
    assert!(recommend(&model(None), &[], &[]).is_empty());
    assert!(recommend(&model(None), &[(2, 1.0, 0)], &[]).is_empty());
    assert_eq!(model(None).neighbours(ItemIdx(99)), (&[][..], &[][..]));
}

#[test]
fn damaged_arrays_are_refused() {
    let check = |indptr: &[usize], neighbours: &[u32], similarities: &[f32], expected: &str| {
        let got = ItemItem::try_new(
            indptr.to_vec(),
            items(neighbours),
            similarities.to_vec(),
            ItemItemScoring::default(),
        );
        let error = got.unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    };
    check(&[0, 2, 1, 2], &[1, 2], &[0.5, 0.4], "row pointers");
    check(&[1, 2], &[1, 2], &[0.5, 0.4], "row pointers");
    check(&[0, 3], &[1, 2], &[0.5, 0.4], "row pointers");
    check(&[], &[], &[], "row pointers");
    check(&[0, 1, 1], &[2], &[0.5], "outside the 2 items");
    check(&[0, 1, 1], &[1], &[f32::NAN], "similarity");
    check(&[0, 1, 1], &[1], &[0.0], "similarity");
    check(&[0, 1, 1], &[0], &[0.5], "the item itself");
    check(&[0, 2, 2, 2], &[1, 2], &[0.4, 0.5], "best first");
    check(&[0, 2, 2], &[1, 1], &[0.5, 0.5], "repeated");
    check(&[0, 1, 1], &[1], &[], "have 0 similarities");
}
