use std::{sync::atomic::AtomicUsize, time::Duration};

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use waggle_evaluation::{Case, evaluate};
use waggle_model::{ItemIdx, Timestamp};
use waggle_models::{AlsParams, HistoryEntry, Recommender};

use super::*;
use crate::models::ModelParams;

fn triple(user: u32, item: u32, weight: f32, time: i64) -> Triple {
    Triple { user, item: ItemIdx(item), weight, time: Timestamp::from_millis(time) }
}

fn interactions(n_users: usize, n_items: usize, pairs: &[(u32, u32)]) -> Interactions {
    let triples = pairs.iter().map(|&(user, item)| triple(user, item, 1.0, 0)).collect();
    Interactions::from_triples(n_users, n_items, triples).unwrap()
}

/// Users of group `g` touch items of group `g` only: 4 groups of 60 users and 30 items, 8 touches each. The last
/// touch of every user is kept back as a case.
fn planted() -> (Interactions, Vec<Case>) {
    let mut rng = ChaCha8Rng::seed_from_u64(4);
    let (mut triples, mut truths) = (Vec::new(), Vec::new());
    for user in 0..240_u32 {
        let group = user % 4;
        let mut chosen = rand::seq::index::sample(&mut rng, 30, 9).into_vec();
        truths.push(vec![ItemIdx(chosen.pop().unwrap() as u32 * 4 + group)]);
        triples.extend(
            chosen.into_iter().map(|item| triple(user, item as u32 * 4 + group, 1.0, rng.gen_range(0..9))),
        );
    }
    let interactions = Interactions::from_triples(240, 120, triples).unwrap();
    let cases = truths.into_iter().enumerate().map(|(user, truth)| Case {
        person: None,
        history: interactions.history(user),
        truth,
        exclude: interactions.items(user).to_vec(),
        now: Timestamp::from_millis(10),
    });
    (interactions.clone(), cases.collect())
}

fn small_als() -> AlsParams {
    AlsParams { n_factors: 8, regularization: 0.01, n_iterations: 8, ..AlsParams::default() }
}

/// Share of the ten best that belong to the group of the case's truth.
fn purity(model: &dyn Recommender, cases: &[Case]) -> f64 {
    let share = |case: &Case| {
        let list = model.recommend(&case.query(), 10).unwrap();
        list.iter().filter(|s| s.item.0 % 4 == case.truth[0].0 % 4).count() as f64 / 10.0
    };
    cases.iter().map(share).sum::<f64>() / cases.len() as f64
}

#[test]
fn planted_groups_are_found() {
    let (interactions, cases) = planted();
    let als = fit_als(&interactions, &small_als(), 1, &|_, _| {}).unwrap();
    assert!(purity(&als, &cases) > 0.99, "{}", purity(&als, &cases));
    let item_item = fit_item_item(&interactions, &ItemItemParams::default()).unwrap();
    assert!(purity(&item_item, &cases) > 0.99, "{}", purity(&item_item, &cases));
    let popularity =
        fit_popularity(&interactions, &PopularityParams::default(), Timestamp::from_millis(10)).unwrap();
    assert!(purity(&popularity, &cases) < 0.5);
}

#[test]
fn quality_stays_above_the_recorded_floor() {
    let (interactions, cases) = planted();
    let ndcg =
        |model: &dyn Recommender| evaluate(model, &cases, &[20], 120).unwrap().mean("ndcg@20").unwrap();
    // 22 unseen items of the own group, one of them the truth: a list of only those in any order reaches 0.31.
    let als = ndcg(&fit_als(&interactions, &small_als(), 1, &|_, _| {}).unwrap());
    let item_item = ndcg(&fit_item_item(&interactions, &ItemItemParams::default()).unwrap());
    assert!(als > 0.25, "{als}");
    assert!(item_item > 0.25, "{item_item}");
}

#[test]
fn the_fit_is_the_same_for_any_number_of_threads_and_another_for_another_seed() {
    let (interactions, _) = planted();
    let fit = |n_threads, seed| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap();
        pool.install(|| {
            let als = fit_als(&interactions, &small_als(), seed, &|_, _| {}).unwrap();
            (als.item_factors().to_owned(), fit_item_item(&interactions, &ItemItemParams::default()).unwrap())
        })
    };
    assert_eq!(fit(1, 1), fit(3, 1));
    assert_ne!(fit(2, 1).0, fit(2, 2).0);
}

