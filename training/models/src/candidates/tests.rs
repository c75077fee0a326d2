use std::collections::HashSet;

use ndarray::{Array2, Axis, array};
use proptest::prelude::*;
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use waggle_model::{Interaction, InteractionKind, ItemId};

use super::*;
use crate::{
    AlsParams, ItemItemScoring, SessionScoring,
    ann::{self, ExactIndex},
    sessions::{SessionArrays, days_since_epoch},
};

const N_ITEMS: usize = 60;

fn id(n: usize) -> ItemId {
    ItemId::try_new(format!("item-{n}")).unwrap()
}

fn key(n: usize) -> ItemKey {
    id(n).key()
}

fn minute(n: i64) -> Timestamp {
    Timestamp::from_millis(1_700_000_000_000 + n * 60_000)
}

/// Two tastes: even and odd items. The neighbours of `n` are the next four of its taste.
struct Shop {
    vocabulary: Vocabulary,
    als: Als,
    ann: Box<dyn AnnIndex>,
    item_item: ItemItem,
    /// Whoever was after `n` was after the item thirty further on.
    sessions: Option<Sessions>,
    live: LiveLists,
    popular: Vec<ItemIdx>,
    segments: Segments,
    lookalikes: Lookalikes,
}

impl Shop {
    fn open() -> Self {
        let vocabulary = Vocabulary::try_new((0..N_ITEMS).map(id)).unwrap();
        let factors = Array2::from_shape_fn((N_ITEMS, 3), |(row, column)| match column {
            2 => 0.02 * (row % 7) as f32,
            taste => f32::from(u8::from(row % 2 == taste)),
        });
        let als = Als::try_new(factors, AlsParams { n_factors: 3, ..AlsParams::default() }).unwrap();
        let (ann, _) = ann::choose(als.shared_item_factors(), Array2::zeros((0, 3)).view(), 0.95).unwrap();
        let neighbours = |n: usize| (1..=4).map(move |step| (n + 2 * step) % N_ITEMS);
        let item_item = ItemItem::try_new(
            (0..=N_ITEMS).map(|row| row * 4).collect(),
            (0..N_ITEMS).flat_map(neighbours).map(ItemIdx::from_row).collect(),
            (0..N_ITEMS).flat_map(|_| [0.8, 0.4, 0.2, 0.1]).collect(),
            ItemItemScoring::default(),
        )
        .unwrap();
        let live = LiveLists {
            trending: (30..50).map(|n| (key(n), 100.0 - n as f32)).collect(),
            new: vec![(key(1000), 2.0), (key(59), 1.0)],
            as_of: minute(0),
        };
        let popular = (0..N_ITEMS).rev().map(ItemIdx::from_row).collect();
        // Each segment wants the last items of its taste, and item 3 is wanted by both.
        let lists = [58, 56, 54, 52, 3, 59, 57, 55, 3].map(ItemIdx::from_row);
        let scores = [0.9, 0.8, 0.7, 0.6, 0.5, 0.9, 0.8, 0.7, 0.6];
        let centroids = array![[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]];
        let segments =
            Segments::try_new(centroids, vec![40, 40], vec![0, 5, 9], lists.to_vec(), scores.to_vec())
                .unwrap();
        let lookalikes = Lookalikes::new([
            (key(2000), &[(key(2), 0.9), (key(10), 0.3)][..]),
            (key(2001), &[(key(21), 0.8)]),
        ]);
        Self { vocabulary, als, ann, item_item, sessions: None, live, popular, segments, lookalikes }
    }

    fn with_sessions() -> Self {
        let half = N_ITEMS / 2;
        let arrays = SessionArrays {
            of_items: (0..=N_ITEMS).collect(),
            sessions: (0..N_ITEMS as u32).map(|row| row % half as u32).collect(),
            of_sessions: (0..=half).map(|session| session * 2).collect(),
            items: (0..half).flat_map(|n| [n, n + half]).map(ItemIdx::from_row).collect(),
            days: vec![days_since_epoch(minute(0)); half],
            idf: vec![2.0; N_ITEMS],
        };
        let sessions = Sessions::try_new(arrays, SessionScoring::default()).unwrap();
        Self { sessions: Some(sessions), ..Self::open() }
    }

