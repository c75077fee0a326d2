use serde_json::json;

use super::*;
use crate::single::Lists;

/// Two tastes, ten items each, and an item that everybody has.
fn data() -> PublicData {
    let list =
        |user: u32| (0..10).filter(move |n| !(n + user / 2).is_multiple_of(4)).map(move |n| n * 2 + user % 2);
    let train: Lists = (0..60).map(|user| (user, list(user).chain([20]).collect())).collect();
    let test = (0..60).map(|user| (user, vec![(user / 2 * 3 % 10) * 2 + user % 2])).collect();
    PublicData::FixedSplit { train, test }
}

fn params(seconds: f64) -> TuneParams {
    TuneParams { budget: Duration::from_secs_f64(seconds), seed: 3 }
}

fn search(
    model: Option<SingleModel>,
    start: Value,
    seconds: f64,
    known: Vec<Trial>,
) -> Result<(Choice, usize)> {
    let mut n_made = 0;
    let mut record = |_: &Trial| {
        n_made += 1;
        Ok(())
    };
    let choice = tune(&data(), model, &start, &params(seconds), known, &mut record, &Silent)?;
    Ok((choice, n_made))
}

#[test]
fn a_search_ends_where_no_turn_is_better() {
    let (choice, n_made) =
        search(Some(SingleModel::Slim), json!({ "l2": 2000.0 }), 600.0, Vec::new()).unwrap();
    assert!(choice.is_finished);
    assert_eq!(n_made, choice.trials.len(), "no trial is made twice");
    assert_eq!(choice.trials[0].settings["l2"], 2000.0);
    let best = choice.best.value.unwrap();
    assert!(best >= choice.trials[0].value.unwrap());
    let reached = |settings: &Value| {
        let known = choice.trials.iter().find(|trial| trial.settings == *settings);
        known.expect("every neighbour of the best was tried").value.unwrap()
    };
    for knob in SingleModel::Slim.knobs(false) {
        for up in [true, false] {
            if let Some(turned) = knob.turned(&choice.best.settings, up) {
                let turned = SingleModel::Slim.settings(&turned).unwrap();
                assert!(reached(&turned) <= best, "{} {up}", knob.pointer);
            }
        }
    }
}

#[test]
fn a_search_that_was_cut_off_goes_on_where_it_stopped() {
    let (whole, _) = search(Some(SingleModel::Slim), json!({}), 600.0, Vec::new()).unwrap();
    let half = whole.trials[..whole.trials.len() / 2].to_vec();
    let (resumed, n_made) = search(Some(SingleModel::Slim), json!({}), 600.0, half.clone()).unwrap();
    assert_eq!(n_made, whole.trials.len() - half.len());
    let outcomes = |choice: &Choice| -> Vec<(Value, Option<f64>)> {
        choice.trials.iter().map(|trial| (trial.settings.clone(), trial.value)).collect()
    };
    assert_eq!(outcomes(&resumed), outcomes(&whole));
}

#[test]
fn trials_of_other_data_are_refused() {
    let (choice, _) = search(Some(SingleModel::Popularity), json!({}), 60.0, Vec::new()).unwrap();
    let known = vec![Trial { question: "another".to_owned(), ..choice.best }];
    let refused = search(Some(SingleModel::Popularity), json!({}), 60.0, known).unwrap_err().to_string();
    assert!(
        refused.starts_with(
            "the trials that are known are of another question: another, not fixed-split, 60 users"
        ),
        "{refused}"
    );
}

#[test]
fn a_model_is_chosen_among_all() {
    let (choice, _) = search(None, json!({}), 600.0, Vec::new()).unwrap();
    for &model in SingleModel::choices(false, false) {
        assert!(choice.trials.iter().any(|trial| trial.model == model), "{model:?} was not tried");
    }
    let value = |trial: &Trial| trial.value.unwrap_or(0.0);
    assert!(choice.trials.iter().all(|trial| value(trial) <= value(&choice.best)));
    assert_ne!(choice.best.model, SingleModel::Popularity);
    let blend = choice.trials.last().unwrap();
    assert_eq!(blend.model, SingleModel::Blend);
    let singles = choice.trials.iter().filter(|trial| trial.model != SingleModel::Blend);
    let best_single = singles.map(value).fold(0.0, f64::max);
    assert!(value(blend) >= best_single, "a blend may leave all but the best one out");
    // A search that goes on knows the blend, too.
    let (_, n_made) = search(None, json!({}), 600.0, choice.trials).unwrap();
    assert_eq!(n_made, 0);
}