#[test]
fn folding_a_known_user_in_meets_what_training_left_items_with() {
    // At a fixed point, items solved against the folded-in users reproduce themselves: scores agree.
    let (interactions, _) = planted();
    let params = AlsParams { n_iterations: 300, ..small_als() };
    let als = fit_als(&interactions, &params, 1, &|_, _| {}).unwrap();
    let users = user_factors(&interactions, &als).unwrap();
    let half_step = waggle_models::als::HalfStep::try_new(users.view(), params.unobserved_weight).unwrap();
    let by_item = interactions.transpose();
    let mut buffers = waggle_models::SolveBuffers::default();
    for item in 0..120 {
        let regularization = params.row_regularization(by_item.items(item).len() as f64, 240);
        let mut again = vec![0.0; params.n_factors];
        let observed = by_item.items(item).iter().map(|&user| (user, 1.0));
        half_step.solve(observed, regularization, &mut buffers, &mut again).unwrap();
        half_step.to_original_axes(&mut buffers, &mut again);
        for (a, b) in again.iter().zip(als.item_factors().row(item)) {
            assert!((a - b).abs() < 2e-3, "item {item}: {a} is not {b}");
        }
    }
}

#[test]
fn the_loss_never_rises_from_iteration_to_iteration() {
    let (interactions, _) = planted();
    let loss = |n_iterations| {
        let params = AlsParams { n_iterations, ..small_als() };
        let als = fit_als(&interactions, &params, 1, &|_, _| {}).unwrap();
        let users = user_factors(&interactions, &als).unwrap();
        let by_item = interactions.transpose();
        let mut loss = 0.0_f64;
        for (user, x) in users.outer_iter().enumerate() {
            for (item, y) in als.item_factors().outer_iter().enumerate() {
                let score = f64::from(x.dot(&y));
                loss += f64::from(params.unobserved_weight) * score * score;
                if interactions.items(user).contains(&ItemIdx::from_row(item)) {
                    loss += (score - 1.0).powi(2);
                }
            }
            let n = interactions.items(user).len() as f64;
            loss += f64::from(params.row_regularization(n, 120) * x.dot(&x));
        }
        for (item, y) in als.item_factors().outer_iter().enumerate() {
            loss += f64::from(params.row_regularization(by_item.items(item).len() as f64, 240) * y.dot(&y));
        }
        loss
    };
    let losses: Vec<f64> = [1, 2, 3, 5, 8].into_iter().map(loss).collect();
    assert!(losses.windows(2).all(|pair| pair[1] <= pair[0] * 1.000_01), "{losses:?}");
}

#[test]
fn settings_that_leave_nothing_of_the_factors_are_an_error() {
    let (interactions, _) = planted();
    let outweighed = AlsParams { unobserved_weight: 1e4, ..small_als() };
    let error = fit_als(&interactions, &outweighed, 1, &|_, _| {}).unwrap_err().to_string();
    assert!(error.starts_with("nothing is left of the factors: an unobserved weight of 10000"), "{error}");
}

#[test]
fn a_large_and_sparse_catalogue_keeps_its_factors() {
    // Everybody knows two of 200,000 items, as somebody else does.
    let n_items = 200_000;
    let pairs: Vec<(u32, u32)> =
        (0..2_000).flat_map(|user| [(user, (user / 2) * 100), (user, (user / 2) * 100 + 50)]).collect();
    let sparse = interactions(2_000, n_items, &pairs);
    let params = ModelParams {
        als: AlsParams { n_factors: 8, ..ModelParams::default().als },
        ..ModelParams::default()
    };
    assert!(matches!(fit_als(&sparse, &params.als, 1, &|_, _| {}), Err(FitError::Vanished { .. })));
    let als = fit_als(&sparse, &params.als_for(&sparse), 1, &|_, _| {}).unwrap();
    let n_alive = als.item_factors().outer_iter().filter(|row| row.dot(row) > 1e-3).count();
    assert!(n_alive > 100, "{n_alive} items have factors");
    // A dense one is fitted as it was set.
    let (dense, _) = planted();
    assert_eq!(params.als_for(&dense), params.als);
}

#[test]
fn progress_counts_every_solved_side() {
    let (interactions, _) = planted();
    let (n_calls, last) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let order = std::sync::atomic::Ordering::Relaxed;
    fit_als(&interactions, &small_als(), 1, &|done, total| {
        assert_eq!(total, 16);
        n_calls.fetch_add(1, order);
        last.store(done, order);
    })
    .unwrap();
    assert_eq!((n_calls.into_inner(), last.into_inner()), (16, 16));
}

