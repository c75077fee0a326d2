use super::*;
use crate::single::{Lists, PublicData};

/// Two kinds of people, each with its own twenty items, of which everybody knows ten by chance and is asked about four others.
fn split() -> Split {
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let (mut train, mut test) = (Lists::new(), Lists::new());
    for user in 0..400 {
        let mut items: Vec<u32> = (0..20).map(|n| 20 * (user % 2) + n).collect();
        items.shuffle(&mut rng);
        test.insert(user, items[10..14].to_vec());
        items.truncate(10);
        train.insert(user, items);
    }
    PublicData::FixedSplit { train, test }.test(1).unwrap()
}

#[test]
fn items_that_are_touched_together_are_neighbours_on_the_map() {
    let map = item_map(&split().train, 1).unwrap();
    assert_eq!(map.len(), 40);
    let middle = |kind: u32| {
        let of_kind: Vec<_> = map.iter().filter(|point| point.item / 20 == kind).collect();
        let mean = |value: fn(&MapPoint) -> f64| {
            of_kind.iter().map(|p| value(p)).sum::<f64>() / of_kind.len() as f64
        };
        (mean(|p| p.x), mean(|p| p.y))
    };
    let (one, other) = (middle(0), middle(1));
    let is_misplaced = |point: &&MapPoint| {
        let far = |(x, y): (f64, f64)| (point.x - x).hypot(point.y - y);
        let (own, foreign) = if point.item < 20 { (one, other) } else { (other, one) };
        far(own) >= far(foreign)
    };
    // Two axes do not tell all; by chance twenty would be misplaced.
    let n_misplaced = map.iter().filter(is_misplaced).count();
    assert!(n_misplaced <= 6, "{n_misplaced} items lie among the others");
}

#[test]
fn the_curve_grows_with_the_users_and_ends_with_the_last_fit() {
    let split = split();
    let last = LearningPoint { share: 1.0, n_pairs: split.train.len(), ndcg_at_20: 0.5 };
    let curve = learning_curve(&split, SingleModel::ItemKnn, &Value::Null, 1, last, &Silent).unwrap();
    let pairs: Vec<_> = curve.iter().map(|point| point.n_pairs).collect();
    assert_eq!(pairs, [400, 1_000, 2_000, 3_000, 4_000]);
    assert_eq!(curve.last(), Some(&last));
    assert!(curve[0].ndcg_at_20 > 0.0 && curve[0].ndcg_at_20 <= curve[3].ndcg_at_20);
}

/// Beside all eigenvectors of the covariance.
#[test]
fn the_main_axes_hold_the_most_variance() {
    let factors =
        fit_als(&split().train, &AlsParams { n_factors: 5, ..AlsParams::default() }, 1, &|_, _| {}).unwrap();
    let rows = factors.item_factors().mapv(f64::from);
    let centred = &rows - &rows.mean_axis(Axis(0)).unwrap();
    let covariance = centred.t().dot(&centred);
    let all = waggle_models::linalg::symmetric_eigen(covariance.as_slice().unwrap(), 5).unwrap().values;
    let places = principal_axes(rows).unwrap();
    let held: Vec<f64> = places.axis_iter(Axis(1)).map(|axis| axis.dot(&axis)).collect();
    // They are found by iteration, to a thousandth or so.
    let is_near = |held: f64, value: f64| (held - value).abs() < 5e-3 * all[4];
    assert!(is_near(held[0], all[4]) && is_near(held[1], all[3]), "{held:?}, not of {all:?}");
}