#[test]
fn a_search_keeps_to_its_time() {
    let started = Instant::now();
    let refused = search(Some(SingleModel::Slim), json!({}), 0.0, Vec::new()).unwrap_err().to_string();
    assert_eq!(refused, "the time does not suffice for a single trial");
    let (choice, _) = search(Some(SingleModel::Ials), json!({ "n_factors": 64 }), 0.05, Vec::new()).unwrap();
    assert!(!choice.is_finished, "{} trials", choice.trials.len());
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
}

#[test]
fn what_cannot_be_fitted_is_an_error_at_first_and_a_note_later() {
    let refused = search(Some(SingleModel::Slim), json!({ "l2": -1.0 }), 60.0, Vec::new()).unwrap_err();
    assert_eq!(refused.to_string(), "l2 is -1, it must be finite and greater than 0");
    let refused = search(Some(SingleModel::Slim), json!({ "l3": 1.0 }), 60.0, Vec::new()).unwrap_err();
    assert!(format!("{refused:#}").contains("does not take these settings"), "{refused:#}");
    let (popular, _) = search(Some(SingleModel::Popularity), json!({}), 60.0, Vec::new()).unwrap();
    // A memory budget that suffices for nothing: the other models are searched all the same.
    let known = Trial {
        model: SingleModel::Ease,
        settings: SingleModel::Ease.settings(&json!({})).unwrap(),
        value: None,
        error: Some("too little memory".to_owned()),
        ..popular.best
    };
    let (choice, _) = search(None, json!({}), 600.0, vec![known]).unwrap();
    assert!(choice.trials.iter().filter(|trial| trial.model == SingleModel::Ease).count() == 1);
}

#[test]
fn values_that_are_no_step_of_the_search_go_to_the_next_one() {
    let knob = SingleModel::Slim.knobs(false)[0];
    let turn =
        |l2: f64, up| knob.turned(&json!({ "l2": l2 }), up).map(|turned| turned["l2"].as_f64().unwrap());
    assert_eq!((turn(55.0, true), turn(55.0, false)), (Some(60.0), Some(40.0)));
    assert_eq!((turn(2000.0, true), turn(0.5, false)), (None, None));
    // Single precision does not turn a value into its own neighbour.
    let dropout = SingleModel::Slim.knobs(false)[1];
    let settings = SingleModel::Slim.settings(&json!({ "dropout": 0.3 })).unwrap();
    assert_eq!(dropout.turned(&settings, true).unwrap()["dropout"], 0.4);
    assert_eq!(dropout.turned(&settings, false).unwrap()["dropout"], 0.2);
}

#[test]
fn time_is_kept_to_blend_the_best_of_every_model() {
    let data = data();
    let made = |model, value, fit_s| Trial {
        question: String::new(),
        model,
        settings: json!({}),
        metric: "ndcg@20".to_owned(),
        value: Some(value),
        error: None,
        fit_s,
        evaluate_s: 1.0,
    };
    let params = params(1_000.0);
    let mut record = |_: &Trial| Ok(());
    let mut search = Search {
        split: data.validation(3).unwrap(),
        question: String::new(),
        is_ordered: false,
        is_to_blend: true,
        metric: "ndcg@20".to_owned(),
        started: Instant::now(),
        params: &params,
        known: BTreeMap::new(),
        trials: vec![made(SingleModel::Slim, 0.2, 10.0), made(SingleModel::Ials, 0.1, 20.0)],
        record: &mut record,
        progress: &Silent,
    };
    // Both are fitted once more and asked twice, and in the end fitted on everything: 2.6 times that, and a margin.
    let kept = |costs: f64| 1_000.0 - 1.3 * 2.6 * costs;
    let is_about = |got: f64, expected: f64| (got - expected).abs() < 1e-6;
    assert!(is_about(search.latest_for_blend(SingleModel::Slim, 1.0), kept(12.0 + 22.0)));
    assert!(is_about(search.latest_for_blend(SingleModel::Slim, 50.0), kept(50.0 + 22.0)));
    assert!(is_about(search.latest_for_blend(SingleModel::Ials, 50.0), kept(12.0 + 50.0)));

    search.trials.push(made(SingleModel::ItemKnn, 0.05, 400.0));
    let latest = search.latest_for_blend(SingleModel::Slim, 50.0);
    assert!(latest.is_infinite(), "there is no time for one as it is");
    search.trials.pop();
    search.is_to_blend = false;
    assert!(search.latest_for_blend(SingleModel::Slim, 50.0).is_infinite());
}