#[test]
fn duplicates_merge_by_sum_and_latest_time_in_any_order() {
    let triples =
        vec![triple(1, 2, 1.0, 30), triple(0, 1, 1.0, 5), triple(1, 2, 0.5, 90), triple(1, 0, 1.0, 40)];
    let merged = Interactions::from_triples(3, 3, triples.clone()).unwrap();
    assert_eq!(merged.items(1), [ItemIdx(0), ItemIdx(2)]);
    assert_eq!((merged.weights(1), merged.times(1)[1].as_millis()), (&[1.0, 1.5][..], 90));
    assert_eq!((merged.len(), merged.items(2)), (3, &[][..]));
    assert_eq!(merged, Interactions::from_triples(3, 3, triples.into_iter().rev().collect()).unwrap());
    let history: Vec<HistoryEntry> = merged.history(1);
    assert_eq!([history[0].item, history[1].item], [ItemIdx(0), ItemIdx(2)]);
}

#[test]
fn transposing_twice_changes_nothing() {
    let (interactions, _) = planted();
    let transposed = interactions.transpose();
    assert_eq!(
        (transposed.n_users(), transposed.n_items(), transposed.len()),
        (120, 240, interactions.len())
    );
    assert!(transposed.items(3).iter().all(|user| interactions.items(user.row()).contains(&ItemIdx(3))));
    assert_eq!(transposed.transpose(), interactions);
}

#[test]
fn histories_are_the_same_as_their_triples() {
    let histories: [&[u32]; 4] = [&[4, 0, 2], &[], &[1], &[3, 4]];
    let triples = histories.iter().zip(0..).flat_map(|(items, user)| {
        items.iter().zip(0..).map(move |(&item, place)| triple(user, item, 1.0, place))
    });
    let made = Interactions::from_histories(5, histories.into_iter()).unwrap();
    assert_eq!(made, Interactions::from_triples(4, 5, triples.collect()).unwrap());
    assert_eq!(made.item_counts(), [1, 1, 1, 1, 2]);
    let first = made.of_first_items(3);
    assert_eq!((first.n_items(), first.len()), (3, 3));
    assert_eq!((first.items(0), first.times(0)), (&[ItemIdx(0), ItemIdx(2)][..], &made.times(0)[..2]));

    let refused = |histories: [&[u32]; 2]| {
        Interactions::from_histories(5, histories.into_iter()).unwrap_err().to_string()
    };
    assert_eq!(refused([&[1], &[2, 3, 2]]), "the history of user row 1 names item row 2 twice");
    assert_eq!(refused([&[1], &[5, 3]]), "interaction 1 is of item row 5, there are 5 items");
}

#[test]
fn impossible_triples_are_refused_by_place() {
    let check = |bad: Triple, expected: &str| {
        let error =
            Interactions::from_triples(2, 2, vec![triple(0, 0, 1.0, 0), bad]).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    };
    check(triple(2, 0, 1.0, 0), "interaction 1 is of user row 2");
    check(triple(0, 2, 1.0, 0), "interaction 1 is of item row 2");
    check(triple(0, 0, f32::NAN, 0), "interaction 1 has weight NaN");
    check(triple(0, 0, 0.0, 0), "greater than 0");
    check(triple(0, 0, f32::INFINITY, 0), "finite");
    let overflow = vec![triple(0, 0, f32::MAX, 0), triple(0, 0, f32::MAX, 1)];
    assert!(matches!(Interactions::from_triples(1, 1, overflow), Err(InteractionsError::Overflow { .. })));
}

#[test]
fn nothing_to_learn_from_is_an_error_and_very_little_is_not() {
    for empty in [interactions(0, 0, &[]), interactions(3, 3, &[])] {
        assert!(matches!(fit_als(&empty, &small_als(), 1, &|_, _| {}), Err(FitError::NoInteractions)));
        assert!(matches!(fit_item_item(&empty, &ItemItemParams::default()), Err(FitError::NoInteractions)));
        let popularity = fit_popularity(&empty, &PopularityParams::default(), Timestamp::default());
        assert!(matches!(popularity, Err(FitError::NoInteractions)));
    }
    let one = interactions(1, 1, &[(0, 0)]);
    let als = fit_als(&one, &small_als(), 1, &|_, _| {}).unwrap();
    let mut factors = [0.0; 8];
    als.fold_in(&one.history(0), &mut factors).unwrap();
    assert!(als.score(&factors, ItemIdx(0)) > 0.5);
    assert_eq!(fit_item_item(&one, &ItemItemParams::default()).unwrap().n_entries(), 0);
    // An empty user and an untouched item take part without harm.
    let als = fit_als(&interactions(2, 2, &[(0, 0)]), &small_als(), 1, &|_, _| {}).unwrap();
    assert!(als.item_factors().row(1).iter().all(|x| *x == 0.0));
}

