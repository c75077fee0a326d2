use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::Recommender;

const N_ITEMS: usize = 12;
const DAY: u32 = 20_000;

fn now() -> Timestamp {
    Timestamp::from_millis(i64::from(DAY) * 86_400_000)
}

fn rows<const N: usize>(items: [u32; N]) -> Vec<ItemIdx> {
    items.into_iter().map(ItemIdx).collect()
}

/// The index of sessions that ascend in time, the obvious way.
fn arrays(sessions: &[(u32, Vec<ItemIdx>)], n_recent: usize) -> SessionArrays {
    let mut arrays = SessionArrays { of_items: vec![0], of_sessions: vec![0], ..SessionArrays::default() };
    for item in (0..N_ITEMS).map(ItemIdx::from_row) {
        let with = (0_u32..).zip(sessions).filter(|(_, (_, items))| items.contains(&item));
        let with: Vec<u32> = with.map(|(session, _)| session).collect();
        arrays.sessions.extend(with.iter().rev().take(n_recent));
        arrays.of_items.push(arrays.sessions.len());
        let idf = if with.is_empty() { 0.0 } else { (sessions.len() as f32 / with.len() as f32).ln() };
        arrays.idf.push(idf);
    }
    for (day, items) in sessions {
        arrays.items.extend(items);
        arrays.of_sessions.push(arrays.items.len());
        arrays.days.push(*day);
    }
    arrays
}

fn scoring() -> SessionScoring {
    SessionScoring { n_recent: 3, n_neighbours: 2, length_exponent: 0.5, half_life: None }
}

fn small() -> (SessionArrays, SessionScoring) {
    let sessions = [
        (DAY - 9, rows([0, 1])),
        (DAY - 4, rows([1, 2, 5])),
        (DAY - 4, rows([0, 1, 3])),
        (DAY - 1, rows([2, 4])),
        (DAY, rows([0, 4])),
    ];
    (arrays(&sessions, scoring().n_recent), scoring())
}

fn scores(model: &Sessions, session: &[(ItemIdx, f32)]) -> BTreeMap<u32, f32> {
    let mut sums = BTreeMap::new();
    model.votes(session, now(), &mut Neighbourhood::default(), |item, vote, _| {
        *sums.entry(item.0).or_default() += vote;
    });
    sums
}

/// The formulas of [`Sessions`], session by session.
fn naive(
    sessions: &[(u32, Vec<ItemIdx>)],
    scoring: &SessionScoring,
    session: &[(ItemIdx, f32)],
) -> BTreeMap<u32, f32> {
    let shared = |items: &[ItemIdx]| -> Vec<f32> {
        session.iter().filter(|(item, _)| items.contains(item)).map(|(_, weight)| *weight).collect()
    };
    let with_shared = sessions.iter().enumerate().rev().filter(|(_, (_, items))| !shared(items).is_empty());
    let mut nearest: Vec<(f32, usize)> = with_shared
        .take(scoring.n_recent)
        .map(|(number, (_, items))| (shared(items).iter().sum(), number))
        .collect();
    nearest.sort_by(|a, b| b.0.total_cmp(&a.0).then(b.1.cmp(&a.1)));
    nearest.truncate(scoring.n_neighbours);
    let voice = |&(similarity, number): &(f32, usize)| {
        let (day, items) = &sessions[number];
        let strongest = shared(items).into_iter().fold(0.0, f32::max);
        let age = (DAY - day) as f32;
        let recency =
            scoring.half_life.map_or(1.0, |half_life| (-age * 86_400.0 / half_life.as_secs_f32()).exp2());
        similarity * strongest * recency / (items.len() as f32).powf(scoring.length_exponent)
    };
    let total: f32 = nearest.iter().map(voice).sum();
    let n_with = |item: ItemIdx| sessions.iter().filter(|(_, items)| items.contains(&item)).count();
    let mut sums = BTreeMap::new();
    for neighbour in &nearest {
        for &item in &sessions[neighbour.1].1 {
            let idf = (sessions.len() as f32 / n_with(item) as f32).ln();
            *sums.entry(item.0).or_default() += voice(neighbour) / total * idf;
        }
    }
    sums
}

#[test]
fn the_nearest_of_the_most_recent_sessions_speak() {
    let (arrays, scoring) = small();
    let model = Sessions::try_new(arrays, scoring).unwrap();
    // The three most recent with item 0 or 1 are 4, 2 and 1; of these 2 shares both, and 4 is more recent than 1.
    let sums = scores(&model, &[(ItemIdx(0), 1.0), (ItemIdx(1), 1.0)]);
    assert_eq!(sums.keys().copied().collect::<Vec<_>>(), [0, 1, 3, 4]);
    assert!(sums[&3] > sums[&4], "{sums:?}");
}

#[test]
fn a_session_of_unknown_items_has_no_neighbours() {
    let (arrays, scoring) = small();
    let model = Sessions::try_new(arrays, scoring).unwrap();
    assert!(scores(&model, &[(ItemIdx(11), 1.0)]).is_empty());
    assert!(scores(&model, &[]).is_empty());
}

