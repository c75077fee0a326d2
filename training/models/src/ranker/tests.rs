use super::*;

fn ranker() -> Ranker {
    let n = FEATURES.len();
    Ranker {
        feature_names: FEATURES.iter().map(|feature| feature.name.to_owned()).collect(),
        means: vec![1.0; n],
        scales: vec![2.0; n],
        weights: (0..n).map(|place| place as f32 / 10.0).collect(),
        intercept: -3.0,
    }
}

#[test]
fn the_score_is_the_intercept_plus_all_contributions() {
    let values: Vec<f32> = (0..FEATURES.len()).map(|place| (place as f32).sin()).collect();
    let mut contributions = vec![0.0; values.len()];
    ranker().contributions(&values, &mut contributions);
    let expected = -3.0 + contributions.iter().sum::<f32>();
    assert!((ranker().score(&values) - expected).abs() < 1e-3);
    // Weight 0.2, value 5: 0.2 · (5 − 1)/2.
    let mut fives = vec![5.0; values.len()];
    ranker().contributions(&fives, &mut contributions);
    assert!((contributions[2] - 0.4).abs() < 1e-6);
    fives.fill(1.0);
    assert!((ranker().score(&fives) + 3.0).abs() < 1e-6);
}

#[test]
fn a_ranker_of_this_build_is_valid_and_survives_json_bit_for_bit() {
    assert_eq!(ranker().validate(), Ok(()));
    let json = serde_json::to_vec(&ranker()).unwrap();
    assert_eq!(serde_json::from_slice::<Ranker>(&json).unwrap(), ranker());
}

#[test]
fn features_newer_than_the_ranker_weigh_nothing() {
    let mut older = ranker();
    for list in [&mut older.means, &mut older.scales, &mut older.weights] {
        list.remove(3);
    }
    older.feature_names.remove(3);
    assert!(older.validate().is_err());
    let completed = older.with_newer_features();
    assert_eq!(completed.validate(), Ok(()));
    let mut values = vec![0.5; FEATURES.len()];
    let mut contributions = vec![0.0; FEATURES.len()];
    let score = completed.score(&values);
    values[3] = 7.0;
    assert_eq!(completed.score(&values).to_bits(), score.to_bits());
    completed.contributions(&values, &mut contributions);
    assert!((contributions[4] - 0.4 * (0.5 - 1.0) / 2.0).abs() < 1e-6);
    assert_eq!(ranker().with_newer_features(), ranker());
}

#[test]
fn a_ranker_of_a_newer_build_stays_as_it_is() {
    let mut newer = ranker();
    newer.feature_names[1] = "luck".to_owned();
    assert_eq!(newer.clone().with_newer_features(), newer);
}

#[track_caller]
fn check_refused(change: impl FnOnce(&mut Ranker), expected: &str) {
    let mut changed = ranker();
    change(&mut changed);
    assert_eq!(changed.validate().unwrap_err().to_string(), expected);
}

#[test]
fn a_ranker_of_another_build_or_with_unusable_numbers_is_refused_with_the_reason() {
    let name = FEATURES[1].name;
    check_refused(
        |ranker| ranker.feature_names[1] = "luck".to_owned(),
        &format!("feature 1 of the ranker is \"luck\", this build computes \"{name}\" there"),
    );
    check_refused(
        |ranker| ranker.scales[1] = 0.0,
        &format!("scale of feature \"{name}\" is 0, it must be finite and greater than 0"),
    );
    check_refused(
        |ranker| ranker.weights[1] = f32::NAN,
        &format!("weight of feature \"{name}\" is NaN, it must be finite"),
    );
    check_refused(
        |ranker| ranker.intercept = f32::INFINITY,
        "intercept of the ranker is inf, it must be finite",
    );
    check_refused(
        |ranker| ranker.means.truncate(FEATURES.len() - 1),
        &format!("ranker has {} means, it has {} features", FEATURES.len() - 1, FEATURES.len()),
    );
}