    fn models(&self) -> CandidateModels<'_> {
        CandidateModels {
            vocabulary: &self.vocabulary,
            als: Some(&self.als),
            ann: Some(&*self.ann),
            item_item: Some(&self.item_item),
            sessions: self.sessions.as_ref(),
            popular: Some(&self.popular),
            segments: Some(&self.segments),
            lookalikes: Some(&self.lookalikes),
        }
    }

    fn ask(&self, query: &CandidateQuery<'_>) -> Vec<Proposal> {
        candidates(&self.models(), &self.live, query).unwrap().proposals
    }
}

/// Nothing else may be shown.
struct Only(HashSet<ItemKey>);

impl Offer for Only {
    fn has_row(&self, item: ItemIdx) -> bool {
        self.has_key(id(item.row()).key())
    }

    fn has_key(&self, item: ItemKey) -> bool {
        self.0.contains(&item)
    }

    fn few_rows(&self) -> Option<&[ItemIdx]> {
        None
    }

    fn any(&self) -> Box<dyn Iterator<Item = ItemKey> + '_> {
        Box::new(self.0.iter().copied())
    }
}

fn person(acts: &[(InteractionKind, usize, i64)]) -> PersonState {
    let mut person = PersonState::default();
    for (kind, n, at) in acts {
        person.apply(&Interaction::new(kind.clone(), id(*n)), minute(*at));
    }
    person
}

fn limits() -> SourceLimits {
    SourceLimits {
        ann: 8,
        item_item: 6,
        repeat: 5,
        session: 4,
        trending: 3,
        new: 2,
        segment: 3,
        lexical: 1,
        item_item_history: 20,
    }
}

fn query<'a>(person: &'a PersonState, limits: &'a SourceLimits) -> CandidateQuery<'a> {
    CandidateQuery {
        person,
        context_items: &[],
        page_items: &[],
        now: minute(10_000),
        limits,
        offer: None,
        seen: SeenRule::Keep,
        at_least: 0,
        until: None,
    }
}

fn opinion(proposals: &[Proposal], n: usize, source: CandidateSource) -> Option<Opinion> {
    let proposal = proposals.iter().find(|proposal| proposal.item == key(n))?;
    proposal.opinions.get(source)
}

#[test]
fn somebody_unknown_gets_what_is_trending_and_new() {
    let proposals = Shop::open().ask(&query(&PersonState::default(), &limits()));
    let items: HashSet<ItemKey> = proposals.iter().map(|proposal| proposal.item).collect();
    assert_eq!(items, HashSet::from([30, 31, 32, 59, 1000].map(key)));
    let newer = proposals.iter().find(|proposal| proposal.item == key(1000)).unwrap();
    assert_eq!((newer.idx, newer.opinions.iter().count()), (None, 1));
}

#[test]
fn a_taste_is_followed_and_the_reason_is_named() {
    let shop = Shop::open();
    let even = person(&[(InteractionKind::Purchase, 2, 0), (InteractionKind::Purchase, 10, 1)]);
    let proposals = shop.ask(&query(&even, &limits()));
    let similar = opinion(&proposals, 12, CandidateSource::ItemItem).unwrap();
    assert_eq!((similar.because, similar.rank), (Some(key(10)), 1));
    assert!(opinion(&proposals, 2, CandidateSource::Repeat).is_some());
    let by_ann = |proposal: &&Proposal| {
        proposal.opinions.get(CandidateSource::Ann).is_some_and(|opinion| opinion.rank <= 8)
    };
    let evens: HashSet<ItemKey> = (0..N_ITEMS).step_by(2).map(key).collect();
    assert!(proposals.iter().filter(by_ann).all(|proposal| evens.contains(&proposal.item)));
}

#[test]
fn every_known_candidate_carries_the_models_opinion_whoever_proposed_it() {
    let even = person(&[(InteractionKind::Purchase, 2, 0)]);
    let proposals = Shop::open().ask(&query(&even, &limits()));
    for proposal in proposals.iter().filter(|proposal| proposal.idx.is_some()) {
        assert!(proposal.opinions.get(CandidateSource::Ann).is_some());
        assert!(proposal.opinions.by_rank().is_sorted_by_key(|opinion| opinion.rank));
    }
}

#[test]
fn a_click_of_this_minute_pulls_its_neighbours_in() {
    let shop = Shop::open();
    let mut even = person(&[(InteractionKind::Purchase, 2, 0), (InteractionKind::Purchase, 10, 1)]);
    let before = shop.ask(&query(&even, &limits()));
    assert!(opinion(&before, 23, CandidateSource::Session).is_none());
    even.apply(&Interaction::new(InteractionKind::Click, id(21)), minute(9_999));
    let after = shop.ask(&query(&even, &limits()));
    let pulled = opinion(&after, 23, CandidateSource::Session).unwrap();
    assert_eq!((pulled.rank, pulled.because), (1, Some(key(21))));
    let score = |proposals: &[Proposal]| opinion(proposals, 31, CandidateSource::Ann).unwrap().score;
    assert!(score(&after) > score(&before), "the vector did not move towards the click");
}

