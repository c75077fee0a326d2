use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use proptest::prelude::*;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use waggle_contracts::{
    Ranking, RoleError,
    policy::{AppliedRule, Fatigue, OddsRule},
    ranking::{RankRequest, RankResponse, Rules, Turn},
    retrieval::ProposedItem,
};
use waggle_features::{FEATURES, ItemAttributes, ItemFacts, Opinion, PersonState};
use waggle_model::{
    CandidateSource, Interaction, InteractionKind, ItemId, ItemKey, Placement, SnapshotVersion, Timestamp,
};
use waggle_models::{Ranker, SnapshotSlot};

use crate::{
    RankingService,
    likeness::Likeness,
    policy::{Place, apply_odds, arrange},
    score::score_all,
};

/// (id, category, rank by its one source).
fn request(candidates: &[(&str, &str, u32)]) -> RankRequest {
    let candidates: Vec<ProposedItem> = candidates
        .iter()
        .map(|(id, category, rank)| ProposedItem {
            item: key(id),
            attributes: ItemAttributes {
                category: ItemAttributes::category_key(category),
                ..ItemAttributes::default()
            },
            opinions: [opinion(CandidateSource::Ann, *rank)].into_iter().collect(),
            matches: 0,
        })
        .collect();
    RankRequest {
        snapshot: None,
        person: Arc::new(PersonState::default()),
        context_items: Vec::new(),
        item_facts: vec![ItemFacts::default(); candidates.len()],
        candidates: Arc::new(candidates),
        known_items: Vec::new(),
        now: Timestamp::from_millis(1_700_000_000_000),
        k: 10,
        rules: Rules::default(),
        groups: Vec::new(),
    }
}

fn candidate(asked: &mut RankRequest, place: usize) -> &mut ProposedItem {
    &mut Arc::make_mut(&mut asked.candidates)[place]
}

fn key(id: &str) -> ItemKey {
    ItemId::try_new(id).unwrap().key()
}

fn opinion(source: CandidateSource, rank: u32) -> Opinion {
    Opinion { source, score: 1.0, rank, because: None }
}

fn service() -> RankingService {
    RankingService::new(Arc::new(SnapshotSlot::default()))
}

/// The ids of the slate, for candidates of these ids.
async fn ranked<'a>(service: &RankingService, request: RankRequest, known: &[&'a str]) -> Vec<&'a str> {
    let candidates = request.candidates.clone();
    let slate = service.rank(request).await.unwrap().slate;
    let id_of = |item: ItemKey| *known.iter().find(|id| key(id) == item).unwrap();
    slate.iter().map(|place| id_of(candidates[place.candidate].item)).collect()
}

async fn rank(request: RankRequest) -> RankResponse {
    service().rank(request).await.unwrap()
}

#[tokio::test]
async fn without_a_ranker_the_sources_ranks_decide() {
    let mut asked = request(&[("third", "x", 9), ("first", "x", 1), ("second", "x", 4)]);
    // Two sources outweigh one that ranks it a little higher.
    candidate(&mut asked, 2).opinions.set(opinion(CandidateSource::Trending, 4));
    let response = rank(asked).await;
    let places: Vec<usize> = response.slate.iter().map(|place| place.candidate).collect();
    assert_eq!(places, [2, 1, 0]);
    assert!(response.feature_names.is_empty());
    assert!(response.slate.iter().all(|place| place.features.is_empty()));
}

#[tokio::test]
async fn pins_come_first_in_their_order_and_once() {
    let mut asked = request(&[("a", "x", 1), ("b", "x", 2), ("c", "x", 3), ("d", "x", 4)]);
    asked.rules.pin = ["d", "unknown", "c", "d"].map(key).to_vec();
    let known = ["a", "b", "c", "d"];
    assert_eq!(ranked(&service(), asked.clone(), &known).await, ["d", "c", "a", "b"]);
    asked.k = 1;
    assert_eq!(ranked(&service(), asked, &known).await, ["d"]);
}

#[tokio::test]
async fn k_is_a_limit_not_a_promise() {
    let asked = request(&[("a", "x", 1), ("b", "x", 2)]);
    assert_eq!(rank(RankRequest { k: 50, ..asked.clone() }).await.slate.len(), 2);
    assert_eq!(rank(RankRequest { k: 1, ..asked }).await.slate.len(), 1);
    assert_eq!(rank(request(&[])).await.slate.len(), 0);
}

