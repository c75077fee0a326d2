use std::{collections::HashMap, sync::Arc};

use waggle_contracts::{
    Ranking, RoleError,
    ranking::{RankRequest, RankResponse},
    retrieval::ProposedItem,
};
use waggle_features::{FEATURES, ItemAttributes, ItemFacts, Opinion, PersonState};
use waggle_model::{CandidateSource, ItemId, ItemKey, Placement, SnapshotVersion, Timestamp};
use waggle_models::{Ranker, SnapshotSlot};

use crate::{Policy, RankingService, policy::arrange, score::score_all};

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
        })
        .collect();
    RankRequest {
        snapshot: None,
        placement: Placement::Home,
        person: Arc::new(PersonState::default()),
        context_items: Vec::new(),
        item_facts: vec![ItemFacts::default(); candidates.len()],
        candidates,
        known_items: Vec::new(),
        now: Timestamp::from_millis(1_700_000_000_000),
        k: 10,
        diversity: None,
        pin: Vec::new(),
    }
}

fn key(id: &str) -> ItemKey {
    ItemId::try_new(id).unwrap().key()
}

fn opinion(source: CandidateSource, rank: u32) -> Opinion {
    Opinion { source, score: 1.0, rank, because: None }
}

fn service() -> RankingService {
    RankingService::new(Arc::new(SnapshotSlot::default()), HashMap::new())
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
    asked.candidates[2].opinions.set(opinion(CandidateSource::Trending, 4));
    let response = rank(asked).await;
    let places: Vec<usize> = response.slate.iter().map(|place| place.candidate).collect();
    assert_eq!(places, [2, 1, 0]);
    assert!(response.feature_names.is_empty());
    assert!(response.slate.iter().all(|place| place.features.is_empty()));
}

#[tokio::test]
async fn pins_come_first_in_their_order_and_once() {
    let mut asked = request(&[("a", "x", 1), ("b", "x", 2), ("c", "x", 3), ("d", "x", 4)]);
    asked.pin = ["d", "unknown", "c", "d"].map(key).to_vec();
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

#[test]
fn ties_go_to_the_earlier_candidate() {
    let asked = request(&[("a", "x", 1), ("b", "y", 1), ("c", "z", 1)]);
    for diversity in [0.0, 0.5, 1.0] {
        assert_eq!(arrange(&asked, &[1.0; 3], &Policy { diversity }), [0, 1, 2], "{diversity}");
    }
}

#[test]
fn full_variety_takes_turns_between_the_categories() {
    let asked = request(&[("a1", "a", 1), ("a2", "a", 2), ("a3", "a", 3), ("b1", "b", 4), ("b2", "b", 5)]);
    let scores = [5.0, 4.0, 3.0, 2.0, 1.0];
    assert_eq!(arrange(&asked, &scores, &Policy { diversity: 0.0 }), [0, 1, 2, 3, 4]);
    let mixed = arrange(&asked, &scores, &Policy { diversity: 1.0 });
    // The shares of the two categories never differ by more than one item while both have some left.
    let n_a = |n: usize| mixed[..n].iter().filter(|place| **place < 3).count();
    assert_eq!((n_a(2), n_a(4)), (1, 2), "{mixed:?}");
    let some = arrange(&asked, &scores, &Policy { diversity: 0.3 });
    assert_eq!(some[0], 0, "the best comes first whatever the variety");
}

#[tokio::test]
async fn the_request_overrides_the_policy_of_its_placement() {
    let cart = HashMap::from([(Placement::Cart, Policy { diversity: 1.0 })]);
    let service = RankingService::new(Arc::new(SnapshotSlot::default()), cart);
    let mut asked = request(&[("a1", "a", 1), ("a2", "a", 2), ("b1", "b", 30)]);
    asked.placement = Placement::Cart;
    let known = ["a1", "a2", "b1"];
    assert_eq!(ranked(&service, asked.clone(), &known).await, ["a1", "b1", "a2"]);
    asked.diversity = Some(0.0);
    assert_eq!(ranked(&service, asked.clone(), &known).await, known);
    asked.diversity = None;
    asked.placement = Placement::Home;
    assert_eq!(ranked(&service, asked, &known).await, known);
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