#[test]
fn similar_sessions_propose_what_else_they_hold_and_name_the_item_that_led_there() {
    let (shop, limits, context) = (Shop::with_sessions(), limits(), [key(21)]);
    let mut visitor = person(&[(InteractionKind::Click, 5, 9_999)]);
    visitor.apply(&Interaction::new(InteractionKind::Dislike, id(8)), minute(9_999));
    let proposals = shop.ask(&CandidateQuery { context_items: &context, ..query(&visitor, &limits) });
    let led = |n| opinion(&proposals, n, CandidateSource::Session).map(|opinion| opinion.because);
    assert_eq!((led(51), led(35)), (Some(Some(key(21))), Some(Some(key(5)))));
    // An item of the session itself, one that was refused, and neighbours that no session holds.
    assert_eq!((led(5), led(38), led(23)), (None, None, None));
    let rank = |n| opinion(&proposals, n, CandidateSource::Session).unwrap().rank;
    assert!(rank(51) < rank(35), "the page counts more than a click before it");
}

#[test]
fn the_page_pulls_too_and_is_never_proposed_itself() {
    let even = person(&[(InteractionKind::Purchase, 2, 0)]);
    let (context, limits) = ([key(21), key(30)], limits());
    let proposals = Shop::open().ask(&CandidateQuery { context_items: &context, ..query(&even, &limits) });
    assert!(opinion(&proposals, 23, CandidateSource::Session).is_some());
    assert!(proposals.iter().all(|proposal| !context.contains(&proposal.item)));
}

#[test]
fn a_person_gets_what_people_of_the_same_segment_want() {
    let shop = Shop::open();
    let proposed = |state: &PersonState| -> Vec<usize> {
        let proposals = shop.ask(&query(state, &limits()));
        let mut ranked: Vec<(u32, usize)> = (0..N_ITEMS)
            .filter_map(|n| Some((opinion(&proposals, n, CandidateSource::Segment)?.rank, n)))
            .collect();
        ranked.sort_unstable();
        assert!(ranked.iter().zip(1..).all(|((rank, _), place)| *rank == place));
        ranked.into_iter().map(|(_, n)| n).collect()
    };
    let even = person(&[(InteractionKind::Purchase, 2, 0), (InteractionKind::Purchase, 58, 1)]);
    // What was bought is left to "repeat", three are proposed, and what else was found is known to be wanted.
    let wanted = proposed(&even);
    assert_eq!(wanted[..4], [58, 56, 54, 52]);
    let odd = person(&[(InteractionKind::Purchase, 21, 0)]);
    assert_eq!(proposed(&odd)[..3], [59, 57, 55]);
    assert_eq!(proposed(&PersonState::default()), [0; 0]);
}

#[test]
fn of_somebody_unknown_the_page_says_the_segment() {
    let (shop, nobody, limits) = (Shop::open(), PersonState::default(), limits());
    let first = |context_items: &[ItemKey], page_items: &[ItemKey]| {
        let proposals = shop.ask(&CandidateQuery { context_items, page_items, ..query(&nobody, &limits) });
        let by_segment =
            |n: &usize| opinion(&proposals, *n, CandidateSource::Segment).is_some_and(|o| o.rank == 1);
        (0..N_ITEMS).find(by_segment)
    };
    assert_eq!(first(&[key(21)], &[]), Some(59), "an item page");
    assert_eq!(first(&[], &[key(4), key(6), key(7)]), Some(58), "a category page");
    assert_eq!(first(&[key(21)], &[key(4)]), Some(59), "the item at hand says more than its category");
    assert_eq!(first(&[], &[key(1000)]), None, "items that the snapshot does not know");
}