/// The places of the candidates, and the slate with its rules.
fn arranged(asked: &RankRequest, scores: &[f32]) -> (Vec<usize>, Vec<Place>) {
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let slate = arrange(asked, scores, &Likeness::new(&asked.candidates, None), &mut rng);
    (slate.iter().map(|place| place.candidate).collect(), slate)
}

#[test]
fn ties_go_to_the_earlier_candidate() {
    let mut asked = request(&[("a", "x", 1), ("b", "y", 1), ("c", "z", 1)]);
    for diversity in [0.0, 0.5, 1.0] {
        asked.rules.diversity = diversity;
        assert_eq!(arranged(&asked, &[1.0; 3]).0, [0, 1, 2], "{diversity}");
    }
}

#[test]
fn full_variety_avoids_what_is_there_and_says_who_stood_back() {
    let mut asked =
        request(&[("a1", "a", 1), ("a2", "a", 2), ("a3", "a", 3), ("b1", "b", 4), ("c1", "c", 5)]);
    let scores = [5.0, 4.0, 3.0, 2.0, 1.0];
    assert_eq!(arranged(&asked, &scores).0, [0, 1, 2, 3, 4]);
    asked.rules.diversity = 1.0;
    let (places, slate) = arranged(&asked, &scores);
    assert_eq!(places, [0, 3, 4, 1, 2]);
    assert_eq!(slate[1].rules, [AppliedRule::Diversity { n_passed: 2 }]);
    asked.rules.diversity = 0.3;
    assert_eq!(arranged(&asked, &scores).0[0], 0, "the best comes first whatever the variety");
}

#[test]
fn odds_are_multiplied_for_what_meets_a_condition() {
    let mut asked = request(&[("a", "x", 1), ("b", "x", 2), ("c", "x", 3)]);
    let rule = |when: &str, by| OddsRule { when: when.to_owned(), by };
    asked.rules.boost = vec![rule("brand = \"b\"", 4.0), rule("price > 3", 0.5)];
    candidate(&mut asked, 1).matches = 0b01;
    candidate(&mut asked, 2).matches = 0b11;
    let mut log_odds = [1.0, 0.0, 0.0];
    apply_odds(&asked, true, &mut log_odds);
    for (got, expected) in log_odds.iter().zip([1.0, 4_f32.ln(), 2_f32.ln()]) {
        assert!((got - expected).abs() < 1e-6, "{log_odds:?}");
    }
    let mut sums = [0.3, 0.1, 0.1];
    apply_odds(&asked, false, &mut sums);
    for (got, expected) in sums.iter().zip([0.3, 0.4, 0.2]) {
        assert!((got - expected).abs() < 1e-6, "{sums:?}");
    }
    let (places, slate) = arranged(&asked, &log_odds);
    assert_eq!(places, [1, 0, 2]);
    assert_eq!(slate[0].rules, [AppliedRule::Boost { when: "brand = \"b\"".to_owned(), by: 4.0 }]);
    assert!(slate[1].rules.is_empty() && slate[2].rules.len() == 2);
}

#[test]
fn what_was_shown_too_often_is_lowered_and_says_so() {
    let mut asked = request(&[("a", "x", 1), ("b", "x", 2), ("c", "x", 3)]);
    asked.rules.fatigue = Some(Fatigue { after: 3.0, by: 0.5 });
    let mut person = PersonState::default();
    let show = |person: &mut PersonState, id: &str, n: usize| {
        for _ in 0..n {
            person.see(key(id), &Placement::Home, asked.now);
        }
    };
    show(&mut person, "a", 5);
    show(&mut person, "b", 3);
    asked.person = Arc::new(person.clone());
    let mut log_odds = [1.0, 0.5, 0.0];
    apply_odds(&asked, true, &mut log_odds);
    for (got, expected) in log_odds.iter().zip([1.0 + 0.25_f32.ln(), 0.5, 0.0]) {
        assert!((got - expected).abs() < 1e-6, "{log_odds:?}");
    }
    let (places, slate) = arranged(&asked, &log_odds);
    assert_eq!(places, [1, 2, 0]);
    assert_eq!(slate[2].rules, [AppliedRule::Fatigue { shown: 5.0, by: 0.25 }]);
    assert!(slate[0].rules.is_empty() && slate[1].rules.is_empty());
    // A click makes it as welcome as before, and another placement's rules do not know of it.
    person.apply(&Interaction::new(InteractionKind::Click, ItemId::try_new("a").unwrap()), asked.now);
    let clicked = RankRequest { person: Arc::new(person), ..asked.clone() };
    let indifferent = RankRequest { rules: Rules::default(), ..asked };
    for asked in [clicked, indifferent] {
        let mut scores = [1.0, 0.5, 0.0];
        apply_odds(&asked, true, &mut scores);
        assert_eq!(arranged(&asked, &scores).0, [0, 1, 2]);
    }
}

