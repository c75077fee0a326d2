//! The market keeps the promises of the crate's documentation.

use std::collections::{BTreeMap, HashMap, HashSet};

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use waggle_model::{Event, EventBody, Interaction, InteractionKind, ItemId, Timestamp, UserId};

use crate::{ActionKind, Market, SimulatorError, SimulatorParams, examination, words};

/// 2026-03-18T15:30:00Z.
const END: Timestamp = Timestamp::from_millis(1_773_847_800_000);

fn small() -> SimulatorParams {
    SimulatorParams { n_items: 600, n_users: 800, days: 40, ..SimulatorParams::default() }
}

fn interaction(event: &Event) -> &Interaction {
    match &event.body {
        EventBody::Interaction(interaction) => interaction,
        other => panic!("the market only has interactions, not {other:?}"),
    }
}

fn purchases(market: &Market) -> Vec<(UserId, ItemId, f64)> {
    market
        .events(END)
        .filter(|e| interaction(e).kind == InteractionKind::Purchase)
        .filter_map(|e| {
            Some((
                e.person.user_id.clone()?,
                interaction(&e).item_id.clone(),
                market.day_at(END, e.timestamp).floor(),
            ))
        })
        .collect()
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_seed_others() {
    let bytes = |seed| {
        let market = Market::new(SimulatorParams { seed, ..small() }).unwrap();
        let events: Vec<Event> = market.events(END).collect();
        serde_json::to_string(&(market.items(END), market.users(), events)).unwrap()
    };
    assert!(bytes(5) == bytes(5));
    assert!(bytes(5) != bytes(6));
}

#[test]
fn events_ascend_end_in_time_and_have_ids_of_their_own() {
    let market = Market::new(small()).unwrap();
    let events: Vec<Event> = market.events(END).collect();
    assert!(events.is_sorted_by_key(|e| e.timestamp));
    assert!(events.last().unwrap().timestamp <= END);
    assert!(market.day_at(END, events[0].timestamp) < 1.0);
    assert!(market.day_at(END, events.last().unwrap().timestamp) >= 39.0);
    let ids: HashSet<&str> = events.iter().map(|e| e.event_id.as_ref().unwrap().as_str()).collect();
    assert_eq!(ids.len(), events.len());
    let born: HashMap<ItemId, Timestamp> =
        market.items(END).into_iter().map(|i| (i.item_id, i.available_from.unwrap())).collect();
    assert!(
        events.iter().all(|e| e.timestamp >= born[&interaction(e).item_id]),
        "nobody meets an item before its day"
    );
}

#[test]
fn the_number_of_events_is_what_was_asked_for() {
    for events_per_user in [5.0, 15.0] {
        let params = SimulatorParams { n_users: 3_000, events_per_user, ..small() };
        let n = Market::new(params).unwrap().events(END).count() as f64 / 3_000.0;
        assert!((n / events_per_user - 1.0).abs() < 0.15, "{n} events per user, asked for {events_per_user}");
    }
}

#[test]
fn a_tenth_of_the_items_takes_most_of_the_events() {
    let market = Market::new(SimulatorParams::default()).unwrap();
    let mut counts: BTreeMap<ItemId, usize> = BTreeMap::new();
    for event in market.events(END) {
        *counts.entry(interaction(&event).item_id.clone()).or_default() += 1;
    }
    let mut counts: Vec<usize> = counts.into_values().collect();
    counts.sort_unstable_by(|a, b| b.cmp(a));
    let share = counts[..200].iter().sum::<usize>() as f64 / counts.iter().sum::<usize>() as f64;
    assert!(share > 0.4 && share < 0.9, "the top tenth takes {share}");
    assert!(counts.len() > 1_200, "the tail is long: {} items were touched", counts.len());
}

#[test]
fn people_buy_what_they_truly_like() {
    let market = Market::new(small()).unwrap();
    let items = market.items(END);
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let (mut bought, mut random, mut n) = (0.0, 0.0, 0.0);
    for (user, item, day) in purchases(&market) {
        bought += market.true_utility(&user, &item, day).unwrap();
        random += market.true_utility(&user, &items[rng.gen_range(0..items.len())].item_id, day).unwrap();
        n += 1.0;
    }
    assert!(n > 300.0, "{n} purchases");
    assert!(bought / n > random / n + 2.0, "bought {}, random {}", bought / n, random / n);
}

#[test]
fn the_true_preference_is_the_order_of_the_true_utilities() {
    let market = Market::new(small()).unwrap();
    let (user, _) = &market.users()[17];
    let day = 20.0;
    let best = market.true_preference(user, day, 25).unwrap();
    assert_eq!(best.len(), 25);
    assert!(best.is_sorted_by(|a, b| a.1 >= b.1));
    let born = market.start(END).shifted_by_millis(20 * 86_400_000);
    let mut slow: Vec<f64> = market
        .items(END)
        .iter()
        .filter(|item| item.available_from.unwrap() <= born)
        .map(|item| market.true_utility(user, &item.item_id, day).unwrap())
        .collect();
    slow.sort_by(|a, b| b.total_cmp(a));
    let fast: Vec<f64> = best.iter().map(|(_, utility)| *utility).collect();
    assert!(fast == slow[..25]);
    assert_eq!(market.true_preference(user, day, 10_000).unwrap().len(), slow.len());
}

#[test]
fn tastes_drift_only_where_the_market_says_so() {
    let change = |drift| {
        let market = Market::new(SimulatorParams { drift, ..small() }).unwrap();
        let items = market.items(END);
        let users = market.users();
        users
            .iter()
            .take(50)
            .map(|(user, _)| {
                let at = |day| market.true_utility(user, &items[3].item_id, day).unwrap();
                (at(0.0) - at(30.0)).abs()
            })
            .sum::<f64>()
    };
    assert!(change(0.0) < 1e-9);
    assert!(change(0.8) > 1.0);
}

#[test]
fn clicks_follow_the_stated_probabilities() {
    let market = Market::new(small()).unwrap();
    let (user, _) = &market.users()[3];
    let slate: Vec<ItemId> =
        market.true_preference(user, 10.0, 10).unwrap().into_iter().map(|(item, _)| item).collect();
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    let n = 20_000;
    let mut clicks = [0u32; 10];
    let (mut carts, mut bought) = (0, 0);
    for _ in 0..n {
        for action in market.choose(user, &slate, 10.0, &mut rng).unwrap() {
            assert_eq!(action.item_id, slate[action.position as usize - 1]);
            match action.kind {
                ActionKind::Click => clicks[action.position as usize - 1] += 1,
                ActionKind::Cart => carts += 1,
                ActionKind::Purchase { quantity } => bought += u32::from(quantity > 0),
            }
        }
    }
    for (place, (item, clicks)) in slate.iter().zip(clicks).enumerate() {
        let expected = market.click_probability(user, item, place as u32 + 1, 10.0).unwrap();
        let got = f64::from(clicks) / f64::from(n);
        let error = (expected * (1.0 - expected) / f64::from(n)).sqrt();
        assert!((got - expected).abs() < 5.0 * error, "place {}: {got}, expected {expected}", place + 1);
    }
    assert!(bought > 0 && bought < carts && carts < clicks.iter().sum());
}

#[test]
fn attention_falls_with_the_place() {
    assert!((examination(1) - 1.0).abs() < 1e-12 && examination(0).abs() < 1e-12);
    assert!((1..50).all(|p| examination(p) > examination(p + 1)));
    let market = Market::new(small()).unwrap();
    let (user, item) = (&market.users()[0].0, &market.items(END)[0].item_id);
    let at = |position| market.click_probability(user, item, position, 39.0).unwrap();
    assert!(at(1) > at(3) && at(3) > at(10));
}

#[test]
fn partners_are_mutual_and_bought_together_more_often_than_chance() {
    let market = Market::new(SimulatorParams { n_users: 3_000, events_per_user: 30.0, ..small() }).unwrap();
    let mut orders: HashMap<String, Vec<ItemId>> = HashMap::new();
    for event in market.events(END).filter(|e| interaction(e).kind == InteractionKind::Purchase) {
        let bought = interaction(&event);
        orders.entry(bought.order_id.clone().unwrap()).or_default().push(bought.item_id.clone());
    }
    let (mut with_partner, mut with_other) = (0, 0);
    let items = market.items(END);
    for order in orders.values().filter(|order| order.len() > 1) {
        for item in order {
            if let Some(partner) = market.complement(item).unwrap() {
                assert_eq!(market.complement(&partner).unwrap().as_ref(), Some(item));
                with_partner += u32::from(order.contains(&partner));
                // Any fixed other item: the one after the partner.
                let place = items.iter().position(|i| i.item_id == partner).unwrap();
                with_other += u32::from(order.contains(&items[(place + 1) % items.len()].item_id));
            }
        }
    }
    assert!(with_partner > 20 && with_partner > 3 * with_other, "{with_partner} against {with_other}");
}

#[test]
fn consumables_are_bought_again() {
    let market = Market::new(SimulatorParams { days: 90, events_per_user: 40.0, ..small() }).unwrap();
    let lasting: HashMap<ItemId, bool> = market
        .items(END)
        .into_iter()
        .map(|item| {
            let category =
                words::CATEGORIES.iter().find(|c| Some(c.name) == item.category.as_deref()).unwrap();
            (item.item_id, category.cycle_days == 0)
        })
        .collect();
    let mut times: HashMap<(UserId, ItemId), u32> = HashMap::new();
    for (user, item, _) in purchases(&market) {
        *times.entry((user, item)).or_default() += 1;
    }
    let share = |lasts: bool| {
        let of: Vec<u32> =
            times.iter().filter(|((_, item), _)| lasting[item] == lasts).map(|(_, n)| *n).collect();
        of.iter().filter(|&&n| n > 1).count() as f64 / of.len() as f64
    };
    assert!(share(false) > 1.5 * share(true), "consumables {}, others {}", share(false), share(true));
}

#[test]
fn titles_and_brands_are_distinct() {
    let market =
        Market::new(SimulatorParams { n_items: 60_000, n_users: 1, n_brands: 2_000, ..small() }).unwrap();
    let items = market.items(END);
    let titles: HashSet<&str> = items.iter().map(|item| item.title.as_str()).collect();
    assert_eq!(titles.len(), items.len());
    let brands: HashSet<String> = (0..2_000).map(words::brand).collect();
    assert_eq!(brands.len(), 2_000);
}

#[test]
fn impossible_markets_and_unknown_ids_are_refused_by_name() {
    #[track_caller]
    fn check(params: SimulatorParams, expected: &str) {
        assert_eq!(Market::new(params).unwrap_err().to_string(), expected);
    }
    check(SimulatorParams { n_items: 0, ..small() }, "n_items is 0, it must be 1 to 10000000");
    check(SimulatorParams { n_users: 0, ..small() }, "n_users is 0, it must be 1 to 10000000");
    check(SimulatorParams { n_categories: 25, ..small() }, "n_categories is 25, it must be 1 to 24");
    check(SimulatorParams { n_items: 3, ..small() }, "n_categories is 20, it must be 1 to 3");
    check(SimulatorParams { days: 0, ..small() }, "days is 0, it must be 1 to 3650");
    check(SimulatorParams { drift: f64::NAN, ..small() }, "drift is NaN, it must be 0 to 5");
    check(SimulatorParams { anonymous: 1.5, ..small() }, "anonymous is 1.5, it must be 0 to 1");

    let market = Market::new(small()).unwrap();
    let user = &market.users()[0].0;
    for id in ["sim-0000600", "sim-1", "sim-+000001", "lamp"] {
        let error = market.true_utility(user, &ItemId::try_new(id).unwrap(), 0.0).unwrap_err();
        assert_eq!(error, SimulatorError::UnknownItem { id: id.to_owned() });
    }
    let stranger = UserId::try_new("somebody").unwrap();
    assert_eq!(
        market.true_preference(&stranger, 0.0, 3).unwrap_err().to_string(),
        "the market has no shopper \"somebody\""
    );
}

#[test]
fn the_smallest_market_works() {
    let params = SimulatorParams {
        n_items: 1,
        n_users: 1,
        n_categories: 1,
        n_brands: 1,
        days: 1,
        new_items: 0.0,
        ..small()
    };
    let market = Market::new(params).unwrap();
    let events: Vec<Event> = market.events(END).collect();
    assert!(events.iter().all(|e| e.timestamp <= END));
    assert_eq!(market.true_preference(&market.users()[0].0, 0.0, 5).unwrap().len(), 1);
}

#[test]
fn a_large_market_takes_seconds() {
    let params = SimulatorParams {
        n_items: 60_000,
        n_users: 100_000,
        n_categories: 24,
        n_brands: 800,
        ..SimulatorParams::default()
    };
    let started = std::time::Instant::now();
    let market = Market::new(params).unwrap();
    let n = market.events(END).count();
    println!("{n} events of 60,000 items and 100,000 shoppers in {:?}", started.elapsed());
    assert!(n > 1_200_000);
    // Many times what it takes, so that a busy machine does not fail it, and an accidental O(n²) does.
    assert!(started.elapsed().as_secs() < 120);
}