#[test]
fn settings_out_of_range_are_refused_by_name() {
    let (interactions, _) = planted();
    let refused = |params: ItemItemParams, name: &str| {
        let error = fit_item_item(&interactions, &params).unwrap_err().to_string();
        assert!(error.starts_with(name), "{error}");
    };
    refused(ItemItemParams { n_neighbours: 0, ..ItemItemParams::default() }, "n_neighbours");
    refused(ItemItemParams { shrink: f32::NAN, ..ItemItemParams::default() }, "shrink");
    refused(ItemItemParams { power: 0.0, ..ItemItemParams::default() }, "power");
    refused(ItemItemParams { source_exponent: -1.0, ..ItemItemParams::default() }, "source_exponent");
    let params = AlsParams { n_factors: 0, ..small_als() };
    assert!(matches!(fit_als(&interactions, &params, 1, &|_, _| {}), Err(FitError::Als(_))));
    let params = PopularityParams { half_life: Some(Duration::ZERO) };
    assert!(fit_popularity(&interactions, &params, Timestamp::default()).is_err());
}

#[test]
fn plain_settings_give_the_textbook_cosine() {
    let params = ItemItemParams { history_exponent: 0.0, shrink: 0.0, ..ItemItemParams::default() };
    // Item 0 has 3 users, item 1 has 2, both in common; item 2 has 1, in common with item 0.
    let model =
        fit_item_item(&interactions(3, 3, &[(0, 0), (1, 0), (2, 0), (0, 1), (1, 1), (2, 2)]), &params)
            .unwrap();
    let (items, similarities) = model.neighbours(ItemIdx(0));
    assert_eq!(items, [ItemIdx(1), ItemIdx(2)]);
    for (got, expected) in similarities.iter().zip([2.0 / 6.0_f32.sqrt(), 1.0 / 3.0_f32.sqrt()]) {
        assert!((got - expected).abs() < 1e-6);
    }
    let shrunk = ItemItemParams { shrink: 2.0, ..params.clone() };
    let model = fit_item_item(&interactions(2, 2, &[(0, 0), (1, 0), (0, 1), (1, 1)]), &shrunk).unwrap();
    assert!((model.neighbours(ItemIdx(0)).1[0] - 0.5).abs() < 1e-6);
    let at_least_two = ItemItemParams { min_count: 3, ..params };
    assert_eq!(
        fit_item_item(&interactions(2, 2, &[(0, 0), (1, 0), (0, 1), (1, 1)]), &at_least_two)
            .unwrap()
            .n_entries(),
        0
    );
}

#[test]
fn an_items_frequency_counts_histories_or_what_they_speak_with() {
    let pairs = interactions(2, 3, &[(0, 0), (0, 1), (1, 0), (1, 1), (1, 2)]);
    let check = |counts_histories, expected: f32| {
        let params = ItemItemParams {
            history_exponent: 1.0,
            counts_histories,
            shrink: 0.0,
            ..ItemItemParams::default()
        };
        let model = fit_item_item(&pairs, &params).unwrap();
        let (items, similarities) = model.neighbours(ItemIdx(0));
        assert_eq!(items[0], ItemIdx(1));
        assert!((similarities[0] - expected).abs() < 1e-6, "{similarities:?}");
    };
    // Together with 1/2 + 1/3; each alone with as much, or with 2.
    check(false, 1.0);
    check(true, 5.0 / 12.0);
}

#[test]
fn baskets_separate_what_histories_join() {
    let triples = vec![triple(0, 0, 1.0, 0), triple(0, 1, 1.0, 1000), triple(0, 2, 1.0, 9_000_000)];
    let interactions = Interactions::from_triples(1, 3, triples).unwrap();
    let neighbours = |co_occurrence| {
        let params = ItemItemParams { co_occurrence, ..ItemItemParams::default() };
        fit_item_item(&interactions, &params).unwrap().neighbours(ItemIdx(0)).0.to_vec()
    };
    assert_eq!(neighbours(CoOccurrence::Histories), [ItemIdx(1), ItemIdx(2)]);
    assert_eq!(neighbours(CoOccurrence::Baskets { max_gap: Duration::from_secs(60) }), [ItemIdx(1)]);
}