#[test]
fn equals_take_turns_from_window_to_window_and_what_is_better_stays() {
    let ids: Vec<String> = (0..20).map(|n| n.to_string()).collect();
    let named: Vec<(&str, &str, u32)> = ids.iter().map(|id| (id.as_str(), "x", 1)).collect();
    let mut asked = RankRequest { k: 5, ..request(&named) };
    let slate = |asked: &mut RankRequest, seed: u64| {
        asked.rules.rotation = Some(Turn { log_by: 1.25_f32.ln(), seed });
        // The first two are better than rotation can make up for, the last is worse.
        let mut scores = [0.0; 20];
        (scores[0], scores[1], scores[19]) = (2.0, 1.0, -1.0);
        apply_odds(asked, true, &mut scores);
        assert!(scores[2..19].iter().all(|score| score.abs() <= 1.25_f32.ln()), "{scores:?}");
        arranged(asked, &scores)
    };
    let mut n_shown = [0; 20];
    for seed in 0..2_000 {
        let (places, slate) = slate(&mut asked, seed);
        assert_eq!(places[..2], [0, 1]);
        assert!(slate.iter().all(|place| (place.propensity - 1.0).abs() < 1e-6), "nothing of it is chance");
        places.iter().for_each(|place| n_shown[*place] += 1);
    }
    // 17 equals share three places: 353 times each, with a standard deviation of 17.
    assert!(n_shown[2..19].iter().all(|n| (268..=438).contains(n)), "{n_shown:?}");
    assert_eq!(n_shown[19], 0);
    assert_eq!(slate(&mut asked, 7), slate(&mut asked, 7), "a page that is loaded again is the same");
    let (places, of_seven) = slate(&mut asked, 7);
    let [AppliedRule::Rotation { by }] = of_seven[2].rules[..] else { panic!("{of_seven:?}") };
    assert!((0.799..1.251).contains(&by) && places.len() == 5);
}

#[test]
fn a_cap_lets_others_pass_and_never_caps_what_has_no_value() {
    let mut asked = request(&[("a", "x", 1), ("b", "x", 2), ("c", "x", 3), ("d", "x", 4), ("e", "x", 5)]);
    asked.rules.max_per = vec![("brand".to_owned(), 1)];
    asked.groups = vec![7, 7, 0, 0, 9];
    let (places, slate) = arranged(&asked, &[5.0, 4.0, 3.0, 2.0, 1.0]);
    assert_eq!(places, [0, 2, 3, 4], "the second of brand 7 has no place");
    assert_eq!(slate[1].rules, [AppliedRule::MaxPer { attribute: "brand".to_owned(), n_passed: 1 }]);
    asked.rules.pin = vec![key("b")];
    assert_eq!(arranged(&asked, &[5.0, 4.0, 3.0, 2.0, 1.0]).0, [1, 2, 3, 4], "a pinned one counts");
}

#[test]
fn new_items_get_their_share_as_far_as_there_are_any() {
    let ids = ["a", "b", "c", "d", "e", "f"].map(|id| (id, "x", 1));
    let mut asked = RankRequest { k: 5, ..request(&ids) };
    asked.rules.new_share = 0.4;
    for new in [4, 5] {
        let a_second_ago = asked.now.shifted_by_millis(-1_000);
        candidate(&mut asked, new).attributes.available_from = Some(a_second_ago);
    }
    let (places, slate) = arranged(&asked, &[6.0, 5.0, 4.0, 3.0, 2.0, 1.0]);
    assert_eq!(places, [0, 1, 4, 2, 5]);
    let is_reserved = |place: &Place| place.rules.contains(&AppliedRule::NewShare);
    assert_eq!(slate.iter().map(is_reserved).collect::<Vec<_>>(), [false, false, true, false, true]);
    candidate(&mut asked, 5).attributes.available_from = None;
    assert_eq!(arranged(&asked, &[6.0, 5.0, 4.0, 3.0, 2.0, 1.0]).0, [0, 1, 4, 2, 3], "one is all there is");
}

