use super::*;

fn lists(lists: &[&[u32]]) -> Vec<Vec<ItemIdx>> {
    lists.iter().map(|list| list.iter().copied().map(ItemIdx).collect()).collect()
}

/// Twenty items, touched by 40, 38, 36 … 2 users of 64, but for the last one, which nobody touched.
fn counts() -> Vec<usize> {
    (0..20).map(|row| if row == 19 { 0 } else { 40 - 2 * row }).collect()
}

#[test]
fn novelty_is_in_bits_and_untouched_items_are_as_if_one_had() {
    let touched = Touched { counts: &counts(), n_users: 64 };
    // 4 of 64 touched item 18, 8 of 64 item 16; nobody item 19.
    assert_eq!(touched.novelty(&lists(&[&[16]]), 1), Some(3.0));
    assert_eq!(touched.novelty(&lists(&[&[18, 16], &[19]]), 2), Some((4.0 + 3.0 + 6.0) / 3.0));
    assert_eq!(touched.novelty(&lists(&[&[18, 16]]), 1), Some(4.0));
    assert_eq!(touched.novelty(&lists(&[&[], &[]]), 5), None);
}

#[test]
fn the_head_is_the_most_touched_tenth() {
    let touched = Touched { counts: &counts(), n_users: 64 };
    assert_eq!(touched.popularity_share(&lists(&[&[0, 1, 2, 3], &[1]]), 4), Some(0.6));
    assert_eq!(touched.popularity_share(&lists(&[&[2, 19]]), 4), Some(0.0));
    // A row that was not there when it was learned is no head.
    assert_eq!(touched.popularity_share(&lists(&[&[99]]), 4), Some(0.0));
}

#[test]
fn the_curve_of_the_tail_begins_at_nothing_and_ends_at_all() {
    let touched = Touched { counts: &[5, 90, 5, 0], n_users: 100 };
    let points = touched.long_tail(&lists(&[&[1, 0], &[3]]), 2, 4);
    let shares: Vec<_> = points.iter().map(|p| (p.of_items, p.of_touched, p.of_recommended)).collect();
    let third = 1.0 / 3.0;
    assert_eq!(
        shares,
        [
            (0.0, 0.0, 0.0),
            (0.25, 0.9, third),
            (0.5, 0.95, 2.0 * third),
            (0.75, 1.0, 2.0 * third),
            (1.0, 1.0, 1.0)
        ]
    );
}
