use super::*;
use crate::{Silent, single::PublicData};

/// Users of even numbers like even items, and know all of theirs but one, which is asked about.
fn split() -> Split {
    let liked = |user: u32| (0..10).map(move |n| n * 2 + user % 2);
    let asked = |user: u32| liked(user).nth(user as usize % 10).unwrap();
    let train = (0..40).map(|user| (user, liked(user).filter(|item| *item != asked(user)).collect()));
    let test = (0..40).map(|user| (user, vec![asked(user)]));
    PublicData::FixedSplit { train: train.collect(), test: test.collect() }.test(1).unwrap()
}

#[test]
fn every_model_finds_what_is_plain() {
    let none = serde_json::json!({});
    for model in
        [SingleModel::ItemKnn, SingleModel::TurboCf, SingleModel::Ials, SingleModel::Ease, SingleModel::Slim]
    {
        let report = evaluate_split(&split(), model, &none, 1, false, &Silent).unwrap();
        assert!(report.recall_at_20 > 0.99 && report.ndcg_at_10 > 0.9, "{report:?}");
        let (low, high) = report.intervals["ndcg_at_20"];
        assert!(low <= report.ndcg_at_20 && report.ndcg_at_20 <= high);
    }
    let report = evaluate_split(&split(), SingleModel::Popularity, &none, 1, false, &Silent).unwrap();
    assert!(report.ndcg_at_20 < 0.7, "popularity knows no taste: {report:?}");
    assert_eq!((report.n_users, report.n_items, report.n_train, report.n_test), (40, 20, 360, 40));
}

#[test]
fn a_blend_is_fitted_from_its_parts() {
    let settings = serde_json::json!({ "parts": [
        { "model": "slim", "weight": 1.0 },
        { "model": "ials", "settings": { "n_factors": 4 }, "weight": 0.5 },
    ] });
    let report = evaluate_split(&split(), SingleModel::Blend, &settings, 1, false, &Silent).unwrap();
    assert_eq!(report.model, "blend");
    assert!(report.recall_at_20 > 0.99 && report.ndcg_at_10 > 0.9, "{report:?}");
    assert_eq!(report.settings["parts"][1]["settings"]["n_factors"], 4);
    assert_eq!(report.settings["parts"][0]["settings"]["n_candidates"], 100, "all settings are told");
    let refused = |settings| {
        let report = evaluate_split(&split(), SingleModel::Blend, &settings, 1, false, &Silent);
        format!("{:#}", report.unwrap_err())
    };
    assert_eq!(refused(serde_json::json!({})), "a blend needs a model");
    let unknown = serde_json::json!({ "parts": [{ "model": "magic", "weight": 1.0 }] });
    assert!(refused(unknown).contains("magic"));
}

#[test]
fn models_of_one_form_have_names_of_their_own() {
    let name = |model, settings| evaluate_split(&split(), model, &settings, 1, false, &Silent).unwrap().model;
    let none = || serde_json::json!({});
    assert_eq!(name(SingleModel::ItemKnn, none()), "item-knn");
    assert_eq!(name(SingleModel::TurboCf, none()), "turbo-cf");
    assert_eq!(name(SingleModel::Ease, none()), "ease");
    assert_eq!(name(SingleModel::Ease, serde_json::json!({ "dropout": 0.5 })), "edlae");
}

#[test]
fn settings_replace_defaults_and_unknown_ones_are_refused() {
    let fit = |settings: Value| {
        let report = evaluate_split(&split(), SingleModel::Ials, &settings, 1, false, &Silent);
        report.map_err(|e| format!("{e:#}"))
    };
    let report = fit(serde_json::json!({ "n_factors": 4 })).unwrap();
    assert_eq!((report.model.as_str(), &report.settings["n_factors"]), ("ials-4", &Value::from(4)));
    let refused = fit(serde_json::json!({ "n_faktors": 4 })).unwrap_err();
    assert!(refused.contains("does not take these settings") && refused.contains("n_faktors"), "{refused}");
    assert!(fit(Value::from(3)).unwrap_err().starts_with("settings are an object"));
}