#[test]
fn popularity_halves_with_every_half_life() {
    let day = 86_400_000;
    let triples = vec![
        triple(0, 0, 4.0, 0),
        triple(1, 1, 1.0, 2 * day),
        triple(1, 0, 1.0, 2 * day),
        triple(0, 2, 1.0, 9 * day),
    ];
    let interactions = Interactions::from_triples(2, 3, triples).unwrap();
    let params = PopularityParams { half_life: Some(Duration::from_secs(86_400)) };
    let popularity = fit_popularity(&interactions, &params, Timestamp::from_millis(2 * day)).unwrap();
    // What comes after `now` counts as if it were now.
    assert_eq!(popularity.scores(), [2.0, 1.0, 1.0]);
    let flat =
        fit_popularity(&interactions, &PopularityParams { half_life: None }, Timestamp::default()).unwrap();
    assert_eq!(flat.scores(), [5.0, 1.0, 1.0]);
}

fn session(day: i64, items: &[u32]) -> SessionRow {
    SessionRow {
        end: Timestamp::from_millis(day * 86_400_000),
        items: items.iter().copied().map(ItemIdx).collect(),
    }
}

#[test]
fn sessions_are_indexed_by_their_items_the_newest_first() {
    let rows = [session(1, &[0, 1]), session(2, &[2]), session(2, &[3, 1, 0, 1]), session(4, &[1, 2])];
    let arrays = fit_sessions(&rows, 5, &SessionParams::default()).unwrap().unwrap().arrays();
    // A session of one item is none.
    assert_eq!(arrays.days, [1, 2, 4]);
    assert_eq!(arrays.of_sessions, [0, 2, 5, 7]);
    assert_eq!(arrays.items, [0, 1, 0, 1, 3, 1, 2].map(ItemIdx));
    assert_eq!(arrays.of_items, [0, 2, 5, 6, 7, 7]);
    assert_eq!(arrays.sessions, [1, 0, 2, 1, 0, 2, 1]);
    assert_eq!(arrays.idf, [(3.0_f32 / 2.0).ln(), 0.0, 3.0_f32.ln(), 3.0_f32.ln(), 0.0]);
}

#[test]
fn of_many_and_long_sessions_the_most_recent_are_kept() {
    let rows = [session(1, &[0, 1]), session(2, &[0, 1, 2, 3]), session(3, &[0, 1])];
    let fit = |max_sessions, max_items, n_recent| {
        let mut params = SessionParams { max_sessions, max_items, ..SessionParams::default() };
        params.scoring.n_recent = n_recent;
        fit_sessions(&rows, 4, &params).unwrap().unwrap().arrays()
    };
    assert_eq!(fit(2, 50, 9).days, [2, 3]);
    assert_eq!(fit(9, 2, 9).items, [0, 1, 2, 3, 0, 1].map(ItemIdx));
    // The first session is on no list, so it is in no array, but it counts for what is frequent.
    let listed = fit(9, 50, 1);
    assert_eq!((listed.days, listed.sessions), (vec![2, 3], vec![1, 1, 0, 0]));
    assert_eq!(listed.idf[2].to_bits(), 3.0_f32.ln().to_bits());
}

#[test]
fn without_two_items_in_one_session_there_is_no_index() {
    let params = SessionParams::default();
    assert_eq!(fit_sessions(&[session(1, &[0]), session(2, &[1, 1])], 2, &params).unwrap(), None);
    let bad = SessionParams { max_items: 1, ..params };
    assert!(matches!(fit_sessions(&[], 2, &bad), Err(FitError::Param { name: "max_items", .. })));
}
fn segment_params() -> SegmentParams {
    SegmentParams { half_life: None, min_people: 20, max_segments: 8, ..SegmentParams::default() }
}