#[test]
fn one_neighbourhood_serves_models_of_any_size() {
    let (large, scoring) = small();
    let large = Sessions::try_new(large, scoring.clone()).unwrap();
    let one = Sessions::try_new(arrays(&[(DAY, rows([0, 2]))], scoring.n_recent), scoring).unwrap();
    let (mut memory, session) = (Neighbourhood::default(), [(ItemIdx(0), 1.0), (ItemIdx(2), 1.0)]);
    for model in [&large, &one, &large] {
        let mut sums = BTreeMap::<u32, f32>::new();
        model.votes(&session, now(), &mut memory, |item, vote, _| {
            *sums.entry(item.0).or_default() += vote;
        });
        assert_eq!(sums, scores(model, &session));
    }
}

#[test]
fn the_newest_of_a_history_weigh_most_and_are_no_candidates() {
    let entry = |item, minute: i64| HistoryEntry {
        item: ItemIdx(item),
        weight: 1.0,
        time: Timestamp::from_millis(minute * 60_000),
    };
    let history = [entry(3, 1), entry(0, 2), entry(1, 2)];
    assert_eq!(newest(&history), [(ItemIdx(1), 1.0), (ItemIdx(0), 1.0), (ItemIdx(3), 1.0 - 2.0 / 3.0)]);

    let (arrays, scoring) = small();
    let model = Sessions::try_new(arrays, scoring).unwrap();
    let query = Query { history: &history, exclude: &[], now: now(), person: None };
    let list = model.recommend(&query, 10).unwrap();
    assert!(!list.is_empty());
    assert!(list.iter().all(|scored| history.iter().all(|entry| entry.item != scored.item)));
    let unknown = Query { history: &[entry(12, 1)], ..query };
    assert!(matches!(model.recommend(&unknown, 10), Err(RecommendError::UnknownItem { row: 12, .. })));
}

#[test]
fn broken_arrays_are_refused() {
    #[track_caller]
    fn check(change: impl FnOnce(&mut SessionArrays, &mut SessionScoring), expected: &str) {
        let (mut arrays, mut scoring) = small();
        change(&mut arrays, &mut scoring);
        let error = Sessions::try_new(arrays, scoring).expect_err("the arrays are broken").to_string();
        assert!(error.contains(expected), "\"{error}\" does not say \"{expected}\"");
    }
    check(|a, _| a.of_items.clear(), "pointers of items");
    check(|a, _| a.of_items[1] = 9, "pointers of items");
    check(|a, _| a.of_sessions[0] = 1, "pointers of sessions");
    check(|a, _| a.items.truncate(3), "pointers of sessions");
    check(|a, _| a.days.truncate(3), "3 days, not 5");
    check(|a, _| a.idf.truncate(3), "3 idf, not 12");
    check(|a, _| a.days[2] = DAY - 5, "session 2 ended on an earlier day");
    check(|a, _| a.items.swap(0, 1), "items of session 0");
    check(|a, _| a.items[1] = ItemIdx(12), "items of session 0");
    check(|a, _| a.sessions.swap(0, 1), "sessions of item 0");
    check(|a, _| a.sessions[0] = 9, "sessions of item 0");
    check(|a, _| a.sessions[0] = 3, "sessions of item 0");
    check(|_, s| s.n_recent = 2, "sessions of item 0");
    check(|a, _| a.idf[4] = f32::NAN, "idf of item 4");
    check(|a, _| a.idf[4] = -1.0, "idf of item 4");
    check(|_, s| s.n_neighbours = 0, "n_neighbours is 0");
    check(|_, s| s.length_exponent = f32::NAN, "length_exponent is NaN");
    check(|_, s| s.half_life = Some(Duration::ZERO), "half_life is 0");
}

proptest! {
    #[test]
    fn the_index_finds_what_a_search_of_all_sessions_finds(
        sessions in prop::collection::vec(
            (0..30_u32, prop::collection::btree_set(0..N_ITEMS as u32, 1..6)), 1..40,
        ),
        session in prop::collection::btree_map(0..N_ITEMS as u32, 1..9_u8, 1..6),
        n_recent in 1..12_usize,
        n_neighbours in 1..8_usize,
        half_life_days in prop::option::of(1..60_u64),
    ) {
        let mut sessions: Vec<(u32, Vec<ItemIdx>)> = sessions
            .into_iter()
            .map(|(age, items)| (DAY - age, items.into_iter().map(ItemIdx).collect()))
            .collect();
        sessions.sort_by_key(|(day, _)| *day);
        // Eighths add up exactly, in whatever order.
        let mut session: Vec<(ItemIdx, f32)> =
            session.into_iter().map(|(item, eighths)| (ItemIdx(item), f32::from(eighths) / 8.0)).collect();
        session.reverse();
        let half_life = half_life_days.map(|days| Duration::from_secs(days * 86_400));
        let scoring = SessionScoring { n_recent, n_neighbours, length_exponent: 0.5, half_life };
        let model = Sessions::try_new(arrays(&sessions, n_recent), scoring.clone()).unwrap();
        let (found, expected) = (scores(&model, &session), naive(&sessions, &scoring, &session));
        prop_assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
        for (item, expected) in &expected {
            prop_assert!((found[item] - expected).abs() < 1e-4, "item {}: {} not {}", item, found[item], expected);
        }
    }
}
