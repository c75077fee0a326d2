//! Whole training runs on a planted market: two tastes, people who re-buy, and what goes together.

use std::io::Cursor;

use rand::{Rng, SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use waggle_jobs::{Silent, TrainError, TrainParams, TrainingInput, evaluate_time_split, train};
use waggle_model::{
    Event, EventBody, Interaction, InteractionKind, Item, ItemId, Person, Scored, Timestamp, UserId,
};
use waggle_models::{Query, RecommendError, Recommender, Snapshot};

const DAY_MS: i64 = 86_400_000;
const N_ITEMS: usize = 80;

fn item_id(n: usize) -> ItemId {
    ItemId::try_new(format!("item-{n:03}")).expect("a plain id is valid")
}

/// Everybody orders about every ten days for 120 days: three favourites of their own, and a pair that goes together.
fn market(n_people: usize) -> TrainingInput {
    let mut rng = ChaCha8Rng::seed_from_u64(11);
    let mut events = Vec::new();
    for person in 0..n_people {
        let taste = person % 2;
        let mine: Vec<usize> = (0..N_ITEMS).filter(|n| n % 2 == taste).collect();
        let favourites: Vec<usize> = mine.choose_multiple(&mut rng, 5).copied().collect();
        let mut at_ms = rng.gen_range(0..10 * DAY_MS);
        let user = UserId::try_new(format!("person-{person:04}")).expect("a plain id is valid");
        let mut n_orders = 0;
        while at_ms < 120 * DAY_MS {
            let mut basket: Vec<usize> = favourites.choose_multiple(&mut rng, 3).copied().collect();
            let other = *mine.choose(&mut rng).expect("there are items of every taste");
            basket.extend([other, (other + 2) % N_ITEMS]);
            for n in basket {
                let interaction = Interaction {
                    order_id: Some(format!("{person}-{n_orders}")),
                    price: Some(1.0 + n as f64),
                    ..Interaction::new(InteractionKind::Purchase, item_id(n))
                };
                events.push(Event {
                    event_id: None,
                    timestamp: Timestamp::from_millis(1_700_000_000_000 + at_ms),
                    person: Person::user(user.clone()),
                    body: EventBody::Interaction(interaction),
                    context: Default::default(),
                });
            }
            n_orders += 1;
            at_ms += rng.gen_range(5 * DAY_MS..15 * DAY_MS);
        }
    }
    events.sort_by_key(|event| event.timestamp);
    let items = (0..N_ITEMS).map(|n| Item::new(item_id(n), format!("Item {n}"))).collect();
    TrainingInput { events, items }
}

fn params() -> TrainParams {
    let mut params = TrainParams { n_resamples: 200, ..TrainParams::default() };
    params.models.als.n_factors = 8;
    params
}

fn now() -> Timestamp {
    Timestamp::from_millis(1_750_000_000_000)
}

#[test]
fn a_trained_snapshot_loads_again_and_beats_every_ruler_and_single_model() {
    let trained = train(&market(300), &params(), now(), &Silent).unwrap();
    assert!(trained.gate.is_passed, "{}", trained.gate.reason);
    assert!(trained.notes.is_empty());
    let report = trained.evaluation.unwrap();
    assert!(report.two_stage_vs_best_other.low > 0.0, "{}", trained.gate.reason);
    let names: Vec<&str> = report.all_items.rows.iter().map(|row| row.name.as_str()).collect();
    let singles = ["two-stage", "ials-8", "item-item", "vmis-knn", "popularity"];
    assert_eq!(names, [singles.as_slice(), &["popularity-7d", "repeat-last"]].concat());
    let next_items = report.next_items.unwrap();
    let names: Vec<&str> = next_items.rows.iter().map(|row| row.name.as_str()).collect();
    assert_eq!(names, singles);
    let lowest = |place: usize| next_items.rows[place].metrics["ndcg@10"].low;
    let highest = |place: usize| next_items.rows[place].metrics["ndcg@10"].high;
    assert!(lowest(3) > highest(4), "sessions know no more than popularity: {:?}", next_items.rows);
    assert!(lowest(0) > highest(4), "{:?}", next_items.rows);
    let clicks = report.clicks.unwrap();
    assert!(clicks.first_line.difference.low > 0.0, "{:?}", clicks.first_line);

    let draft = trained.snapshot.draft();
    let mut read = |entry: &waggle_models::PartEntry| {
        let file = draft.files.iter().find(|(file, _)| *file == entry.file);
        file.map(|(_, bytes)| Cursor::new(bytes)).ok_or_else(|| "there is no such file".to_owned())
    };
    let loaded = Snapshot::decode(draft.manifest.clone(), &mut read).unwrap();
    assert_eq!(loaded.ranker, trained.snapshot.ranker);
    assert!(loaded.sessions.is_some());
    assert_eq!(loaded.sessions, trained.snapshot.sessions);
    assert_eq!(loaded.manifest.n_items, N_ITEMS);
    assert_eq!(loaded.manifest.version.as_str(), "20250615T150640000Z");
}

#[test]
fn the_same_input_and_seed_give_the_same_snapshot_bit_for_bit() {
    let run = || train(&market(150), &params(), now(), &Silent).unwrap().snapshot.draft();
    let (first, second) = (run(), run());
    assert_eq!(first.files, second.files);
    assert_eq!(first.manifest.evaluation, second.manifest.evaluation);
}

#[test]
fn nothing_after_the_split_reaches_what_is_evaluated() {
    struct Spy(Timestamp);
    impl Recommender for Spy {
        fn name(&self) -> &str {
            "spy"
        }
        fn recommend(&self, query: &Query<'_>, _: usize) -> Result<Vec<Scored>, RecommendError> {
            let knows_the_future = query.history.iter().any(|entry| entry.time >= self.0);
            if knows_the_future {
                Err(RecommendError::Failed("history holds the future".to_owned()))
            } else {
                Ok(Vec::new())
            }
        }
    }
    let mut asked = 0;
    let report = evaluate_time_split(
        &market(150),
        &params(),
        Some(&mut |split| {
            asked += 1;
            assert!(split.events.iter().all(|event| event.timestamp < split.at));
            assert!(
                split.snapshot.manifest.n_items == split.vocabulary.len() && split.snapshot.ranker.is_some()
            );
            Ok(vec![Box::new(Spy(split.at))])
        }),
        &Silent,
    )
    .unwrap();
    assert_eq!(asked, 1);
    assert_eq!(report.all_items.rows[1].name, "spy");
    assert!(report.best_other != "spy", "a further system is not one of the single models");
}

#[test]
fn a_small_shop_gets_a_snapshot_without_a_ranker_and_is_told_why() {
    let trained = train(&market(6), &params(), now(), &Silent).unwrap();
    assert!(trained.snapshot.ranker.is_none() && trained.evaluation.is_none() && trained.gate.is_passed);
    assert_eq!(trained.notes.len(), 1);
    assert!(trained.notes[0].contains("it takes 50 people"), "{}", trained.notes[0]);
    let error = evaluate_time_split(&market(6), &params(), None, &Silent).unwrap_err();
    assert!(matches!(error, TrainError::Step("the evaluation", _)));
}

#[test]
fn one_single_event_is_enough_for_a_snapshot() {
    let mut input = market(2);
    input.events.truncate(1);
    let trained = train(&input, &params(), now(), &Silent).unwrap();
    assert_eq!((trained.snapshot.manifest.n_items, trained.snapshot.manifest.n_users), (N_ITEMS, 1));
}

#[test]
fn unusable_input_is_refused_with_the_reason() {
    let error = |input: &TrainingInput| train(input, &params(), now(), &Silent).err().unwrap().to_string();
    assert_eq!(
        error(&TrainingInput::default()),
        "there are no interactions to learn from; trending and new items need no snapshot"
    );
    let mut unsorted = market(3);
    unsorted.events.swap(0, 20);
    assert!(error(&unsorted).ends_with("is older than the one before it, events must ascend in time"));
}