#[test]
fn people_of_one_taste_make_a_segment_and_its_list_is_their_taste() {
    let (interactions, _) = planted();
    let als = fit_als(&interactions, &small_als(), 1, &|_, _| {}).unwrap();
    let fit = |seed| {
        let params = segment_params();
        fit_segments(&interactions, &als, &params, Timestamp::from_millis(10), seed).unwrap().unwrap()
    };
    let segments = fit(1);
    assert_eq!(segments, fit(1), "the same seed, the same segments");
    assert_eq!(segments.n_people().iter().sum::<u32>(), 240);
    assert!(segments.n_people().iter().all(|n| *n >= 20), "{:?}", segments.n_people());
    let vectors = user_factors(&interactions, &als).unwrap();
    let own_share = |user: usize| {
        let segment = segments.nearest(vectors.row(user).as_slice().unwrap()).unwrap();
        let (items, _) = segments.list(segment);
        items[..10].iter().filter(|item| item.row() % 4 == user % 4).count() as f64 / 10.0
    };
    let purity = (0..240).map(own_share).sum::<f64>() / 240.0;
    assert!(purity > 0.9, "{purity}");
}

#[test]
fn a_segment_of_few_people_is_given_up_and_few_people_have_none() {
    let (interactions, _) = planted();
    let als = fit_als(&interactions, &small_als(), 1, &|_, _| {}).unwrap();
    let fit = |min_people| {
        let params = SegmentParams { min_people, ..segment_params() };
        fit_segments(&interactions, &als, &params, Timestamp::from_millis(10), 1).unwrap()
    };
    let coarse = fit(50).unwrap();
    assert!(coarse.n_people().iter().all(|n| *n >= 50), "{:?}", coarse.n_people());
    assert!(fit(121).is_none(), "240 people do not make two segments of 121");
}

#[test]
fn the_list_weighs_the_share_in_the_segment_against_the_share_of_all() {
    // Two tastes of 40 people: 0 and 1 belong to one, 2 and 3 to the other; all of both have 4. One person of the first
    // has 2.
    let taste = |user: u32| if user < 40 { [0, 1, 4] } else { [2, 3, 4] };
    let mut pairs: Vec<(u32, u32)> = (0..80).flat_map(|user| taste(user).map(|item| (user, item))).collect();
    pairs.push((0, 2));
    let interactions = interactions(80, 5, &pairs);
    let als = fit_als(&interactions, &AlsParams { n_factors: 4, ..small_als() }, 1, &|_, _| {}).unwrap();
    let params = SegmentParams { prior: 10.0, ..segment_params() };
    let segments = fit_segments(&interactions, &als, &params, Timestamp::from_millis(0), 1).unwrap().unwrap();
    let vectors = user_factors(&interactions, &als).unwrap();
    let segment = segments.nearest(vectors.row(1).as_slice().unwrap()).unwrap();
    let (items, scores) = segments.list(segment);
    let own =
        (0..80).filter(|&user| segments.nearest(vectors.row(user).as_slice().unwrap()) == Some(segment));
    // By hand, from who is in the segment.
    let counted: Vec<Vec<ItemIdx>> = own.map(|user| interactions.items(user).to_vec()).collect();
    let own_total = counted.iter().map(Vec::len).sum::<usize>() as f64;
    let total = pairs.len() as f64;
    for (item, score) in items.iter().zip(scores) {
        let touches = counted.iter().filter(|row| row.contains(item)).count() as f64;
        let overall = pairs.iter().filter(|(_, i)| *i == item.0).count() as f64 / total;
        let share = (touches + 10.0 * overall) / (own_total + 10.0);
        let expected = share * (share / overall).sqrt();
        assert!((f64::from(*score) - expected).abs() < 1e-6, "item {item:?}: {score}, not {expected}");
    }
    // What the taste alone wants stands before what everybody wants.
    let place = |n: u32| items.iter().position(|item| item.0 == n);
    assert!(place(0) < place(4) && place(1) < place(4) && place(3).is_none(), "{items:?}");
}

#[test]
fn settings_of_segments_out_of_range_are_refused() {
    let (interactions, _) = planted();
    let als = fit_als(&interactions, &small_als(), 1, &|_, _| {}).unwrap();
    let default = SegmentParams::default();
    for (params, name) in [
        (SegmentParams { min_people: 0, ..default.clone() }, "min_people"),
        (SegmentParams { half_life: Some(Duration::ZERO), ..default.clone() }, "half_life"),
        (SegmentParams { prior: f64::NAN, ..default.clone() }, "prior"),
        (SegmentParams { temper: -0.1, ..default }, "temper"),
    ] {
        let error = fit_segments(&interactions, &als, &params, Timestamp::from_millis(0), 1).unwrap_err();
        assert!(error.to_string().starts_with(name), "{error}");
    }
}