#[test]
fn propensities_are_the_frequencies_of_what_chance_does() {
    let mut asked = RankRequest { k: 2, ..request(&[("a", "x", 1), ("b", "x", 2), ("c", "x", 3)]) };
    asked.rules.exploration = 0.5;
    let scores = [1.0, 0.5, -1.0];
    let likeness = Likeness::new(&asked.candidates, None);
    let (mut rng, n) = (ChaCha8Rng::seed_from_u64(3), 60_000);
    let mut seen: HashMap<Vec<usize>, (u32, f64)> = HashMap::new();
    for _ in 0..n {
        let slate = arrange(&asked, &scores, &likeness, &mut rng);
        let propensity: f64 = slate.iter().map(|place| f64::from(place.propensity)).product();
        let entry = seen.entry(slate.iter().map(|place| place.candidate).collect()).or_default();
        (entry.0, entry.1) = (entry.0 + 1, propensity);
    }
    assert_eq!(seen.len(), 6, "every order of two of three happens");
    let total: f64 = seen.values().map(|(_, propensity)| propensity).sum();
    assert!((total - 1.0).abs() < 1e-5, "{total}");
    for (order, (count, propensity)) in &seen {
        let (share, sd) =
            (f64::from(*count) / f64::from(n), (propensity * (1.0 - propensity) / f64::from(n)).sqrt());
        assert!((share - propensity).abs() < 5.0 * sd, "{order:?}: {share} against {propensity}");
    }
}

proptest! {
    #[test]
    fn a_slate_is_as_long_as_it_can_be_and_holds_nothing_twice(
        scores in prop::collection::vec(-5.0_f32..5.0, 0..40),
        groups in prop::collection::vec(0..4_u64, 40),
        k in 1..12_usize,
        most in 1..3_usize,
        (diversity, exploration, new_share) in (0.0_f32..=1.0, 0.0_f32..=1.0, 0.0_f32..=1.0),
    ) {
        let ids: Vec<String> = (0..scores.len()).map(|n| n.to_string()).collect();
        let named: Vec<(&str, &str, u32)> = ids.iter().map(|id| (id.as_str(), "x", 1)).collect();
        let mut asked = RankRequest { k, ..request(&named) };
        asked.rules.diversity = diversity;
        asked.rules.exploration = exploration;
        asked.rules.new_share = new_share;
        asked.rules.max_per = vec![("brand".to_owned(), most)];
        asked.groups = groups[..scores.len()].to_vec();
        let (places, slate) = arranged(&asked, &scores);
        let distinct: HashSet<usize> = places.iter().copied().collect();
        prop_assert_eq!(distinct.len(), places.len());
        let n_capped = (1..4).map(|g| asked.groups.iter().filter(|of| **of == g).count().min(most)).sum::<usize>();
        let n_possible = n_capped + asked.groups.iter().filter(|of| **of == 0).count();
        prop_assert_eq!(places.len(), k.min(n_possible));
        prop_assert!(slate.iter().all(|place| place.propensity > 0.0 && place.propensity <= 1.0 + 1e-6));
    }
}

#[test]
fn a_ranker_scores_the_features_that_are_captured() {
    let names: Vec<String> = FEATURES.iter().map(|feature| feature.name.to_owned()).collect();
    let n = names.len();
    let ranker = Ranker {
        feature_names: names,
        means: vec![0.5; n],
        scales: vec![2.0; n],
        weights: (0..n).map(|place| place as f32 - 3.0).collect(),
        intercept: 0.25,
    };
    let asked = request(&[("a", "x", 1), ("b", "x", 7)]);
    let scored = score_all(Some(&ranker), &asked);
    for place in 0..2 {
        assert_eq!(scored.features(place).len(), n);
        let alone = ranker.score(scored.features(place));
        assert!(
            (scored.scores[place] - alone).abs() <= 1e-4 * alone.abs(),
            "{} {alone}",
            scored.scores[place]
        );
    }
    assert_ne!(scored.features(0), scored.features(1), "their ranks differ");
    assert!(scored.features(2).is_empty());
}

#[tokio::test]
async fn counters_that_do_not_belong_to_the_candidates_are_refused() {
    let mut asked = request(&[("a", "x", 1), ("b", "x", 2)]);
    asked.item_facts.pop();
    let error = service().rank(asked).await.unwrap_err();
    assert!(matches!(&error, RoleError::Invalid(detail) if detail == "2 candidates came with counters of 1"));
}

#[tokio::test]
async fn another_snapshot_than_the_loaded_ones_is_named() {
    let version = SnapshotVersion::try_new("gone").unwrap();
    let asked = RankRequest { snapshot: Some(version), ..request(&[("a", "x", 1)]) };
    let error = service().rank(asked).await.unwrap_err();
    assert!(
        matches!(error, RoleError::SnapshotNotLoaded { wanted, loaded: None } if wanted.as_str() == "gone")
    );
}