#[test]
fn an_item_that_no_model_knows_is_proposed_for_what_it_reads_like() {
    let shop = Shop::open();
    let lexical =
        |state: &PersonState, n| opinion(&shop.ask(&query(state, &limits())), n, CandidateSource::Lexical);
    let even = person(&[(InteractionKind::Purchase, 2, 0), (InteractionKind::Purchase, 10, 1)]);
    let found = lexical(&even, 2000).unwrap();
    assert_eq!((found.rank, found.because), (1, Some(key(2))));
    assert_eq!(lexical(&even, 2001), None);
    let clicks = person(&[(InteractionKind::Click, 21, 9_999)]);
    assert_eq!(lexical(&clicks, 2001).unwrap().because, Some(key(21)));
    let rejects = person(&[(InteractionKind::Dislike, 2, 0)]);
    assert_eq!(lexical(&rejects, 2000), None);
}

#[test]
fn what_only_fills_a_list_comes_from_no_source_of_taste() {
    let (shop, nobody, limits) = (Shop::open(), PersonState::default(), limits());
    let proposals = shop.ask(&CandidateQuery { at_least: 8, ..query(&nobody, &limits) });
    assert_eq!(proposals.len(), 8);
    let filler = |p: &&Proposal| p.opinions.get(CandidateSource::Static).is_some();
    assert_eq!(proposals.iter().filter(filler).count(), 3);
    assert!(proposals.iter().filter(filler).all(|p| p.opinions.iter().count() == 1));
}

#[test]
fn what_was_rejected_is_not_repeated() {
    let rejected = person(&[(InteractionKind::Purchase, 2, 0), (InteractionKind::Dislike, 2, 5)]);
    let proposals = Shop::open().ask(&query(&rejected, &limits()));
    assert!(opinion(&proposals, 2, CandidateSource::Repeat).is_none());
}

#[test]
fn similar_items_share_the_taste_and_companions_are_neighbours() {
    let shop = Shop::open();
    let lists = similar(&shop.models(), key(4), 3, None);
    assert!(lists.similar.iter().all(|scored| scored.item.row() % 2 == 0 && scored.item.row() != 4));
    let together: Vec<usize> = lists.bought_together.iter().map(|scored| scored.item.row()).collect();
    assert_eq!(together, [6, 8, 10]);
    let only_ten = Only(HashSet::from([key(10)]));
    let allowed = similar(&shop.models(), key(4), 3, Some(&only_ten));
    assert_eq!((allowed.similar.len(), allowed.bought_together.len()), (1, 1));
    assert_eq!(similar(&shop.models(), key(1000), 3, None), SimilarItems::default());
}

#[test]
fn sources_whose_turn_comes_too_late_are_left_out_and_named() {
    let (shop, limits) = (Shop::open(), limits());
    let state = person(&[(InteractionKind::Purchase, 0, 5)]);
    let asked = |until| {
        let query = CandidateQuery { until, ..query(&state, &limits) };
        candidates(&shop.models(), &shop.live, &query).unwrap()
    };
    let (in_time, late) = (asked(None), asked(Some(Instant::now())));
    let sources: Vec<CandidateSource> = in_time.took.iter().map(|(source, _)| *source).collect();
    assert_eq!((in_time.late.len(), sources.len()), (0, 8));
    assert!(in_time.fold_in.is_some());
    assert_eq!((late.late, late.took.len(), late.proposals.len()), (sources, 0, 0));
}

proptest! {
    #[test]
    fn as_many_are_proposed_as_may_be_shown(
        n_allowed in 0..N_ITEMS,
        at_least in 0..40_usize,
        acts in prop::collection::vec((0..4_usize, 0..70_usize, 0..10_000_i64), 0..20),
    ) {
        let acts: Vec<_> =
            acts.into_iter().map(|(kind, n, at)| (InteractionKind::NAMED[kind].clone(), n, at)).collect();
        let (state, limits) = (person(&acts), limits());
        // Some of them are newer than the snapshot.
        let offer = Only((0..n_allowed).map(|n| key(n * 3)).collect());
        let query = CandidateQuery {
            offer: Some(&offer), at_least, seen: SeenRule::ExcludeTouched, ..query(&state, &limits)
        };
        let n_possible = offer.0.iter().filter(|item| state.item(**item).is_none()).count();
        prop_assert!(Shop::open().ask(&query).len() >= at_least.min(n_possible));
    }

    #[test]
    fn rules_hold_for_any_history(
        acts in prop::collection::vec((0..9_usize, 0..70_usize, 0..10_000_i64), 0..80),
        blocked in prop::collection::hash_set(0..70_usize, 0..40),
        seen in prop::sample::select(vec![SeenRule::Keep, SeenRule::ExcludeBought, SeenRule::ExcludeTouched]),
        at_least in 0..40_usize,
    ) {
        let acts: Vec<_> =
            acts.into_iter().map(|(kind, n, at)| (InteractionKind::NAMED[kind].clone(), n, at)).collect();
        let (state, limits, shop) = (person(&acts), limits(), Shop::open());
        let offer = Only((0..70).filter(|n| !blocked.contains(n)).map(key).collect());
        let query = CandidateQuery { offer: Some(&offer), seen, at_least, ..query(&state, &limits) };
        let proposals = shop.ask(&query);
        prop_assert_eq!(&proposals, &shop.ask(&query), "the same question, the same answer");
        let distinct: HashSet<ItemKey> = proposals.iter().map(|proposal| proposal.item).collect();
        prop_assert_eq!(distinct.len(), proposals.len());
        prop_assert!(proposals.iter().all(|proposal| offer.has_key(proposal.item)));
        prop_assert!(proposals.len() <= limits.total().max(at_least));
        let is_bought = |item: ItemKey| state.item(item).is_some_and(|entry| entry.n_purchases > 0);
        let is_rejected = |item: ItemKey| state.item(item).is_some_and(|entry| entry.is_rejected);
        for proposal in &proposals {
            prop_assert!(!is_rejected(proposal.item));
            prop_assert!(seen == SeenRule::Keep || !is_bought(proposal.item));
            prop_assert!(seen != SeenRule::ExcludeTouched || state.item(proposal.item).is_none());
            prop_assert_eq!(proposal.idx, shop.vocabulary.idx_of_key(proposal.item));
            prop_assert!(proposal.opinions.iter().all(|opinion| opinion.score.is_finite() && opinion.rank >= 1));
            let is_repeat = proposal.opinions.get(CandidateSource::Repeat).is_some();
            prop_assert_eq!(is_repeat, is_bought(proposal.item));
        }
    }
}

#[test]
fn of_a_large_catalogue_the_similar_items_are_nearly_those_of_a_scan() {
    const N: usize = ALL_COMPARED + 5_000;
    let mut rng = ChaCha8Rng::seed_from_u64(9);
    // Two hundred tastes, and items around them.
    let centres = Array2::from_shape_fn((200, 8), |_| rng.gen_range(-1.0_f32..1.0));
    let factors =
        Array2::from_shape_fn((N, 8), |(row, f)| centres[[row % 200, f]] + rng.gen_range(-0.2_f32..0.2));
    let vocabulary = Vocabulary::try_new((0..N).map(id)).unwrap();
    let als = Als::try_new(factors.clone(), AlsParams { n_factors: 8, ..AlsParams::default() }).unwrap();
    let index = ExactIndex::try_new(als.shared_item_factors()).unwrap();
    let shop = Shop::open();
    let models = CandidateModels {
        vocabulary: &vocabulary,
        als: Some(&als),
        ann: Some(&index),
        item_item: None,
        sessions: None,
        ..shop.models()
    };
    let norms = factors.map_axis(Axis(1), |row| row.dot(&row).sqrt());
    for item in [0, 777, N - 1] {
        let cosines = factors.dot(&factors.row(item)) / &norms;
        let mut scan: Vec<usize> = (0..N).filter(|row| *row != item).collect();
        scan.sort_by(|a, b| cosines[*b].total_cmp(&cosines[*a]));
        let found = similar(&models, key(item), 10, None).similar;
        let hits = found.iter().filter(|s| scan[..10].contains(&s.item.row())).count();
        assert!(found.len() == 10 && hits >= 9, "{hits} of the ten best for item {item}");
        assert!(found.is_sorted_by(|a, b| a.score >= b.score));
        let few = [ItemIdx::from_row(scan[500]), ItemIdx::from_row(item), ItemIdx::from_row(scan[90])];
        let narrow = similar(&models, key(item), 10, Some(&Few(&few))).similar;
        let rows: Vec<usize> = narrow.iter().map(|s| s.item.row()).collect();
        assert_eq!(rows, [scan[90], scan[500]]);
    }
}

/// Only these rows may be shown.
struct Few<'a>(&'a [ItemIdx]);

impl Offer for Few<'_> {
    fn has_row(&self, item: ItemIdx) -> bool {
        self.0.contains(&item)
    }

    fn has_key(&self, _: ItemKey) -> bool {
        false
    }

    fn few_rows(&self) -> Option<&[ItemIdx]> {
        Some(self.0)
    }

    fn any(&self) -> Box<dyn Iterator<Item = ItemKey> + '_> {
        Box::new(std::iter::empty())
    }
}
